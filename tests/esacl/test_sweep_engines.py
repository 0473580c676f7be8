"""What decides over a sweep's workers, without any: who gets which GPU, what is noted when nobody answers any more."""

import re
from types import SimpleNamespace

import pytest
from sweeping import seeds, spec

from esacl import __version__, sources
from esacl.config import RunConfig
from esacl.store import RunStore
from esacl.sweep import carry, command, driver, on_dask, on_worker
from esacl.sweep.book import opened
from esacl.sweep.spec import read_spec


class Client:
    """A cluster whose workers come and go as a test says; it computes nothing."""

    def __init__(self):
        self.workers, self.status, self.given = [], "running", []
        self.scheduler = SimpleNamespace(address="tcp://nowhere:1")

    def scheduler_info(self, n_workers):
        return {"workers": dict.fromkeys(self.workers)}

    def submit(self, what, *args, workers, **named):
        if what is on_worker.compute:
            self.given.append((workers[0], args[-1].get("CUDA_VISIBLE_DEVICES")))
        state = "pending" if what is on_worker.compute else "finished"
        return SimpleNamespace(status=state, result=lambda timeout: "", release=lambda: None, cancel=lambda: None)


@pytest.fixture
def book():
    """A record of five rows that belong to nobody."""
    states = [SimpleNamespace(state="waiting", since=0.0, run="", detail="") for _ in range(5)]

    def note(index, **fields):
        vars(states[index]).update(fields)

    return SimpleNamespace(
        configs=[RunConfig(device="auto", seed=seed) for seed in range(5)], entries=states, token="0" * 32,
        note=note, due=lambda: list(range(5)), staffed=lambda count: None,
    )  # fmt: skip


def test_a_worker_that_comes_anew_gets_the_gpu_of_the_one_that_died(book, monkeypatch):
    monkeypatch.setattr(on_dask, "_LOOK", 0.0)
    client = Client()
    engine = on_dask.OnDask(book, client, None, gpus=("7", "8", "9"))
    client.workers = ["tcp://a:1000", "tcp://a:2000", "tcp://a:3000"]
    works = {place: engine.work(place, index) for index, place in enumerate(engine.places())}
    for work in works.values():
        next(work)
    assert client.given == [("tcp://a:1000", "7"), ("tcp://a:2000", "8"), ("tcp://a:3000", "9")]
    client.workers = ["tcp://a:2000", "tcp://a:3000", "tcp://a:4000"]  # sorted it stands last
    assert list(engine.places()) == client.workers
    next(engine.work("tcp://a:4000", 3))
    assert client.given[-1] == ("tcp://a:4000", "7")


def test_rows_at_work_are_not_said_to_run_once_the_scheduler_is_gone(book, monkeypatch):
    monkeypatch.setattr(driver, "POLL", 0.0)
    answers = iter([["a", "b"], ["a", "b"]])

    class Engine:
        def places(self):
            found = next(answers, None)
            if found is None:
                raise driver.EngineGone("gone")
            return found

        def work(self, place, index):
            while True:
                yield None

    looks = driver.drive(book, Engine(), lambda: 0)
    next(looks)
    assert [entry.state for entry in book.entries] == ["running", "running", "waiting", "waiting", "waiting"]
    with pytest.raises(driver.EngineGone):
        list(looks)
    assert [entry.state for entry in book.entries] == ["cancelled", "cancelled", "waiting", "waiting", "waiting"]


def test_a_worker_with_the_same_version_and_other_sources_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(on_worker, "scratch", lambda token: tmp_path)
    assert on_worker.about("0" * 32, sources.told(), ["split-digits"], None) == ""
    there = sources.told()
    monkeypatch.setattr(sources, "code", lambda: "00000000")
    why = on_worker.about("0" * 32, there, ["split-digits"], None)
    assert why.startswith(f"it has EsaCL {__version__} (code 00000000) with torch ")
    assert why.endswith(f"and here is {there}; install the same on both")


def test_the_code_is_that_of_the_sources_and_tells_no_build(tmp_path):
    found = []
    for place, text in enumerate(("a = 1\n", "a = 2\n", "a = 1\n")):
        package = tmp_path / str(place)
        (package / "inside").mkdir(parents=True)
        (package / "inside" / "one.py").write_text(text)
        (package / "notes.txt").write_text(f"{place}")
        found.append(sources.code(package))
    assert found[0] == found[2] != found[1]
    assert [len(one) for one in found] == [8, 8, 8]
    assert "+" not in sources.told()


def test_of_what_ends_before_it_has_a_run_none_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(driver, "POLL", 0.0)
    ends = {0: driver.Ended("failed", "11 workers were lost"), 1: driver.Ended("cancelled")}

    class Engine:
        def places(self):
            return ["a", "b"]

        def work(self, place, index):
            yield None
            yield ends[index]

        def done(self):
            raise AssertionError("it is not done")

    with opened(RunStore(tmp_path / "runs"), read_spec(spec(tmp_path, seeds(0, 1))), "dask", 2) as book:
        assert command._follow(book, Engine(), lambda: 0, quiet=False) == command.FAILED
    told = capsys.readouterr().err
    assert "failed: method=finetune, seed=0: 11 workers were lost" in told
    assert re.search(r"cancelled in [\d.]+ s: method=finetune, seed=1\n", told)
    assert "None" not in told


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (None, ""),
        (0, ""),
        (3, ", the last time with exit status 3"),
        (-11, ", the last time by SIGSEGV"),
        (-9, ", the last time by SIGKILL, as when memory runs out"),
        (-250, ", the last time by signal 250"),
    ],
)
def test_how_a_run_died_is_told(code, said):
    assert carry._how_it_died(code) == said
