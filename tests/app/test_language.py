import ast
import re
import warnings
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from app import language
from app.language import text

ROOT = Path(language.__file__).parents[1]
KEYWORDS = {"text": None, "marked": None}
CODES = [code for code in language.LANGUAGES if code != language.SOURCE]
TERMS = {  # one word for each thing, in Chinese too: where the English says the one, the translation says the other
    "eigenvalue": "特征值",
    "eigenvector": "特征向量",
    "Hessian": "海森",
    "spectrum": "谱",
    "accuracy": "准确率",
    "sparsity": "稀疏度",
    "forgetting": "遗忘",
    "Pareto": "帕累托",
    "residual": "残差",
    "Fisher": "费舍尔",
    "curvature": "曲率",
    "interpolated": "插值",
}


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


@pytest.fixture(scope="module")
def messages() -> set[str]:
    """Every text of the app, as `pybabel extract` finds it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `panel.text(f"...")` is no text of ours
        found = [
            message
            for folder in ("app", "pages")
            for _, _, message, *_ in extract_from_dir(ROOT / folder, [("**.py", "python")], keywords=KEYWORDS)
        ]
    return {message for message in found if isinstance(message, str)}


def placeholders(message: str) -> list[str]:
    return sorted(re.findall(r"%\(\w+\)[-+ #0]*[\d.]*[a-zA-Z]|%%", message))


def translations(code: str):
    with (language.FOLDER / f"{code}.po").open("rb") as file:
        return read_po(file, locale=code)


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


def test_what_is_made_later_is_made_in_the_language_that_was_read(monkeypatch):
    monkeypatch.setattr(language, "_ask", lambda: "zh")
    make = language.kept(lambda: text("Overview"))
    monkeypatch.setattr(language, "_ask", lambda: None)
    assert (text("Overview"), make(), text("Overview")) == ("Overview", "概览", "Overview")


def test_every_text_can_be_found_by_the_extractor(messages):
    """A text that is no literal, or stands within an f-string, would silently stay English."""
    lost = []
    for path in [*(ROOT / "app").rglob("*.py"), *(ROOT / "pages").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KEYWORDS:
                first = node.args[0]
                if isinstance(first, ast.JoinedStr) or (
                    isinstance(first, ast.Constant) and first.value not in messages
                ):
                    lost.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(first)}")
    assert len(messages) > 400
    assert not lost, "\n".join(lost)


@pytest.mark.parametrize("code", CODES)
def test_every_text_is_translated(messages, code):
    missing = sorted(messages - language.catalogue(code).keys())
    assert not missing, f"{len(missing)} texts are not in app/texts/{code}.po, empty or fuzzy:\n" + "\n".join(missing)


@pytest.mark.parametrize("code", CODES)
def test_nothing_is_translated_that_is_no_longer_said(messages, code):
    found = translations(code)
    obsolete = sorted({str(message.id) for message in found if message.id} - messages | set(found.obsolete))
    assert not obsolete, f"take out of app/texts/{code}.po:\n" + "\n".join(obsolete)


@pytest.mark.parametrize("code", CODES)
def test_a_translation_has_the_values_of_its_text(code):
    other = [f"{a}\n  {b}" for a, b in language.catalogue(code).items() if placeholders(a) != placeholders(b)]
    assert not other, "\n".join(other)


@pytest.mark.parametrize("code", CODES)
def test_a_translation_keeps_the_formulas_and_the_names_in_code(code):
    """What stands between dollars or backticks is no language."""
    spans = re.compile(r"\$[^$]+\$|`[^`]+`")
    other = [
        f"{a}\n  {b}"
        for a, b in language.catalogue(code).items()
        if sorted(spans.findall(a)) != sorted(spans.findall(b))
    ]
    assert not other, "\n".join(other)


def test_chinese_has_one_word_for_each_thing():
    no_words = re.compile(r"%\(\w+\)|\w+\.\w+")  # names of values and of settings
    other = [
        f"{english} is not {word}: {a}\n  {b}"
        for a, b in language.catalogue("zh").items()
        for english, word in TERMS.items()
        if re.search(rf"\b{english}", no_words.sub("", a), re.IGNORECASE) and word not in b
    ]
    assert not other, "\n".join(other)


def test_chinese_is_punctuated_as_chinese():
    """No English sign after a Chinese character: its comma, colon and stop are wide."""
    other = [b for b in language.catalogue("zh").values() if re.search(r"[\u4e00-\u9fff][,;:.?](?!\d)", b)]
    assert not other, "\n".join(other)


def test_no_english_sentence_is_left_in_the_chinese():
    left = [b for b in language.catalogue("zh").values() if re.search(r"(?:[A-Za-z]{2,}[ ,]+){6}", b)]
    assert not left
