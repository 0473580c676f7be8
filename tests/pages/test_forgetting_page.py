"""The words of the Forgetting page that hang on the run."""

import pytest


@pytest.mark.parametrize(("kind", "floor"), [("esacl", "50 %"), ("class", "17 %")])
def test_the_shade_begins_at_guessing(app, kind, floor):
    at = app("forgetting", run=kind)
    assert any(f"from guessing, {floor}, to 100 %" in caption.value for caption in at.caption)


def test_the_shade_follows_what_the_network_is_told(app):
    at = app("forgetting", run="class")
    at.toggle(key="task-known").set_value(True).run()
    assert any("from guessing, 50 %, to 100 %" in caption.value for caption in at.caption)


def test_the_reader_learns_where_tasks_count_from(app):
    captions = [caption.value for caption in app("forgetting", run="esacl").caption]
    assert any("`--task` and the files of a run count them from 0" in caption for caption in captions)
