"""Tokenize a corpus with datatrove's DocumentTokenizer, shuffled, as its documentation wires it: run in a venv that has it.

    python datatrove_tokens.py CORPUS TOKENIZER.json WORKERS

Reads CORPUS/*.jsonl with one task a file. Prints the tokens it wrote.
"""

import json
import sys
import tempfile
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer


def main() -> None:
    corpus, tokenizer, workers = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        steps = [
            JsonlReader(corpus, glob_pattern="*.jsonl"),
            DocumentTokenizer(
                str(out / "tokens"),
                tokenizer_name_or_path=tokenizer,
                local_working_dir=str(out / "work"),
                eos_token=None,
                seed=1,
            ),
        ]
        tasks = len(list(Path(corpus).glob("*.jsonl")))
        LocalPipelineExecutor(
            steps, tasks=tasks, workers=workers, logging_dir=str(out / "logs")
        ).run()
        size = sum(path.stat().st_size for path in (out / "tokens").glob("*.ds"))
    print(json.dumps({"tokens": size // 2}))


if __name__ == "__main__":
    main()
