"""Charts as text: well-formed, escaped, and showing what they were given."""

from __future__ import annotations

from datetime import date
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.board import drawing
from leaderboard.board.drawing import Bar, Dot, Moment

SVG = "{http://www.w3.org/2000/svg}"


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in parse(svg).iter(f"{SVG}text")]


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_and_inside(low, width):
    found = drawing.ticks(low, low + width)
    assert 2 <= len(found) <= 14
    assert all(low - 1e-6 * width <= tick <= low + width * (1 + 1e-6) for tick in found)


def test_a_range_without_width_has_one_tick():
    assert drawing.ticks(5, 5) == [5]


HOSTILE = '<b onload="x">&'


def test_labels_are_escaped_in_every_chart():
    moment = Moment(date(2026, 1, 1), 1000, 990, 1010)
    for svg in (
        drawing.intervals([Bar(HOSTILE, 1, 0, 2)], title=HOSTILE),
        drawing.bars([Bar(HOSTILE, 1)], title=HOSTILE, unit=HOSTILE),
        drawing.matrix([HOSTILE], [[0.5]], [[3]], title=HOSTILE, percent=True),
        drawing.history([(HOSTILE, [moment])], title=HOSTILE),
        drawing.scatter([Dot(HOSTILE, 1, 1)], title=HOSTILE, x_label=HOSTILE),
    ):
        assert "<b" not in svg
        assert HOSTILE in [*texts(svg), parse(svg).get("aria-label")]


def test_an_interval_lies_where_its_numbers_say():
    svg = parse(drawing.intervals([Bar("a", 100, 50, 150), Bar("b", 50, 0, 60)], title="t"))
    a, b = (float(circle.get("cx")) for circle in svg.iter(f"{SVG}circle"))
    assert a > b
    spans = [path.get("d") for path in svg.iter(f"{SVG}path") if "H" in path.get("d")]
    assert len(spans) == 2


def test_a_row_without_a_number_keeps_its_label_and_shows_nothing():
    svg = parse(drawing.intervals([Bar("a", 1, 0, 2), Bar("unrated", None)], title="t"))
    assert len(list(svg.iter(f"{SVG}circle"))) == 1
    assert "unrated" in [t.text for t in svg.iter(f"{SVG}text")]


def test_cells_of_few_battles_are_hatched():
    values, counts = [[None, 0.8], [0.2, None]], [[0, 100], [3, 0]]
    svg = drawing.matrix(["a", "b"], values, counts, title="t", percent=True)
    assert svg.count('fill="url(#few)"') == 1
    assert {"80", "20"} <= set(texts(svg))


def test_history_names_each_line_once_and_each_day_once():
    days = [Moment(date(2026, 1, n), 1000 + n, 990, 1020) for n in (1, 2, 3)]
    svg = drawing.history([("a", days), ("b", days), ("none", [])], title="t")
    assert texts(svg).count("a") == texts(svg).count("b") == 1
    assert "none" not in texts(svg)
    dates = [text for text in texts(svg) if text.endswith("2026")]
    assert len(dates) == len(set(dates))


def test_one_day_is_a_history_too():
    svg = drawing.history([("a", [Moment(date(2026, 1, 1), 1000, 990, 1010)])], title="t")
    assert texts(svg).count("1 Jan 2026") == 1


def test_the_pareto_line_joins_what_nobody_beats_on_both_axes():
    dots = [Dot("cheap", 1, 10), Dot("beaten", 2, 5), Dot("best", 3, 20), Dot("dear", 4, 20)]
    svg = parse(drawing.scatter(dots, title="t", x_label="price", pareto=True))
    (line,) = svg.iter(f"{SVG}polyline")
    assert len(line.get("points").split()) == 2


def test_a_line_is_drawn_through_the_picture_and_not_beyond_it():
    dots = [Dot("a", 0, 0), Dot("b", 10, 10)]
    svg = parse(drawing.scatter(dots, title="t", x_label="x", line=(100.0, 0.0)))
    (path,) = (p.get("d") for p in svg.iter(f"{SVG}path") if "L" in p.get("d"))
    start, end = (tuple(map(float, point.split())) for point in path[1:].split("L"))
    a, b = ((float(c.get("cx")), float(c.get("cy"))) for c in svg.iter(f"{SVG}circle"))
    assert start[1] > a[1] > b[1] > end[1]  # as steep as it is, it leaves by the top
    assert start[0] < end[0] < b[0]


def test_a_dot_has_whiskers_where_it_has_intervals():
    dot = Dot("a", 5, 5, lower=4, upper=6, left=3, right=7)
    svg = parse(drawing.scatter([dot, Dot("b", 1, 1)], title="t", x_label="x"))
    paths = [p.get("d") for p in svg.iter(f"{SVG}path") if p.get("stroke-width") == "2"]
    assert len(paths) == 1
    assert "V" in paths[0]
    assert "H" in paths[0]


def test_names_do_not_cover_each_other_and_the_first_ones_are_kept():
    crowd = [Dot(f"model {n}", 5, 5) for n in range(40)]
    svg = drawing.scatter([*crowd, Dot("alone", 9, 9)], title="t", x_label="x")
    assert [name for name in texts(svg) if name in ("alone", *(dot.label for dot in crowd))] == [
        "model 0", "alone"
    ]  # fmt: skip
    assert svg.count("<title>model") == 40  # each can still be pointed at


@pytest.mark.parametrize(
    "svg",
    [
        drawing.intervals([], title="t"),
        drawing.bars([], title="t", unit="%"),
        drawing.matrix([], [], None, title="t", percent=False),
        drawing.history([], title="t"),
        drawing.scatter([], title="t", x_label="x"),
        drawing.scatter([Dot("a", 0, 1)], title="t", x_label="x", log_x=True),
    ],
)
def test_nothing_to_show_is_still_a_picture(svg):
    assert parse(svg).tag == f"{SVG}svg"
