import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.data.checks import check_tables
from recsys.data.importers import Mapping, read_mapped
from recsys.data.tables import SAMPLED, Dataset
from recsys.errors import DataError, SettingsError

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
ITEMS = "item_id,title,stars,listed\n1,one,4.5,true\n2,two,,false\n3,007,3,true\n"
EVENTS = "user_id,item_id,timestamp,event,value\n7,1,2024-03-01T11:00:00Z,click,3\n8,2,2024-03-01T10:00:00Z,view,\n"
REQUESTS = (
    "request_id,user_id,timestamp,item_id,label,device\n"
    "5,7,2024-03-01T12:00:00Z,1,0,phone\n5,7,2024-03-01T12:00:00Z,2,1,phone\n"
)
LISTS = "page,visitor,at,shown,clicked\n5,7,2024-03-01 12:00,1 2  3,2\n6,8,2024-03-01 12:00,3 1,\n"
WIDE = {
    "columns": {"request_id": "page", "user_id": "visitor", "timestamp": "at"},
    "candidates": "shown",
    "clicked": "clicked",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "items.csv").write_text(ITEMS)
    (tmp_path / "events.csv").write_text(EVENTS)
    (tmp_path / "requests.csv").write_text(REQUESTS)
    (tmp_path / "users.csv").write_text("user_id,age\n7,30\n8,\n")
    return tmp_path


def mapping(**tables: object) -> Mapping:
    return Mapping.model_validate(tables)


def test_reads_our_own_names_without_a_mapping(folder: Path) -> None:
    data = read_mapped(folder)
    assert data.items.rows() == [(1, "one", 4.5, True), (2, "two", None, False), (3, "007", 3.0, True)]
    assert data.events.rows()[1] == (8, 2, datetime(2024, 3, 1, 10, tzinfo=UTC), "view", None)
    assert data.requests.rows() == [(5, 7, NOON, 1, 0, "phone"), (5, 7, NOON, 2, 1, "phone")]
    assert data.users is not None
    assert data.users.rows() == [(7, 30), (8, None)]
    assert data.about.notes == ()
    assert check_tables(data).ok


def test_moments_of_clicks_are_read_under_any_name_and_say_what_was_clicked(folder: Path) -> None:
    (folder / "requests.csv").write_text(
        "request_id,user_id,timestamp,item_id,opened\n"
        "5,7,2024-03-01T12:00:00Z,1,\n5,7,2024-03-01T12:00:00Z,2,2024-03-01 12:03\n"
    )
    data = read_mapped(folder, mapping(requests={"columns": {"clicked_at": "opened"}}))
    assert data.requests["clicked_at"].to_list() == [None, NOON + timedelta(minutes=3)]
    assert data.requests["label"].to_list() == [0, 1]
    assert data.about.notes == ("The requests carry no label: what has a clicked_at was clicked.",)
    assert check_tables(data).ok


@pytest.mark.parametrize("ids", [("a-1", "a-2"), ("007", "8"), ("1.5", "1,5")])
def test_ids_of_events_stay_text(folder: Path, ids: tuple[str, str]) -> None:
    head, *rows = EVENTS.splitlines()
    rows = [f'{row},"{each}"' for row, each in zip(rows, ids, strict=True)]
    (folder / "events.csv").write_text("\n".join([f"{head},number", *rows]))
    data = read_mapped(folder, mapping(events={"columns": {"event_id": "number"}}))
    assert data.events["event_id"].to_list() == list(ids)
    assert check_tables(data).ok


def test_the_moment_of_a_whole_list_is_that_of_what_was_clicked_on_it(folder: Path) -> None:
    (folder / "requests.csv").unlink()
    lists = LISTS.splitlines()
    opened = [f"{line},{at}" for line, at in zip(lists, ["opened", "2024-03-01 12:03", ""], strict=True)]
    (folder / "lists.csv").write_text("\n".join(opened))
    columns = WIDE["columns"] | {"clicked_at": "opened"}  # type: ignore[operator]
    data = read_mapped(folder, mapping(requests={"file": "lists.csv", **WIDE, "columns": columns}))
    moments = [None, NOON + timedelta(minutes=3), None, None, None]
    assert data.requests["clicked_at"].to_list() == moments
    assert data.requests["label"].to_list() == [0, 1, 0, 0, 0]
    blind = {name: value for name, value in WIDE.items() if name != "clicked"}
    with pytest.raises(
        SettingsError, match="the lists hold clicked_at, but not which of their items was clicked; name"
    ):
        read_mapped(folder, mapping(requests={"file": "lists.csv", **blind, "columns": columns}))


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "ndjson", "tsv"])
def test_every_format_gives_the_same_tables(folder: Path, tmp_path: Path, suffix: str) -> None:
    expected = read_mapped(folder)
    other = tmp_path / "other"
    other.mkdir()
    for name in ("items", "events", "requests"):
        frame: pl.DataFrame = getattr(expected, name)
        path = other / f"{name}.{suffix}"
        if suffix == "parquet":
            frame.write_parquet(path)
        elif suffix == "tsv":
            frame.write_csv(path, separator="\t")
        else:
            path.write_text("\n".join(json.dumps(row, default=str) for row in frame.to_dicts()))
    read = read_mapped(other)
    for name in ("items", "events", "requests"):
        assert_frame_equal(getattr(read, name), getattr(expected, name), check_dtypes=False)
    assert read.users is None


def test_a_mapping_renames_and_the_rest_passes(folder: Path) -> None:
    (folder / "goods.csv").write_text("sku;name;brand\n1;one;x\n2;two;y\n")
    goods = {"file": "goods.csv", "delimiter": ";", "columns": {"item_id": "sku", "title": "name", "text": "name"}}
    items = read_mapped(folder, mapping(items=goods)).items
    assert items.rows(named=True)[0] == {"item_id": 1, "title": "one", "text": "one", "brand": "x"}


def test_zone_and_format_of_times_come_from_the_mapping(folder: Path) -> None:
    (folder / "events.csv").write_text("user_id,item_id,timestamp,event\n7,1,1709294400,click\n")
    (folder / "requests.csv").write_text(REQUESTS.replace("2024-03-01T12:00:00Z", "01.03.2024 13:00"))
    data = read_mapped(
        folder,
        mapping(
            zone="Europe/Copenhagen", events={"time_format": "seconds"}, requests={"time_format": "%d.%m.%Y %H:%M"}
        ),
    )
    assert data.events["timestamp"].to_list() == [NOON]
    assert data.requests["timestamp"].to_list() == [NOON, NOON]


def test_wide_lists_become_candidates_in_the_order_shown(folder: Path) -> None:
    (folder / "requests.csv").write_text(LISTS)
    data = read_mapped(folder, mapping(requests=WIDE))
    assert data.requests.select("request_id", "user_id", "timestamp", "item_id", "label").rows() == [
        (5, 7, NOON, 1, 0), (5, 7, NOON, 2, 1), (5, 7, NOON, 3, 0), (6, 8, NOON, 3, 0), (6, 8, NOON, 1, 0),
    ]  # fmt: skip
    assert check_tables(data).ok


def test_wide_lists_may_be_real_lists(folder: Path) -> None:
    (folder / "requests.csv").unlink()
    lists = pl.DataFrame(
        {"request_id": [5], "user_id": [7], "timestamp": [NOON], "shown": [[1, 2]], "clicked": [[2, 9]]}
    )
    lists.write_parquet(folder / "requests.parquet")
    data = read_mapped(folder, mapping(requests={"candidates": "shown", "clicked": "clicked"}))
    assert data.requests.select("item_id", "label").rows() == [(1, 0), (2, 1)]
    assert data.about.notes == ("1 clicks on items that their list does not hold are left out.",)


def test_wide_lists_without_an_id_are_numbered(folder: Path) -> None:
    (folder / "requests.csv").write_text(LISTS)
    columns = {"user_id": "visitor", "timestamp": "at"}
    data = read_mapped(folder, mapping(requests={**WIDE, "columns": columns}))
    assert data.requests["request_id"].to_list() == [1, 1, 1, 2, 2]
    assert data.about.notes == ("The lists carry no id; request_id is their row number.",)


def test_ids_are_text_everywhere_as_soon_as_one_is(folder: Path) -> None:
    (folder / "items.csv").write_text(ITEMS.replace("3,007", "003,007"))
    data = read_mapped(folder)
    assert data.items["item_id"].to_list() == ["1", "2", "003"]
    assert data.requests["item_id"].to_list() == ["1", "2"]
    assert data.events["item_id"].to_list() == ["1", "2"]
    assert data.events["user_id"].to_list() == [7, 8]
    as_text = read_mapped(folder, mapping(id_type="string"))
    assert as_text.events["user_id"].to_list() == ["7", "8"]


def test_labels_may_come_from_events_later(folder: Path) -> None:
    frame = pl.read_csv(folder / "requests.csv").drop("label")
    frame.write_csv(folder / "requests.csv")
    data = read_mapped(folder)
    assert data.requests["label"].to_list() == [0, 0]
    assert data.about.notes == (
        "The requests carry no label: labels come from the events, through [labels] in the settings.",
    )
    (folder / "events.csv").unlink()
    with pytest.raises(DataError, match="no label and there is no table of events"):
        read_mapped(folder)


def test_events_may_be_absent_when_there_are_labels(folder: Path) -> None:
    (folder / "events.csv").unlink()
    data = read_mapped(folder)
    assert data.events.is_empty()
    assert data.events.columns == ["user_id", "item_id", "timestamp", "event"]
    assert data.about.notes == ("There is no table of events; what users did is known from the labels alone.",)
    assert check_tables(data).ok


@pytest.mark.parametrize(("no", "yes"), [("no", "yes"), ("No", "YES "), ("N", "Y"), ("false", "true"), ("f", "t")])
def test_answers_are_labels(folder: Path, no: str, yes: str) -> None:
    said = REQUESTS.replace(",0,phone", f",{no},phone").replace(",1,phone", f",{yes},phone")
    (folder / "requests.csv").write_text(said)
    assert read_mapped(folder).requests["label"].to_list() == [0, 1]


def test_answers_among_others_are_no_labels(folder: Path) -> None:
    (folder / "requests.csv").write_text(REQUESTS.replace(",0,phone", ",yes,phone").replace(",1,phone", ",maybe,phone"))
    with pytest.raises(DataError, match="column label, row 1: 'yes' is no number"):
        read_mapped(folder)


def test_whole_floats_are_taken_as_integers(folder: Path) -> None:
    (folder / "requests.csv").write_text(REQUESTS.replace(",0,phone", ",0.0,phone").replace("5,7,", "5.0,7.0,"))
    data = read_mapped(folder)
    assert data.requests["label"].to_list() == [0, 1]
    assert data.requests["request_id"].to_list() == [5, 5]
    frame = data.requests.with_columns(pl.lit(5.0).alias("request_id"), pl.lit(7.0).alias("user_id"))
    frame.write_parquet(folder / "lists.parquet")
    typed = read_mapped(folder, mapping(requests={"file": "lists.parquet"})).requests
    assert typed.select("request_id", "user_id").rows() == [(5, 7), (5, 7)]


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (("items.csv", None), {}, r"holds no items \(items\.parquet, items\.csv.*name the file with \[items\] file"),
        (("requests.csv", None), {}, "holds no requests"),
        (("items.jsonl", "{}"), {}, r"holds items\.csv and items\.jsonl; say which one with \[items\] file"),
        (None, {"items": {"file": "goods.csv"}}, r"goods\.csv, the file of \[items\], is not there"),
        (None, {"items": {"columns": {"title": "name"}}}, r"items\.csv has no column name; it has item_id, title"),
        (("events.csv", EVENTS.replace(",event", ",kind")), {}, r"events\.csv has no column event; it has user_id"),
        (("requests.csv", REQUESTS.replace("item_id", "sku")), {}, r"requests\.csv has no column item_id"),
        (None, {"items": {"columns": {"title": "stars"}}}, r"has a column title of its own besides stars, .*title_2 ="),
        (None, {"requests": {"candidates": "shown"}}, r"requests\.csv has no column shown"),
        (
            ("events.csv", EVENTS.replace("2024-03-01T10:00:00Z", "soon")),
            {},
            r"events\.csv, column timestamp, row 2: 'soon' is not a time",
        ),
        (("requests.csv", REQUESTS.replace(",1,phone", ",0.5,phone")), {}, "label, row 2: 0.5 is not a whole number"),
        (("items.csv", "item_id,title\n1,a,b,c\n"), {}, r"items\.csv cannot be read as csv"),
        (("items.csv", ""), {}, r"items\.csv cannot be read as csv"),
    ],
)  # fmt: skip
def test_says_what_is_wrong_and_where(
    folder: Path, change: tuple[str, str | None] | None, settings: dict[str, object], message: str
) -> None:
    if change is not None:
        name, text = change
        (folder / name).unlink(missing_ok=True)
        if text is not None:
            (folder / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_mapped(folder, mapping(**settings))


def test_refuses_lists_that_are_none(folder: Path) -> None:
    lists = pl.DataFrame({"request_id": [5], "user_id": [7], "timestamp": [NOON], "shown": [3], "clicked": ["3"]})
    lists.write_parquet(folder / "lists.parquet")
    with pytest.raises(DataError, match="column shown of the requests is Int64, neither text nor a list"):
        read_mapped(folder, mapping(requests={"file": "lists.parquet", "candidates": "shown"}))
    with pytest.raises(SettingsError, match="names clicked without candidates"):
        read_mapped(folder, mapping(requests={"file": "lists.parquet", "clicked": "clicked"}))


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_a_broken_file_is_refused(folder: Path, suffix: str) -> None:
    (folder / f"broken.{suffix}").write_bytes(b"PAR1 \xff\x00 {")
    with pytest.raises(DataError, match=f"broken.{suffix} cannot be read as (?i:{suffix})"):
        read_mapped(folder, mapping(items={"file": f"broken.{suffix}"}))


def test_counts_of_views_and_clicks_are_whole_numbers(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id,title\n1,one\n2,two\n")
    head = "request_id,user_id,timestamp,item_id,label,views,clicks\n5,7,2024-03-01,1,0,20.0,\n"
    (tmp_path / "requests.csv").write_text(head + "5,7,2024-03-01,2,1,30.0,4.0\n")
    requests = read_mapped(tmp_path).requests
    assert requests.select("views", "clicks").rows() == [(20, None), (30, 4)]
    assert requests.schema["views"] == requests.schema["clicks"] == pl.Int64
    (tmp_path / "requests.csv").write_text(head + "5,7,2024-03-01,2,1,30.5,4.0\n")
    with pytest.raises(DataError, match=r"requests\.csv, column views, row 2: 30\.5 is not a whole number"):
        read_mapped(tmp_path)


def test_decimal_commas_are_numbers_where_the_mapping_says_so(folder: Path) -> None:
    (folder / "items.csv").write_text('item_id;title;price\n1;one;"1.234,50"\n2;two;7\n3;x;0,5\n')
    items = read_mapped(folder, mapping(items={"delimiter": ";", "decimal": ","})).items
    assert items["price"].to_list() == [1234.5, 7.0, 0.5]


def test_one_kind_for_all_events_where_no_column_says_it(folder: Path) -> None:
    (folder / "events.csv").write_text("user_id,item_id,timestamp\n7,1,2024-03-01T11:00:00Z\n")
    assert read_mapped(folder, mapping(events={"event": "purchase"})).events["event"].to_list() == ["purchase"]


def test_columns_that_are_not_named_may_stay_away(folder: Path) -> None:
    goods = {"columns": {"item_id": "item_id", "title": "title"}, "others": False}
    assert read_mapped(folder, mapping(items=goods)).items.columns == ["item_id", "title"]


def test_a_tidy_import_leaves_out_what_the_check_would_refuse_and_counts_it(folder: Path) -> None:
    (folder / "items.csv").write_text(ITEMS + "1,again,1,true\n,nobody,1,true\n")
    (folder / "events.csv").write_text(EVENTS + ",1,2024-03-01T11:00:00Z,view,\n7,1,2024-03-01T11:00:00Z, ,\n")
    (folder / "requests.csv").write_text(REQUESTS + "5,7,2024-03-01T12:00:00Z,2,0,phone\n")
    assert not check_tables(read_mapped(folder)).ok
    data = read_mapped(folder, mapping(tidy=True))
    assert check_tables(data).ok
    assert (data.items["title"].to_list(), len(data.events), data.requests["label"].to_list()) == (
        ["one", "two", "007"], 2, [0, 1],
    )  # fmt: skip
    assert data.about.notes == (
        "1 rows of items lack item_id and are left out.",
        "1 rows of items repeat item_id; the first of each is kept.",
        "2 rows of events lack user_id or item_id or timestamp or event and are left out.",
        "1 rows of requests repeat request_id and item_id; the first of each is kept.",
    )


def test_items_that_only_behaviour_holds_are_added(folder: Path) -> None:
    (folder / "items.csv").write_text("item_id,title\n1,one\n")
    data = read_mapped(folder, mapping(items={"from_ids": True}))
    assert data.items.rows() == [(1, "one"), (2, None)]
    assert data.about.notes == ("1 items are seen in behaviour only; they are added without text.",)
    (folder / "items.csv").unlink()
    data = read_mapped(folder, mapping(items={"from_ids": True}))
    assert data.items.rows() == [(1, "1"), (2, "2")]
    assert data.about.notes == ("There is no table of items; it is made of the ids that were seen, and holds no text.",)
    assert check_tables(data).ok


def test_events_become_sampled_lists_where_the_mapping_says_so(folder: Path) -> None:
    (folder / "requests.csv").unlink()
    later = "7,2,2024-03-02T12:00:00Z,click,\n8,1,2024-03-02T12:00:00Z,click,\n"
    (folder / "events.csv").write_text(EVENTS + later)
    data = read_mapped(folder, mapping(requests={"sampled_from": "click", "negatives": 1}))
    assert data.requests.rows() == [
        (1, 7, NOON + timedelta(days=1), 1, 0, None), (1, 7, NOON + timedelta(days=1), 2, 1, NOON + timedelta(days=1)),
        (2, 8, NOON + timedelta(days=1), 1, 1, NOON + timedelta(days=1)), (2, 8, NOON + timedelta(days=1), 2, 0, None),
    ]  # fmt: skip
    assert data.requests.columns[-1] == "clicked_at"  # a choice is known when it happens
    assert data.about.sampled
    assert data.about.first_shown == any("available_at is the first event of" in note for note in data.about.notes)
    assert data.about.notes[0] == SAMPLED
    assert check_tables(data).ok
    data.write(folder / "data")
    assert Dataset.read(folder / "data").about == data.about


def test_objects_of_json_are_left_out_with_a_note(folder: Path) -> None:
    (folder / "items.csv").unlink()
    rows = [
        {"item_id": n, "title": f"t{n}", "maker": {"name": "x"}, "parts": [{"a": 1}], "tags": ["y"]} for n in (1, 2)
    ]
    (folder / "items.json").write_text(json.dumps(rows))
    data = read_mapped(folder)
    assert data.items.columns == ["item_id", "title", "tags"]
    assert data.about.notes == ("items holds objects in maker, parts; these columns are left out.",)


def test_rows_and_columns_that_are_not_wanted_are_left_out_and_counted(folder: Path) -> None:
    (folder / "events.csv").write_text(
        "user_id,item_id,timestamp,event,status,mail\n"
        + "".join(
            f"7,a,2024-01-01T0{n}:00:00Z,buy,{state},m@x.org\n" for n, state in enumerate(["paid", "void", "paid"])
        )
    )
    data = read_mapped(folder, mapping(events={"where": {"status": ["paid"]}, "without": ["mail"]}))
    assert data.events["status"].to_list() == ["paid", "paid"]
    assert "mail" not in data.events.columns
    assert "events.csv: 1 rows whose status is not paid are left out." in data.about.notes
    with pytest.raises(
        DataError, match=r"events.csv: no row has 'open' in status, as `where` .* it holds 'paid', 'void'"
    ):
        read_mapped(folder, mapping(events={"where": {"status": ["open"]}}))
    with pytest.raises(DataError, match=r"events\.csv has no column phone"):
        read_mapped(folder, mapping(events={"without": ["phone"]}))


@pytest.mark.parametrize(
    ("ids", "read", "said"),
    [
        (["12.0", "13.0", ""], [12, 13, None], "ids are written as '12.0' and read as whole numbers"),
        (["12", "NULL", "14"], [12, None, 14], "1 cells such as 'NULL' are read as missing"),
        (["k1", "\\N", " k2 "], ["k1", None, "k2"], r"1 cells such as '\\N' are read as missing"),
        (["1840000000000000007", "-", "2"], [1840000000000000007, None, 2], "1 cells such as '-' are read as missing"),
        (["18400000000000000070", "2", "3"], ["18400000000000000070", "2", "3"], ""),
    ],
)
def test_ids_in_text_files_are_what_they_mean(folder: Path, ids, read, said) -> None:
    lines = [f"{user},a,2024-01-01T0{n}:00:00Z,view" for n, user in enumerate(ids)]
    (folder / "events.csv").write_text("user_id,item_id,timestamp,event\n" + "\n".join(lines))
    shown = next(each for each in read if each is not None)
    lists = REQUESTS.splitlines()
    (folder / "requests.csv").write_text(
        "\n".join([lists[0], *(line.replace("7", str(shown), 1) for line in lists[1:])])
    )
    data = read_mapped(folder)
    assert data.events["user_id"].to_list() == read
    assert not said or any(said in note for note in data.about.notes)


def test_numbers_and_missing_values_are_what_the_mapping_says(folder: Path) -> None:
    (folder / "items.csv").write_text("item_id,title,price,tone\na,Aha here,1.50,NONE\nb,Bee there,1.5,x\n")
    (folder / "requests.csv").write_text(REQUESTS)
    data = read_mapped(folder, mapping(items={"numbers": {"price": "1234.5"}, "missing": ["NONE"]}))
    assert data.items["price"].to_list()[:2] == [1.5, 1.5]
    assert data.items["tone"].to_list()[:2] == [None, "x"]
    kept = read_mapped(folder)
    assert kept.items["price"].to_list()[:2] == ["1.50", "1.5"]
    assert any("'1.50' and '1.5' would be one number" in note for note in kept.about.notes)


def test_ids_are_one_in_spite_of_what_the_mapping_names(folder: Path) -> None:
    (folder / "items.csv").write_text("item_id,title\nAB,Aha here\n007,Bee there\n")
    (folder / "requests.csv").write_text(REQUESTS.replace("Z,1,", "Z,ab,").replace("Z,2,", "Z,7,"))
    data = read_mapped(folder, mapping(ids={"item_id": ["case", "zeros"]}))
    assert data.items["item_id"].to_list() == ["ab", "7"]
    assert data.requests["item_id"].to_list() == ["ab", "7"]
    assert read_mapped(folder).items["item_id"].to_list() == ["AB", "007"]


def test_what_the_mapping_says_of_texts_holds_in_files_that_know_numbers_too(folder: Path) -> None:
    (folder / "items.csv").unlink()
    (folder / "items.jsonl").write_text(
        '{"item_id": "a", "title": "Aha", "price": "1.50", "tone": "NONE"}\n{"item_id": "b", "title": "NULL", "price": "2"}\n'
    )
    told = {"numbers": {"price": "1234.5"}, "missing": ["NONE"]}
    items = read_mapped(folder, mapping(items=told)).items
    assert items["price"].to_list()[:2] == [1.5, 2.0]
    assert items["tone"].to_list()[:2] == [None, None]
    untold = read_mapped(folder).items
    assert untold["price"].to_list()[:2] == ["1.50", "2"]
    assert untold["title"].to_list()[:2] == ["Aha", "NULL"]


def test_texts_that_stand_for_nothing_do_so_among_ids_and_moments(folder: Path) -> None:
    (folder / "items.csv").write_text("item_id,title,available_at\na,Aha here,soon\nb,Bee there,2024-01-01\n")
    (folder / "events.csv").write_text(
        "user_id,item_id,timestamp,event\n7,a,2024-01-01T00:00:00Z,view\nguest,a,2024-01-01T01:00:00Z,view\n"
    )
    data = read_mapped(folder, mapping(items={"missing": ["soon"]}, events={"missing": ["guest"]}))
    assert data.items["available_at"].is_null().to_list()[:2] == [True, False]
    assert data.events["user_id"].null_count() == 1
    assert any("cells such as 'guest' are read as missing" in note for note in data.about.notes)


@pytest.mark.parametrize("name", ["*", "**", "^item"])
def test_a_name_that_polars_takes_for_a_pattern_is_a_name(folder: Path, name: str) -> None:
    (folder / "items.csv").write_text(ITEMS.replace("stars", name))
    plain, kept = read_mapped(folder).items, ["item_id", "title", "listed"]
    assert plain.columns == ["item_id", "title", name, "listed"]
    assert read_mapped(folder, mapping(items={"without": [name]})).items.equals(plain[kept])
    columns = {"item_id": "item_id", "stars": name}
    assert read_mapped(folder, mapping(items={"columns": columns, "others": False})).items.columns == list(columns)
    (folder / "requests.csv").write_text(LISTS.replace("shown", name))
    wide = WIDE | {"candidates": name}
    assert read_mapped(folder, mapping(requests=wide)).requests["item_id"].to_list() == [1, 2, 3, 3, 1]


def test_items_that_are_there_in_another_spelling_are_not_added_without_text(folder: Path) -> None:
    (folder / "items.csv").write_text("item_id,title\nSKU-1,one\nSKU-2,two\n")
    for name in ("events.csv", "requests.csv"):
        head, *rows = (folder / name).read_text().splitlines()
        place = head.split(",").index("item_id")
        cells = [row.split(",") for row in rows]
        lines = [",".join([*row[:place], f"sku-{row[place]}", *row[place + 1 :]]) for row in cells]
        (folder / name).write_text("\n".join([head, *lines]) + "\n")
    words = r"would be ids of items but for case: 'sku-1' here is 'SKU-1' there.*import with `\[ids\] item_id = "
    with pytest.raises(DataError, match=words):
        read_mapped(folder, mapping(items={"from_ids": True}))
    told = read_mapped(folder, mapping(items={"from_ids": True}, ids={"item_id": ["case"]}))
    assert told.items["title"].to_list() == ["one", "two"]


def test_a_header_that_was_not_cut_is_told_from_a_column_that_is_not_there(folder: Path) -> None:
    (folder / "items.csv").write_text("item_id;title\n1;one\n")
    with pytest.raises(DataError, match="the header is one column, so set delimiter = ';' in the mapping"):
        read_mapped(folder)
    (folder / "items.csv").write_text("item_di,title\n1,one\n")
    with pytest.raises(DataError, match="it has item_di, title; did you mean item_di\\?; name theirs in the mapping"):
        read_mapped(folder)
