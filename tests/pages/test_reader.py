"""How the pages look to their reader: the language, and large type; both at hand everywhere, both in the link."""

import re

import pytest
from test_pages import PAGES, drawings, everything, said

HAN = re.compile(r"[\u4e00-\u9fff]")


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_in_chinese(app, page):
    at = app(page, run="esacl", language="zh")
    assert not at.exception
    assert not at.error
    assert HAN.search(everything(at))
    assert "zh" in at.query_params["language"]


@pytest.mark.parametrize(
    "page", ["run", "curvature", "cost", "compare", "forgetting", "sparsity", "selection", "training"]
)
def test_titles_figures_and_controls_are_chinese_too(app, page):
    at = app(page, run="esacl", language="zh")
    assert HAN.search(at.title[0].value)
    assert all(HAN.search(drawing["alt"]) for drawing in drawings(at))
    assert all(HAN.search(metric.label) for metric in at.metric)
    assert not [button.label for button in at.button if not HAN.search(button.label)]


def test_a_line_that_says_what_is_wrong_is_chinese(app):
    assert HAN.search(said(app("curvature", run="unmeasured", language="zh"))[0])
    assert HAN.search(said(app("start", run="nope", language="zh"))[0])


def test_the_reader_chooses_the_language_and_keeps_what_was_chosen_before(app):
    at = app("landscape", run="esacl")
    views = next(group for group in at.button_group if group.key.startswith("view"))
    views.set_value("surface").run()
    at.selectbox(key="_beside").select("none").run()
    at.selectbox(key="_language").select("zh").run()
    assert not at.exception
    assert HAN.search(at.title[0].value)
    assert next(group for group in at.button_group if group.key.startswith("view")).value == "surface"
    assert at.selectbox(key="_beside").value == "none"
    assert "zh" in at.query_params["language"]
    at.switch_page("../pages/cost.py").run()
    assert HAN.search(at.title[0].value)
    at.selectbox(key="_language").select("en").run()
    assert at.title[0].value == "What did it cost?"


def test_methods_that_were_left_out_stay_out_in_another_language(app):
    at = app("compare", run="esacl")
    at.multiselect[0].unselect(at.multiselect[0].value[0]).run()
    left = at.multiselect[0].value
    at.selectbox(key="_language").select("zh").run()
    assert at.multiselect[0].value == left


@pytest.mark.parametrize("asked", ["tlh", "", "zh_CN", "<b>", "en"])
def test_a_language_that_is_not_there_is_english(app, asked):
    at = app("cost", run="esacl", language=asked)
    assert not at.exception
    assert at.title[0].value == "What did it cost?"
    assert at.selectbox(key="_language").value == "en"


def test_large_type_is_a_switch_that_goes_along(app):
    at = app("start", run="esacl")
    assert at.toggle(key="_large").value is False
    at.toggle(key="_large").set_value(True).run()
    assert "1" in at.query_params["large"]
    at.switch_page("../pages/cost.py").run()
    assert at.toggle(key="_large").value is True
    at.toggle(key="_large").set_value(False).run()
    assert "0" in at.query_params["large"]
    assert app("cost", run="esacl", large="1").toggle(key="_large").value is True
    assert app("cost", run="esacl", large="yes").toggle(key="_large").value is False


def test_language_and_type_can_be_chosen_where_there_is_no_run(app, monkeypatch, tmp_path):
    monkeypatch.setenv("ESACL_RUNS", str(tmp_path / "empty"))
    at = app("start", language="zh")
    assert HAN.search(said(at)[0])
    assert at.toggle(key="_large").label == "大字"
