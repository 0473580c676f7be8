"""A sweep over machines as far as one machine can be several: each process with a network of its own.

    scheduler and `esacl sweep` 10.99.0.1 -- bridge -- 10.99.0.2 worker a
                                                    -- 10.99.0.3 worker b

Nothing is shared but the file system, of which each worker has a folder of its own. Needs root and `ip`.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator

import pytest
from dask_cluster import Cluster, swept, token_of
from sweeping import in_second_task, seeds, seeds_of, spec, wait_for

pytestmark = [pytest.mark.processes, pytest.mark.slow]

pytest.importorskip("distributed", reason="pip install distributed")
PLACES = ("scheduler", "a", "b")
ADDRESSES = dict(zip(PLACES, ("10.99.0.1", "10.99.0.2", "10.99.0.3"), strict=True))


def space(place: str) -> str:
    return f"esacl-{os.getpid()}-{place}"


def within(place: str) -> list[str]:
    return ["ip", "netns", "exec", space(place)]


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def laid() -> None:
    """The networks: the bridge lies in that of the scheduler, so that the machine's own is left as it is."""
    for place in PLACES:
        ip("netns", "add", space(place))
        ip("-n", space(place), "link", "set", "lo", "up")
    ip("-n", space("scheduler"), "link", "add", "bridge", "type", "bridge")
    ip("-n", space("scheduler"), "addr", "add", f"{ADDRESSES['scheduler']}/24", "dev", "bridge")
    ip("-n", space("scheduler"), "link", "set", "bridge", "up")
    for place in ("a", "b"):
        about = ("link", "add", "wire", "netns", space(place), "type", "veth")
        ip("-n", space("scheduler"), *about, "peer", "name", f"to-{place}")
        ip("-n", space("scheduler"), "link", "set", f"to-{place}", "master", "bridge", "up")
        ip("-n", space(place), "addr", "add", f"{ADDRESSES[place]}/24", "dev", "wire")
        ip("-n", space(place), "link", "set", "wire", "up")


@pytest.fixture
def networks() -> Iterator[None]:
    try:
        try:
            laid()
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no network namespaces here: {getattr(error, 'stderr', '') or error}")
        yield
    finally:
        for place in PLACES:
            with contextlib.suppress(OSError, subprocess.CalledProcessError):
                ip("netns", "del", space(place))


@pytest.fixture
def cluster(tmp_path, networks) -> Iterator[Cluster]:
    (tmp_path / "cluster").mkdir()
    found = Cluster(tmp_path / "cluster", ADDRESSES["scheduler"], 8786, within)
    yield found
    found.stop()


def network_of(process: subprocess.Popen) -> str:
    return os.readlink(f"/proc/{process.pid}/ns/net")


def test_a_machine_that_is_killed_costs_nothing(tmp_path, cluster):
    workers = [cluster.worker("a"), cluster.worker("b")]
    command = swept(tmp_path, cluster, spec(tmp_path, seeds(1, 2, 3, 4)))
    token = token_of(command.store)
    for name in ("a", "b"):
        wait_for(lambda name=name: in_second_task(cluster.store_of(name, token), 1))
    apart = {network_of(one) for one in (*workers, cluster.scheduler)}
    assert len(apart - {os.readlink("/proc/self/ns/net")}) == 3
    assert network_of(command.process) == network_of(cluster.scheduler)
    (orphan,) = cluster.store_of("a", token).ids()
    workers[0].kill()
    wait_for(lambda: not cluster.store_of("a", token).workers.alive(orphan))
    cluster.gate.touch()
    code, _, err = command.end()
    assert code == 0, err
    assert seeds_of(command.store) == {1: 1, 2: 1, 3: 1, 4: 1}
    runs = command.store.ids()
    assert all(command.store.array_names(one) == ("weights-t0", "weights-t1") for one in runs)
    assert orphan not in runs, "it was computed again, by the worker that is left"
