"""`esacl sweep --engine dask` on a real scheduler and workers, processes of their own that share no runs folder."""

import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from dask_cluster import Cluster, swept, token_of
from small_worker import NAN
from sweeping import Command, called, in_second_task, seeds, seeds_of, spec, wait_for

from esacl import __version__
from esacl.errors import InputError
from esacl.store import RunStore
from esacl.sweep import on_dask, on_worker
from esacl.sweep.record import read_sweep, sweeps_of

pytestmark = pytest.mark.processes

pytest.importorskip("distributed", reason="pip install distributed")
HASTY = "from esacl.sweep import on_dask; on_dask._ANSWER = on_dask.PATIENCE = 1.0; "


@pytest.fixture
def cluster(tmp_path) -> Iterator[Cluster]:
    (tmp_path / "cluster").mkdir()
    found = Cluster(tmp_path / "cluster")
    yield found
    found.stop()


def state_of(store: RunStore) -> Any:
    return read_sweep(sweeps_of(store.root)[0])


def test_a_worker_that_is_killed_costs_nothing_and_no_run_is_there_twice(tmp_path, cluster):
    first, _ = cluster.worker("a"), cluster.worker("b")
    command = swept(tmp_path, cluster, spec(tmp_path, seeds(1, 2, 3, 4)))
    token = token_of(command.store)
    for name in ("a", "b"):
        wait_for(lambda name=name: in_second_task(cluster.store_of(name, token), 1))
    assert (state_of(command.store).running, state_of(command.store).workers) == (2, 2)
    (orphan,) = cluster.store_of("a", token).ids()
    first.kill()
    lost = cluster.store_of("a", token)
    wait_for(lambda: not lost.workers.alive(orphan))  # a run does not outlive its worker: nobody would fetch it
    assert lost.status(orphan).state == "cancelled"
    cluster.gate.touch()
    code, _, err = command.end()
    assert code == 0, err
    assert seeds_of(command.store) == {1: 1, 2: 1, 3: 1, 4: 1}
    assert not cluster.store_of("b", token).root.exists()  # kept where it belongs, forgotten there
    runs = command.store.ids()
    assert all(command.store.array_names(one) == ("weights-t0", "weights-t1") for one in runs)
    ends = [sorted(path.name for path in command.store.folder(one).glob("checkpoints/*")) for one in runs]
    assert all(len(names) == 1 for names in ends)  # that of the end came along: what was learned can be exported
    assert called(tmp_path, tmp_path / "some.toml")[0] == 0  # the other engine finds everything done
    assert command.store.ids() == runs


@pytest.mark.slow
def test_who_stops_a_sweep_stops_its_runs_and_they_go_on_where_they_were(tmp_path, cluster):
    cluster.worker("a")
    path = spec(tmp_path, seeds(1, 2))
    command = swept(tmp_path, cluster, path)
    there = cluster.store_of("a", token_of(command.store))
    (run_id,) = wait_for(lambda: in_second_task(there, 1))
    command.process.send_signal(signal.SIGINT)
    assert command.end()[0] == 130
    assert there.status(run_id).state == "cancelled"
    assert command.store.ids() == ()
    cluster.gate.touch()
    again = swept(tmp_path, cluster, path)
    assert again.end()[0] == 0
    assert seeds_of(command.store) == {1: 1, 2: 1}
    assert run_id in command.store.ids()


@pytest.mark.slow
def test_a_scheduler_that_dies_is_told_and_the_next_call_goes_on(tmp_path, cluster):
    cluster.worker("a")
    path = spec(tmp_path, seeds(1, 2))
    command = swept(tmp_path, cluster, path)
    wait_for(lambda: in_second_task(cluster.store_of("a", token_of(command.store)), 1))
    cluster.scheduler.kill()
    cluster.scheduler.wait()
    code, _, err = command.end()
    assert code == 1
    assert err == (
        f"error: the Dask scheduler {cluster.address} is gone: what was finished is kept; "
        "start it and its workers again, then the same command goes on\n"
    )
    assert (state_of(command.store).waiting, state_of(command.store).live) == (2, False)
    cluster.gate.touch()
    cluster.start_scheduler()
    cluster.worker("b")
    assert swept(tmp_path, cluster, path).end()[0] == 0
    assert seeds_of(command.store) == {1: 1, 2: 1}


@pytest.mark.slow
def test_workers_that_cannot_are_left_out_and_told_why(tmp_path, cluster):
    cluster.gate.touch()
    cluster.worker("old", SMALL_VERSION="0.0.9")
    cluster.worker("other", SMALL_CODE="00000000")
    cluster.worker("empty", SMALL_LACKS="split-mnist is not there; put its files in x")
    path = spec(tmp_path, seeds(1, NAN))
    refused = swept(tmp_path, cluster, path)
    code, out, err = refused.end()
    assert (code, out) == (2, "")
    assert "error: no worker can compute this sweep: worker tcp://" in err
    cluster.worker("good")
    wait_for(lambda: (cluster.folder / "dask.log").read_text().count("Register worker addr") == 4)
    command = swept(tmp_path, cluster, path)
    code, out, err = command.end()
    assert code == 1
    assert "it has EsaCL 0.0.9 (code " in err
    assert f"it has EsaCL {__version__} (code 00000000) with torch " in err
    assert "split-mnist is not there; put its files in x" in err
    assert "seed=13" in err
    assert "the loss is NaN" in err
    store = command.store
    assert {store.config(one).seed: store.status(one).state for one in store.ids()} == {1: "finished", NAN: "failed"}
    # Once more: the one that failed is tried again, and does not lie there twice.
    assert swept(tmp_path, cluster, path).end()[0] == 1
    assert len(store.ids()) == 2


@pytest.mark.parametrize("address", ["localhost", "http://a:80", "tcp://a", "tcp://a:b"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(InputError, match="is no address; write tcp://HOST:PORT"), on_dask.connected(address, 1):
        pass


@pytest.mark.parametrize(("address", "told"), [
    ("tcp://127.0.0.1:65536", "there is no port 65536; choose 1 to 65535"),
    ("tcp://127.0.0.1:0", "there is no port 0; choose 1 to 65535"),
    (f"tcp://{'a' * 64}:8786", "check its name"),
    ("tcp://a host.invalid:1", "is no address"),
    ("tcp://unknown.invalid:8786", r"no host 'unknown\.invalid' \(.*\); check its name"),
])  # fmt: skip
def test_what_cannot_be_an_address_is_not_tried(address, told, monkeypatch):
    monkeypatch.setattr(on_dask, "_refuse_others", lambda *_: pytest.fail("it is refused before it is tried"))
    with pytest.raises(InputError, match=told), on_dask.connected(address, 1):
        pass


def test_a_scheduler_that_is_not_there_is_refused_and_nothing_is_made(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{closed.getsockname()[1]}"
        command = Command(tmp_path, spec(tmp_path, seeds(1)), "--scheduler", address, first=HASTY)
        code, out, err = command.end()
    assert (code, out) == (2, "")
    assert err.startswith(f"error: no Dask scheduler answers at {address} (")
    assert err.endswith("start one with `dask scheduler`, or leave --scheduler out\n")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_what_is_no_scheduler_is_not_waited_for(tmp_path):
    """It takes the connection and says nothing of its own, as a web server does."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        code, out, err = Command(tmp_path, spec(tmp_path, seeds(1)), "--scheduler", address, first=HASTY).end()
    assert (code, out) == (2, "")
    assert err.startswith(f"error: no Dask scheduler answers at {address} (no answer within ")
    assert len(err.splitlines()) == 1


@pytest.mark.slow
def test_a_scheduler_without_workers_is_not_waited_for_long(tmp_path, cluster):
    hasty = HASTY.replace("on_dask._ANSWER = ", "")
    command = Command(tmp_path, spec(tmp_path, seeds(1)), "--scheduler", cluster.address, first=hasty)
    code, out, err = command.end()
    assert (code, out) == (2, "")
    start = f"`dask worker {cluster.address} --nworkers 1 --nthreads 1`"
    assert err == f"error: the scheduler {cluster.address} has no worker; start one with {start}, then this again\n"
    assert not (tmp_path / "runs").exists()


def test_without_the_package_the_remedy_is_told(tmp_path):
    first = "import sys; sys.modules['distributed'] = None; "
    code, _, err = Command(tmp_path, spec(tmp_path, seeds(1)), "--engine", "dask", first=first).end()
    assert (code, err) == (2, "error: --engine dask needs the package distributed; pip install distributed\n")


@pytest.mark.slow
def test_without_a_scheduler_one_is_started_here_with_real_runs(tmp_path):
    from tiny_runs import TINY

    settings = "".join(f"{key!r} = {value!r}\n" for key, value in TINY.items())
    path = spec(tmp_path, f"seeds = [1, 2, 3]\n[common]\n{settings}[grid]\nmethod = ['finetune']\n")
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    code, told, err = called(tmp_path, path, "--engine", "dask", "--workers", 2, first="", **cache)
    assert code == 0, err
    assert told["done"] == 3
    assert seeds_of(RunStore(tmp_path / "runs")) == {1: 1, 2: 1, 3: 1}


@pytest.mark.parametrize("token", ["", "../../x", "a" * 31, "A" * 32])
def test_a_token_names_a_folder_below_the_cache_and_no_other(token):
    with pytest.raises(ValueError, match="is not the token of a sweep"):
        on_worker.scratch(token)
