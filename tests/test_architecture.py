"""Who may import whom, how heavy a command may be, and how large a file may grow: the rules of the house as tests."""

import ast
import functools
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = "gristmill"
ROOMS = ("crawlers", "pipelines", "training", "bias_audit")
TOP = "reports"
"""The fifth room stands on the others: it knows them by their contracts, and none knows it."""
PACKAGES = [name for name in (CORE, *ROOMS, TOP) if (ROOT / name / "__init__.py").is_file()]
FRAMEWORKS = ("scrapy", "apache_beam", "torch", "twisted", "transformers")
FOREIGN_TO = {
    "gristmill": FRAMEWORKS,
    "crawlers": ("apache_beam", "torch", "transformers"),
    "pipelines": ("scrapy", "twisted", "torch", "transformers"),
    "training": ("scrapy", "twisted", "apache_beam"),
    "bias_audit": ("scrapy", "twisted", "apache_beam"),
    "reports": FRAMEWORKS,
}
MAX_FUNCTION, MAX_FILE = 60, 450
MAX_KERNEL_FUNCTION, MAX_KERNEL_FILE = 100, 530
"""A kernel is a loop over bytes with one parameter and one step a line: calls in between would slow it."""
VAGUE = re.compile(r"(?:^|_)(?:utils?|helpers?|misc|managers?|common|stuff)(?:_|$)")
MACHINE_PATH = re.compile(r"(?:^|[\s\"'=(])(?:/home/|/root/|/Users/|/work/|/mnt/|/opt/|[A-Z]:\\\\)")


def sources(package: str) -> list[Path]:
    """The Python files of a package."""
    return sorted(
        path for path in (ROOT / package).rglob("*.py") if "__pycache__" not in path.parts
    )


EVERY_FILE = [path for package in PACKAGES for path in sources(package)]


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Every module a file imports, in functions too, with the line; relative imports are resolved."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            yield ".".join([*above, *([node.module] if node.module else [])]), node.lineno
        elif isinstance(node, ast.Call) and _names(node.func) in ("import_module", "__import__"):
            yield from (
                (a.value, node.lineno) for a in node.args[:1] if isinstance(a, ast.Constant)
            )


def _names(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def trespasses(package: str, forbidden: tuple[str, ...]) -> list[str]:
    """Where a package imports what it may not."""
    return [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sources(package)
        for module, line in imported(path)
        if module.split(".")[0] in forbidden
    ]


def label(path: Path) -> str:
    """The path of a file below the repository, to name a test case."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("package", [CORE, *ROOMS])
def test_a_room_never_imports_another_room_and_the_core_imports_none(package):
    others = tuple(room for room in (*ROOMS, TOP) if room != package)
    assert trespasses(package, others) == []


def test_reports_know_a_room_by_its_contract_only():
    beyond = [
        line
        for line in trespasses(TOP, ROOMS)
        if ".contract" not in line.rpartition(" imports ")[2]
    ]
    assert beyond == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_no_framework_of_another_room(package):
    assert trespasses(package, FOREIGN_TO[package]) == []


def test_an_import_inside_a_function_and_a_dynamic_one_are_seen_by_these_checks(
    tmp_path, monkeypatch
):
    room = tmp_path / "training"
    room.mkdir()
    (room / "a.py").write_text(
        '"""A."""\ndef f():\n    import crawlers.downloader.warc\n    from bias_audit import stats\n'
        'def g():\n    importlib.import_module("pipelines.pack.graph")\nfrom . import b\nfrom ..crawlers import c\n'
    )
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert trespasses("training", ("crawlers", "bias_audit", "pipelines")) == [
        "training/a.py:8 imports crawlers",
        "training/a.py:3 imports crawlers.downloader.warc",
        "training/a.py:4 imports bias_audit",
        "training/a.py:6 imports pipelines.pack.graph",
    ]
    assert trespasses("training", ("training",)) == ["training/a.py:7 imports training"]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_test_framework_is_imported_by_the_source(package):
    assert trespasses(package, ("pytest", "hypothesis", "tests")) == []


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, in the repository."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("package", [p for p in PACKAGES if (ROOT / p / "commands.py").is_file()])
def test_the_commands_of_a_room_load_without_any_framework(package):
    heavy = (
        "torch",
        "apache_beam",
        "scrapy",
        "twisted",
        "transformers",
        "datasets",
        "numba",
        "sentencepiece",
    )
    code = f"import sys, {package}.commands; print([name for name in {heavy!r} if name in sys.modules])"
    done = run_python(code)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_the_core_loads_without_any_framework():
    modules = ", ".join(
        f"gristmill.{path.stem}" for path in sources(CORE) if path.parent.name == CORE
    )
    modules = modules.replace("gristmill.__init__", "gristmill")
    done = run_python(
        f"import sys, {modules}; print([n for n in {FRAMEWORKS!r} if n in sys.modules])"
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_imported_from_this_repository_and_not_shadowed(package):
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin == str(ROOT / package / "__init__.py")


@pytest.mark.parametrize("path", EVERY_FILE, ids=label)
def test_a_module_says_in_a_docstring_what_it_is_for(path):
    words = ast.get_docstring(tree_of(path))
    assert words, "the file has no docstring"
    assert len(words.split()) >= 4, f"too short to help a newcomer: {words!r}"


@pytest.mark.parametrize("path", EVERY_FILE, ids=label)
def test_a_module_has_a_name_that_says_something(path):
    assert not VAGUE.search(path.stem)
    assert not VAGUE.search(path.parent.name)


@pytest.mark.parametrize("path", EVERY_FILE, ids=label)
def test_no_string_holds_an_absolute_path_of_some_machine(path):
    strings = [
        node
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert [node.value for node in strings if MACHINE_PATH.search(node.value)] == []


@pytest.mark.parametrize("path", EVERY_FILE, ids=label)
def test_a_file_can_be_read_in_one_sitting(path):
    limit = MAX_KERNEL_FILE if path.parent.name == "kernels" else MAX_FILE
    assert len(path.read_text(encoding="utf-8").splitlines()) <= limit


@pytest.mark.parametrize("path", EVERY_FILE, ids=label)
def test_a_function_fits_on_a_page(path):
    functions = [
        n for n in ast.walk(tree_of(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    limit = MAX_KERNEL_FUNCTION if path.parent.name == "kernels" else MAX_FUNCTION
    lengths = {n.name: n.end_lineno - n.lineno + 1 for n in functions}
    long = {name: length for name, length in lengths.items() if length > limit}
    assert long == {}


@pytest.mark.parametrize("path", EVERY_FILE, ids=label)
def test_no_work_is_left_undone_behind_a_marker(path):
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"#\s*(?:TODO|FIXME|XXX|HACK)\b.*", text) == []


@pytest.mark.parametrize("path", EVERY_FILE, ids=label)
def test_only_the_command_line_prints(path):
    allowed = {"gristmill/cli.py", "gristmill/progress.py"}
    calls = [
        n.lineno
        for n in ast.walk(tree_of(path))
        if isinstance(n, ast.Call) and _names(n.func) == "print"
    ]
    prints = [
        n
        for n in calls
        if "console" not in path.read_text(encoding="utf-8").splitlines()[n - 1].lower()
    ]
    assert prints == [] or label(path) in allowed


def test_no_room_lies_as_a_folder_of_the_same_name_in_the_core():
    assert [room for room in ROOMS if (ROOT / CORE / room).exists()] == []
