import polars as pl
import pytest

from recsys.data.meeting import alike, apart, meet


def frames(here, there, column="item_id", tables=("requests", "items")):
    return {tables[0]: pl.DataFrame({column: here}), tables[1]: pl.DataFrame({column: there})}


@pytest.mark.parametrize(
    ("here", "there", "differences", "pair"),
    [
        (["10000", "10001"], ["010000", "010001"], ("zeros",), ("'10000'", "'010000'")),
        (["A7", "B8"], ["a7", "b8"], ("case",), ("'A7'", "'a7'")),
        ([" x1", "x2 "], ["x1", "x2"], ("blanks",), ("' x1'", "'x1'")),
        (["caf\u00e9", "r\u00e9"], ["cafe\u0301", "re\u0301"], ("unicode",), ("'caf\u00e9'", "'cafe\u0301'")),
        (["12.0", "13.0"], ["12", "13"], ("decimals",), ("'12.0'", "'12'")),
        ([12, 13], ["0012", "0013"], ("zeros",), ("'12'", "'0012'")),
        ([" A7", " B8"], ["a7", "b8"], ("blanks", "case"), ("' A7'", "'a7'")),
    ],
)
def test_what_keeps_ids_apart_is_found_shown_and_mended_by_a_line_of_the_mapping(here, there, differences, pair):
    found = meet(pl.Series(here), pl.Series(there))
    assert (found.met, found.ids, found.would, found.differences) == (0, 2, 2, differences)
    assert pair in found.pairs
    (fault,) = apart(frames(here, there))
    assert (fault.table, fault.column, fault.severity) == ("requests", "item_id", "error")
    assert f"{pair[0]} here is {pair[1]} there" in fault.what
    written = ", ".join(f'"{each}"' for each in differences)
    assert fault.fix == f"write them alike, or import with `[ids] item_id = [{written}]` in the mapping"
    assert meet(alike(pl.Series(here), differences), alike(pl.Series(there), differences)).met == 2


def test_a_few_that_are_spelt_otherwise_are_a_warning():
    here = [f"k{number}" for number in range(50)] + ["K1 "]
    (fault,) = apart(frames(here, here[:50], "user_id", ("events", "users")))
    assert fault.severity == "warning"
    assert "1 of 51 ids would be ids of users but for blanks and case" in fault.what


def test_ids_that_meet_or_that_nothing_would_mend_give_no_fault():
    assert list(apart(frames([1, 2, None], [2, 1]))) == []
    assert list(apart(frames(["a", "zz"], ["a", "b"]))) == []
    assert list(apart(frames([1.5], ["a"]))) == []


def test_users_of_the_lists_of_whom_hardly_any_is_elsewhere_are_shown():
    (fault,) = apart(frames(["u1", "u2", "u3"], ["p7", "p8", "p9"], "user_id", ("requests", "events")))
    assert (fault.severity, fault.what) == ("warning", "users of whom hardly any is in events (0 of 3)")
    assert "such as 'u1' and 'u2' here and 'p7' and 'p8' there" in fault.fix
    assert list(apart(frames(["u1", "p7"], ["p7", "p8", "p9"], "user_id", ("requests", "events")))) == []


@pytest.mark.parametrize("mark", ["\u200b", "\ufeff", "\u2060", "\u00a0 \u200d"])
def test_what_takes_no_room_keeps_ids_apart_as_blanks_do(mark: str) -> None:
    found = meet(pl.Series([f"{mark}A1", f"A2{mark}"]), pl.Series(["A1", "A2"]))
    assert (found.would, found.differences) == (2, ("blanks",))
    assert alike(pl.Series([f"{mark}A1{mark}", "A 2"]), ("blanks",)).to_list() == ["A1", "A 2"]
