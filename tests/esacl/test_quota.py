"""What one person may have on a shared server: what is counted and refused, and that nothing is left of a refusal."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from small_stream import CONFIG

from esacl import jobs, locks, quota, trash
from esacl.errors import InputError
from esacl.store import RunStore


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store whose jobs start no process: the lock of each is held by this one, as if it were at work."""
    store = RunStore(tmp_path / "runs")
    held = []

    def spawn(store, run_id, command, data):
        held.append(locks.take(store.folder(run_id) / "lock-of-the-test"))
        monkeypatch.setattr(type(store.workers), "alive", lambda self, run_id: True)

    monkeypatch.setattr(jobs, "_spawn", spawn)
    yield store
    for descriptor in held:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, quota.Quota()),
        ({quota.JOBS: "2"}, quota.Quota(2)),
        ({quota.BYTES: "5GB"}, quota.Quota(None, 5 * 10**9)),
        ({quota.BYTES: "300 kb", quota.JOBS: "1"}, quota.Quota(1, 300_000)),
        ({quota.BYTES: "17"}, quota.Quota(None, 17)),
    ],
)
def test_the_environment_says_what_is_allowed(environment, found):
    assert quota.quota(environment) == found


@pytest.mark.parametrize(
    ("name", "value"),
    [(quota.JOBS, "0"), (quota.JOBS, "many"), (quota.JOBS, "-1"), (quota.BYTES, "5 GiB"), (quota.BYTES, "lots")],
)
def test_a_limit_that_is_none_is_one_line(monkeypatch, store, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=f"{name}='{value}' is no"):
        jobs.start(CONFIG, store, owner="ada")
    assert store.ids() == ()


def test_nothing_is_limited_until_it_is_set(store):
    for _ in range(3):
        jobs.start(CONFIG, store, owner="ada")
    assert quota.jobs_of(store, "ada") == 3


def test_one_job_more_is_refused_to_its_owner_alone_and_leaves_nothing(store, monkeypatch):
    monkeypatch.setenv(quota.JOBS, "2")
    runs = [jobs.start(CONFIG, store, owner="ada") for _ in range(2)]
    with pytest.raises(InputError, match="2 of your jobs are at work or wait, and this server allows 2"):
        jobs.start(CONFIG, store, owner="ada")
    assert set(store.ids()) == set(runs)
    other = jobs.start(CONFIG, store, owner="grace")
    nobody = jobs.start(CONFIG, store)
    assert [quota.owner_of(store, run_id) for run_id in (*runs, other, nobody)] == ["ada", "ada", "grace", ""]
    assert [quota.jobs_of(store, owner) for owner in ("ada", "grace", "")] == [2, 1, 1]
    store.workers.queue.tear_up(runs[0])  # it has ended
    jobs.start(CONFIG, store, owner="ada")


def test_a_login_of_any_length_has_its_limits(store, monkeypatch):
    monkeypatch.setenv(quota.JOBS, "1")
    owner = "ada" * 100
    run_id = jobs.start(CONFIG, store, owner=owner)
    with pytest.raises(InputError, match="1 of your jobs"):
        jobs.start(CONFIG, store, owner=owner)
    assert quota.bytes_of(store, owner) > 0
    assert quota.owner_of(store, run_id) == owner[:200]


def test_an_analysis_and_a_resumption_are_jobs_of_who_asks(store, monkeypatch):
    run_id = store.create(CONFIG)
    monkeypatch.setenv(quota.JOBS, "1")
    jobs.analyse(store, run_id, "spectrum", {}, owner="grace")
    assert (quota.jobs_of(store, "grace"), quota.jobs_of(store, "")) == (1, 0)
    with pytest.raises(InputError, match="1 of your jobs"):
        jobs.analyse(store, store.create(CONFIG), "spectrum", {}, owner="grace")


def test_what_the_runs_of_one_person_take_is_counted_and_limited(store, monkeypatch):
    mine, theirs = jobs.start(CONFIG, store, owner="ada"), jobs.start(CONFIG, store, owner="grace")
    before = quota.bytes_of(store, "ada")
    (store.folder(mine) / "arrays").mkdir()
    (store.folder(mine) / "arrays" / "big.npz").write_bytes(bytes(5000))
    (store.folder(theirs) / "big").write_bytes(bytes(9000))
    assert before > 0
    assert quota.bytes_of(store, "ada") == before + 5000 + (store.folder(mine) / "arrays").lstat().st_size
    monkeypatch.setenv(quota.BYTES, "4kB")
    with pytest.raises(InputError, match=r"your runs take .* kB, and this server allows 4 kB; delete some"):
        quota.check(store, "ada", job=False)
    quota.check(store, "nobody yet")


def run_of(store: RunStore, owner: str, kilobytes: int) -> str:
    run_id = store.create(CONFIG)
    quota.claim(store, run_id, owner)
    (store.folder(run_id) / "big").write_bytes(bytes(1000 * kilobytes))
    return run_id


def in_the_bin(store: RunStore) -> list[str]:
    return [one.run_id for one in trash.deleted(store)]


def test_what_may_be_taken_in_is_what_is_left(store, monkeypatch):
    assert quota.room(store, "ann", 1000) == 1000
    run_id = store.create(CONFIG)
    quota.claim(store, run_id, "ann")
    held = quota.bytes_of(store, "ann")
    monkeypatch.setenv(quota.BYTES, str(held + 300))
    assert [quota.room(store, owner, 1000) for owner in ("ann", "bob")] == [300, min(1000, held + 300)]
    monkeypatch.setenv(quota.BYTES, str(held - 1))
    assert quota.room(store, "ann", 1000) == 0


def test_deleted_runs_go_for_good_where_their_owner_comes_to_the_limit_the_first_deleted_first(store, monkeypatch):
    first, second, theirs = run_of(store, "ada", 40), run_of(store, "ada", 40), run_of(store, "grace", 90)
    for run_id in (first, second, theirs):
        trash.discard(store, run_id)
    run_of(store, "ada", 30)
    monkeypatch.setenv(quota.BYTES, "140kB")
    quota.make_room(store, "ada")
    assert in_the_bin(store) == [theirs, second, first]
    monkeypatch.setenv(quota.BYTES, "100kB")
    quota.check(store, "ada", job=False)
    assert in_the_bin(store) == [theirs, second, first]  # who only asks loses nothing
    quota.make_room(store, "ada")
    assert in_the_bin(store) == [theirs, second]
    run_of(store, "ada", 90)
    with pytest.raises(InputError, match="your runs take"):
        quota.check(store, "ada", job=False)
    assert in_the_bin(store) == [theirs, second]
    jobs_started = len(store.ids())
    monkeypatch.setenv(quota.BYTES, "150kB")
    jobs.start(CONFIG, store, owner="ada")
    assert (len(store.ids()), in_the_bin(store)) == (jobs_started + 1, [theirs])


def test_a_deleted_run_comes_back_only_where_there_is_room(store, monkeypatch):
    run_id = run_of(store, "ada", 40)
    trash.discard(store, run_id)
    other = run_of(store, "ada", 40)
    monkeypatch.setenv(quota.BYTES, "80kB")
    with pytest.raises(InputError, match=f"run {run_id} takes .* kB beside the .* kB of its owner's other runs"):
        quota.restore(store, run_id)
    assert in_the_bin(store) == [run_id]
    trash.discard(store, other)
    assert quota.restore(store, run_id) == run_id
    assert in_the_bin(store) == [other]


def test_of_two_that_are_brought_back_at_once_only_what_fits_comes(store, monkeypatch):
    both = [run_of(store, "ada", 40), run_of(store, "ada", 40)]
    for run_id in both:
        trash.discard(store, run_id)
    monkeypatch.setenv(quota.BYTES, "60kB")
    restore = trash.restore

    def slowly(*given):
        time.sleep(0.2)  # long enough for the other to have counted
        return restore(*given)

    monkeypatch.setattr(trash, "restore", slowly)
    with ThreadPoolExecutor(2) as pool:
        ends = [one.exception() for one in [pool.submit(quota.restore, store, run_id) for run_id in both]]
    assert sorted(type(end).__name__ for end in ends) == ["InputError", "NoneType"]
    assert len(store.ids()) == len(in_the_bin(store)) == 1


def test_a_folder_in_which_nothing_can_be_locked_is_said(store, monkeypatch):
    run_id = run_of(store, "ada", 1)
    trash.discard(store, run_id)
    monkeypatch.setenv(quota.BYTES, "60kB")
    (store.root / quota.LOCK).mkdir()
    with pytest.raises(InputError, match=r"cannot be restored \(Is a directory\); mend"):
        quota.restore(store, run_id)


def test_an_owner_file_that_is_damaged_is_nobodys(store):
    run_id = jobs.start(CONFIG, store, owner="ada")
    (store.folder(run_id) / quota.OWNER).write_text("{")
    assert quota.owner_of(store, run_id) == ""


def test_a_run_that_is_lost_is_no_job_of_its_own_when_it_is_resumed(tmp_path, monkeypatch):
    store = RunStore(tmp_path / "runs")
    monkeypatch.setattr(jobs, "_spawn", lambda *about: None)  # the process dies at once
    run_id = jobs.start(CONFIG, store, owner="ada")
    monkeypatch.setenv(quota.JOBS, "1")
    assert store.workers.queue.of(run_id) is not None
    jobs.resume(store, run_id, owner="ada")
