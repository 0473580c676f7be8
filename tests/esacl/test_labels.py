"""A run's name can be changed; what was started cannot."""

import pytest
from small_stream import CONFIG, SmallStream

from esacl.errors import InputError
from esacl.store import RunStore


@pytest.fixture
def store(tmp_path) -> RunStore:
    store = RunStore(tmp_path / "runs")
    list(store.record(SmallStream(), store.create(CONFIG)))
    return store


def test_a_name_changes_and_the_config_file_and_digest_do_not(store):
    run_id = store.ids()[0]
    before, digest = (store.folder(run_id) / "config.json").read_bytes(), store.config(run_id).digest
    store.rename(run_id, "  A new\n name ")
    assert store.config(run_id).name == store.read(run_id).config.name == "A new name"
    assert (store.folder(run_id) / "config.json").read_bytes() == before
    assert store.config(run_id).digest == digest
    store.rename(run_id, "")
    assert store.config(run_id).name == ""


def test_a_run_of_before_there_were_labels_has_its_own_name(store):
    assert store.config(store.ids()[0]) == CONFIG


@pytest.mark.parametrize("name", ["x" * 201, "bell\a", "\ud800", "a\u202eb", "a\u2066b", 3, None])
def test_a_name_that_will_not_do_is_refused_and_the_old_one_stays(store, name):
    run_id = store.ids()[0]
    store.rename(run_id, "old")
    with pytest.raises(InputError, match="a run's name"):
        store.rename(run_id, name)
    assert store.config(run_id).name == "old"


@pytest.mark.parametrize("content", ["{", "[]", '{"name": 3}', "{}", '{"name": "' + "x" * 300 + '"}'])
def test_a_damaged_label_costs_the_name_and_not_the_run(store, content):
    run_id = store.ids()[0]
    (store.folder(run_id) / "label.json").write_text(content)
    assert store.config(run_id) == CONFIG
    assert store.status(run_id).state == "finished"


def test_a_folder_that_cannot_be_written_is_one_line(store, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("esacl.labels.replace_json", full)
    with pytest.raises(InputError, match="No space left"):
        store.rename(store.ids()[0], "new")
    with pytest.raises(InputError, match="no run"):
        store.rename("../x", "new")
