"""The glossary as a table: what it says, how it is found, how it is sorted."""

import ast
import re
from pathlib import Path

import pytest

from app import glossary, language, terms
from app.glossary import sought
from app.terms import TERMS

ROOT = Path(terms.__file__).parents[1]


def names(written: str = "") -> list[str]:
    return [language.text(term.name) for term in sought(written)]


@pytest.fixture
def chinese(monkeypatch):
    monkeypatch.setattr(language, "_ask", lambda: "zh")


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)
def test_a_meaning_is_at_most_two_sentences(term):
    plain = glossary.FORMULA.sub("x", term.meaning).replace("et al. ", "et al ")
    assert plain.endswith(".")
    assert len(re.findall(r"[.?!](?= |$)", plain)) <= 2
    assert len(plain) < 300


def test_a_term_is_there_once_and_leads_to_a_page():
    pages = {path.stem for path in (ROOT / "pages").glob("*.py")}
    assert len({term.name for term in TERMS}) == len(TERMS)
    assert {term.see for term in TERMS} <= pages


def test_the_words_of_the_field_are_explained():
    wanted = (
        "continual learning", "task-IL", "class-IL", "domain-IL", "sparsity", "density", "saliency", "one-shot pruning",
        "SDP", "IDS", "displacement", "Hessian", "lambda_max", "survivors", "Taylor", "path integral", "lambda bound",
        "landscape slice", "filter normalisation", "anchor", "Fisher", "distillation", "backward transfer",
        "forgetting", "learning accuracy", "accuracy matrix", "replay", "FLOPs", "EL2N", "GGN", "t-SNE", "Pareto",
    )  # fmt: skip
    for word in wanted:
        assert glossary._plain(word) in glossary._plain(names(word)[0])


def test_names_come_in_alphabetical_order_with_greek_letters_as_they_are_spelled():
    assert names()[:3] == ["Accuracy matrix", "Anchor, Ω", "Backward transfer"]
    at = names().index
    assert at("IDS") < at("λ bound") < at("λₘₐₓ") < at("Landscape slice") < at("t-SNE")


@pytest.mark.usefixtures("chinese")
def test_chinese_names_come_in_the_order_of_their_sound():
    at = names().index
    assert at("EL2N") < at("λₘₐₓ") < at("持续学习") < at("海森矩阵，H") < at("锚，Ω") < at("稀疏度") < at("一次性剪枝")
    assert names("saliency")[0] == names("显著")[0] == "显著性"


def test_what_has_it_in_its_name_comes_before_what_speaks_of_it():
    assert names("Fisher")[0] == "Fisher information"
    assert names("forgetting")[0] == "Forgetting"
    assert "Backward transfer" in names("forgetting")
    assert names("omega")[0] == "Anchor, Ω"
    assert names("  LAMBDA_max ")[:2] == ["λₘₐₓ", "λₘₐₓ |θ|²"]


@pytest.mark.parametrize("written", ["nowhere to be found", "mathbb", "<b>", "\\", "$$", "\x00", "x" * 100_000])
def test_what_nobody_wrote_is_not_found(written):
    assert names(written) == []


def test_the_terms_are_a_literal_table():
    """So that translators' tools find every text, and a reader of the code every term."""
    tree = ast.parse(Path(terms.__file__).read_text(encoding="utf-8"))
    table = next(n.value for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "TERMS")
    assert len(table.elts) == len(TERMS) >= 25
