"""The Makefile: what a variable does, and that a misspelt one is refused instead of passing silently."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
KNOWN = ("CONFIG", "IN", "OUT", "WORKERS", "TORCH_ARGS", "PYTHON", "VENV")

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*arguments, **environment):
    """`make -n`: what would be run, and what is complained of."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "-n", *arguments],
        cwd=REPOSITORY,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def last(done):
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("target", ["prepare", "help", "demo"])
@pytest.mark.parametrize("given", ["CONFG=x", "config=x", "WORKER=2", "FOO:=1", "OUTPUT="])
def test_a_misspelt_variable_is_refused_and_the_known_ones_are_named(target, given):
    done = make(target, given)
    name = re.split("[:=]", given)[0]
    assert (done.returncode, done.stdout) == (2, "")
    assert f"unknown variable {name}: this Makefile knows {' '.join(KNOWN)}" in done.stderr


def test_all_misspelt_variables_are_named_at_once():
    assert "unknown variable FOO WORKER:" in make("prepare", "WORKER=2", "CONFIG=x", "FOO=1").stderr


@pytest.mark.parametrize("name", KNOWN)
def test_every_known_variable_is_accepted_shown_by_help_and_used(name):
    assert make("help", f"{name}=x").returncode == 0
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert f"{name}=" in "".join(line for line in text.splitlines() if line.startswith("\t@echo"))
    assert f"$({name})" in text


def test_a_value_may_hold_spaces_and_equal_signs():
    done = make("prepare", "TORCH_ARGS=torch==2.13.0 --index-url FOO=1", "IN=a b", "OUT=/x")
    assert last(done) == (
        ".venv/bin/gristmill prepare --in a --in b --config configs/prepare/default.toml --out /x --workers 2"
    )


def test_options_of_make_and_variables_of_the_environment_are_no_misspelling():
    assert make("-k", "-j2", "doctor", CONFG="x", FOO="1").returncode == 0


def test_given_variables_reach_the_step():
    assert last(make("pretrain", "CONFIG=a.toml", "IN=runs/pack-1", "OUT=out", "VENV=/v")) == (
        "/v/bin/gristmill pretrain --in runs/pack-1 --config a.toml --out out"
    )


def test_every_config_that_a_target_falls_back_to_is_there():
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    places = re.findall(r"configs/[\w/.-]+", text)
    assert len(places) >= 4
    assert [place for place in places if not (REPOSITORY / place).is_file()] == []


def test_help_lists_every_target_that_is_explained():
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    phony = set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split())
    assert phony == set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))
