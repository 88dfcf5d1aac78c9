"""The engine and the command line's sizes: impossible choices are refused before any pipeline is built."""

import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.errors import ConfigError
from gristmill.steps.options import parse_bytes
from pipelines.engine.launch import Engine


def test_the_runner_that_loses_data_is_refused_with_its_reason():
    with pytest.raises(ConfigError, match=r"Dask runner .* loses data") as caught:
        Engine(runner="DaskRunner")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "runner", ["DataflowRunner", "SparkRunner", "FlinkRunner", "DirectRunner", "fnapirunner", ""]
)
def test_other_runners_are_refused_with_the_ones_that_work(runner):
    with pytest.raises(ConfigError, match="FnApiRunner"):
        Engine(runner=runner)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_local_runner_is_named_and_never_looked_for(workers):
    for mode in ("threads", "processes"):
        pipeline = Engine(workers=workers).pipeline(mode)
        assert type(pipeline.runner).__name__ == "FnApiRunner"
        options = pipeline._options.get_all_options(drop_default=True)
        assert options.get("direct_num_workers", 1) == workers
        assert options.get("direct_running_mode") == (
            "multi_threading" if workers > 1 and mode == "threads" else None
        )


def test_no_temporary_folder_of_beam_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    Engine(workers=2).pipeline("processes")
    assert list(tmp_path.iterdir()) == []


def test_options_that_are_not_ours_reach_beam():
    pipeline = Engine(
        runner="PortableRunner", beam=("--job_endpoint=embed", "--environment_type=LOOPBACK")
    ).pipeline("processes")
    options = pipeline._options.get_all_options(drop_default=True)
    assert (options["job_endpoint"], options["environment_type"], options["runner"]) == (
        "embed",
        "LOOPBACK",
        "PortableRunner",
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("1048576", 1 << 20),
        ("512M", 512 << 20),
        ("4G", 4 << 30),
        ("4GB", 4 << 30),
        ("4GiB", 4 << 30),
        ("1.5k", 1536),
        (" 2 T ", 2 << 40),
        ("7b", 7),
        ("0.5G", 1 << 29),
    ],
)
def test_sizes_are_read(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "G", "4X", "-1G", "4 G B", "1e9", "4,5G", "four", "1.G", "NaN", "0", "0G", "0.0001"],
)
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ConfigError, match="not a size"):
        parse_bytes(text)


@given(number=st.integers(1, 10**9), unit=st.sampled_from(["", "K", "M", "G", "T"]))
def test_a_size_is_its_number_times_its_unit(number, unit):
    assert parse_bytes(f"{number}{unit}") == number * 1024 ** ["", "K", "M", "G", "T"].index(unit)


def test_beam_flushes_no_buffer_by_a_timer_which_loses_what_is_written_meanwhile():
    """Beam 2.77 empties a buffer after it handed it on, without a lock: half a million rows of 10^6 documents went missing."""
    from apache_beam.runners.portability.fn_api_runner import worker_handlers
    from apache_beam.runners.worker import data_plane

    Engine(workers=2).pipeline("threads")
    limit = worker_handlers.DATA_BUFFER_TIME_LIMIT_MS
    stream = data_plane.ClosableOutputStream.create(None, None, limit)
    assert limit == 0 and not isinstance(stream, data_plane.TimeBasedBufferingClosableOutputStream)
