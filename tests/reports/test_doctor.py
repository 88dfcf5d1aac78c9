"""`gristmill doctor`: what is installed, how to get what is not, and only what is true of the engines."""

import re

import pytest

from gristmill import cli
from reports.run_tools import doctor


@pytest.fixture
def examined(monkeypatch, capsys):
    """Run `gristmill doctor` where these packages are missing; returns the exit code and stdout."""

    def run(*missing):
        monkeypatch.setattr(cli, "entry_points", lambda group: [])
        monkeypatch.setattr(
            doctor, "installed", lambda package: None if package in missing else "1.2.3"
        )
        code = cli.run(["doctor"])
        return code, capsys.readouterr().out

    return run


def row(out, package):
    """The words of a package's row."""
    (line,) = [line for line in out.splitlines() if line.strip().startswith(f"{package} ")]
    return line.split(maxsplit=3)


def test_where_all_is_there_every_package_is_told_with_its_version_and_the_code_is_0(examined):
    code, out = examined()
    assert code == 0
    assert {name: row(out, name)[1:3] for name in doctor.NEEDED} == {
        name: ["1.2.3", extra] for name, extra in doctor.NEEDED.items()
    }
    assert "pip install" not in out


@pytest.mark.parametrize(
    ("package", "code", "hint"),
    [
        ("pyarrow", 2, "pip install 'gristmill'"),
        ("torch", 0, "pip install 'gristmill[train]'"),
        ("scrapy", 0, "pip install 'gristmill[crawl]'"),
        ("gcsfs", 0, "pip install 'gristmill[gcp]'"),
    ],
)
def test_a_missing_package_says_how_to_get_it_and_only_a_base_one_is_an_error(
    examined, package, code, hint
):
    ended, out = examined(package)
    assert ended == code
    assert row(out, package)[1] == "missing"
    assert row(out, package)[3].strip() == hint


def test_an_installed_package_has_a_version_and_an_unknown_one_has_none():
    assert re.match(r"\d+\.", doctor.find_version("pyarrow"))
    assert doctor.find_version("no-such-package-of-ours") is None


def test_the_machine_is_told_in_whole_figures():
    pattern = r"Python 3\.\d+\.\d+\S*, \d+ cores, \d+ GB of memory, \d+ GB free on this disk"
    assert re.fullmatch(pattern, doctor.describe_machine()[0])


def test_the_engines_are_those_that_this_version_runs_on_and_the_decision_is_named(
    examined, repository
):
    out = " ".join(examined()[1].split())
    assert (
        "its local runner (FnApiRunner), or on a portable job server (PortableRunner) with LOOPBACK workers"
        in out
    )
    assert "Dataflow and Spark are not supported yet" in out
    (record,) = re.findall(r"docs/decisions/[\w.-]+\.md", out)
    assert (repository / record).is_file()


def test_lines_about_the_machine_are_not_broken_where_the_output_is_no_terminal(examined):
    assert set(doctor.describe_machine()) <= set(examined()[1].splitlines())
