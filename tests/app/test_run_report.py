"""A run as one HTML file: complete in itself, nothing of a run's text is markup, and damage is a line."""

import base64
import hashlib
import html
import json
import re

import pytest
from pages_runs import MARKUP, lost, record

from app import run_report
from app.document import Document
from esacl.errors import InputError
from esacl.store import RunStore


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> RunStore:
    return RunStore(tmp_path_factory.mktemp("reports") / "runs")


def report(store: RunStore, run_id: str) -> str:
    return run_report.page(store, run_id).decode()


def parts(page: str) -> list[dict]:
    return json.loads(re.search(r'id="drawn">(.*?)</script>', page, re.DOTALL)[1])


def test_it_holds_the_numbers_the_figures_and_what_starts_the_run_again(store):
    run_id = record(store, name="a run", method="esacl")
    page = report(store, run_id)
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert len(headings) == 8
    assert page.count('<section class="figures">') == len(parts(page))
    drawn = [drawing for part in parts(page) for drawing in part["drawings"]]
    assert len(drawn) >= 20
    assert all(drawing["alt"] for drawing in drawn)
    for told in (run_id, "torch", "esacl run --tasks 3", "[sdp]", "seed", store.config(run_id).digest, "324"):
        assert told in page
    assert str(store.root) not in page


def test_it_asks_for_nothing_and_its_policy_allows_no_more_than_it_holds(store):
    page = report(store, record(store, name="</script><script>alert(1)</script>"))
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', page)[1]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    bodies = {"script": re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL)}
    bodies["style"] = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    for kind, found in bodies.items():
        assert len(found) == 1
        digest = base64.b64encode(hashlib.sha256(found[0].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert page.count("</script>") == 2
    assert not re.search(r"https?://(?!www\.w3\.org)|@import|<link|style=", page)


def test_a_name_with_markup_stays_text(store):
    page = report(store, record(store, name=MARKUP))
    assert "<b>" not in re.sub(r'<div class="numbers">.*', "", page.split("<h1>")[1].split("</h1>")[0])
    assert html.escape(MARKUP) in page
    assert "<b>bold" not in page


@pytest.mark.parametrize(
    "fields",
    [
        {"method": "finetune", "sparsity": 0.0},
        {"method": "joint", "sparsity": 0.0, "tasks": 2},
        {"scenario": "class"},
        {"benchmark": "permuted-mnist", "tasks": 12},
        {"curvature": {"top": 0, "grid": 0}},
        {"failure": "the loss is no longer finite; lower lr"},
    ],
)
def test_every_kind_of_run_has_one(store, fields):
    page = report(store, record(store, **fields))
    assert "Where these numbers come from" in page
    assert "NaN" not in re.sub(r"base64,[^\"]*|sha256-[^']*", "", page)
    if "failure" in fields:
        assert "This run failed. What is here is as far as it came. the loss is no longer finite" in page


def test_a_half_written_run_and_damaged_arrays_are_said(store):
    page = report(store, lost(store, record(store, seed=8)))
    assert "This run was lost" in page
    damaged = record(store, seed=9)
    for path in (store.folder(damaged) / "arrays").glob("*.npz"):
        path.write_bytes(b"PK not a zip")
    page = report(store, damaged)
    assert "Left out: " in page
    assert "sparsity-t2.npz is damaged" in page
    assert str(store.root) not in page


def test_a_run_that_cannot_be_read_has_none(store, tmp_path, capsys):
    run_id = record(store, seed=10)
    (store.folder(run_id) / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json"):
        run_report.page(store, run_id)
    assert run_report.main([run_id, "--runs", str(store.root), "--out", str(tmp_path / "x.html")]) == 2
    assert run_report.main(["nope", "--runs", str(store.root), "--out", str(tmp_path / "x.html")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("error: ") for line in lines] == [True, True]
    assert not (tmp_path / "x.html").exists()


def test_a_document_escapes_every_text():
    document = Document("<i>&")
    for write in (document.heading, document.paragraph, document.code):
        write("<script>x</script>")
    document.numbers([("<a>", "<b>")])
    document.table(("<th>",), [("<td onclick=x>",)], about="<details>")
    document.figures({"drawings": [{"alt": "</script><!--", "marks": []}]})
    document.figures({"drawings": []})
    body = document.html().decode().split("<body>")[1].split('<script type="module">')[0]
    assert not re.search(r"<(i|a|b|td onclick|script>x)\b", body.replace("<b>&lt;b&gt;</b>", ""))
    assert body.count("<section") == 1
    assert parts(body)[0]["drawings"][0]["alt"] == "</script><!--"
