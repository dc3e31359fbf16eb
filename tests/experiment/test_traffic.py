import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from scipy import stats

from recsys.errors import DataError, SettingsError
from recsys.experiment.traffic import assign

EVEN = {"A": 0.5, "B": 0.5}
USERS = list(range(20_000))


@pytest.mark.slow
def test_arms_are_the_same_in_every_process():
    expected = ["A", "B", "B", "B", "B", "B", "B", "A"]
    assert assign(range(8), "pictures", EVEN).to_list() == expected
    program = (
        "from recsys.experiment.traffic import assign\n"
        "print(*assign(range(8), 'pictures', {'A': 0.5, 'B': 0.5}).to_list(), sep='')"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "".join(expected)


def test_an_integer_and_its_text_are_one_user():
    users = [0, 12, -7, 2**40]
    expected = assign(users, "pictures", EVEN).to_list()
    assert assign([str(user) for user in users], "pictures", EVEN).to_list() == expected
    for dtype in (pl.Int64, pl.String):
        assert assign(pl.Series(users).cast(dtype), "pictures", EVEN).to_list() == expected
    assert assign(np.array(users), "pictures", EVEN).to_list() == expected
    assert assign(pl.Series(["x", "y"], dtype=pl.Categorical), "s", EVEN).equals(assign(["x", "y"], "s", EVEN))
    assert assign([], "pictures", EVEN).to_list() == []


def test_every_arm_gets_its_share():
    shares = {"A": 0.6, "B": 0.3, "C": 0.1}
    counts = assign(USERS, "pictures", shares).value_counts().sort("arm")
    expected = [len(USERS) * share for share in shares.values()]
    assert counts["arm"].to_list() == ["A", "B", "C"]
    assert stats.chisquare(counts["count"].to_numpy(), expected).pvalue > 0.001


def test_two_salts_split_independently_and_neighbouring_ids_too():
    first, second = (assign(USERS, salt, EVEN) for salt in ("one", "two"))
    table = pl.DataFrame([first.alias("first"), second.alias("second")]).group_by("first", "second").len()
    assert stats.chisquare(table["len"].to_numpy()).pvalue > 0.001
    assert table.height == 4
    neighbours = (first[1:] == first[:-1]).mean()
    assert neighbours == pytest.approx(0.5, abs=4 * 0.5 / len(USERS) ** 0.5)


def test_salts_and_arms_cannot_be_taken_for_each_other():
    assert not assign(USERS, "salt", {"1A": 0.5, "1B": 0.5}).str.tail(1).equals(assign(USERS, "salt1", EVEN))


def test_the_order_of_the_arms_plays_no_part():
    shares = {"A": 0.6, "B": 0.3, "C": 0.1}
    assert assign(USERS, "s", shares).equals(assign(USERS, "s", dict(reversed(shares.items()))))


@pytest.mark.parametrize(
    ("old", "new", "moved"),
    [
        ({"A": 0.9, "B": 0.1}, {"A": 0.6, "B": 0.4}, 0.3),
        ({"A": 0.5, "B": 0.5}, {"A": 0.4, "B": 0.4, "C": 0.2}, 0.2),
        ({"A": 0.8, "B": 0.1, "C": 0.1}, {"A": 0.4, "B": 0.3, "C": 0.3}, 0.4),
    ],
)
def test_changed_shares_move_as_few_users_as_they_must(old, new, moved):
    before, after = assign(USERS, "s", old), assign(USERS, "s", new)
    changed = before != after
    assert changed.mean() == pytest.approx(moved, abs=4 * 0.5 / len(USERS) ** 0.5)
    grown = [arm for arm in new if new[arm] > old.get(arm, 0)]
    assert after.filter(changed).is_in(grown).all()


def test_splits_that_are_none_are_refused():
    with pytest.raises(SettingsError, match="salt is empty; write the name of the experiment"):
        assign([1], "", EVEN)
    with pytest.raises(SettingsError, match="shares add up to 0.9; they must add up to 1, so name the rest an arm"):
        assign([1], "s", {"A": 0.5, "B": 0.4})
    with pytest.raises(SettingsError, match=r"shares are \{'B': 0.0\}; give each arm a share above 0 or leave it out"):
        assign([1], "s", {"A": 1.0, "B": 0.0})
    with pytest.raises(SettingsError, match="shares add up to 0; they must add up to 1"):
        assign([1], "s", {})
    with pytest.raises(SettingsError, match="an arm has no name; name every arm"):
        assign([1], "s", {"A": 0.5, "": 0.5})
    with pytest.raises(
        DataError, match="user ids are Float64; give integers or text, because 12.0 and 12 would be two"
    ):
        assign(pl.Series([12.0]), "s", EVEN)
    with pytest.raises(DataError, match="1 of 2 user ids are missing; leave out users without an id"):
        assign(pl.Series([12, None]), "s", EVEN)
