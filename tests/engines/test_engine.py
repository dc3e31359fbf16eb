from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from recsys.engines.engine import HERE, open_engine, refuse_absent
from recsys.engines.settings import ONE_PROCESS, EngineSettings
from recsys.errors import DataError, StorageError


@dataclass(frozen=True)
class Halving:
    opened: list[int]

    def __call__(self) -> Callable[[int], float]:
        self.opened.append(1)

        def work(part: int) -> float:
            if part < 0:
                raise DataError("a part lies below 0; mend it")
            return part / 2

        return work


def test_one_process_opens_once_and_works_on_each_part_in_its_turn() -> None:
    opened, asked = list[int](), list[int]()

    def parts() -> Iterator[tuple[int, int]]:
        for place in (3, 1, 2):
            asked.append(place)
            yield place, 10 * place

    with open_engine(ONE_PROCESS) as engine:
        assert engine is HERE
        assert not engine.apart
        done = engine.each(Halving(opened), parts())
        assert next(done) == (3, 15.0)
        assert asked == [3]
        assert [*done] == [(1, 5.0), (2, 10.0)]
    assert opened == [1]


def test_what_the_work_refuses_is_raised_as_it_is() -> None:
    with pytest.raises(DataError, match="^a part lies below 0; mend it$"):
        [*HERE.each(Halving([]), [(0, -1)])]


def test_the_engine_without_settings_is_one_process() -> None:
    assert EngineSettings() == ONE_PROCESS
    assert ONE_PROCESS.kind == "process"


def test_long_work_can_ask_before_it_begins_whether_a_cluster_is_there() -> None:
    pytest.importorskip("ray")
    refuse_absent(ONE_PROCESS)
    refuse_absent(EngineSettings(kind="ray"))
    with pytest.raises(StorageError, match=r"no cluster answers at \[engine\] address '127.0.0.1:1'"):
        refuse_absent(EngineSettings(kind="ray", address="127.0.0.1:1"))
