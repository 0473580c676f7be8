import pytest

from app import language
from app.language import text


@pytest.fixture
def chinese(tmp_path, monkeypatch):
    (tmp_path / "zh.po").write_text(
        'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
        'msgid "task %(task)d of %(tasks)d"\nmsgstr "共 %(tasks)d 个任务中的第 %(task)d 个"\n\n'
        'msgid "still to do"\nmsgstr ""\n\n#, fuzzy\nmsgid "guessed"\nmsgstr "猜"\n',
        encoding="utf-8",
    )
    monkeypatch.setattr(language, "FOLDER", tmp_path)
    monkeypatch.setattr(language, "_ask", lambda: "zh")
    language.catalogue.cache_clear()
    yield
    language.catalogue.cache_clear()


def test_english_needs_no_catalogue():
    assert text("task %(task)d of %(tasks)d", task=1, tasks=5) == "task 1 of 5"
    assert text("100 % of it") == "100 % of it"


@pytest.mark.usefixtures("chinese")
def test_a_language_orders_its_values_itself():
    assert text("task %(task)d of %(tasks)d", task=1, tasks=5) == "共 5 个任务中的第 1 个"


@pytest.mark.usefixtures("chinese")
@pytest.mark.parametrize("message", ["still to do", "guessed", "nowhere"])
def test_what_has_no_sure_translation_stays_english(message):
    assert text(message) == message


def test_a_language_that_is_not_there_is_english(monkeypatch):
    monkeypatch.setattr(language, "_ask", lambda: "tlh")
    assert language.language() == "en"
