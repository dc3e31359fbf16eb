import json
from datetime import timedelta

import pytest
from pydantic import ValidationError

from recsys.errors import SettingsError
from recsys.features.definitions import Count, Lift, Mean, Rate, Share, Trend
from recsys.features.moments import Age, HoursSince, Number, Pace, Same
from recsys.features.settings import FAMILIES, FeatureSettings, declare, keys_of
from recsys.past.behaviour import Kept
from recsys.settings import Settings, load_settings

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def test_features_are_listed_once_and_in_one_order():
    settings = FeatureSettings(affinity=("category", "brand"), events=("like", "share"))
    names = [feature.name for feature in declare(settings)]
    assert len(set(names)) == len(names)
    assert names == [feature.name for feature in declare(settings.model_copy())]
    assert names[:3] == ["click_rate_item_over_category_1h", "click_lift_item_1h", "showing_count_item_1h"]


def made(**values):
    return set(declare(FeatureSettings(windows=("1h", "1d"), prior=5, **values)))


def test_settings_decide_which_features_there_are():
    plain = made()
    assert {
        Age(),
        Rate(("item",), HOUR, 5),
        Rate(("item",), None, 5),
        Lift(("item",), DAY),
        Trend(("item",), HOUR, DAY),
        Count("click", ("user",), DAY),
        Count("showing", ("user", "item")),
        Count("skip", ("user", "item")),
        HoursSince("click", ("user", "item")),
        HoursSince("showing", ("item",), first=True),
        Pace("click", ("user",)),
        Share(("last_item", "item"), ("last_item",)),
        Same("item"),
    } < plain
    assert not any("category" in keys_of(feature) for feature in plain)
    assert made(events=("like",)) - plain == {Count("like", ("item",), window) for window in (HOUR, DAY, None)}
    assert made(numbers=("price",)) - plain == {Number("price")}
    assert made(values=("view",)) - plain == {Mean("view", ("item",), None, 5), Mean("view", ("user",), None, 5)}
    for setting in ("context", "users"):
        assert made(**{setting: ("device",)}) - plain == {
            Rate(("item", "device"), DAY, 5, (("item",),)),
            Rate(("item", "device"), None, 5, (("item",),)),
            Count("showing", ("item", "device")),
        }


def test_an_attribute_of_items_brings_affinities_rates_and_transitions():
    found = made(affinity=("brand",)) - made()
    of_items = {Rate(("item",), window, 5, (("brand",),)) for window in (HOUR, DAY, None)}
    assert found == of_items | {
        *(Rate(("brand",), window, 5) for window in (DAY, None)),
        *(Rate(("user", "brand"), window, 5, (("brand",),)) for window in (DAY, None)),
        *(Share(("user", "brand"), ("user",), window) for window in (HOUR, DAY, None)),
        *(Share(("last_brand", "item"), ("last_brand",), window) for window in (DAY, None)),
        Share(("last_brand", "brand"), ("last_brand",)),
        Same("brand"),
        Count("click", ("user", "brand")),
        HoursSince("click", ("user", "brand")),
        Count("skip", ("user", "brand"), DAY),
    }


EVERYTHING = {
    "windows": ("10m", "1d"),
    "affinity": ("category",),
    "numbers": ("price",),
    "users": ("age_group",),
    "events": ("like",),
    "values": ("click", "view"),
    "context": ("device",),
    "scores": ("retrieval",),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_that_is_left_out_takes_its_own_features_and_no_others(family):
    whole = declare(FeatureSettings(**EVERYTHING))
    others = tuple(name for name in FAMILIES if name != family)
    own = declare(FeatureSettings(**EVERYTHING, families=(family,)))
    assert set(declare(FeatureSettings(**EVERYTHING, families=others))) == set(whole) - set(own)
    assert bool(own) == (family not in ("field", "factors"))  # the plan declares its columns


def test_declarations_of_ones_own_come_last():
    own = (Count("like", ("user", "category"), 7 * DAY), Share(("item", "device"), ("device",)))
    settings = FeatureSettings(**EVERYTHING, declarations=own)
    assert declare(settings)[-2:] == own
    assert declare(settings)[:-2] == declare(FeatureSettings(**EVERYTHING))


def test_what_is_kept_and_counted_is_what_features_are_made_of():
    own = (Count("share", ("user",)), Mean("buy", ("item",), None, 1.0), Count("skip", ("category",)), Pace("like", ()))
    settings = FeatureSettings(**EVERYTHING, declarations=own)
    assert settings.kept == Kept(("category",), ("price",), ("age_group",), ("device",))
    assert settings.kinds == ("like", "view", "share", "buy")


def test_keys_are_those_of_the_whole_and_of_the_back_off_too():
    assert keys_of(Rate(("item",), None, 1.0, (("user", "category"), ()))) == ("item", "user", "category")
    assert keys_of(Share(("item",), ("device",))) == ("item", "device")
    assert keys_of(Age()) == ("item",)


OWN = (
    Count("like", ("user", "category"), "7d"),
    Count("skip", (), None),
    Rate(("user", "item"), "6h", 2.5, (("user", "category"), ("category",))),
    Lift(("item", "device"), None),
    Share(("last_category", "category"), ("last_category",), "6h"),
    Trend(("category",), "1h", "1d"),
    Mean("view", ("item", "age_group"), "90m", 2.0),
    HoursSince("like", ("item",), first=True),
    Pace("view", ("user", "category")),
)


def test_settings_are_the_same_after_json():
    settings = FeatureSettings(**EVERYTHING, declarations=OWN)
    written = json.loads(json.dumps(settings.model_dump(mode="json")))
    assert written["declarations"][0] == {"kind": "count", "of": "like", "per": ["user", "category"], "window": "7d"}
    assert FeatureSettings.model_validate(written) == settings
    assert FeatureSettings.model_validate_json(settings.model_dump_json()) == settings
    assert declare(FeatureSettings.model_validate(written)) == declare(settings)
    whole = Settings(features=settings)
    assert Settings.model_validate(whole.model_dump(mode="json")) == whole


def test_declarations_are_read_from_a_file(tmp_path):
    (tmp_path / "s.toml").write_text(
        '[features]\naffinity = ["category"]\n'
        '[[features.declarations]]\nkind = "count"\nof = "like"\nper = ["user", "category"]\nwindow = "7d"\n'
        '[[features.declarations]]\nkind = "share"\nper = ["last_item", "category"]\nwithin = ["last_item"]\n'
    )
    assert load_settings(tmp_path / "s.toml").features.declarations == (
        Count("like", ("user", "category"), 7 * DAY),
        Share(("last_item", "category"), ("last_item",)),
    )


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        (
            'kind="count", of="like", per=["user", "categry"]',
            "like_count_user_categry is kept per 'categry', which is no key; did you mean 'category'? Attributes are named "
            "in affinity, users or context",
        ),
        (
            'kind="count", of="like", per=["maker"]',
            "is kept per 'maker', which is no key; keys are user, item, category, last_item, last_category. Attributes "
            "are named in affinity, users or context",
        ),
        ('kind="share", per=["item"], within=["usr"]', "is kept per 'usr', which is no key; did you mean 'user'?"),
        (
            'kind="rate", per=["item"], window="1d", prior=2, backoff=[["categories"]]',
            "is kept per 'categories', which is no key; did you mean 'category'?",
        ),
        ('kind="same", attribute="price"', "same_price_as_last_click is kept per 'last_price', which is no key"),
        ('kind="count", of="like", per=["user"], window="soon"', "'soon' is not a duration; write a whole number"),
        (
            'kind="count", of="like", per=["user"], window="0s"',
            "window = '0s' does not fit: Input should be greater than",
        ),
        ('kind="rate", per=["item"], window="1d", prior=-1', "prior = -1 does not fit: Input should be greater than 0"),
        ('kind="count", of="like", per=["user"], windw="1d"', "0.count.windw is unknown; did you mean window?"),
        ('kind="count", of="like", per=["user"], zzz=1', "0.count.zzz is unknown; known are of, per, window, kind"),
        ('kind="count", per=["user"]', "features.declarations.0.count.of is missing"),
        ('of="like", per=["user"]', "features.declarations.0.kind is missing"),
        (
            'kind="counts", of="like", per=["user"]',
            "; did you mean 'count'?",
        ),
        ('kind="count", of="showing", per=["item"]', "two declarations are called 'showing_count_item'; leave one"),
        (
            'kind="count", of="like", per=["last_item"]',
            "like_count_last_item is kept per last click, which only clicks have; count 'click'",
        ),
        (
            'kind="share", of="showing", per=["item"], within=["last_item"]',
            "showing_share_item is kept per last click, which only clicks have; count 'click'",
        ),
        (
            'kind="rate", per=["last_item", "item"], window="1d", prior=2',
            "click_rate_last_item_item_1d is a rate per last click, which only clicks have; declare a Share",
        ),
        (
            'kind="rate", per=["item"], window="1d", prior=2, backoff=[["last_category"]]',
            "click_rate_item_over_last_category_1d is a rate per last click",
        ),
        ('kind="lift", per=["last_item"], window="1d"', "click_lift_last_item_1d is a lift per last click, which only"),
        (
            'kind="share", of="skip", per=["user", "item"], within=["user"]',
            "skip_share_user_item is made of 'skip', which can only be counted; declare a Count",
        ),
        ('kind="hours_since", of="skip", per=["user"]', "hours_since_skip_user is made of 'skip', which can only be"),
        (
            'kind="pace", of="skip", per=["user"]',
            "hours_between_skip_user is made of 'skip', which can only be counted",
        ),
        ('kind="hours_since", of="outcome", per=["item"]', "is made of 'outcome'; name 'showing', 'click' or an event"),
        ('kind="pace", of="outcome", per=["item"]', "is made of 'outcome'; name 'showing', 'click' or an event kind"),
        (
            'kind="mean", of="showing", per=["item"], window="1d", prior=1',
            "showing_value_item_1d is a mean of 'showing', which has no value; name an event kind",
        ),
        ('kind="mean", of="skip", per=["item"], window="1d", prior=1', "is made of 'skip', which can only be counted"),
        ('kind="mean", of="outcome", per=["item"], window="1d", prior=1', "is a mean of 'outcome', which has no value"),
        (
            'kind="share", per=["category"], within=["user"]',
            "click_share_category: per must hold all of within; did you mean per = ['user', 'category']?",
        ),
        (
            'kind="share", per=["user", "item"], within=["item", "user"]',
            "click_share_user_item: per and within are the same key, a share of 1; add a column to per",
        ),
        ('kind="share", per=[], within=[]', "click_share_overall: per and within are the same key"),
        (
            'kind="trend", per=["item"], short="1d", long="1h"',
            "click_trend_item_1d_1h: short = 1d must be below long = 1h; swap or change them",
        ),
        ('kind="trend", per=["item"], short="60m", long="1h"', "short = 1h must be below long = 1h"),
        (
            'kind="count", of="like", per=["user", "user"]',
            "like_count_user_user names 'user' twice in one key; name it once",
        ),
        (
            'kind="rate", per=["item"], backoff=[["category", "category"]]',
            "click_rate_item_over_category_category names 'category' twice in one key",
        ),
        ('kind="number", attribute="price"', "item_price needs 'price' in numbers, which makes it; name it there"),
    ],
)
def test_a_declaration_that_cannot_be_computed_is_one_clear_line(declaration, message):
    changes = ['features.affinity=["category"]', f"features.declarations=[{{{declaration}}}]"]
    with pytest.raises(SettingsError) as fault:
        load_settings(None, changes)
    assert message in str(fault.value)
    assert "\n" not in str(fault.value)


def test_window_and_prior_may_be_left_out():
    written = ({"kind": "rate", "per": ["user"]}, {"kind": "lift", "per": ["user", "item"]})
    written += ({"kind": "mean", "of": "view", "per": ["category"]},)
    settings = FeatureSettings(affinity=("category",), families=(), declarations=written)
    assert settings.declarations == (
        Rate(("user",), None, 20.0),
        Lift(("user", "item"), None, 1.0),
        Mean("view", ("category",), None, 20.0),
    )


def test_two_declarations_of_one_name_are_refused():
    own = (Rate(("user", "item"), None, 1.0), Rate(("user", "item"), None, 2.0))
    with pytest.raises(ValidationError, match="two declarations are called 'click_rate_user_item'; leave one of them"):
        FeatureSettings(declarations=own)


def test_no_window_leaves_the_features_without_limit():
    features = declare(FeatureSettings(windows=()))
    assert not any(isinstance(feature, Trend) for feature in features)
    assert all(feature.window is None for feature in features if isinstance(feature, Count | Rate))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"windows": ["0s"]}, r"windows \['0d'\] must be above 0s and ascend without a repeat"),
        ({"windows": ["6h", "1h"]}, r"windows \['6h', '1h'\] must be above 0s"),
        ({"windows": ["1h", "60m"]}, r"windows \['1h', '1h'\] must be above 0s"),
        ({"windows": ["1 hour"]}, "'1 hour' is not a duration"),
        ({"events": ["click"]}, "events names 'click', which has a meaning of its own here; leave it out"),
        ({"events": ["like", "showing"]}, "events names 'showing', which has a meaning"),
        ({"events": ["like", "like"]}, "events names 'like' more than once"),
        ({"affinity": ["user"]}, "affinity names 'user', which has a meaning"),
        ({"affinity": ["item_id"]}, "affinity names 'item_id', which has a meaning"),
        ({"affinity": ["brand", "brand"]}, "affinity names 'brand' more than once"),
        ({"context": ["timestamp"]}, "context names 'timestamp', which has a meaning"),
        ({"context": ["device", "device"]}, "context names 'device' more than once"),
        ({"affinity": ["last_brand"]}, "affinity names 'last_brand', which has a meaning of its own"),
        ({"users": ["item"]}, "users names 'item', which has a meaning"),
        ({"scores": ["user_id"]}, "scores names 'user_id', which has a meaning"),
        ({"numbers": ["available_at"]}, "numbers names 'available_at', which has a meaning"),
        ({"values": ["skip"]}, "values names 'skip', which has a meaning"),
        ({"values": ["view", "view"]}, "values names 'view' more than once"),
        ({"affinity": ["kind"], "users": ["kind"]}, "affinity, users and context name 'kind' twice; rename one"),
        ({"users": ["kind"], "context": ["kind"]}, "affinity, users and context name 'kind' twice; rename one"),
        ({"families": ["popular"]}, "Input should be 'popularity', 'trend'"),
        ({"prior": 0}, "greater than 0"),
        ({"prior": float("inf")}, "finite number"),
        ({"prior": float("nan")}, "finite number"),
        ({"window": ["1h"]}, "Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_computed_is_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        FeatureSettings(**values)
