"""The error tree: what a message looks like, and which exit code each branch has."""

import ast
from pathlib import Path

import pytest

from gristmill import errors

CORE = Path(errors.__file__).parent
USERS = {"UserError", "ConfigError", "InputError", "RunError"}


def test_a_user_error_says_what_where_and_how_to_mend_in_aligned_rows():
    error = errors.UserError(
        "these shards were made with another tokenizer",
        {"shards": "runs/pack-e41a", "configuration": "tiny.toml"},
        "point [data].run elsewhere",
    )
    assert str(error) == (
        "these shards were made with another tokenizer\n"
        "  shards         runs/pack-e41a\n"
        "  configuration  tiny.toml\n"
        "  to fix         point [data].run elsewhere"
    )
    assert (error.what, error.fix) == (
        "these shards were made with another tokenizer",
        "point [data].run elsewhere",
    )
    assert error.where == {"shards": "runs/pack-e41a", "configuration": "tiny.toml"}


def test_where_and_fix_may_be_left_out():
    assert str(errors.UserError("no")) == "no"
    assert str(errors.UserError("no", {"at": 3})) == "no\n  at  3"
    assert str(errors.UserError("no", fix="yes")) == "no\n  to fix  yes"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("GristmillError", 1),
        ("UserError", 2),
        ("ConfigError", 2),
        ("InputError", 2),
        ("RunError", 2),
        ("MissingExtra", 2),
        ("GateFailed", 4),
        ("Stopped", 75),
    ],
)
def test_every_error_of_the_tree_has_the_exit_code_that_the_drawing_gives(kind, code):
    assert getattr(errors, kind).exit_code == code
    assert kind in str(errors.__doc__)


def test_the_drawing_shows_every_error_there_is():
    kinds = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert {name for name in kinds if name not in str(errors.__doc__)} == set()


def test_the_users_mistakes_are_one_branch():
    branch = (errors.ConfigError, errors.InputError, errors.RunError, errors.MissingExtra)
    assert all(issubclass(kind, errors.UserError) for kind in branch)
    others = (errors.GateFailed, errors.Stopped)
    assert not any(issubclass(kind, errors.UserError) for kind in others)


def test_a_missing_package_names_the_extra_that_brings_it():
    text = str(errors.MissingExtra("scrapy", "crawl"))
    assert text.startswith("scrapy is not installed\n")
    assert "pip install 'gristmill[crawl]'" in text


def without_a_way_out(path):
    """Where a file makes an error of the user's without a third argument, `fix`."""
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]
    users = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in USERS]
    return [
        call.lineno
        for call in users
        if len(call.args) < 3 and "fix" not in {k.arg for k in call.keywords}
    ]


@pytest.mark.parametrize(
    "path", sorted(CORE.rglob("*.py")), ids=lambda path: path.relative_to(CORE).as_posix()
)
def test_every_error_of_the_users_says_what_to_do_now(path):
    assert without_a_way_out(path) == []


def test_an_error_without_a_way_out_is_seen_by_this_check(tmp_path):
    (tmp_path / "a.py").write_text(
        'raise InputError("no", {"at": 1})\nRunError("no", {}, "fix")\nUserError("x", fix="y")'
    )
    assert without_a_way_out(tmp_path / "a.py") == [1]
