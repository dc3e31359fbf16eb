import pytest

from recsys.init import words


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("userId", "USER"), ("customer_id", "USER"), ("Kundennummer", "USER"), ("visitorid", "USER"), ("CustomerID", "USER"),
        ("id_utilisateur", "USER"), ("movieId", "ITEM"), ("Artikelnr", "ITEM"), ("StockCode", "ITEM"), ("product_id", "ITEM"),
        ("id_producto", "ITEM"), ("Bestelldatum", "TIME"), ("InvoiceDate", "TIME"), ("played_at", "TIME"), ("ts", "TIME"),
        ("fecha", "TIME"), ("impression_id", "REQUEST"), ("Bestellnummer", "ORDER"), ("event_type", "KIND"),
        ("Einzelpreis", "VALUE"), ("Menge", "VALUE"), ("Bezeichnung", "TITLE"), ("Produktname", "TITLE"),
        ("Beschreibung", "TEXT"), ("Warengruppe", "CATEGORY"), ("device_type", "CONTEXT"), ("article_ids_inview", "SHOWN"),
        ("article_ids_clicked", "LABEL"), ("veröffentlicht", "AVAILABLE"), ("angelegt_am", "AVAILABLE"), ("Warenwert", "VALUE"),
        ("Suchbegriff", "QUERY"),
    ],
)  # fmt: skip
def test_names_sound_like_what_they_mean(name: str, meaning: str) -> None:
    assert words.likeness(name, getattr(words, meaning)) > 0


def test_other_names_do_not() -> None:
    for name in ("rating", "colour", "x", "", "?", "postcode"):
        assert words.likeness(name, words.USER) == words.likeness(name, words.TIME) == 0, name


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("transaction", "purchase"), ("addtocart", "cart"), ("view", "view"), ("page_view", "view"), ("Bestellungen", "purchase"),
        ("ratings", "rating"), ("plays", "click"), ("orders_2024", "purchase"), ("køb", "purchase"), ("something", None),
    ],
)  # fmt: skip
def test_kinds_of_events_are_known_in_several_languages(name: str, kind: str | None) -> None:
    assert words.kind_of(name) == kind


def test_names_of_ids_are_told_from_others() -> None:
    assert all(
        map(words.sounds_like_id, ["id", "userId", "Artikelnr", "StockCode", "uid", "user_uuid", "Kundennummer"])
    )
    assert not any(map(words.sounds_like_id, ["rating", "", "title", "datum"]))


def test_the_name_most_alike_comes_first() -> None:
    assert words.most_like(["order date", "x", "timestamp", "Bestelldatum"], words.TIME) == [
        "timestamp",
        "order date",
        "Bestelldatum",
    ]
