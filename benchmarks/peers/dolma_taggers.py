"""dolma's side of benchmarks/annotate.py: the speed of its Gopher and C4 taggers; run by a venv that holds dolma.

python dolma_taggers.py TEXTS.jsonl LANGUAGE OUT.json SECONDS
"""

import json
import sys
import time
from pathlib import Path

from dolma.core.data_types import Document
from dolma.core.registry import TaggerRegistry
from memory import most_memory

TAGGERS = ("gopher_v2", "c4_v2")


def main() -> None:
    """Tag texts until SECONDS of CPU are over."""
    source, _, out, seconds = sys.argv[1:]
    texts = [
        json.loads(line) for line in Path(source).read_text(encoding="utf-8").split("\n") if line
    ]
    taggers = [TaggerRegistry.get(name)() for name in TAGGERS]
    done, size, started = 0, 0, time.process_time()
    while done < len(texts) and time.process_time() - started < float(seconds):
        for tagger in taggers:
            tagger.predict(Document(source="", version="", id=str(done), text=texts[done]))
        size += len(texts[done].encode())
        done += 1
    cpu, peak = time.process_time() - started, most_memory()
    Path(out).write_text(json.dumps({"cpu": cpu, "bytes": size, "peak": peak}))


if __name__ == "__main__":
    main()
