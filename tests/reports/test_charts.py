"""Charts are well-formed, escaped SVG whose places and words follow the numbers."""

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.drawing.charts import (
    CHARACTER,
    CSS,
    LEFT,
    NARROWEST,
    RIGHT,
    ROW,
    ChartBar,
    ChartInterval,
    ChartLine,
    compact,
    draw_bar_chart,
    draw_forest_plot,
    draw_histogram,
    draw_line_chart,
    label,
    row_head,
    scale,
    ticks,
)

SVG = "{http://www.w3.org/2000/svg}"
NASTY = "<script>alert(\"1\")</script> & 'x'"


def parse(chart: str) -> ElementTree.Element:
    svg = ElementTree.fromstring(chart).find(f"{SVG}svg")
    assert svg is not None
    return svg


def words(chart: str) -> str:
    return " ".join("".join(found.itertext()) for found in parse(chart).iter(f"{SVG}text"))


@pytest.fixture(params=["bar", "line", "forest", "histogram"])
def chart(request) -> str:
    return {
        "bar": draw_bar_chart(NASTY, [ChartBar(NASTY, 3, NASTY), ChartBar("b", 1)], unit=NASTY),
        "line": draw_line_chart(
            NASTY, [ChartLine(NASTY, [(0, 1), (1, 2)])], x_label=NASTY, y_label=NASTY
        ),
        "forest": draw_forest_plot(
            NASTY, [ChartInterval(NASTY, 0.6, 0.5, 0.7, 10)], null=0.5, unit=NASTY
        ),
        "histogram": draw_histogram(NASTY, [0, 1, 2], [3, 4], x_label=NASTY),
    }[request.param]


def test_every_chart_is_well_formed_and_escapes_what_it_is_given(chart):
    assert parse(chart).get("role") == "img"
    assert "<script" not in chart


def test_every_chart_says_its_title_and_its_figures_in_words(chart):
    svg = parse(chart)
    assert svg.findtext(f"{SVG}title") == NASTY
    assert svg.findtext(f"{SVG}desc")


def test_no_chart_needs_the_network_or_scripts_or_fixed_colours(chart):
    assert not re.search(r"href|url\(|<image|#[0-9a-f]{6}", chart)


def test_the_style_sheet_has_every_colour_in_light_and_dark():
    light, dark = CSS.split("@media (prefers-color-scheme: dark)")
    for name in ("text", "quiet", "grid", "band", *map(str, range(1, 7))):
        assert f"--chart-{name}:" in light and f"--chart-{name}:" in dark


def share(value: str | None) -> float:
    """A place or length across, in percent of the width."""
    assert value is not None and value.endswith("%")
    return float(value.removesuffix("%"))


def test_bars_are_as_long_as_their_values():
    drawn = parse(draw_bar_chart("t", [ChartBar("a", 4), ChartBar("b", 1), ChartBar("c", 0)])).iter(
        f"{SVG}rect"
    )
    assert [share(r.get("width")) for r in drawn] == [100, 25, 0]


def test_every_chart_takes_the_width_it_is_given_and_cuts_nothing_off_at_its_right_end(chart):
    svg = parse(chart)
    assert svg.get("width") is None and svg.get("viewBox") is None
    places = [found.get("x", "0") for found in svg.iter(f"{SVG}text")]
    assert all(place.endswith("%") or float(place) <= 38 for place in places)
    ends = [found for found in svg.iter(f"{SVG}text") if found.get("x") == "100%"]
    assert all(found.get("text-anchor") == "end" for found in ends)


WIDE = st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF)
NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126) | WIDE, max_size=80)


@given(NAMES, st.integers(0, 34))
def test_a_name_and_its_figures_fit_into_one_line_of_the_narrowest_screen(name, length):
    svg = parse(f'<div xmlns="{SVG[1:-1]}"><svg>{row_head(name, "9" * length, 0)}</svg></div>')
    first = next(svg.iter(f"{SVG}text"))
    shown = next(iter(first)).tail or ""
    wide = (
        sum(2 if char >= "\u4e00" else 1 for char in shown if char != "…") + ("…" in shown) + length
    )
    assert wide * CHARACTER <= NARROWEST


def test_bars_name_value_unit_and_note():
    assert "1,204 documents (12 %)" in words(
        draw_bar_chart("t", [ChartBar("kept", 1204, "(12 %)")], unit="documents")
    )


@pytest.mark.parametrize(
    "empty",
    [
        draw_bar_chart("t<", []),
        draw_line_chart("t<", [], x_label="x", y_label="y"),
        draw_line_chart("t<", [ChartLine("a", [(0, math.nan)])], x_label="x", y_label="y"),
        draw_forest_plot("t<", [], null=0, unit="u"),
        draw_histogram("t<", [0, 1], [0], x_label="x"),
    ],
)
def test_a_chart_without_numbers_says_so(empty):
    assert empty == '<p class="chart-empty">t&lt;: nothing to draw.</p>'


def test_lines_differ_in_dash_and_not_only_in_colour():
    svg = parse(
        draw_line_chart(
            "t",
            [ChartLine("a", [(0, 1), (9, 2)]), ChartLine("b", [(0, 2), (9, 1)])],
            x_label="x",
            y_label="y",
        )
    )
    drawn = list(svg.iter(f"{SVG}polyline"))
    assert (
        len({line.get("stroke-dasharray") for line in drawn})
        == len({line.get("stroke") for line in drawn})
        == 2
    )


def test_a_line_leaves_out_points_that_are_not_numbers():
    svg = parse(
        draw_line_chart(
            "t", [ChartLine("a", [(0, 1), (1, math.nan), (2, 3)])], x_label="x", y_label="y"
        )
    )
    (line,) = svg.iter(f"{SVG}polyline")
    assert len((line.get("points") or "").split()) == 2


def test_a_line_of_one_point_is_drawn_as_a_dot():
    assert list(
        parse(draw_line_chart("t", [ChartLine("a", [(5, 5)])], x_label="x", y_label="y")).iter(
            f"{SVG}circle"
        )
    )


def test_a_falling_line_goes_down_the_page():
    (line,) = parse(
        draw_line_chart("t", [ChartLine("a", [(0, 9), (1, 1)])], x_label="x", y_label="y")
    ).iter(f"{SVG}polyline")
    first, last = [
        tuple(map(float, point.split(","))) for point in (line.get("points") or "").split()
    ]
    assert first[0] < last[0] and first[1] < last[1]


def test_an_interval_that_excludes_no_difference_is_drawn_as_a_square():
    svg = parse(
        draw_forest_plot(
            "t",
            [ChartInterval("a", 0.6, 0.55, 0.7, 9), ChartInterval("b", 0.6, 0.4, 0.7, 9)],
            null=0.5,
            unit="u",
        )
    )
    assert len([r for r in svg.iter(f"{SVG}rect") if r.get("class") != "band"]) == 1
    assert len(list(svg.iter(f"{SVG}circle"))) == 1


def test_the_blind_range_is_shaded_evenly_about_the_line():
    svg = parse(
        draw_forest_plot("t", [ChartInterval("a", 0.6, 0.4, 0.7, 9, blind=0.1)], null=0.5, unit="u")
    )
    (band,) = [r for r in svg.iter(f"{SVG}rect") if r.get("class") == "band"]
    (line,) = [found for found in svg.iter(f"{SVG}line") if found.get("class") == "null"]
    assert share(band.get("x")) + share(band.get("width")) / 2 == pytest.approx(
        share(line.get("x1")), abs=0.02
    )


def test_a_logarithmic_forest_puts_double_and_half_equally_far_from_one():
    rows = [ChartInterval("a", 2, 2, 2, 9), ChartInterval("b", 0.5, 0.5, 0.5, 9)]
    svg = parse(draw_forest_plot("t", rows, null=1, unit="ratio", logarithmic=True))
    (line,) = [found for found in svg.iter(f"{SVG}line") if found.get("class") == "null"]
    places = [share(r.get("x")) for r in svg.iter(f"{SVG}rect")]
    assert sum(places) / 2 == pytest.approx(share(line.get("x1")), abs=0.02)


@pytest.mark.parametrize(("null", "anchor"), [(0, None), (0.5, "middle"), (1, "end")])
def test_the_words_under_the_line_of_no_difference_stay_inside_the_chart(null, anchor):
    svg = parse(draw_forest_plot("t", [ChartInterval("a", 0.5, 0, 1, 9)], null=null, unit="u"))
    (words_,) = [t for t in svg.iter(f"{SVG}text") if (t.text or "").endswith("= no difference")]
    assert words_.get("text-anchor") == anchor  # none: it begins there


def test_a_forest_row_states_value_interval_and_n():
    assert "0.6 [0.5, 0.7] 1,234" in words(
        draw_forest_plot("t", [ChartInterval("a", 0.6, 0.5, 0.7, 1234)], null=0.5, unit="u")
    )


def test_a_histogram_needs_one_edge_more_than_counts():
    with pytest.raises(ValueError, match="2 counts need 3 edges, got 2"):
        draw_histogram("t", [0, 1], [1, 2], x_label="x")


def test_histogram_columns_are_as_high_as_their_counts():
    columns = list(parse(draw_histogram("t", [0, 1, 2], [2, 8], x_label="x")).iter(f"{SVG}rect"))
    low, high = (float(column.get("height", 0)) for column in columns)
    assert high == pytest.approx(4 * low, rel=0.01)


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_ticks_enclose_the_values_and_are_few(one, two):
    low, high = min(one, two), max(one, two)
    found = ticks(low, high)
    slack = max(1e-6 * (high - low), 1e-9 * max(1.0, abs(low), abs(high)))
    assert found[0] <= low + slack and found[-1] >= high - slack
    assert 2 <= len(found) <= 9


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (12, "12"),
        (1234, "1,234"),
        (12345, "12.3k"),
        (1234567, "1.23M"),
        (2e9, "2G"),
        (0.123456, "0.123"),
        (-0.5, "-0.5"),
        (1234.5, "1,234"),
    ],
)
def test_numbers_are_shown_in_few_characters(value, shown):
    assert compact(value) == shown


def test_a_long_label_is_cut_and_whole_in_its_tooltip():
    drawn = label("x" * 80, 10)
    assert f"<title>{'x' * 80}</title>" in drawn and "…" in drawn
    assert label("中" * 40, 10, room=200).count("中") == 40 + 14


def test_scale_maps_ends_to_ends():
    place = scale(10, 20, 0, 100)
    assert (place(10), place(15), place(20)) == (0, 50, 100)
    assert scale(3, 3, 0, 100)(3) == 0


# ---- whatever the numbers: everything stays inside the chart

NUMBERS = st.floats(-1e6, 1e6)
TRIPLES = st.tuples(NUMBERS, NUMBERS, NUMBERS).map(sorted)


@given(
    st.lists(st.tuples(TRIPLES, st.integers(1, 10**6), st.floats(0, 1e3)), min_size=1, max_size=6),
    NUMBERS,
)
def test_every_mark_of_a_forest_stays_inside_its_chart(rows, null):
    intervals = [
        ChartInterval(f"r{i}", at, low, high, n, blind)
        for i, ((low, at, high), n, blind) in enumerate(rows)
    ]
    svg = parse(draw_forest_plot("t", intervals, null=null, unit="u"))
    places = [
        share(mark.get(name))
        for mark in svg.iter()
        for name in ("cx", "x1", "x2")
        if mark.get(name)
    ]
    bands = [
        share(band.get("x")) + share(band.get("width"))
        for band in svg.iter(f"{SVG}rect")
        if band.get("class")
    ]
    assert all(-0.01 <= place <= 100.01 for place in [*places, *bands])


@given(st.lists(TRIPLES, min_size=1, max_size=6), NUMBERS)
def test_an_interval_begins_and_ends_around_its_value(rows, null):
    svg = parse(
        draw_forest_plot(
            "t",
            [ChartInterval("r", at, low, high, 9) for low, at, high in rows],
            null=null,
            unit="u",
        )
    )
    lines = [line for line in svg.iter(f"{SVG}line") if line.get("class") != "null"]
    marks = [mark for mark in svg.iter() if mark.tag in (f"{SVG}circle", f"{SVG}rect")]
    for line, mark in zip(lines, marks, strict=True):
        middle = share(mark.get("cx") or mark.get("x"))
        assert share(line.get("x1")) - 0.01 <= middle <= share(line.get("x2")) + 0.01


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=20))
def test_every_point_of_a_line_stays_inside_its_box(points):
    svg = parse(draw_line_chart("t", [ChartLine("a", points)], x_label="x", y_label="y"))
    box = next(found for found in svg.iter(f"{SVG}svg") if found.get("viewBox"))
    _, _, wide, high = map(float, (box.get("viewBox") or "").split())
    (line,) = box.iter(f"{SVG}polyline")
    drawn = [tuple(map(float, point.split(","))) for point in (line.get("points") or "").split()]
    assert len(drawn) == len(points)
    assert all(-0.1 <= x <= wide + 0.1 and -0.1 <= y <= high + 0.1 for x, y in drawn)


def test_a_line_is_stretched_to_the_width_but_its_stroke_is_not():
    svg = parse(draw_line_chart("t", [ChartLine("a", [(0, 1), (1, 2)])], x_label="x", y_label="y"))
    box = next(found for found in svg.iter(f"{SVG}svg") if found.get("viewBox"))
    assert (box.get("x"), box.get("width"), box.get("preserveAspectRatio")) == (
        f"{LEFT:g}%",
        f"{RIGHT - LEFT:g}%",
        "none",
    )
    assert next(box.iter(f"{SVG}polyline")).get("vector-effect") == "non-scaling-stroke"


@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=12))
def test_bars_have_the_length_of_their_share_of_the_longest(values):
    rects = parse(
        draw_bar_chart("t", [ChartBar(str(i), value) for i, value in enumerate(values)])
    ).iter(f"{SVG}rect")
    longest = max(values) or 1.0
    assert [share(r.get("width")) for r in rects] == pytest.approx(
        [100 * value / longest for value in values], abs=0.006
    )


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20))
def test_the_columns_of_a_histogram_stand_in_order_without_touching(counts):
    drawn = draw_histogram("t", list(range(len(counts) + 1)), counts, x_label="x")
    if not any(counts):
        assert "nothing to draw" in drawn
        return
    columns = [(share(r.get("x")), share(r.get("width"))) for r in parse(drawn).iter(f"{SVG}rect")]
    ends = [x + wide for x, wide in columns]
    assert all(end < start for end, (start, _) in zip(ends, columns[1:], strict=False))
    assert columns[0][0] == pytest.approx(LEFT) and ends[-1] <= RIGHT


def test_rows_follow_each_other_and_the_chart_is_high_enough_for_all():
    svg = parse(draw_bar_chart("t", [ChartBar(str(i), i) for i in range(5)]))
    tops = [float(r.get("y", 0)) for r in svg.iter(f"{SVG}rect")]
    assert tops == [19 + i * ROW for i in range(5)]
    assert float(svg.get("height", 0)) == 5 * ROW > tops[-1] + 12
