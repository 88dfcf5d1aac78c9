"""Keep the few documents nearest to a bound while all of them pass by: memory does not grow with their number."""

import numpy as np

MOST = 20
NEAR = np.dtype(
    [
        ("distance", "f8"),
        ("key", "i8"),
        ("shard", "i8"),
        ("row", "i8"),
        ("value", "f8"),
        ("reasons", "u8"),
    ]
)
"""One document: how far it is from the bound, what decides among equals, where it lies, its value, its reason bits."""


class NearestDocuments:
    """The documents nearest to `bound`, of equally near ones those of the smallest keys, in that order."""

    def __init__(self, bound: float, most: int = MOST) -> None:
        self.bound, self.most = bound, most
        self.found = np.zeros(0, NEAR)

    def add(
        self,
        values: np.ndarray,
        keys: np.ndarray,
        shard: int,
        rows: np.ndarray,
        reasons: np.ndarray,
    ) -> None:
        """Offer documents of one shard; the arrays are parallel and the values finite."""
        distance = np.abs(values.astype(np.float64) - self.bound)
        chosen = np.flatnonzero(distance <= self._farthest(distance))
        new = np.zeros(len(chosen), NEAR)
        new["distance"], new["value"], new["shard"] = distance[chosen], values[chosen], shard
        new["key"], new["row"], new["reasons"] = keys[chosen], rows[chosen], reasons[chosen]
        together = np.concatenate([self.found, new])
        order = np.lexsort([together[name] for name in ("row", "shard", "key", "distance")])
        self.found = together[order[: self.most]]

    def _farthest(self, distance: np.ndarray) -> float:
        """What no document may be farther than to be among the nearest."""
        limits = [float(self.found["distance"][-1])] if len(self.found) == self.most else []
        if len(distance) > self.most:
            limits.append(float(np.partition(distance, self.most - 1)[self.most - 1]))
        return min(limits, default=np.inf)
