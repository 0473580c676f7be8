import base64
import io
import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app import drawing, widgets, wording
from app.deploying import milliseconds
from app.drawing import Panel
from app.scale import Scale, span

COMPONENT = Path(drawing.__file__).parent / "component"


def panel(**fields):
    return Panel(**{"x": Scale(0, 10), "y": Scale(0, 1), "x_label": "x", "y_label": "y", "alt": "a", **fields})


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (Scale(0, 10), [0, 2, 4, 6, 8, 10]),
        (Scale(0.5, 1.0), [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        (Scale(0.001, 10, log=True), [0.001, 0.01, 0.1, 1, 10]),
        (Scale(3, 3), [3]),
    ],
)
def test_ticks_are_round(scale, expected):
    assert scale.ticks(6) == pytest.approx(expected)


def test_what_cannot_be_drawn_has_no_place():
    assert Scale(1, 100, log=True).share(10) == pytest.approx(0.5)
    for value in (None, float("nan"), float("inf")):
        assert Scale(0, 1).share(value) is None
    assert Scale(0.1, 1, log=True).share(0.0) is None


def test_a_hole_breaks_a_line_and_the_floor_cuts_it():
    assert panel().path([0, 1, 2, 3], [0.1, None, 0.3, 0.4]).count("M") == 2
    assert panel().path([0, 1, 2], [0.1, -5.0, 0.3]).count("M") == 2


def test_higher_values_are_drawn_higher():
    assert panel().at_y(0.9) < panel().at_y(0.1)
    assert panel().at_x(9) > panel().at_x(1)


def test_names_at_the_edge_never_cover_each_other():
    spread = drawing.apart([10, 10, 11, 200], 15, 0, 200)
    assert all(b - a >= 15 - 1e-9 for a, b in itertools.pairwise(spread))
    assert max(spread) <= 200


def test_a_follower_has_one_place_a_level():
    figure = panel()
    figure.follow([1, 2, 3], [0.5, None, 0.7], "pruned", 0, tips=["a", "b", "c"])
    frames = figure.marks[-1]["frames"]
    assert len(frames["cx"]) == len(frames["cy"]) == len(frames["tip"]) == 3
    assert frames["cx"][1] is None
    assert frames["cy"][1] is None


@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 3)])
def test_a_picture_holds_its_pixels(shape):
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)[:, ::-1]  # as a view lies in memory
    data = base64.b64decode(drawing.png(pixels).removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(data)) as found:
        assert found.format == "PNG"
        assert np.array_equal(np.asarray(found), pixels)


def test_scales_hold_every_value():
    wide = span([1.0, None, 5.0], np.array([np.nan, 9.0]))
    assert wide.low < 1
    assert wide.high > 9
    log = span([0.02, 0.0, -1.0, 300.0], log=True)
    assert (log.low, log.high) == (0.01, 1000)
    assert span([]) == Scale(0, 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0, "0"),
        (0.12345, "0.123"),
        (-1.5, "−1.5"),
        (12345.0, "12\u00a0345"),
        (1e-5, "10⁻⁵"),
        (6.4e-4, "6.4·10⁻⁴"),
        (2.5e7, "2.5·10⁷"),
        (1.04e8, "1.04·10⁸"),
        (1e10, "10¹⁰"),
        (999.6, "1\u00a0000"),
        (9.996, "10"),
        (0.0009996, "0.001"),
        (17610, "17\u00a0610"),
    ],
)
def test_numbers_are_written_for_readers(value, text):
    assert wording.number(value) == text


@pytest.mark.parametrize(
    ("form", "values", "digits", "told"),
    [
        (wording.percent, [0.9, 0.95], 0, ["90\u00a0%", "95\u00a0%"]),
        (wording.percent, [0.9012, 0.9014, 0.9016], 0, ["90.12\u00a0%", "90.14\u00a0%", "90.16\u00a0%"]),
        (wording.number, [1.2341e8, 1.2344e8], 3, ["1.2341·10⁸", "1.2344·10⁸"]),
        (wording.size, [2501.0, 2502.0], 3, ["2.501\u00a0kB", "2.502\u00a0kB"]),
        (wording.percent, [0.5, 0.5], 1, ["50.0\u00a0%", "50.0\u00a0%"]),
        (wording.percent, [], 1, []),
    ],
)
def test_two_ticks_never_read_the_same(form, values, digits, told):
    written = wording.distinct(form, values, digits)
    assert [written(value) for value in values] == told


def test_two_digits_of_a_hundred_are_no_power_of_ten():
    assert wording.number(120, 2) == "120"
    assert wording.number(999.6, 2) == "1\u00a0000"


def test_no_line_ends_within_a_number_or_before_its_unit():
    shares = [wording.percent(0.5), wording.brief(0.5), wording.excess(0.02), wording.excess(0.0)]
    units = [wording.size(7), wording.size(7e9), *map(widgets.duration, (5, 200, 20_000)), milliseconds(0.003)]
    for written in (*shares, *units, wording.whole(11_173_962), wording.number(-1234.5)):
        assert "\u00a0" in written
        assert " " not in written
        assert "\u00a0" in widgets.plain(f" {written}\n and on ")  # what Markdown is given keeps it


def test_percentages_and_points():
    assert wording.percent(-0.0001) == "0.0\u00a0%"
    briefly = [wording.brief(share) for share in (0.1, 1 - 0.9, 1 - 0.995, 0.985)]
    assert briefly == ["10\u00a0%", "10\u00a0%", "0.5\u00a0%", "98.5\u00a0%"]
    assert wording.percent(0.9871) == "98.7\u00a0%"
    assert wording.percent(None) == "–"
    assert wording.points(-0.0069) == "−0.7"
    assert wording.points(0.012) == "+1.2"
    assert wording.points(-0.0001) == "0.0"


def test_the_component_draws_every_tag_and_attribute_that_figures_use():
    script = (COMPONENT / "drawing.js").read_text()
    tags, attributes = (
        set(re.findall(r'"([\w-]+)"', re.search(rf"const {name} = new Set\(\[(.*?)\]\)", script, re.S).group(1)))
        for name in ("TAGS", "ATTRIBUTES")
    )
    figure = panel()
    figure.line([0, 1], [0, 1], "esacl")
    figure.area([0, 1], [0, 0], [1, 1], "esacl")
    for shape in ("circle", "square", "diamond", "triangle", "cross"):
        figure.point(1, 0.5, "open esacl", shape=shape)
    figure.bar(0, 1, 0.5, "pruned")
    figure.rule(x=1, y=0.5)
    figure.text(1, 0.5, "word")
    figure.labels([(0.5, "name", "esacl", 30.0)])
    for mark in figure.drawing()["marks"]:
        assert mark["tag"] in tags
        assert set(mark["at"]) <= attributes


def test_every_look_of_a_method_is_in_the_stylesheet():
    from app.figures.palette import METHODS

    sheet = (COMPONENT / "drawing.css").read_text()
    for look, _, dash in METHODS.values():
        assert f".{look} {{ --c: light-dark(" in sheet
        assert not dash or f".{dash} {{ stroke-dasharray" in sheet


def test_methods_differ_in_more_than_colour():
    from app.figures.palette import METHODS

    assert len({(shape, dash) for _, shape, dash in METHODS.values()}) == len(METHODS)


def test_the_scripts_of_the_component_share_no_name():
    names = []
    for part in ("linked", "mask", "slider", "drawing"):
        script = (COMPONENT / f"{part}.js").read_text()
        outside = re.sub(r"\(\(\) => \{.*?\n\}\)\(\);", "", script, flags=re.S)
        names += re.findall(r"^(?:async )?(?:function|const|let) (\w+)", outside, re.M)
        names += [n for group in re.findall(r"^const \{ ([\w, ]+) \}", outside, re.M) for n in group.split(", ")]
    assert {"link", "buttons", "show", "NS"} <= set(names)
    assert len(names) == len(set(names))
