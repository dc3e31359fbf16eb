import numpy as np
import polars as pl
import pytest
from sklearn.metrics import mutual_info_score

from recsys.world.calendar import DAY
from recsys.world.catalogue import NO_FACET, TOPIC_CATEGORY, make_catalogue
from recsys.world.facets import FACETS, GROUPS
from recsys.world.sizes import WorldSettings


def test_titles_do_not_repeat_in_the_demonstration():
    table = make_catalogue(WorldSettings(), np.random.default_rng(1)).table()
    assert table["title"].n_unique() == len(table) == 2_500


def test_items_come_in_order_of_publication_with_an_archive_from_before_the_first_event(parts):
    published, settings = parts.catalogue.published, parts.settings
    assert (np.diff(published) >= 0).all()
    assert (published < -settings.history_days * DAY).mean() == pytest.approx(0.3, abs=0.01)
    assert published.max() > (settings.days - 1) * DAY


def test_columns_of_items_hold_no_facet(parts):
    table = parts.catalogue.table()
    assert table.columns == ["item_id", "title", "description", "category", "subcategory", "available_at"]
    names = {facet.name for facet in FACETS}
    assert not names & set(table["category"]) | names & set(table["subcategory"])


def test_category_and_publication_tell_nothing_of_facets(parts):
    rng = np.random.default_rng(0)
    for known in (parts.catalogue.topic, parts.catalogue.category, parts.catalogue.published % DAY // 3600):
        for group in range(len(GROUPS)):
            facet = parts.catalogue.facets[:, group]
            by_chance = [mutual_info_score(rng.permutation(facet), known) for _ in range(30)]
            assert mutual_info_score(facet, known) < np.mean(by_chance) + 5 * np.std(by_chance)


def test_texts_hold_no_id_and_no_date(parts):
    table = parts.catalogue.table()
    texts = table["title"] + " " + table["description"]
    for number in texts.str.extract_all(r"\d+").list.explode(keep_nulls=False, empty_as_null=False).unique():
        assert number in {"1890", "81"}


def test_facet_groups_have_their_shares(parts):
    share = (parts.catalogue.facets != NO_FACET).mean(axis=0)
    for found, expected in zip(share, GROUPS.values(), strict=True):
        assert abs(found - expected) <= 4 * np.sqrt(expected * (1 - expected) / parts.settings.items)


def test_facet_table_lists_what_the_items_have(parts):
    table = parts.catalogue.facet_table()
    listed = dict(table.group_by("item_id").agg(pl.col("facet").sort()).iter_rows())
    for item_id, facets in zip(parts.catalogue.item_ids, parts.catalogue.facets, strict=True):
        assert listed[item_id] == sorted(FACETS[facet].name for facet in facets if facet != NO_FACET)


def test_appeal_is_partly_in_the_text_and_partly_hidden(parts):
    of_facets = np.array([*(facet.appeal for facet in FACETS), 0.0])[parts.catalogue.facets].sum(axis=1)
    hidden = parts.catalogue.appeal - of_facets
    assert hidden.std() == pytest.approx(0.5, abs=0.06)
    assert 0.4 < of_facets.std() < 0.9
    assert abs(np.corrcoef(hidden, of_facets)[0, 1]) < 0.15


def test_categories_follow_from_topics(parts):
    assert (parts.catalogue.category == TOPIC_CATEGORY[parts.catalogue.topic]).all()
