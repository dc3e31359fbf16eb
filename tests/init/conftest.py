"""Invented shops, each with files that somebody could have."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

START = datetime(2024, 1, 3, tzinfo=UTC)
WORDS = "sea boat fish sail code bug test type goal ball team cup bread salt oven dough".split()  # noqa: SIM905

Shop = Callable[[str], Path]


def german(folder: Path, draw: random.Random) -> None:
    """Semicolons, decimal commas, cp1252, several lines per order, guests without a number, goods no longer listed."""
    goods = ["Artikelnr;Bezeichnung;Beschreibung;Warengruppe;Preis"]
    for number in range(1, 41):
        group = draw.choice(["Küche", "Büro", "Garten"])
        goods.append(
            f"A{number:03};{text(draw, 3)} Größe {number};{text(draw, 8)};{group};{draw.randint(5, 90)},{draw.randint(10, 99)}"
        )
    lines = ["Bestellnummer;Kundennummer;Artikelnr;Bestelldatum;Menge;Einzelpreis;Kanal"]
    for order in range(300):
        at = START + timedelta(minutes=order * 80)
        user = "" if order % 20 == 0 else f"K{draw.randint(1, 30)}"
        channel = draw.choice(["Web", "App"])
        for number in draw.sample(range(1, 43), draw.randint(1, 3)):
            price = f"{draw.randint(5, 90)},{draw.randint(10, 99)}"
            lines.append(f"{order};{user};A{number:03};{at:%d.%m.%Y %H:%M};{draw.randint(1, 3)};{price};{channel}")
    (folder / "artikel.csv").write_text("\n".join(goods), encoding="cp1252")
    (folder / "bestellungen.csv").write_text("\n".join(lines), encoding="cp1252")


def clicklog(folder: Path, draw: random.Random) -> None:
    """JSON lines with milliseconds since 1970 and no items at all."""
    kinds = ["view"] * 6 + ["addtocart"] * 2 + ["transaction"] * 2
    rows = [
        {
            "visitorId": f"v{draw.randint(1, 30)}",
            "itemId": draw.randint(100, 140),
            "ts": int((START + timedelta(minutes=20 * number)).timestamp() * 1000),
            "event": draw.choice(kinds),
            "device": draw.choice(["phone", "desktop"]),
        }
        for number in range(1_500)
    ]
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))


def radio(folder: Path, draw: random.Random) -> None:
    """Users with ages, items with a day of release, in different folders."""
    users = [
        "uid,age,city",
        *(f"{user},{draw.randint(16, 80)},{draw.choice(['Oslo', 'Bergen'])}" for user in range(1, 41)),
    ]
    songs = ["id\tname\tgenre\treleased"]
    songs += [f"{song}\t{text(draw, 4)}\t{draw.choice('abc')}\t2023-0{draw.randint(1, 9)}-11" for song in range(1, 61)]
    plays = ["uid,song_id,played_at,seconds"]
    for number in range(900):
        at = (START + timedelta(minutes=30 * number)).isoformat()
        plays.append(f"{draw.randint(1, 40)},{draw.randint(1, 60)},{at},{draw.randint(5, 300)}")
    (folder / "people").mkdir()
    (folder / "people/users.csv").write_text("\n".join(users))
    (folder / "catalog.tsv").write_text("\n".join(songs))
    (folder / "plays.csv").write_text("\n".join(plays))


def films(folder: Path, draw: random.Random) -> None:
    """The columns of MovieLens: ratings, films, tags, and links that say nothing."""
    ratings, tags = ["userId,movieId,rating,timestamp"], ["userId,movieId,tag,timestamp"]
    for number in range(900):
        at = int(START.timestamp()) + 3_600 * number
        ratings.append(f"{draw.randint(1, 30)},{draw.randint(1, 60)},{draw.randint(1, 10) / 2},{at}")
        tags += [f"{draw.randint(1, 30)},{draw.randint(1, 60)},{draw.choice(WORDS)} tag,{at}"] * (number % 9 == 0)
    movies = [
        "movieId,title,genres",
        *(f"{film},{text(draw, 2)} ({1990 + film % 9}),{draw.choice(['A|B', 'B', 'C|A'])}" for film in range(1, 61)),
    ]
    links = ["movieId,imdbId,tmdbId", *(f"{film},0{film + 100000},{film + 700}" for film in range(1, 61))]
    for name, lines in (("ratings", ratings), ("tags", tags), ("movies", movies), ("links", links)):
        (folder / f"{name}.csv").write_text("\n".join(lines))


def retail(folder: Path, draw: random.Random) -> None:
    """One file for all: invoices whose lines say what the goods are called; months first."""
    lines = ["InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"]
    names = {code: text(draw, 3).upper() for code in range(85_000, 85_040)}
    for invoice in range(400):
        at = START + timedelta(hours=3 * invoice)
        user, country = draw.choice(["", "12001", "12002", "12003", "12004"]), draw.choice(["France", "Spain"])
        for code in draw.sample(sorted(names), draw.randint(1, 4)):
            when = f"{at.month}/{at.day}/{at.year} {at.hour}:{at.minute:02}"
            lines.append(
                f"{536_000 + invoice},{code},{names[code]},{draw.randint(1, 9)},{when},{draw.random() * 9:.2f},{user},{country}"
            )
    (folder / "online_retail.csv").write_text("\n".join(lines))


def news(folder: Path, draw: random.Random) -> None:
    """Whole lists as Parquet, with columns recorded later, and a history in which a row is a user."""
    rows = []
    for number in range(600):
        shown = draw.sample(range(1, 61), draw.randint(3, 6))
        rows.append(
            {
                "impression_id": 10_000 + number,
                "article_id": draw.choice([None, draw.randint(1, 60)]),
                "impression_time": (START + timedelta(minutes=12 * number)).replace(tzinfo=None),
                "read_time": draw.random() * 60,
                "device_type": draw.randint(1, 3),
                "article_ids_inview": shown,
                "article_ids_clicked": [draw.choice(shown)],
                "user_id": draw.randint(1, 40),
                "next_read_time": draw.random() * 60,
            }
        )
    pl.DataFrame(rows).write_parquet(folder / "behaviors.parquet")
    articles = [
        {"article_id": n, "category": draw.choice(WORDS[:4]), "title": text(draw, 5), "abstract": text(draw, 9)}
        for n in range(1, 61)
    ]
    pl.DataFrame(articles).write_parquet(folder / "articles.parquet")
    history = {"user_id": list(range(1, 41)), "impression_time_fixed": [[START.replace(tzinfo=None)]] * 40}
    pl.DataFrame(history).write_parquet(folder / "history.parquet")


SHOPS = {shop.__name__: shop for shop in (german, clicklog, radio, films, retail, news)}


def text(draw: random.Random, words: int) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(words))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Write a shop of `SHOPS` and give its folder."""

    def write(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        SHOPS[name](folder, random.Random(5))
        return folder

    return write
