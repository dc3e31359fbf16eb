import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.engines import on_ray
from recsys.engines.engine import OneProcess, open_engine
from recsys.engines.settings import EngineSettings
from recsys.errors import DataError, ModelError, StorageError

pytestmark = pytest.mark.slow

pytest.importorskip("ray")

from ray.cluster_utils import Cluster  # noqa: E402


@dataclass(frozen=True)
class Doubling:
    """Doubles numbers, says which process it was made ready in, and dies where it is told to, once."""

    folder: Path
    dies_at: int = -1
    refuses: int = -1

    def __call__(self) -> Callable[[int], tuple[int, int]]:
        (self.folder / f"opened-{os.getpid()}").touch()

        def work(part: int) -> tuple[int, int]:
            mark = self.folder / f"died-{part}"
            if part == self.dies_at and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if part == self.refuses:
                raise DataError(f"part {part} has faults; mend them")
            return 2 * part, os.getpid()

        return work


def numbered(count: int) -> Iterator[tuple[int, int]]:
    return enumerate(range(count))


def test_each_part_is_done_once_by_work_that_is_made_ready_once_in_a_process(cluster, tmp_path) -> None:
    with open_engine(EngineSettings(kind="ray", address=cluster.address)) as engine:
        done = dict(engine.each(Doubling(tmp_path), numbered(20)))
    assert {place: twice for place, (twice, _) in done.items()} == {place: 2 * place for place in range(20)}
    workers = {pid for _, pid in done.values()}
    assert os.getpid() not in workers
    assert {path.name for path in tmp_path.iterdir()} == {f"opened-{pid}" for pid in workers}
    alone = dict(OneProcess().each(Doubling(tmp_path), numbered(20)))
    assert [twice for twice, _ in alone.values()] == [done[place][0] for place in range(20)]


def test_parts_are_asked_for_when_their_turn_comes(cluster, tmp_path) -> None:
    asked = []

    def parts() -> Iterator[tuple[int, int]]:
        for place in range(50):
            asked.append(place)
            yield place, place

    with open_engine(EngineSettings(kind="ray", address=cluster.address)) as engine:
        for many, _ in enumerate(engine.each(Doubling(tmp_path), parts()), 1):
            assert len(asked) - many < 4 + 1  # two nodes of one processor, and one more part for each waits


def test_a_part_of_which_the_worker_dies_is_done_by_another(cluster, tmp_path) -> None:
    with open_engine(EngineSettings(kind="ray", address=cluster.address)) as engine:
        done = dict(engine.each(Doubling(tmp_path, dies_at=3), numbered(8)))
    assert sorted(done) == list(range(8))
    assert (tmp_path / "died-3").exists()


def test_a_worker_that_dies_too_often_is_told_with_what_to_do(cluster, tmp_path) -> None:
    settings = EngineSettings(kind="ray", address=cluster.address, retries=0)
    with (
        open_engine(settings) as engine,
        pytest.raises(
            StorageError, match=r"the cluster failed \(WorkerCrashedError.*; look into Ray's logs of that node"
        ),
    ):
        dict(engine.each(Doubling(tmp_path, dies_at=0), numbered(3)))


def test_what_the_work_refuses_is_told_in_its_own_words(cluster, tmp_path) -> None:
    with (
        open_engine(EngineSettings(kind="ray", address=cluster.address)) as engine,
        pytest.raises(DataError, match="^part 2 has faults; mend them$"),
    ):
        dict(engine.each(Doubling(tmp_path, refuses=2), numbered(5)))


def test_a_task_that_fits_no_node_is_refused_at_once(cluster, tmp_path) -> None:
    settings = EngineSettings(kind="ray", address=cluster.address, cpus=64)
    with (
        open_engine(settings) as engine,
        pytest.raises(
            StorageError,
            match="no node of the cluster has room for a task that takes 64 CPU .they have 1 CPU; 1 CPU.; lower",
        ),
    ):
        dict(engine.each(Doubling(tmp_path), numbered(1)))


def test_a_part_too_large_for_the_object_store_is_refused(cluster, tmp_path) -> None:
    large = pl.DataFrame({"number": pl.int_range(4_000_000, eager=True)})
    with (
        open_engine(EngineSettings(kind="ray", address=cluster.address)) as engine,
        pytest.raises(
            StorageError, match=r"a part takes 31 MiB, and the smallest object store of the cluster holds 80 MiB"
        ),
    ):
        dict(engine.each(Doubling(tmp_path), iter([(0, large)])))


@dataclass(frozen=True)
class Filling:
    """Makes more than an object store holds."""

    def __call__(self) -> Callable[[int], np.ndarray]:
        return lambda part: np.full(3_000_000, part)


def test_a_full_disk_of_a_node_is_told_with_what_to_do() -> None:
    full = {"local_fs_capacity_threshold": 1e-6}  # any disk is, where objects shall go that the store has no room for
    node = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 80 * 2**20, "_system_config": full}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        with (
            open_engine(EngineSettings(kind="ray", address=cluster.address)) as engine,
            pytest.raises(
                StorageError, match=r"the cluster failed \(OutOfDiskError: .*; make room on the disk of that node"
            ),
        ):
            [*engine.each(Filling(), numbered(20))]
    finally:
        cluster.shutdown()


def test_a_worker_of_another_version_is_named(cluster, tmp_path) -> None:
    other = tmp_path / "recsys-99.1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: recsys\nVersion: 99.1\n")
    node = cluster.add_node(num_cpus=8, env_vars={"PYTHONPATH": str(tmp_path)})
    try:
        with (
            open_engine(EngineSettings(kind="ray", address=cluster.address, cpus=4)) as engine,
            pytest.raises(StorageError, match=r"the worker on \S+ has recsys 99.1, not 0.1.0; install the same"),
        ):
            dict(engine.each(Doubling(tmp_path), numbered(3)))
    finally:
        cluster.remove_node(node)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", r"no cluster answers at \[engine\] address '127.0.0.1:1' .*start one there with `ray start"),
        ("head", r"address 'head' is no HOST:PORT, such as 10.0.0.5:6379"),
        ("127.0.0.1:\u00b2", r"is no HOST:PORT, such as 10.0.0.5:6379"),
        ("a..b:6379", r"no cluster answers at \[engine\] address 'a..b:6379'"),
    ],
)
def test_an_address_without_a_cluster_is_refused_before_anything_is_done(address, said) -> None:
    with pytest.raises(StorageError, match=said), open_engine(EngineSettings(kind="ray", address=address)):
        raise AssertionError


def test_without_the_extra_one_line_says_what_to_type() -> None:
    program = (
        "import sys\nsys.modules['ray'] = None\n"
        "from recsys.engines.engine import open_engine\nfrom recsys.engines.settings import EngineSettings\n"
        "open_engine(EngineSettings(kind='ray')).__enter__()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f'recsys.errors.{ModelError.__name__}: [engine] kind = "ray" needs ray (')
    assert last.endswith("pip install --constraint constraints.txt --editable '.[ray]'")


def test_what_answers_but_is_no_cluster_is_refused_at_once() -> None:
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        settings = EngineSettings(kind="ray", address=f"127.0.0.1:{server.server_port}")
        with pytest.raises(StorageError, match=r"what answers is no Ray cluster\); start one"), open_engine(settings):
            raise AssertionError


def test_another_cluster_than_that_joined_already_is_refused(cluster) -> None:
    with (
        open_engine(EngineSettings(kind="ray", address=cluster.address)),
        socket.create_server(("127.0.0.1", 0), backlog=1) as other,
    ):
        settings = EngineSettings(kind="ray", address=f"127.0.0.1:{other.getsockname()[1]}")
        threading.Thread(target=_greet, args=(other,), daemon=True).start()
        with pytest.raises(StorageError, match=r"has joined the cluster at \S+ already, not"), open_engine(settings):
            raise AssertionError


def _greet(server: socket.socket) -> None:
    with server.accept()[0] as there:
        there.sendall(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        there.recv(64)


def test_what_stops_a_process_stops_it_on_a_cluster_too(cluster) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with open_engine(EngineSettings(kind="ray", address=cluster.address)):
        assert signal.getsignal(signal.SIGTERM) is before


@dataclass(frozen=True)
class Unwritable:
    """Writes where nothing can be written."""

    def __call__(self) -> Callable[[int], int]:
        return lambda part: Path("/proc/no-such-folder/file").write_bytes(b"")


def test_what_a_worker_cannot_write_is_told_in_a_line(cluster) -> None:
    with (
        open_engine(EngineSettings(kind="ray", address=cluster.address)) as engine,
        pytest.raises(
            StorageError, match=r"a worker of the cluster can't read or write \(.*No such file.*\); make room"
        ),
    ):
        dict(engine.each(Unwritable(), numbered(2)))


def test_tasks_take_what_settings_say(cluster) -> None:
    settings = EngineSettings(kind="ray", address=cluster.address, cpus=0.2, memory=0.5, gpus=1)
    with open_engine(settings) as engine:
        assert engine._takes(gpu=False) == {"num_cpus": 0.2, "memory": 2**29}
        assert engine._takes(gpu=True) == {"num_cpus": 0.2, "memory": 2**29, "num_gpus": 1}
        assert engine._room({"num_cpus": 0.2}) == 10
        with pytest.raises(
            StorageError, match=r"takes 1 CPU, 1e\+05 GiB of memory .they have 1 CPU, [\d.]+ GiB of mem"
        ):
            engine._room({"num_cpus": 1, "memory": 100_000 * 2**30})


def test_a_worker_forgets_the_work_of_before(tmp_path) -> None:
    for name in ("one", "other"):
        assert on_ray._do(name, Doubling(tmp_path), 3, on_ray.versions()) == (6, os.getpid())
    assert [*on_ray._OPEN] == ["other"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")
def test_workers_that_talk_to_each_other_are_of_one_version_too() -> None:
    with pytest.raises(StorageError, match=r"has recsys 0.1.0, not 9; install the same"):
        on_ray._in_worker({"versions": {**on_ray.versions(), "recsys": "9"}})


def test_of_several_workers_that_failed_the_first_tells_why() -> None:
    import ray

    failed = RuntimeError("2 workers failed")
    failed.worker_failures = {0: DataError("a list has faults; mend it")}
    assert str(on_ray._told(ray, failed)) == "a list has faults; mend it"
