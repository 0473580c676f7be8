"""The live figure of the lesson, as Python hands it to the browser; its formulas are tested where they run, in e2e."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from app.lesson import steps, two_weights
from app.lesson.two_weights import LOOKS, PARTS, WORDS, Figure, Valley

COMPONENT = Path(two_weights.__file__).parents[1] / "component"
FIGURES = {name: figure for name, figure in vars(steps).items() if isinstance(figure, Figure)}
SCRIPTS = {name: (COMPONENT / name).read_text(encoding="utf-8") for name in PARTS}


def names_of(constant: str, script: str) -> set[str]:
    """The keys of an object literal of one of the scripts."""
    body = re.search(rf"const {constant} = {{(.*?)\n}};", SCRIPTS[script], re.S).group(1)
    return set(re.findall(r"(?:^|[{,]|\n)\s*(\w+):", body))


def test_there_is_a_figure_for_every_step():
    assert len(FIGURES) == 5


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_asks_for_what_the_component_can_show(name):
    figure = FIGURES[name]
    data = json.loads(json.dumps(figure.data("key")))
    words = data["words"]
    assert set(figure.shapes) | {figure.start.shape} <= set(re.findall(r"^  (\w+): {", SCRIPTS[PARTS[0]], re.M))
    assert set(figure.sliders) <= names_of("SLIDERS", "two_weights.js")
    lines = re.search(r"const LINES = {(.*?)}", SCRIPTS["two_weights_charts.js"]).group(1)
    assert set(figure.lines) <= set(re.findall(r"(\w+):", lines))
    assert set(figure.handles) <= {"theta", "minimum", "turn"}
    assert set(figure.shows) <= {"columns", "valley", "reach", "trail", "way"}
    assert bool(figure.lines) == ("way" in figure.shows)
    for shown in (*figure.bars, *figure.numbers, *figure.handles):
        assert words[shown]
    for prefix, shown in (("slider_", figure.sliders), ("shape_", figure.shapes), ("line_", figure.lines)):
        assert all(words[prefix + one] for one in shown)
    assert data["start"]["flat"] <= data["start"]["sharp"]


@pytest.mark.parametrize("name", FIGURES)
def test_every_number_of_a_figure_is_one_that_the_formulas_give(name):
    scripts = SCRIPTS["two_weights_loss.js"] + SCRIPTS["two_weights.js"]
    for shown in (*FIGURES[name].bars, *FIGURES[name].numbers):
        assert re.search(rf"\b{shown}\b[:,]", scripts), shown


def test_every_word_that_the_scripts_ask_for_is_there():
    asked = set(re.findall(r"words\.(\w+)", "".join(SCRIPTS.values())))
    assert asked
    assert asked <= set(WORDS)


def test_every_look_is_in_the_stylesheet():
    sheet = (COMPONENT / "drawing.css").read_text()
    assert set(LOOKS) >= {bar for figure in FIGURES.values() for bar in figure.bars}
    for look in {one for looks in LOOKS.values() for one in looks.split()}:
        assert f".{look} {{" in sheet


def test_the_parts_are_one_module_without_a_name_twice():
    names = Counter()
    for script in SCRIPTS.values():
        names.update(re.findall(r"^(?:export )?(?:async )?(?:function|const|let) (\w+)", script, re.M))
    assert [name for name, count in names.items() if count > 1] == []


def test_the_scripts_write_text_and_never_markup():
    for script in SCRIPTS.values():
        assert not re.search(r"innerHTML|insertAdjacentHTML|outerHTML|document\.write|eval\(|fetch\(", script)


def test_the_price_in_the_minimum_of_a_bowl():
    level = Valley((2.0, 0.5), sharp=8.0, flat=0.1, turn=90)
    assert level.price((True, False)) == pytest.approx(0.5 * 0.1 * 4)
    assert level.price((False, True)) == pytest.approx(0.5 * 8 * 0.25)
    turned = Valley((1.2, -0.7), sharp=3.0, flat=0.4, turn=25)
    cos, sin = np.cos(np.radians(25)), np.sin(np.radians(25))
    axes = np.array([[cos, -sin], [sin, cos]])
    hessian = axes @ np.diag([3.0, 0.4]) @ axes.T
    d = np.array([-1.2, 0.7])
    assert turned.price((True, True)) == pytest.approx(d @ hessian @ d / 2)


@pytest.mark.parametrize("fields", [{"shape": "steepens"}, {"minimum": (0.0, 1.0)}])
def test_elsewhere_half_of_dhd_is_not_the_price(fields):
    with pytest.raises(ValueError, match="minimum of a bowl"):
        Valley((1.0, 1.0), **fields).price((True, False))
