"""The kernel on numbers that are mapped, of which it must ask for every block that it reads."""

from datetime import timedelta

import numpy as np
import pytest

from recsys.errors import ModelError
from recsys.past.blocks import SIZE, Blocks, Writer
from recsys.past.counters import Counters, Counting
from recsys.past.kernel import below, below_each
from recsys.past.reads import Key, Reads
from recsys.past.streams import Amount, Moment, Stream

ROWS, USERS, ITEMS = 30_000, 500, 2_000
KEYS = (Key("like", ("user",)), Key("like", ("user", "item")), Key("like", ("item",)), Key("like", ()))
ASKED = [each for key in KEYS for each in (Amount(*key), Amount(*key, which=1), Moment(*key), Moment(*key, first=True))]


@pytest.fixture(scope="module")
def held():
    random = np.random.default_rng(0)
    codes = {"user": random.integers(0, USERS, ROWS), "item": random.integers(0, ITEMS, ROWS)}
    moments = random.integers(0, 10**6, ROWS)
    stream, counting = Stream(codes, moments, moments, (random.integers(0, 9, ROWS),)), Counting(KEYS)
    for row in range(len(KEYS)):
        counting.add(row, stream, {"user": USERS, "item": ITEMS}, np.argsort(moments, kind="stable"))
    return counting.done()


def mapped(counters, path):
    writer = Writer(path)
    writer.add(counters.blocks.data)
    writer.close()
    return Counters(Blocks.mapped(path), counters.where, counters.keys)


def read(counters, user, items=40):
    reads = Reads.of(ASKED, timedelta(0))
    codes = np.array([np.full(items, user), np.arange(items)])
    found = np.repeat(reads.empty[:, None], items, axis=1)
    counters.add(
        reads,
        codes[[("user", "item").index(name) for name in reads.names]],
        reads.bounds(np.full(items, 600_000)),
        found,
    )
    return found.tolist()


def test_mapped_numbers_give_the_same_answers_and_only_what_is_read_is_checked(held, tmp_path):
    counters = mapped(held, tmp_path / "a.numbers")
    assert read(counters, 3) == read(held, 3)
    few = counters.blocks.checked.sum()
    assert 0 < few < len(counters.blocks.hashes)
    for user in range(0, USERS, 7):
        assert read(counters, user) == read(held, user)
    assert counters.blocks.checked.sum() > few


def test_a_changed_number_is_no_answer(held, tmp_path):
    counters = mapped(held, tmp_path / "a.numbers")
    raw = bytearray((tmp_path / "a.numbers").read_bytes())
    for at in range(0, len(raw), SIZE):
        raw[at] ^= 1
    (tmp_path / "b.numbers").write_bytes(raw)
    (tmp_path / "b.numbers.sha256").write_bytes((tmp_path / "a.numbers.sha256").read_bytes())
    spoilt = Counters(Blocks.mapped(tmp_path / "b.numbers"), counters.where, counters.keys)
    with pytest.raises(ModelError, match=r"b\.numbers was changed after it was written"):
        read(spoilt, 3)


def test_sorted_numbers_are_counted_up_to_one():
    values = np.array([9, 1, 3, 3, 7, 0])
    for wanted in range(-1, 9):
        assert below.py_func(values, 1, 5, wanted) == 1 + sum(each < wanted for each in (1, 3, 3, 7))
    assert below.py_func(values, 2, 2, 5) == 2
    first = np.array([0, 1, 5, 6])
    codes, moments = np.array([-1, 0, 1, 1, 2]), np.array([9, 10, 3, 4, 0])
    assert below_each(values, first, codes, moments).tolist() == [0, 1, 2, 4, 5]
