"""What has made a run's numbers: every state of EsaCL and every processor, of runs that told less of it too."""

import pytest

from esacl import machine, origin

FIRST = {"versions": {"esacl": "0.2"}, "hardware": {"cpu": "A B", "instructions": "0123abcd", "gpus": ["H1", "H1"]}}
SECOND = {"versions": {"esacl": "0.2"}, "code": "89efabcd", "hardware": {"cpu": "C"}}


def test_every_machine_and_version_that_worked_on_a_run_counts():
    kept = {**SECOND, "earlier": [FIRST]}
    assert origin.versions(kept) == ["0.2 89efabcd", "0.2"]
    assert origin.processors(kept, "cpu") == ["C", "A B 0123abcd"]


def test_on_cuda_the_processor_is_the_gpu():
    assert origin.processors(FIRST, "cuda:0", "H2") == ["H1"]
    assert origin.processors(SECOND, "cuda:0", "H2") == ["H2"]  # a system whose driver does not say


def test_a_processor_of_a_run_that_told_no_instructions_is_not_another():
    assert origin.distinct_processors(["A B", "A B 0123abcd", "A B 89efabcd", "A"]) == [
        "A B 0123abcd", "A B 89efabcd", "A",
    ]  # fmt: skip


@pytest.mark.parametrize("damaged", [
    {}, {"versions": [], "hardware": 3, "code": {}}, {"earlier": [3, {"hardware": {"cpu": 7, "gpus": [7, None]}}]},
])  # fmt: skip
def test_damage_says_nothing(damaged):
    assert origin.versions(damaged) == origin.processors(damaged, "cpu") == origin.processors(damaged, "cuda") == []


def test_the_digest_is_another_where_a_source_is_another(tmp_path, monkeypatch):
    found = []
    for content in ("a = 1", "a = 2", "a = 1"):
        (tmp_path / "part").mkdir(exist_ok=True)
        (tmp_path / "part" / "one.py").write_text(content)
        monkeypatch.setattr(machine, "__file__", str(tmp_path / "machine.py"))
        found.append(machine.source_digest.__wrapped__())
    assert found[0] == found[2] != found[1]
    assert len(found[0]) == 8
    assert machine.source_digest() == machine.facts()["code"]
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "none" / "machine.py"))
    assert machine.source_digest.__wrapped__() == ""
