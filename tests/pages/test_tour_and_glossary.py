"""The tour from page to page, and the glossary on each of them."""

import re

import pytest
from pages_runs import record
from test_pages import PAGES, everything, said

from app import reading
from app.tour import STEPS
from esacl.store import RunStore

HAN = re.compile(r"[\u4e00-\u9fff]")
TITLES = {
    "1": "Sparse networks that learn task after task", "2": "Does it remember?", "3": "How much can go?",
    "4": "What does a cut cost?", "5": "Which instances tell?", "6": "What did it cost?", "7": "Predict, then look",
}  # fmt: skip


def keys(at) -> set[str]:
    return {button.key for button in at.button if button.key and button.key.startswith("tour-")}


def test_every_step_is_on_a_page_of_its_own():
    assert list(STEPS) == list(TITLES)
    assert {step.page for step in STEPS.values()} <= set(PAGES)
    assert len({step.page for step in STEPS.values()}) == len(STEPS)


def test_the_tour_goes_from_start_to_end_and_back(app):
    at = app("start", run="esacl")
    assert keys(at) == {"tour-begin"}
    at.button(key="tour-begin").click().run()
    for number, title in TITLES.items():
        assert not at.exception
        assert at.title[0].value == title
        assert f"Step {number} of 7" in everything(at)
        assert STEPS[number].attempt in everything(at)
        assert number in at.query_params["tour"]
        if number != "7":
            at.button(key="tour-next").click().run()
    assert keys(at) == {"tour-back", "tour-end"}
    at.button(key="tour-back").click().run()
    assert at.title[0].value == TITLES["6"]
    at.button(key="tour-end").click().run()
    assert keys(at) == set()
    assert at.title[0].value == TITLES["6"]
    assert "tour" not in at.query_params


@pytest.fixture
def recorded(app, runs, monkeypatch):
    """A run that came with the project, which the tour shows."""
    monkeypatch.setattr(reading, "RECORDED", reading.ASSETS)
    return next(entry.run_id for entry in reading.entries() if entry.recorded and entry.config.method == "esacl")


def chosen(at) -> str:
    return next(box.value for box in at.selectbox if box.key == "_run")


def test_after_the_tour_the_run_of_before_is_back(app, runs, recorded):
    at = app("start", run="ewc")
    at.button(key="tour-begin").click().run()
    assert chosen(at) == recorded
    at.button(key="tour-next").click().run()
    assert chosen(at) == recorded
    at.button(key="tour-end").click().run()
    assert chosen(at) == runs["ewc"]
    assert runs["ewc"] in at.query_params["run"]


def test_a_run_that_was_chosen_on_the_way_stays_after_the_tour(app, runs, recorded):
    at = app("start", run="ewc")
    at.button(key="tour-begin").click().run()
    next(box for box in at.selectbox if box.key == "_run").set_value(runs["dense"]).run()
    at.button(key="tour-end").click().run()
    assert chosen(at) == runs["dense"]


def test_a_tour_from_a_link_has_no_run_to_go_back_to(app, runs, recorded):
    at = app("start", run="class", tour="1")
    at.button(key="tour-end").click().run()
    assert chosen(at) == runs["class"]


def test_the_first_step_has_nothing_before_it(app):
    at = app("start", run="esacl", tour="1")
    assert at.button(key="tour-back").disabled
    assert "tour-begin" not in keys(at)


def test_a_link_leads_into_the_tour_and_another_page_leads_back(app):
    at = app("cost", run="esacl", tour="3")
    assert "The tour waits on the page Sparsity" in everything(at)
    assert keys(at) == {"tour-end", "tour-return"}
    at.button(key="tour-return").click().run()
    assert at.title[0].value == TITLES["3"]
    assert "Step 3 of 7" in everything(at)


@pytest.mark.parametrize("asked", ["0", "8", "-1", "two", "", "2.0", "²", "<script>alert(1)</script>", "x" * 4000])
def test_a_step_that_is_not_there_is_no_tour(app, asked):
    at = app("start", run="esacl", tour=asked)
    assert not at.exception
    told = f"The link asks for step {asked[:40]!r} of the tour, which has 7."
    assert said(at) == [told]
    assert keys(at) == {"tour-begin"}
    assert "tour" not in at.query_params


@pytest.mark.parametrize("page", PAGES)
def test_the_tour_lasts_on_every_page_in_chinese(app, page):
    at = app(page, run="esacl", tour="2", language="zh")
    assert not at.exception
    assert "第 2 步，共 7 步" in everything(at)
    assert HAN.search(at.button(key="tour-end").label)


def test_the_tour_lasts_where_a_run_cannot_be_read(app):
    at = app("forgetting", run="bad events", tour="2")
    assert len(at.error) == 1
    assert "Step 2 of 7" in everything(at)


def test_it_is_about_the_run_that_came_with_the_project(app, monkeypatch, tmp_path):
    store = RunStore(tmp_path / "recorded")
    recorded = record(store)
    monkeypatch.setattr(reading, "RECORDED", store.root)
    at = app("start", run="ewc")
    at.button(key="tour-begin").click().run()
    assert at.selectbox(key="_run").value == recorded


def offered(at) -> bool:
    return "Glossary" in [block.proto.popover.label for block in at.get("popover")]


@pytest.mark.parametrize("page", PAGES)
def test_the_glossary_is_on_every_page_and_shut(app, page):
    at = app(page, run="esacl")
    assert offered(at)
    assert "glossary-find" not in {one.key for one in at.text_input}


def opened(app, page: str = "cost", **query: str):
    at = app(page, run="esacl", **query)
    at.session_state["glossary"] = True
    return at.run()


def test_an_open_glossary_has_every_term_and_finds_one(app):
    at = opened(app)
    assert not at.exception
    assert "**Accuracy matrix**" in everything(at)
    assert "**λₘₐₓ |θ|²**" in everything(at)
    at.text_input(key="glossary-find").set_value("pareto").run()
    assert [one.value.partition("\n")[0].strip() for one in at.markdown if one.value.startswith("**Pareto")]
    assert "**Accuracy matrix**" not in everything(at)


@pytest.mark.parametrize("written", ["<b>bold</b>", "![i](http://elsewhere.invalid/i.png)", "$x$", ":red[r]"])
def test_what_is_sought_is_never_written_on_the_page(app, written):
    at = opened(app)
    at.text_input(key="glossary-find").set_value(written).run()
    assert not at.exception
    assert "No term has these letters in it." in everything(at)
    assert written not in everything(at)


def test_the_glossary_is_chinese_too(app):
    at = opened(app, language="zh")
    assert "**准确率矩阵**" in everything(at)
    assert at.text_input(key="glossary-find").label == "查找术语"


def test_another_page_shuts_it(app):
    at = opened(app)
    at.switch_page("../pages/curvature.py").run()
    assert "glossary-find" not in {one.key for one in at.text_input}


def test_it_is_there_where_there_is_no_run(app, monkeypatch, tmp_path):
    monkeypatch.setenv("ESACL_RUNS", str(tmp_path / "empty"))
    at = app("start")
    assert offered(at)
