import tomllib
from pathlib import Path
from typing import Any

import pytest

from recsys.data.importers import Mapping
from recsys.init.mapping import mapping_sections
from recsys.init.samples import read_samples
from recsys.init.tables import Talk, choose_tables
from recsys.init.toml import write_toml
from recsys.shown import plain

EXPECTED: dict[str, dict[str, Any]] = {
    "german": {
        "items": {
            "file": "artikel.csv",
            "delimiter": ";",
            "decimal": ",",
            "encoding": "cp1252",
            "from_ids": True,
            "columns": {"item_id": "Artikelnr", "title": "Bezeichnung"},
        },
        "events": {
            "file": "bestellungen.csv",
            "delimiter": ";",
            "decimal": ",",
            "time_format": "%d.%m.%Y %H:%M",
            "event": "purchase",
            "columns": {
                "user_id": "Kundennummer",
                "timestamp": "Bestelldatum",
                "item_id": "Artikelnr",
                "value": "Menge",
            },
        },
        "requests": {"sampled_from": "purchase", "negatives": 20, "seed": 7, "context": ["Kanal"]},
    },
    "clicklog": {
        "items": {"from_ids": True},
        "events": {
            "file": "log.jsonl",
            "time_format": "milliseconds",
            "columns": {"user_id": "visitorId", "timestamp": "ts", "item_id": "itemId", "event": "event"},
        },
        "requests": {"sampled_from": "transaction", "negatives": 20, "seed": 7, "context": ["device"]},
    },
    "radio": {
        "items": {
            "file": "catalog.tsv",
            "delimiter": "\t",
            "from_ids": True,
            "columns": {"item_id": "id", "title": "name", "available_at": "released"},
        },
        "events": {
            "file": "plays.csv",
            "delimiter": ",",
            "event": "click",
            "columns": {"user_id": "uid", "timestamp": "played_at", "item_id": "song_id", "value": "seconds"},
        },
        "requests": {"sampled_from": "click", "negatives": 20, "seed": 7},
        "users": {"file": "people/users.csv", "delimiter": ",", "columns": {"user_id": "uid"}},
    },
    "films": {
        "items": {
            "file": "movies.csv",
            "delimiter": ",",
            "from_ids": True,
            "columns": {"item_id": "movieId", "title": "title"},
        },
        "events": {
            "file": "ratings.csv",
            "delimiter": ",",
            "time_format": "seconds",
            "event": "rating",
            "columns": {"user_id": "userId", "timestamp": "timestamp", "item_id": "movieId", "value": "rating"},
        },
        "requests": {"sampled_from": "rating", "least": 2.5, "negatives": 20, "seed": 7},
    },
    "retail": {
        "items": {
            "file": "online_retail.csv",
            "delimiter": ",",
            "from_ids": True,
            "others": False,
            "columns": {"item_id": "StockCode", "title": "Description"},
        },
        "events": {
            "file": "online_retail.csv",
            "delimiter": ",",
            "time_format": "%m/%d/%Y %H:%M",
            "event": "purchase",
            "columns": {
                "user_id": "CustomerID",
                "timestamp": "InvoiceDate",
                "item_id": "StockCode",
                "value": "Quantity",
            },
        },
        "requests": {"sampled_from": "purchase", "negatives": 20, "seed": 7, "context": ["Country"]},
    },
    "news": {
        "items": {
            "file": "articles.parquet",
            "from_ids": True,
            "columns": {"item_id": "article_id", "title": "title"},
        },
        "requests": {
            "file": "behaviors.parquet",
            "candidates": "article_ids_inview",
            "clicked": "article_ids_clicked",
            "columns": {"request_id": "impression_id", "user_id": "user_id", "timestamp": "impression_time"},
        },
    },
}


def guessed(*paths: Path, root: Path) -> tuple[dict[str, Any], Talk]:
    talk = Talk()
    tables = choose_tables(read_samples(paths), talk)
    content = tomllib.loads(write_toml("", mapping_sections(tables, root, talk)))
    Mapping.model_validate(content)
    return content, talk


@pytest.mark.parametrize("name", EXPECTED)
def test_every_shop_gets_the_mapping_that_a_person_would_write(shop, name: str) -> None:
    folder = shop(name)
    extra = [folder / "people"] if name == "radio" else []
    content, _ = guessed(folder, *extra, root=folder)
    assert content == {"zone": "UTC", "tidy": True, **EXPECTED[name]}


def test_moments_without_a_zone_and_days_that_may_be_months_are_doubted(shop, tmp_path: Path) -> None:
    rows = [f"u{row % 5},i{row % 4},0{1 + row % 9}/0{1 + row % 8}/2024" for row in range(60)]
    (tmp_path / "log.csv").write_text("\n".join(["user,item,day", *rows]))
    content, talk = guessed(tmp_path / "log.csv", root=tmp_path)
    assert content["events"]["time_format"] == "%d/%m/%Y"
    doubts = "\n".join(talk.doubts)
    assert "log.csv: moments are written without a zone and taken as UTC; set zone in the mapping" in doubts
    assert "log.csv: days and months of day cannot be told apart; the day is taken to come first." in doubts
    assert "log.csv: nothing says what kind of event its rows are; they are called clicks." in doubts
    _, talk = guessed(shop("films"), root=tmp_path)
    assert not any("zone" in doubt for doubt in talk.doubts)


def test_a_date_after_the_events_is_not_when_items_came_out(shop, tmp_path: Path) -> None:
    folder = shop("radio")
    late = (folder / "catalog.tsv").read_text().replace("\t2023-", "\t2029-")
    (folder / "catalog.tsv").write_text(late)
    content, talk = guessed(folder, root=folder)
    assert "available_at" not in content["items"]["columns"]
    assert "catalog.tsv: released is not when items came out; many events are older." in talk.doubts


def test_columns_called_as_ours_that_are_something_else_get_another_name(tmp_path: Path) -> None:
    header = "customer,product,bought at,timestamp,event,value,title"
    rows = [f"u{row % 5},i{row % 4},2024-01-{1 + row % 28:02},x{row},{row},cheap,A b c" for row in range(60)]
    (tmp_path / "orders.csv").write_text("\n".join([header, *rows]))
    content, _ = guessed(tmp_path / "orders.csv", root=tmp_path)
    columns = content["events"]["columns"]
    assert {name: columns[name] for name in ("timestamp", "timestamp_2", "event_2", "value_2")} == {
        "timestamp": "bought at", "timestamp_2": "timestamp", "event_2": "event", "value_2": "value",
    }  # fmt: skip


@pytest.mark.parametrize("answers", [("0", "1"), ("no", "yes")])
def test_long_lists_are_mapped_with_label_and_position(tmp_path: Path, answers: tuple[str, str]) -> None:
    rows = [
        f"{row // 3},{row // 9},{row % 7},2024-01-01T00:{row // 3:02}:00Z,{answers[row % 3 == 0]},{1 + row % 3}"
        for row in range(90)
    ]
    (tmp_path / "log.csv").write_text("\n".join(["search_id,user_id,product_id,time,clicked,slot", *rows]))
    content, talk = guessed(tmp_path / "log.csv", root=tmp_path)
    assert content["requests"]["columns"] == {
        "request_id": "search_id", "user_id": "user_id", "timestamp": "time", "item_id": "product_id", "label": "clicked",
        "position": "slot",
    }  # fmt: skip
    assert "requests: lists were logged, so none are sampled." in talk.said


def test_goods_without_text_get_their_id_as_a_title(tmp_path: Path) -> None:
    (tmp_path / "goods.csv").write_text("sku,price\n" + "".join(f"i{n},{n}.5\n" for n in range(4)))
    rows = [f"u{row % 5},i{row % 4},2024-01-{1 + row % 28:02}" for row in range(60)]
    (tmp_path / "orders.csv").write_text("\n".join(["user,sku,time", *rows]))
    content, talk = guessed(tmp_path, root=tmp_path)
    assert content["items"]["columns"] == {"item_id": "sku"}
    assert "text: goods.csv holds none, so the id is the title; text will not help." in talk.said


def test_what_events_say_of_items_becomes_the_catalogue(tmp_path: Path) -> None:
    header = "event_time,event_type,product_id,category_code,brand,price,user_id,user_session"
    rows = [
        f"2019-10-{1 + row % 28:02} 00:00:{row % 60:02} UTC,{['view', 'purchase'][row % 2]},{row % 7},kind.{row % 7 % 3},"
        f"brand{row % 7 % 2},{row}.5,{row % 9},s{row}"
        for row in range(200)
    ]
    (tmp_path / "2019-Oct.csv").write_text("\n".join([header, *rows]))
    content, talk = guessed(tmp_path, root=tmp_path)
    assert content["items"] == {
        "file": "2019-Oct.csv", "delimiter": ",", "from_ids": True, "others": False,
        "columns": {"item_id": "product_id", "brand": "brand", "category_code": "category_code"},
    }  # fmt: skip
    assert "time_format" not in content["events"]
    assert content["requests"]["sampled_from"] == "purchase"
    assert "items: 2019-Oct.csv too, since it says what they are (brand, category_code)." in talk.said


def mapped(folder, **files):
    """Write files, and read the mapping that is guessed for them."""
    for name, lines in files.items():
        (folder / f"{name}.csv").write_text("\n".join(lines))
    samples, talk = read_samples([folder]), Talk()
    content = tomllib.loads(write_toml("", mapping_sections(choose_tables(samples, talk), folder, talk)))
    Mapping.model_validate(content)
    return content, talk


def orders(states, mail="customer"):
    head = f"order_date,{mail},sku,status,phone"
    rows = (
        f"2025-03-{1 + n % 28:02} 08:00,{'c' if mail == 'customer' else ''}{n % 9}{'@x.org' if mail == 'email' else ''},"
        f"A{n % 7},{states[n % len(states)]},+49 {n % 9}55"
        for n in range(200)
    )
    return [head, *rows]


@pytest.mark.parametrize(
    ("states", "kept"),
    [
        (["paid", "cancelled", "paid"], ["paid"]),
        (["shipped", "returned", "open", "Refunded"], ["open", "shipped"]),
        (["bezahlt", "storniert"], ["bezahlt"]),
        (["new", "old"], None),
    ],
)
def test_what_was_cancelled_or_returned_is_no_choice(tmp_path, states, kept):
    content, _ = mapped(tmp_path, orders=orders(states))
    assert content["events"].get("where") == (kept and {"status": kept})


def test_personal_columns_are_left_out_and_an_id_stays(tmp_path):
    content, _ = mapped(tmp_path, orders=orders(["paid"]))
    assert content["events"]["without"] == ["phone"]
    (tmp_path / "b").mkdir()
    content, _ = mapped(tmp_path / "b", orders=orders(["paid"], mail="email"))
    assert content["events"]["columns"]["user_id"] == "email"
    assert content["events"]["without"] == ["phone"]


@pytest.mark.parametrize(
    ("theirs", "ours", "differences"),
    [("0{}", "{}", ["zeros"]), ("AB-{}", "ab-{}", ["case"]), ("{}.0", "{}", None), ("x{} ", "x{}", ["blanks"])],
)
def test_ids_that_only_their_spelling_keeps_apart_are_one(tmp_path, theirs, ours, differences):
    goods = ["sku,name", *(f'"{theirs.format(1000 + n)}",Garden chair number {n} in oak' for n in range(20))]
    bought = ["customer,sku,ordered_at"]
    bought += [f"k{n % 9},{ours.format(1000 + n % 20)},2025-03-01 {n % 24:02}:{n % 60:02}" for n in range(200)]
    content, talk = mapped(tmp_path, products=goods, orders=bought)
    assert content["items"]["file"] == "products.csv"
    assert content.get("ids", {}).get("item_id") == differences
    assert any("see [ids] in the mapping" in doubt for doubt in talk.doubts) == (differences is not None)


def test_products_whose_ids_do_not_meet_are_shown_with_those_of_behaviour(tmp_path):
    goods = ["sku,name", *(f"Z{n},Garden chair number {n} in oak" for n in range(20))]
    bought = ["customer,article,ordered_at", *(f"k{n % 9},{5 + n % 20},2025-03-01 {n % 24:02}:00" for n in range(200))]
    _, talk = mapped(tmp_path, products=goods, orders=bought)
    (doubt,) = (doubt for doubt in talk.doubts if doubt.startswith("products.csv is not used"))
    assert "its sku, such as 'Z0', 'Z1', holds 0% of the items of behaviour, such as '10', '11'" in doubt


@pytest.mark.parametrize("clicked", ["clicked", "geklickt"])
def test_lists_of_numbers_of_which_one_is_clicked_are_lists(tmp_path, clicked):
    shown = "shown" if clicked == "clicked" else "gezeigt"
    rows = [f"u{n % 7},2025-03-01 {n % 24:02}:{n % 60:02},{100 + n} {101 + n} {102 + n},{101 + n}" for n in range(100)]
    goods = ["item_id,title", *(f"{100 + n},Garden thing {n} in oak" for n in range(110))]
    content, _ = mapped(tmp_path, lists=[f"user,time,{shown},{clicked}", *rows], goods=goods)
    assert content["requests"]["candidates"] == shown
    assert content["requests"]["clicked"] == clicked


VERSIONS = {
    "german": ("Gültig ab", "%d.%m.%Y %H:%M", "02.01.2024 08:00", "09.01.2024 12:30"),
    "films": ("updated_at", "iso", "2024-01-02T08:00:00Z", "2024-01-09T12:30:00Z"),
    "radio": ("valid from", "iso", "2024-01-02", "2024-01-09"),
}


@pytest.mark.parametrize("name", VERSIONS)
def test_a_catalogue_may_hold_several_rows_of_an_item_and_since_when_each_is_known(shop, name: str) -> None:
    since, time_format, first, second = VERSIONS[name]
    folder = shop(name)
    file, encoding = folder / EXPECTED[name]["items"]["file"], "cp1252" if name == "german" else "utf-8"
    header, *rows = file.read_text(encoding).splitlines()
    mark = EXPECTED[name]["items"]["delimiter"]
    lines = [
        f"{header}{mark}{since}",
        *(f"{row}{mark}{first}" for row in rows),
        *(f"{row}{mark}{second}" for row in rows),
    ]
    file.write_text("\n".join(lines), encoding)
    content, talk = guessed(folder, root=folder)
    columns = EXPECTED[name]["items"]["columns"] | {"known_at": since}
    assert content["items"]["columns"] == columns
    assert content["items"].get("time_format", "iso") == time_format
    assert any(
        f"{file.name} holds versions of an id, each known since its {plain(since)}" in line for line in talk.said
    )


def test_users_may_have_versions_too_and_lines_of_orders_are_none(shop) -> None:
    folder = shop("radio")
    file = folder / "people/users.csv"
    header, *rows = file.read_text().splitlines()
    file.write_text("\n".join([f"{header},modified", *(f"{row},2024-01-0{day}" for day in (1, 5) for row in rows)]))
    content, _ = guessed(folder, folder / "people", root=folder)
    assert content["users"]["columns"] == {"user_id": "uid", "known_at": "modified"}
    (sample,) = read_samples([shop("german") / "bestellungen.csv"])
    assert sample.versions == {}
