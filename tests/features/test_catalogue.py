import re
from datetime import timedelta

import pytest

from recsys.features.catalogue import to_html
from recsys.features.columns import COMPARISONS
from recsys.features.definitions import Count
from recsys.features.plan import feature_names, plan
from recsys.features.settings import FAMILIES, FeatureSettings, declare

EVERYTHING = FeatureSettings(
    affinity=("category", "author"),
    numbers=("price",),
    users=("age",),
    events=("like",),
    values=("read", "click"),
    context=("device",),
    scores=("retrieval",),
    declarations=(Count("like", ("user", "category"), timedelta(days=7)),),
)
HOSTILE = "<script>alert('x')</script>\" onload=\"y & z"


@pytest.mark.parametrize(
    "settings",
    [
        EVERYTHING,
        FeatureSettings(),
        FeatureSettings(families=()),
        FeatureSettings(families=("context", "popularity"), affinity=("category",), context=("device",), windows=()),
        *(EVERYTHING.model_copy(update={"families": (family,)}) for family in FAMILIES),
    ],
)
def test_no_column_of_the_table_is_left_out(settings) -> None:
    assert [name for column in plan(settings) for name in column.columns] == feature_names(settings)


def test_features_stand_under_their_family_and_say_what_they_are() -> None:
    entries = {entry.name: entry for entry in plan(EVERYTHING)}
    families = list(dict.fromkeys(entry.family for entry in entries.values()))
    assert families == [*FAMILIES[:-2], "declarations", "scores", "request", "text", "text neighbours", "categories"]
    for feature in declare(EVERYTHING):
        assert entries[feature.name].told == feature.told
    own = entries["like_count_user_category_7d"]
    assert (own.family, own.keys, own.compared) == ("declarations", "user and category", True)
    assert own.told.meaning == "like rows of the user and category in the last 7d"
    assert not entries["click_rate_user"].compared
    assert entries["item_age_hours"].columns == ("item_age_hours", *(f"item_age_hours_{name}" for name in COMPARISONS))


def test_the_page_shows_every_feature_with_what_is_told_of_it(read_page) -> None:
    page = to_html(EVERYTHING, {"Freshness": "live"}, ["Mind the text."])
    rows = [read_page(row).text for row in re.findall(r"<tr>.*?</tr>", page, flags=re.DOTALL) if "<td" in row]
    expected = [
        " ".join([entry.name, *entry.told[:2], entry.keys, entry.told.missing, "yes" if entry.compared else "no"])
        for entry in plan(EVERYTHING)
    ]
    assert rows == expected
    text = read_page(page).text
    assert f"{len(expected)} features in {len(feature_names(EVERYTHING))} columns" in text
    assert "Freshness live Mind the text." in text
    for name, words in COMPARISONS.items():
        assert f"_{name} {words}" in text


def test_the_page_needs_nothing_from_outside_and_runs_nothing(read_page) -> None:
    page = to_html(EVERYTHING, {"a": "b"}, ["n"])
    elements = read_page(page).elements
    assert not {"script", "link", "img", "iframe", "object", "embed"} & {tag for tag, _ in elements}
    assert not [name for _, attributes in elements for name in attributes if name.startswith("on") or name == "src"]
    assert not re.search(r"https?:|url\(|@import", page)
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert all(attributes["href"][1:] in ids for tag, attributes in elements if tag == "a")
    policy = next(attributes for _, attributes in elements if "http-equiv" in attributes)
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert to_html(EVERYTHING, {"a": "b"}, ["n"]) == page


@pytest.mark.parametrize("setting", ["affinity", "numbers", "users", "events", "values", "context", "scores"])
def test_names_from_outside_are_shown_and_never_obeyed(setting, read_page) -> None:
    settings = FeatureSettings.model_validate({setting: [HOSTILE]})
    page = read_page(to_html(settings, {HOSTILE: HOSTILE}, [HOSTILE]))
    assert "script" not in {tag for tag, _ in page.elements}
    assert not [name for _, attributes in page.elements for name in attributes if name == "onload"]
    assert page.text.count(HOSTILE) > 4
