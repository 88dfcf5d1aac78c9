"""Progress: plain lines where no terminal is, a rate and the remaining time, and silence for what is quick."""

import io
import sys

import pytest

from gristmill import progress
from gristmill.progress import Progress, clock


@pytest.fixture
def time(monkeypatch):
    """A clock that a test moves by hand."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

        def pass_by(self, seconds):
            self.now += seconds

    hand = Clock()
    monkeypatch.setattr(progress, "time", hand)
    return hand


def test_what_is_quick_prints_nothing(time, capsys):
    with Progress("annotate", total=3, unit="splits") as bar:
        for _ in range(3):
            time.pass_by(1)
            bar.advance()
    assert capsys.readouterr() == ("", "")


def test_a_plain_line_with_rate_and_time_left_comes_every_ten_seconds_on_stderr_and_a_last_one(
    time, capsys
):
    with Progress("annotate", total=25, unit="splits") as bar:
        for _ in range(25):
            time.pass_by(1)
            bar.advance()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "annotate  10/25 splits | 1/s | ETA 0:15",
        "annotate  20/25 splits | 1/s | ETA 0:05",
        "annotate  25/25 splits | 1/s | in 0:25",
    ]


def test_the_last_line_comes_once_also_where_the_last_update_printed_it(time, capsys):
    with Progress("annotate", total=2, unit="splits") as bar:
        time.pass_by(20)
        bar.advance(2)
        bar.update(2)
        time.pass_by(15)
    assert capsys.readouterr().err.splitlines() == ["annotate  2/2 splits | 0.1/s | in 0:20"]


def test_a_line_is_not_repeated_while_nothing_is_finished_but_once_a_minute_as_a_sign_of_life(
    time, capsys
):
    with Progress("annotate", total=9, unit="splits") as bar:
        for _ in range(1300):  # polled ten times a second, as the launcher does
            time.pass_by(0.1)
            bar.update(0)
        time.pass_by(0.1)
        bar.update(9)
    assert capsys.readouterr().err.splitlines() == [
        "annotate  0/9 splits | 0/s",
        "annotate  0/9 splits | 0/s",
        "annotate  9/9 splits | 0.1/s | in 2:10",
    ]


@pytest.mark.parametrize("seconds", [0.01, 0.5, 3, 9.9, 10, 61])
def test_never_are_two_lines_closer_than_ten_seconds_but_the_last(
    time, capsys, monkeypatch, seconds
):
    moments = []
    monkeypatch.setattr(progress, "say", lambda line: moments.append(time.now))
    with Progress("work", total=400) as bar:
        for _ in range(400):
            time.pass_by(seconds)
            bar.advance()
    gaps = [after - before for before, after in zip([1000.0, *moments], moments[:-1], strict=False)]
    assert all(gap >= 10 for gap in gaps), gaps
    assert len(moments) <= 400 * seconds / 10 + 1


def test_a_resumed_run_that_has_nothing_left_to_do_prints_nothing(time, capsys):
    with Progress("annotate", total=9, unit="splits", done=9) as bar:
        time.pass_by(30)
        bar.update(9)
    assert capsys.readouterr().err == ""


def test_a_note_stays_until_the_next_one(time, capsys):
    with Progress("train", total=10, unit="steps") as bar:
        time.pass_by(10)
        bar.advance(note="loss 3.2")
        time.pass_by(10)
        bar.advance()
        time.pass_by(1)
        bar.advance(note="loss 3.1")
    notes = [line.split(" | ")[-1] for line in capsys.readouterr().err.splitlines()]
    assert notes == ["loss 3.2", "loss 3.2", "loss 3.1"]


def test_messages_go_to_stderr_line_by_line(capsys):
    progress.say("one", "two")
    assert capsys.readouterr() == ("", "one\ntwo\n")


def test_without_a_total_there_is_no_time_left(time):
    bar = Progress("read", unit="documents")
    bar.update(50)
    assert bar.state(10.0) == "50 documents | 5/s"


def test_an_error_ends_the_display_without_a_last_line(time, capsys):
    def broken():
        with Progress("work", total=2) as bar:
            time.pass_by(12)
            bar.advance()
            time.pass_by(12)
            raise ValueError

    with pytest.raises(ValueError):
        broken()
    assert capsys.readouterr().err.splitlines() == ["work  1/2 | 0.1/s | ETA 0:12"]


def test_work_that_was_done_before_a_restart_does_not_speed_up_the_rate(time):
    bar = Progress("train", total=200, unit="steps", done=100)
    bar.advance(10)
    assert bar.state(10.0) == "110/200 steps | 1/s | ETA 1:30"


def test_no_time_and_no_work_give_no_division_by_zero():
    bar = Progress("work", total=10)
    assert bar.state(0.0) == "0/10 | 0/s"
    assert bar.state(5.0) == "0/10 | 0/s"


def test_more_than_the_total_tells_how_long_it_took_and_no_negative_time():
    bar = Progress("work", total=10)
    bar.update(12)
    assert bar.state(1.0) == "12/10 | 12/s | in 0:01"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (9.4, "0:09"),
        (59.6, "1:00"),
        (3599, "59:59"),
        (3600, "1:00:00"),
        (90_061, "25:01:01"),
    ],
)
def test_a_time_is_told_in_minutes_and_hours(seconds, text):
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (3, "3"),
        (2.5, "2.5"),
        (250.4, "250"),
        (9999, "9999"),
        (12_345, "12.3k"),
        (1_234_567, "1.2M"),
        (2.5e9, "2.5G"),
    ],
)
def test_a_large_number_is_told_short(number, text):
    assert progress._short(number) == text


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize("note", ["loss 3.2", "[/red] of an untrusted name", "[bold]", "中文"])
def test_on_a_terminal_a_bar_is_drawn_and_a_note_is_never_read_as_markup(monkeypatch, note):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "200")
    with Progress("train", total=4, unit="steps") as bar:
        bar.advance(2, note=note)
        bar._bar.refresh()
    assert note in terminal.getvalue()
    assert "2/4 steps" in terminal.getvalue()
