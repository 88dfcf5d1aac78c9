"""Configuration: TOML and overrides become frozen models, mistakes are named with their mend, dumps read back equal."""

import contextlib
import tomllib
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.config import Config, dump_toml, load
from gristmill.errors import ConfigError


class Optimizer(Config):
    """How to learn."""

    rate: float = 3e-4
    betas: tuple[float, float] = (0.9, 0.95)
    warmup: int | None = None


class Source(Config):
    """Where text comes from."""

    name: str
    address: str | None = None


class Settings(Config):
    """A whole file."""

    seed: int = 1
    title: str = "plain"
    fast: bool = False
    optimizer: Optimizer = Optimizer()
    sources: tuple[Source, ...] = ()
    presets: dict[str, Optimizer] = pydantic.Field(default_factory=dict)

    @pydantic.field_validator("seed")
    @classmethod
    def _positive(cls, seed: int) -> int:
        if seed < 0:
            raise ValueError("a seed cannot be negative")
        return seed


class Anything(Config):
    """A table of whatever TOML can hold."""

    table: dict[str, Any] = pydantic.Field(default_factory=dict)


def written(tmp_path, text):
    path = tmp_path / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(model, path=None, overrides=()):
    with pytest.raises(ConfigError) as caught:
        load(model, path, overrides)
    return caught.value


def test_without_a_file_the_defaults_are_loaded():
    assert load(Settings) == Settings()


def test_a_file_replaces_defaults_and_leaves_the_rest(tmp_path):
    path = written(tmp_path, 'title = "x"\n[optimizer]\nrate = 1e-3\n[[sources]]\nname = "wiki"\n')
    expected = Settings(title="x", optimizer=Optimizer(rate=1e-3), sources=(Source(name="wiki"),))
    assert load(Settings, path) == expected
    assert load(Settings, str(path)) == expected


def test_an_override_wins_over_the_file_and_the_last_override_wins(tmp_path):
    path = written(tmp_path, "seed = 2\n")
    assert load(Settings, path, ["seed=3"]).seed == 3
    assert load(Settings, path, ["seed=3", "seed=4"]).seed == 4


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seed=7", Settings(seed=7)),
        ("seed = 7", Settings(seed=7)),
        ("fast=true", Settings(fast=True)),
        ("title=hello world", Settings(title="hello world")),
        ("title='quoted'", Settings(title="quoted")),
        ('title="123"', Settings(title="123")),
        ("title=", Settings(title="")),
        ("title=a=b", Settings(title="a=b")),
        ("title=中文", Settings(title="中文")),
        ("title=1, 2", Settings(title="1, 2")),
        ("title=1 # no comment", Settings(title="1 # no comment")),
        ("title=1\nseed = 9", Settings(title="1\nseed = 9")),
        ("optimizer.rate=1e-3", Settings(optimizer=Optimizer(rate=1e-3))),
        ("optimizer.betas=[0.5, 0.6]", Settings(optimizer=Optimizer(betas=(0.5, 0.6)))),
        ("optimizer={rate = 0.5, warmup = 2}", Settings(optimizer=Optimizer(rate=0.5, warmup=2))),
        ("presets.small.rate=0.1", Settings(presets={"small": Optimizer(rate=0.1)})),
        ('sources=[{name = "w"}]', Settings(sources=(Source(name="w"),))),
    ],
)
def test_an_override_is_read_as_toml_and_else_as_the_bare_text(override, expected):
    assert load(Settings, None, [override]) == expected


@pytest.mark.parametrize(
    "override", ["seed", "=1", ".seed=1", "optimizer..rate=1", "optimizer.=1", ""]
)
def test_an_override_without_a_key_or_a_value_is_refused(override):
    assert (
        refused(Settings, None, [override]).what == "an override must look like section.key=value"
    )


def test_an_override_through_a_plain_value_is_refused(tmp_path):
    error = refused(Settings, written(tmp_path, "seed = 2\n"), ["seed.low=1"])
    assert (error.what, error.where["key"]) == (
        "an override goes through a value that is no section",
        "seed",
    )


def test_an_unknown_key_names_the_nearest_of_its_section(tmp_path):
    path = written(tmp_path, "[optimizer]\nrat = 1.0\n")
    error = refused(Settings, path)
    assert error.where == {"file": str(path), "optimizer.rat": "no such key"}
    assert error.fix == "did you mean `rate` instead of `optimizer.rat`?"


def test_an_unknown_key_inside_a_list_or_a_table_of_sections_names_the_nearest(tmp_path):
    error = refused(
        Settings,
        written(tmp_path, '[[sources]]\nname = "a"\nadress = "b"\n[presets.small]\nwarmpu = 1\n'),
    )
    assert error.fix == (
        "did you mean `address` instead of `sources.0.adress`? did you mean `warmup` instead of `presets.small.warmpu`?"
    )


def test_a_key_of_another_section_is_named_with_that_section():
    assert (
        refused(Settings, None, ["warmup=1"]).fix
        == "did you mean `optimizer.warmup` instead of `warmup`?"
    )


def test_an_unknown_key_like_no_other_lists_the_keys_of_its_section():
    error = refused(Settings, None, ["optimizer.zzz=1"])
    assert error.fix == "the keys beside `optimizer.zzz` are rate, betas, warmup"


def test_every_mistake_of_a_file_is_told_at_once():
    error = refused(Settings, None, ["seed=-1", "fast=7", "titel=x"])
    assert error.where == {
        "file": "the defaults",
        "seed": "a seed cannot be negative (given: -1)",
        "fast": "Input should be a valid boolean, unable to interpret input (given: 7)",
        "titel": "no such key",
    }
    assert error.exit_code == 2


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_number_that_is_not_finite_is_refused(value):
    assert list(refused(Settings, None, [f"optimizer.rate={value}"]).where) == [
        "file",
        "optimizer.rate",
    ]


def test_a_missing_file_names_the_files_beside_it(tmp_path):
    near = written(tmp_path, "")
    error = refused(Settings, tmp_path / "seting.toml")
    assert (error.what, error.fix) == (
        "there is no such configuration file",
        f"choose one of {near}",
    )
    assert refused(Settings, tmp_path / "no" / "x.toml").fix == "give the path of a TOML file"


def test_a_folder_given_for_a_file_is_the_users_error(tmp_path):
    written(tmp_path, "")
    assert refused(Settings, tmp_path).what == "this configuration file cannot be read"


@pytest.mark.parametrize(
    "content", [b"seed = ", b"seed = 1\nseed = 2\n", b"\xff\xfe", b'title = "\xff"']
)
def test_a_file_that_is_no_toml_is_refused_with_its_name(tmp_path, content):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    error = refused(Settings, path)
    assert (error.what, error.where["file"]) == ("this configuration is not valid TOML", path)


def test_a_configuration_cannot_be_changed_after_it_was_loaded():
    with pytest.raises(pydantic.ValidationError):
        load(Settings).seed = 2


def test_a_dump_shows_every_default_and_nothing_that_is_unset():
    assert dump_toml(Settings()) == (
        'seed = 1\ntitle = "plain"\nfast = false\nsources = []\n\n[optimizer]\nrate = 0.0003\nbetas = [0.9, 0.95]\n\n'
        "[presets]\n"
    )


def test_an_empty_configuration_dumps_to_an_empty_file():
    class Empty(Config):
        """Nothing to set."""

    assert tomllib.loads(dump_toml(Empty())) == {}


texts = st.text(st.characters(codec="utf-8"), max_size=20)
floats = st.floats(allow_nan=False, allow_infinity=False)
leaves = texts | st.integers() | floats | st.booleans()
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(texts, values, max_size=4))
def test_any_nested_table_with_any_keys_reads_back_equal(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("config") / "any.toml"
    path.write_text(dump_toml(Anything(table=table)), encoding="utf-8")
    back = load(Anything, path).table
    assert back == table
    assert repr(back) == repr(Anything.model_validate({"table": back}).table)


optimizers = st.builds(
    Optimizer,
    rate=floats,
    betas=st.tuples(floats, floats),
    warmup=st.none() | st.integers(0, 10**30),
)


@given(
    st.builds(
        Settings,
        seed=st.integers(0),
        title=texts,
        fast=st.booleans(),
        optimizer=optimizers,
        sources=st.lists(st.builds(Source, name=texts, address=st.none() | texts), max_size=3).map(
            tuple
        ),
        presets=st.dictionaries(texts, optimizers, max_size=3),
    )
)
def test_any_typed_configuration_reads_back_equal(tmp_path_factory, settings):
    path = tmp_path_factory.mktemp("config") / "any.toml"
    path.write_text(dump_toml(settings), encoding="utf-8")
    assert load(Settings, path) == settings


@given(texts, texts)
def test_an_override_with_a_quoted_text_gives_that_text(text, other):
    quoted = dump_toml(Anything(table={"t": text})).split(" = ", 1)[1].rstrip("\n")
    assert load(Settings, None, [f"title={quoted}"]).title == text


@given(st.text(max_size=30))
def test_an_override_never_fails_but_with_a_config_error(text):
    with contextlib.suppress(ConfigError):
        load(Settings, None, [text])


class Renamed(Config):
    renamed_keys = {"lenght": "length"}  # noqa: RUF012
    length: int = 1


def test_a_renamed_key_is_taken_with_a_warning_that_names_the_new_one(tmp_path, capsys):
    path = tmp_path / "old.toml"
    path.write_text("lenght = 5\n")
    assert load(Renamed, path) == Renamed(length=5)
    assert capsys.readouterr().err == (
        "warning: the key `lenght` is now called `length`; please rename it\n"
    )


def test_today_s_key_gives_no_warning(capsys):
    assert load(Renamed, overrides=["length=5"]) == Renamed(length=5)
    assert capsys.readouterr().err == ""


def test_a_renamed_key_beside_its_new_name_is_refused(tmp_path):
    path = tmp_path / "both.toml"
    path.write_text("lenght = 5\nlength = 6\n")
    with pytest.raises(ConfigError, match="`lenght` is today called `length`"):
        load(Renamed, path)
