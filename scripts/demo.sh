#!/usr/bin/env bash
# The whole way on the built-in demo site: crawl, prepare, pretrain two models, audit, report.
# Usage: scripts/demo.sh GRISTMILL OUT WORKERS. Run twice it does nothing the second time.
set -euo pipefail

gristmill=$1 out=$2 workers=$3
started=$SECONDS

last() { tail -n 1; }

crawl=$("$gristmill" crawl --config configs/crawl/demo.toml --out "$out" | last)
pack=$("$gristmill" prepare --in "$crawl" --config configs/prepare/demo.toml --out "$out" --workers "$workers" | last)
causal=$("$gristmill" pretrain --in "$pack" --config configs/train/demo-causal.toml --out "$out" | last)
bert=$("$gristmill" pretrain --in "$pack" --config configs/train/demo-bert.toml --out "$out" | last)
audit=$("$gristmill" audit --in "$pack" --model "$causal" --model "$bert" --config configs/audit/demo.toml --out "$out" | last)
report=$("$gristmill" report "$audit" "$causal" "$bert" --out "$out/report.html" | last)

echo "demo done in $((SECONDS - started)) s; open this page in a browser:" >&2
echo "$report"
