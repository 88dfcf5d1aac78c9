"""The tables of a frontier file, and the format they are in.

Tables and columns keep the names of the first version, since a crawl goes on with its file after an
upgrade. The code uses other words for some of them:

| stored | in the code |
|---|---|
| table `fact` | metadata of the crawl |
| `request.document` | `is_document` |
| `request.again` | `recrawl_interval` |
| `request.due` | `next_fetch_at` |
| table `tally`, `fate` | outcome counts, `outcome` |
| `fetched.asked` | documents queued |
| table `spent` | quota used |
| table `shut`, `place`, `why` | unreachable origins, `origin`, `reason` |
| `host.ready`, `host.strikes` | `resume_at`, `consecutive_429s` |
| `site.place`, `site.said` | `origin`, packed answers |
"""

from __future__ import annotations

from typing import Literal

FORMAT = "gristmill.frontier/1"

FetchState = Literal[1, 2, 3]
"""How a request ended; each of the three may be due again."""
QUEUED = 0
WAITING: FetchState = 1  # to be repeated soon
DONE: FetchState = 2
FAILED: FetchState = 3  # given up

# Moments are seconds of the wall clock: a crawl outlives its process.
SCHEMA = """
CREATE TABLE IF NOT EXISTS fact(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS request(
  id INTEGER PRIMARY KEY,
  fingerprint BLOB NOT NULL UNIQUE,
  source TEXT NOT NULL,
  host TEXT NOT NULL,
  url TEXT NOT NULL,
  reader TEXT NOT NULL,
  format TEXT NOT NULL,
  facts TEXT NOT NULL,
  priority INTEGER NOT NULL,
  document INTEGER NOT NULL,
  again TEXT NOT NULL,
  state INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  due REAL,
  etag TEXT, modified TEXT, payload TEXT, captured TEXT);
CREATE INDEX IF NOT EXISTS queue ON request(source, host, priority DESC, id) WHERE state = 0;
CREATE INDEX IF NOT EXISTS coming ON request(due) WHERE due IS NOT NULL;
CREATE INDEX IF NOT EXISTS waiting ON request(source, due) WHERE state = 1;
CREATE TABLE IF NOT EXISTS outbox(id INTEGER PRIMARY KEY, records BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS file(
  name TEXT PRIMARY KEY, bytes INTEGER, captures INTEGER, sha256 TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tally(
  source TEXT, lang TEXT, fate TEXT, reason TEXT, documents INTEGER, bytes INTEGER,
  PRIMARY KEY(source, lang, fate, reason)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS licence(
  source TEXT, licence TEXT, documents INTEGER, PRIMARY KEY(source, licence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fetched(
  source TEXT PRIMARY KEY, captures INTEGER, asked INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spent(
  host TEXT PRIMARY KEY, pages INTEGER, bytes INTEGER, since REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failure(id INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS shut(place TEXT PRIMARY KEY, why TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS host(
  name TEXT PRIMARY KEY, ready REAL NOT NULL DEFAULT 0, strikes INTEGER NOT NULL DEFAULT 0)
  WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS site(
  place TEXT PRIMARY KEY, read REAL NOT NULL, said TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS takedown(
  url TEXT PRIMARY KEY, reason TEXT NOT NULL, date TEXT NOT NULL) WITHOUT ROWID;
"""

SESSION_TABLES = ("file", "tally", "licence", "fetched", "spent", "failure", "shut")
"""Tables of what one session brought: emptied when its run is sealed."""

RESET_TABLES = (*SESSION_TABLES, "request", "outbox", "host", "site")
"""Tables emptied when a crawl starts anew. Takedowns and the number of the session stay."""
