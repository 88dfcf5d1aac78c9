"""Crawling beside plain Scrapy: what a killed crawl loses, pages a second, and a frontier that grows.

    python benchmarks/crawl.py [crash | throughput | frontier ...] [--pages 6000] [--kills 5] [--out results.json]

All over loopback, with nginx in front of a graph of made-up pages, 16 requests at a time.
`crash`: one crawl with `--kills` SIGKILLs at random moments, then to its end; pages lost, stored twice, fetched again. Plain
Scrapy with a JOBDIR on the same graph, killed once and started again twice.
`throughput`: whole processes, in turn, three times each: wall and CPU seconds; ours writes WARC, the peer a JSON line a page.
`frontier`: queues up to 10^6 addresses; memory, and the time to take and commit a request at each size.
"""

import argparse
import collections
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fastwarc.warc import ArchiveIterator, WarcRecordType

from crawlers.frontier.queue import RequestStatus
from crawlers.frontier.schema import DONE
from crawlers.frontier.store import Frontier
from crawlers.spider_output import CrawlRequest, DocumentResult, FetchResult, Validators

STEPS = ("crash", "throughput", "frontier")
PEER = Path(__file__).parent / "peers/scrapy_graph.py"
OURS = [sys.executable, "-c", "from gristmill import cli; cli.main()", "crawl"]
LINKS, WORDS, PARAGRAPHS = 12, 120, 20
CONFIG = """contact = "bench@example.org"
private_hosts = ["127.0.0.1"]
[politeness]
delay = 0.0
autothrottle = false
concurrency_per_host = 16
backoff = 0.0
[[sources]]
type = "news"
name = "graph"
sites = ["{url}"]
follow = true
"""
NGINX = """daemon off; pid {folder}/nginx.pid; worker_processes 1; error_log {folder}/error.log; user root;
events {{ worker_connections 1024; }}
http {{ access_log {folder}/access.log; keepalive_requests 100000; types {{ text/html html; text/plain txt; }}
 client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4;
 scgi_temp_path {folder}/t5; server {{ listen 127.0.0.1:{port}; root {folder}/www; }} }}
"""


def make_graph(folder: Path, pages: int) -> None:
    """Pages of about 15 kB, each with links down a tree and to some others; all can be reached from the first."""
    chosen, words = random.Random(1), [f"w{number}" for number in range(5000)]
    (folder / "www/p").mkdir(parents=True)
    for number in range(pages):
        links = [
            *range(number * 6 + 1, min(number * 6 + 7, pages)),
            *(chosen.randrange(pages) for _ in range(LINKS // 2)),
        ]
        menu = "".join(f'<li><a href="/p/{to}.html">page {to}</a></li>' for to in links)
        text = "".join(
            f"<p>{' '.join(chosen.choices(words, k=WORDS))}</p>" for _ in range(PARAGRAPHS)
        )
        page = f'<!doctype html><html lang="en"><head><title>Page {number}</title></head><body><ul>{menu}</ul>{text}</body></html>'
        (folder / f"www/p/{number}.html").write_text(page)
    shutil.copy(folder / "www/p/0.html", folder / "www/index.html")
    (folder / "www/robots.txt").write_text(
        "User-agent: *\nDisallow: /private\nSitemap: /none.xml\n"
    )


@contextlib.contextmanager
def served(pages: int, port: int = 8191) -> Iterator[tuple[str, Path]]:
    """A graph behind nginx: its address, and the folder with its access log."""
    if shutil.which("nginx") is None:
        raise SystemExit("nginx is not installed: apt-get install nginx-light")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_graph(folder, pages)
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
        server = subprocess.Popen(
            ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
        )
        try:
            while not (folder / "nginx.pid").exists():
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}", folder
        finally:
            server.terminate()
            server.wait()


def asked(folder: Path) -> list[str]:
    """The pages that were asked for, in order."""
    lines = (folder / "access.log").read_text().splitlines()
    return [
        path
        for path in (line.split('"')[1].split()[1] for line in lines)
        if path == "/" or path.startswith("/p/")
    ]


def forget(folder: Path) -> None:
    """Empty the access log."""
    os.truncate(folder / "access.log", 0)


def run_until(command: Sequence[str], folder: Path, fetched: int | None) -> int:
    """Run a crawl to its end, or kill it when so many pages were asked for; its exit code."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        if fetched is not None and len(asked(folder)) >= fetched:
            process.send_signal(signal.SIGKILL)
        time.sleep(0.02)
    return process.wait()


def stored(out: Path) -> collections.Counter[str]:
    """Address -> how often a sealed run holds a page of it."""
    found: collections.Counter[str] = collections.Counter()
    for path in sorted(out.glob("crawl-*/captures/*.warc.gz")):
        with open(path, "rb") as file:
            for record in ArchiveIterator(
                file, record_types=WarcRecordType.response, parse_http=False, verify_digests=True
            ):
                found[record.headers["WARC-Target-URI"]] += 1
    return collections.Counter(
        {url: n for url, n in found.items() if "/p/" in url or url.endswith(":8191/")}
    )


def checked(out: Path) -> str:
    """What `warcio check` says of all files."""
    files = sorted(map(str, out.glob("crawl-*/captures/*.warc.gz")))
    done = subprocess.run(
        [sys.executable, "-m", "warcio.cli", "check", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"exit code {done.returncode}, {len(files)} files"


def crash(pages: int, kills: int) -> dict[str, Any]:
    """Kill our crawl again and again; then the same for plain Scrapy, once."""
    with served(pages) as (url, folder):
        config, out = folder / "crawl.toml", folder / "runs"
        config.write_text(CONFIG.format(url=url))
        command = [*OURS, "--config", str(config), "--out", str(out)]
        moments = sorted(random.Random(os.getpid()).sample(range(pages // 20, pages), kills))
        codes = [run_until(command, folder, moment) for moment in [*moments, None]]
        fetched, kept = collections.Counter(asked(folder)), stored(out)
        ours = {
            "kills at": moments,
            "exit codes": codes,
            "lost": pages + 1 - len(kept),
            "stored twice": sum(kept.values()) - len(kept),
            "warcio check": checked(out),
            "fetched again": sum(fetched.values()) - len(fetched),
            "bound": kills * (16 + 8),
        }
        forget(folder)
        peer = [
            sys.executable,
            str(PEER),
            f"{url}/",
            str(folder / "items.jsonl"),
            str(folder / "job"),
        ]
        codes = [run_until(peer, folder, moment) for moment in (pages // 20, None, None)]
        items = [
            json.loads(line)["url"]
            for line in (folder / "items.jsonl").read_text().splitlines()
            if line.endswith("}")
        ]
        return {
            "ours": ours,
            "scrapy JOBDIR, one kill": {"exit codes": codes, "lost": pages + 1 - len(set(items))},
        }


def cost(command: Sequence[str]) -> dict[str, float]:
    """Wall and CPU seconds of a process with its children, and its peak memory in MB."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": time.monotonic() - start, "cpu": cpu}


def throughput(pages: int, rounds: int = 3) -> dict[str, Any]:
    """Ours and plain Scrapy in turn on the same graph."""
    with served(pages) as (url, folder):
        config = folder / "crawl.toml"
        config.write_text(CONFIG.format(url=url))
        found: dict[str, list[dict[str, float]]] = {
            "ours": [],
            "scrapy": [],
            "scrapy, one task a page": [],
        }
        for number in range(rounds):
            peer = [sys.executable, str(PEER), f"{url}/"]
            found["ours"].append(
                cost([*OURS, "--config", str(config), "--out", str(folder / f"runs{number}")])
            )
            found["scrapy"].append(cost([*peer, str(folder / f"items{number}.jsonl")]))
            found["scrapy, one task a page"].append(
                cost([*peer, str(folder / f"one{number}.jsonl"), "1"])
            )
        sizes = {len(stored(folder / f"runs{number}")) for number in range(rounds)}
        items = {
            len((folder / f"{kind}{number}.jsonl").read_text().splitlines())
            for number in range(rounds)
            for kind in ("items", "one")
        }
    rows = {}
    for name, costs in found.items():
        wall, cpu = (statistics.median(one[what] for one in costs) for what in ("wall", "cpu"))
        ratio = statistics.median(
            peer["wall"] / ours["wall"] for ours, peer in zip(found["ours"], costs, strict=True)
        )
        rows[name] = {
            "wall s": wall,
            "cpu s": cpu,
            "pages a second": (pages + 1) / wall,
            "ours over it": ratio,
        }
    return {"pages": sorted(sizes), "items": sorted(items), "rows": rows}


def frontier(largest: int = 1_000_000) -> dict[str, Any]:
    """The cost of a request at each size of the queue, and this process's memory."""
    rows = []
    with (
        tempfile.TemporaryDirectory() as name,
        contextlib.closing(Frontier(Path(name) / "f.sqlite")) as frontier,
    ):
        size, body = 0, os.urandom(7000)
        for wanted in (10_000, 100_000, largest):
            start = time.process_time()
            while size < wanted:
                frontier.queue.add(
                    "s",
                    [
                        CrawlRequest(
                            f"http://h.example/{number}", "parse", "html", is_document=True
                        )
                        for number in range(size, size + 1000)
                    ],
                )
                size += 1000
            added = (time.process_time() - start) / max(1, wanted)
            start, wall = time.process_time(), time.monotonic()
            for number in range(50):
                for row in frontier.queue.next_batch("s", "h.example", 20):
                    asks = [
                        CrawlRequest(
                            f"http://h.example/{number}/{row.id}/{link}",
                            "parse",
                            "html",
                            is_document=True,
                        )
                        for link in range(2)
                    ]
                    outcome = FetchResult(
                        [body], asks, [DocumentResult("kept", "", 100, "CC0-1.0")]
                    )
                    status = RequestStatus(DONE, None, Validators("e", "m", "p", "c"))
                    frontier.commit(row, outcome, status, now=time.time())
            rows.append(
                {
                    "queued": size,
                    "add us": added * 1e6,
                    "take + commit us": (time.process_time() - start) * 1e3,
                    "wall us": (time.monotonic() - wall) * 1e3,
                    "memory MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                }
            )
    return {"rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("steps", nargs="*", choices=[[], *STEPS], default=[])
    parser.add_argument("--pages", type=int, default=6000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    todo = {
        "crash": lambda: crash(options.pages, options.kills),
        "throughput": lambda: throughput(options.pages),
        "frontier": frontier,
    }
    found = {step: todo[step]() for step in options.steps or STEPS}
    print(json.dumps(found, indent=1))
    if options.out:
        options.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
