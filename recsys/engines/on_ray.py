"""Ray: a task for each part, on one machine or many; parts go there from this process, and what is made comes back."""

import logging
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, TypeVar
from uuid import uuid4

from recsys.engines.engine import Opening
from recsys.engines.settings import EngineSettings
from recsys.errors import RecsysError, StorageError, first_line
from recsys.lazy import need
from recsys.shown import counted

Part = TypeVar("Part")
Done = TypeVar("Done")

_PATIENCE = 5.0
"""Seconds in which the head of a cluster answers."""

_AHEAD = 2
"""Parts that wait for each task that runs: no worker waits for this process, and no more parts lie in memory."""

_OF_STORE = 0.25
"""Share of the smallest object store that one part may take."""

_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How HTTP/2 begins (RFC 9113, 3.4), which heads of clusters speak; the fourth byte of what they answer is 4, too."""

_LEAST = 1e-4
"""Share of a processor that Ray does not tell from none."""

_NAMES = {"num_cpus": "CPU", "memory": "memory", "num_gpus": "GPU"}
"""What a task takes, and what a node calls it."""

_GOES_ON = ": it goes on from the parts that are done"

_OPEN: dict[str, Callable[[Any], Any]] = {}
"""The work that this process, one of the workers, has made ready."""


@contextmanager
def open_ray(settings: EngineSettings) -> Iterator["OnRay"]:
    """Join a cluster, or start one of this machine alone, and leave it in the end; errors as of `open_engine`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # of parts after the first that failed, which is told
    ray = refuse_absent_ray(settings)
    started = not ray.is_initialized()
    if started:
        _start(ray, settings.address)
    elif settings.address.rpartition(":")[2] not in ("", (joined := _joined(ray)).rpartition(":")[2]):
        raise StorageError(
            f"this process has joined the cluster at {joined} already, not that at [engine] address "
            f"{settings.address!r}; call ray.shutdown() first, or leave address out to work with that one"
        )
    try:
        yield OnRay(ray, settings)
    finally:
        if started:
            ray.shutdown()


def refuse_absent_ray(settings: EngineSettings) -> Any:
    """Give the module; see `recsys.engines.engine.refuse_absent`."""
    ray = need("ray", "ray", '[engine] kind = "ray"')
    if settings.address:
        _refuse_silent(settings.address)
    return ray


def _refuse_silent(address: str) -> None:
    """Refuse an address at which nobody answers, before Ray asks there for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise StorageError(f"[engine] address {address!r} is no HOST:PORT, such as 10.0.0.5:6379; `ray start` tells it")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _PATIENCE) as there:
            there.sendall(_HELLO)
            if there.recv(9)[3:4] != _HELLO[-6:-5]:
                raise ConnectionError("what answers is no Ray cluster")
    except (OSError, OverflowError, ValueError) as error:  # ValueError: no name of a host
        raise StorageError(
            f"no cluster answers at [engine] address {address!r} ({error}); start one there with `ray start --head`, "
            "or leave address out, and one of this machine alone is started"
        ) from error


def _start(ray: Any, address: str) -> None:
    where = {"address": address} if address else {"address": "local", "include_dashboard": False}
    stops = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**where, logging_level=logging.ERROR, log_to_driver=False)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        what = f"the cluster at {address} cannot be joined" if address else "no Ray cluster starts on this machine"
        raise StorageError(
            f"{what} ({_in_a_line(error)}); every node needs Ray {ray.__version__} and the same Python, and this "
            "process runs on one of them"
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, stops)  # Ray puts its own there, which ends the process without a word


def _joined(ray: Any) -> str:
    address: str = ray.get_runtime_context().gcs_address
    return address


class OnRay:
    """A Ray cluster that this process has joined.

    Parameters
    ----------
    ray
        The module.
    settings
        What a task takes.
    """

    apart = True

    def __init__(self, ray: Any, settings: EngineSettings) -> None:
        self._ray, self._settings = ray, settings

    def each(
        self, opening: Opening[Part, Done], parts: Iterable[tuple[int, Part]], gpu: bool = False
    ) -> Iterator[tuple[int, Done]]:
        """Do the work on each part in a task, see `recsys.engines.engine.Engine.each`."""
        ray, takes = self._ray, self._takes(gpu)
        task = ray.remote(max_retries=self._settings.retries, **takes)(_do)
        most, store = _AHEAD * self._room(takes), self._smallest_store()
        waiting: dict[Any, int] = {}
        try:
            name, opened = uuid4().hex, ray.put(opening)
            for place, part in parts:
                held = ray.put(part)
                _refuse_small_store(_bytes(ray, held), store)
                waiting[task.remote(name, opened, held, versions())] = place
                del held, part  # the task alone holds it
                while len(waiting) >= most:
                    yield self._next(waiting)
            while waiting:
                yield self._next(waiting)
        except ray.exceptions.RayError as error:
            raise _told(ray, error) from error
        except SystemError as error:  # what a signal raised while Ray waited stands behind it
            raise error.__cause__ or error from None
        finally:
            for ref in waiting:
                ray.cancel(ref)

    def put(self, thing: object) -> Any:
        """Lay something into the object store; gives what workers get it by."""
        return self._ray.put(thing)

    def together(self, work: Callable[[Any, "Worker"], Done], given: Mapping[str, Any], workers: int) -> Done:
        """Do work in several workers at once that talk to each other, and give what the first of them made.

        Parameters
        ----------
        work
            A function of a module, called with `given` in each worker.
        given
            Plain values, and what `put` gave.
        workers
            How many; all must find room at once.

        Raises
        ------
        StorageError
            When the cluster has no room, or failed.
        """
        self.refuse_growers(workers)
        ray, takes = self._ray, self._takes(gpu=False)
        train, trees = (
            need("ray.train", "ray", "[engine] growers"),
            need("ray.train.lightgbm", "ray", "[engine] growers"),
        )
        resources = {_NAMES[name]: of for name, of in takes.items()}
        with tempfile.TemporaryDirectory() as kept:
            trainer = trees.LightGBMTrainer(
                _in_worker,
                train_loop_config={"work": work, "given": given, "versions": versions()},
                scaling_config=train.ScalingConfig(num_workers=workers, resources_per_worker=resources),
                run_config=train.RunConfig(
                    storage_path=kept, failure_config=train.FailureConfig(max_failures=self._settings.retries)
                ),
            )
            try:
                done: Done = trainer.fit().return_value
            except (ray.exceptions.RayError, train.TrainingFailedError) as error:
                raise _told(ray, error, "") from error
            except SystemError as error:
                raise error.__cause__ or error from None
        return done

    def refuse_growers(self, workers: int) -> None:
        """Refuse more workers that talk to each other than there is room for.

        Raises
        ------
        StorageError
            Saying how many there is room for.
        """
        if (room := self._room(self._takes(gpu=False))) < workers:
            raise StorageError(
                f"[engine] growers = {workers} find no room at once: the cluster takes {counted(room, 'such task')}; "
                "lower growers or cpus, or add nodes"
            )

    def _next(self, waiting: dict[Any, int]) -> tuple[int, Any]:
        (ready,), _ = self._ray.wait([*waiting], num_returns=1)
        done = self._ray.get(ready)
        return waiting.pop(ready), done

    def _takes(self, gpu: bool) -> dict[str, Any]:
        said = self._settings
        takes: dict[str, Any] = {"num_cpus": said.cpus}
        if said.memory:
            takes["memory"] = int(said.memory * 2**30)
        if gpu and said.gpus:
            takes["num_gpus"] = said.gpus
        return takes

    def _room(self, takes: Mapping[str, Any]) -> int:
        """Say for how many tasks there is room at once; refuse those that no node has room for."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        room = [min(int(node.get(_NAMES[name], 0) / of + _LEAST) for name, of in takes.items()) for node in nodes]
        if not any(room):
            wants = _resources(takes)
            has = "; ".join(_resources({name: node.get(_NAMES[name], 0) for name in takes}) for node in nodes)
            raise StorageError(
                f"no node of the cluster has room for a task that takes {wants} (they have {has}); lower cpus, gpus or "
                "memory in [engine], or add a larger node"
            )
        return sum(room)

    def _smallest_store(self) -> int:
        stores = [node["Resources"].get("object_store_memory", 0) for node in self._ray.nodes() if node["Alive"]]
        return int(min(stores))


@dataclass(frozen=True)
class Worker:
    """One of several workers that talk to each other.

    Attributes
    ----------
    rank
        Which one it is, from 0.
    network
        Where the others are, in LightGBM's words.
    get
        Gives what lies in the object store.
    """

    rank: int
    network: Mapping[str, Any]
    get: Callable[[Any], Any]


def _in_worker(config: Mapping[str, Any]) -> Any:
    """Do one worker's share of what several do together, and give what came of it."""
    ray, train = need("ray", "ray", "[engine]"), need("ray.train", "ray", "[engine]")
    _refuse_others(config["versions"], versions())
    network = need("ray.train.lightgbm", "ray", "[engine]").get_network_params()
    worker = Worker(train.get_context().get_world_rank(), network, ray.get)
    return config["work"](config["given"], worker)


def versions() -> dict[str, str]:
    """Name what decides the answers of a worker."""
    return {name: version(name) for name in ("recsys", "ray", "lightgbm", "polars", "numpy")}


def _do(name: str, opening: Opening[Part, Done], part: Part, wanted: Mapping[str, str]) -> Done:
    """Do work on a part in a worker, which has made it ready for all parts that come to it."""
    if name not in _OPEN:
        _refuse_others(wanted, versions())
        _OPEN.clear()  # work of before, whose files may be gone
        _OPEN[name] = opening()
    done: Done = _OPEN[name](part)
    return done


def _refuse_others(wanted: Mapping[str, str], found: Mapping[str, str]) -> None:
    others = [f"{name} {found[name]}, not {wanted[name]}" for name in wanted if found[name] != wanted[name]]
    if others:
        raise StorageError(
            f"the worker on {socket.gethostname()} has {'; '.join(others)}; install the same on every node of the "
            "cluster"
        )


def _refuse_small_store(size: int, store: int) -> None:
    if size > store * _OF_STORE:
        raise StorageError(
            f"a part takes {size / 2**20:,.0f} MiB, and the smallest object store of the cluster holds "
            f"{store / 2**20:,.0f} MiB, of which a part may take a quarter; give nodes a larger one with `ray start "
            "--object-store-memory`"
        )


def _resources(of: Mapping[str, float]) -> str:
    """Say what a task takes or a node has."""
    return ", ".join(
        f"{many / 2**30:,.3g} GiB of memory" if name == "memory" else f"{many:g} {_NAMES[name]}"
        for name, many in of.items()
    )


def _bytes(ray: Any, held: Any) -> int:
    """Say how many bytes of the object store an object takes."""
    found: int = ray.experimental.get_object_locations([held])[held]["object_size"] or 0
    return found


def _told(ray: Any, error: BaseException, after: str = _GOES_ON) -> RecsysError:
    """Say what failed: the work, in its own words, or the cluster; and what happens `after` the command is repeated."""
    if isinstance(error, ray.exceptions.RayTaskError):
        if isinstance(error.cause, RecsysError):
            return error.cause
        if isinstance(error.cause, OSError):
            return StorageError(
                f"a worker of the cluster can't read or write ({_in_a_line(error.cause)}); make room on its disk, see "
                f"that each node reaches these files under the same path, and give the command again{after}"
            )
        if not isinstance(error.cause, ray.exceptions.RayError):
            raise error  # a fault of the work, with where it lies
        error = error.cause
    if failures := getattr(error, "worker_failures", None):  # of several workers that talk to each other
        return _told(ray, next(iter(failures.values())), after)
    if isinstance(error, RecsysError):
        return error
    hints = {
        "OutOfDiskError": "make room on the disk of that node",
        "ObjectStoreFullError": "give nodes a larger one with `ray start --object-store-memory`",
        "OutOfMemoryError": "let [engine] memory say what a task takes, or add memory",
        "WorkerCrashedError": "look into Ray's logs of that node",
    }
    hint = hints.get(type(error).__name__, "look into Ray's logs")
    return StorageError(
        f"the cluster failed ({type(error).__name__}: {_in_a_line(error)}); {hint}, and give the command again{after}"
    )


def _in_a_line(error: BaseException) -> str:
    return " ".join(first_line(error).split()) or type(error).__name__
