"""Turns the documentation in every Python installation into pages of prose.

It has language topics (`help()`) and the docstrings of the standard library, under the PSF licence.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from pydoc_data.topics import topics as TOPICS

from crawlers.demo.text.piece import Piece, make_slug

PART_CHARS = 6000
SHORTEST_PARAGRAPH = 60
MODULES = (
    "abc argparse ast asyncio.events asyncio.tasks base64 bisect calendar collections "
    "configparser contextlib copy csv ctypes.util dataclasses datetime decimal difflib dis "
    "email.message enum filecmp fractions functools getpass gettext glob gzip heapq html.parser "
    "http.client http.cookies imaplib inspect ipaddress locale logging mailbox mimetypes "
    "multiprocessing.pool netrc numbers optparse os pathlib pickle pickletools platform poplib "
    "pprint profile pstats queue random re reprlib sched selectors shelve shlex shutil smtplib "
    "socket socketserver statistics string subprocess tarfile tempfile textwrap threading "
    "timeit tokenize traceback turtle types typing unittest.case unittest.mock urllib.parse "
    "urllib.request uuid warnings wave weakref webbrowser xml.dom.minidom xmlrpc.client zipfile"
).split()
_UNDERLINE = re.compile(r"^([*=\-~^])\1{2,}\s*$", re.MULTILINE)


def _is_prose(block: str) -> bool:
    """Whether a block of a topic or docstring is a paragraph: long enough, with sentences, and no grammar, table or code."""
    if (
        len(block) < SHORTEST_PARAGRAPH
        or "::=" in block
        or ">>>" in block
        or re.search(r"[+|]--|\|\s", block)
    ):
        return False
    letters = sum(char.isalpha() or char.isspace() for char in block)
    return letters > 0.82 * len(block) and bool(re.search(r"[.:!?]$", block))


def find_prose(text: str) -> list[str]:
    """The paragraphs of a plain-text document that are prose, each on one line."""
    blocks = re.split(r"\n\s*\n", _UNDERLINE.sub("\n", inspect.cleandoc(text)))
    flat = (" ".join(block.split()) for block in blocks)
    return [block for block in flat if _is_prose(block)]


def _split_pages(slug: str, title: str, topic: str, paragraphs: Iterable[str]) -> Iterator[Piece]:
    """One piece for each PART_CHARS of paragraphs; a page that long is still read in one sitting."""
    groups: list[list[str]] = [[]]
    for paragraph in paragraphs:
        if sum(map(len, groups[-1])) + len(paragraph) > PART_CHARS and groups[-1]:
            groups.append([])
        groups[-1].append(paragraph)
    for number, group in enumerate(groups, 1):
        if sum(map(len, group)) > 400:
            suffix = "" if number == 1 else f", part {number}"
            yield Piece(
                slug + (f"-{number}" if number > 1 else ""),
                title + suffix,
                "en",
                "library",
                topic,
                tuple(group),
            )


def read_topics() -> list[Piece]:
    """The language reference as `help()` shows it, one page a topic or part of one."""
    out: list[Piece] = []
    for name in sorted(TOPICS):
        title = TOPICS[name].strip().split("\n", 1)[0].replace('"', "")
        out += _split_pages(make_slug(f"topic {name}"), title, "Language", find_prose(TOPICS[name]))
    return out


def _iter_documented(
    body: Iterable[ast.stmt],
) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """The public classes, methods and functions of a module or class in the order of the source, conditional ones included."""
    for node in body:
        if isinstance(
            node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ) and not node.name.startswith("_"):
            yield node
        if isinstance(node, ast.ClassDef | ast.If | ast.Try):
            yield from _iter_documented(node.body)


def _iter_docstrings(module: str) -> Iterator[str]:
    """The documentation of a module and of everything public in it; nothing is run, only read."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return
    tree = ast.parse(Path(spec.origin).read_bytes())
    yield ast.get_docstring(tree) or ""
    for node in _iter_documented(tree.body):
        yield ast.get_docstring(node) or ""


def read_docstrings() -> list[Piece]:
    """Pages on the modules of the standard library, made of their docstrings; a paragraph said twice is kept once."""
    out: list[Piece] = []
    for module in MODULES:
        unique = dict.fromkeys(
            paragraph for text in _iter_docstrings(module) for paragraph in find_prose(text)
        )
        out += _split_pages(
            make_slug(f"module {module}"), f"The module {module}", "Library", unique
        )
    return out
