"""Freed memory goes back to the system: what is left after arrays of many sizes is close to what was there before."""

import subprocess
import sys

PROGRAM = """
import sys, threading
import numpy as np, psutil
from pipelines.engine.release_memory import release_to_os
if sys.argv[1] == "yes":
    release_to_os()
def work(seed):
    rng, kept = np.random.default_rng(seed), []
    for _ in range(60):
        kept.append(np.ones(int(rng.integers(1, 6)) << 17))
        kept.append(np.ones(2000))
        if len(kept) > 20:
            kept = kept[1::2]
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
print(psutil.Process().memory_info().rss)
"""


def left(given_back: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, given_back], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_no_more_is_left_where_it_is_given_back():
    assert left("yes") <= left("no") + (4 << 20)
