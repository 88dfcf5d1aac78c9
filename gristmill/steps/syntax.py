"""What one source file means to the identity of code.

In: the text of a Python file. Out: a digest of its syntax tree, and the names it refers to.
"""

import ast
import functools
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(?:[.:][A-Za-z_]\w*)+")
"""A string that may name a module: `crawlers.downloader.scheduler.DurableScheduler`, `room.commands:register`."""
LOADERS = frozenset({"__import__", "files", "import_module", "package_folder"})
"""Functions that reach a package by its name: `importlib`, `importlib.resources`, our own."""
IGNORED_FIELDS = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
"""What follows from the position of a node (`ctx`), or has no meaning when the program runs."""

NAMING_NODES = frozenset({ast.Call, ast.Constant, ast.Import, ast.ImportFrom})


@dataclass(slots=True)
class SourceSyntax:
    """The meaning of one file.

    `imports` and `loaded` are absolute names of modules or of things in them; `package.*` is a star
    import. `strings` are literals that look like a dotted name, such as a class in a setting.
    """

    digest: str = ""
    imports: set[str] = field(default_factory=set)
    loaded: set[str] = field(default_factory=set)
    strings: set[str] = field(default_factory=set)


def read_syntax(source: bytes, package: str) -> SourceSyntax:
    """Read a file of `package`, against which its relative imports are resolved.

    Raises SyntaxError or ValueError where the text is not Python.
    """
    reader = _SyntaxReader(package)
    reader.read_node(ast.parse(source))
    text = "\n".join(reader.tokens)
    reader.syntax.digest = hashlib.sha256(text.encode("ascii")).hexdigest()
    return reader.syntax


class _SyntaxReader:
    """One walk over a tree that writes it down and collects what it refers to.

    `ast.dump` is not used: its form differs between versions of Python, and a second walk for the
    imports would double the time.
    """

    def __init__(self, package: str) -> None:
        self.package = package
        self.syntax = SourceSyntax()
        self.tokens: list[str] = []

    def read_node(self, node: ast.AST) -> None:
        """Write `node` and all below it; it runs 60,000 times for `annotate`, so it is kept plain."""
        node_type = type(node)
        if node_type in NAMING_NODES:
            self._collect_names(node)
        write = self.tokens.append
        write(node_type.__name__)
        for name in _drop_ignored(node_type._fields):
            value = getattr(node, name, None)
            # Fields that newer versions of Python add are empty for older programs.
            if value is None or value == []:
                continue
            write(name)
            if isinstance(value, list):
                write("[")
                for item in _iter_meaningful(value):
                    self._read_value(item)
                write("]")
            else:
                self._read_value(value)
        write(")")

    def _read_value(self, value: object) -> None:
        if isinstance(value, ast.AST):
            self.read_node(value)
        else:
            # Not `repr`: which characters it escapes depends on Python's version of Unicode.
            self.tokens.append(ascii(value))

    def _collect_names(self, node: ast.AST) -> None:
        match node:
            case ast.Import():
                self.syntax.imports.update(alias.name for alias in node.names)
            case ast.ImportFrom():
                module = self._resolve_module(node)
                self.syntax.imports.add(module)
                self.syntax.imports.update(f"{module}.{alias.name}" for alias in node.names)
            case ast.Call(func=function, args=[ast.Constant(value=str() as name), *_]):
                if _get_function_name(function) in LOADERS:
                    self.syntax.loaded.add(name)
            case ast.Constant(value=str() as text):
                if DOTTED_NAME.fullmatch(text):
                    self.syntax.strings.add(text.replace(":", "."))

    def _resolve_module(self, node: ast.ImportFrom) -> str:
        """The absolute name of the module of a `from` import."""
        if not node.level:
            return node.module or ""
        parts = self.package.split(".")
        parents = parts[: len(parts) - node.level + 1]
        return ".".join([*parents, node.module] if node.module else parents)


@functools.cache
def _drop_ignored(fields: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in fields if name not in IGNORED_FIELDS)


def _iter_meaningful(values: list[object]) -> Iterator[object]:
    """The values of a list, of statements those that are run."""
    for value in values:
        if isinstance(value, ast.If) and _is_type_checking(value.test):
            yield from _iter_meaningful(list(value.orelse))
        elif not _is_bare_string(value):
            yield value


def _is_bare_string(value: object) -> bool:
    """Whether this is a docstring, or a string that documents the line above it."""
    if not isinstance(value, ast.Expr) or not isinstance(value.value, ast.Constant):
        return False
    return isinstance(value.value.value, str)


def _is_type_checking(test: ast.expr) -> bool:
    return _get_function_name(test) == "TYPE_CHECKING"


def _get_function_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
