from datetime import timedelta

import numpy as np

from recsys.features.plan import build_features
from recsys.past.layer import Layer
from recsys.past.lookup import Asked
from recsys.past.streams import CLICK, SHOWING


def layer_since(case, since):
    whole = case.log.rows_known[0]
    return Layer(case.log.behaviour, whole.register, case.time, case.history, (), since)


def test_a_layer_leaves_out_what_is_counted_below(tools):
    case = tools.full_case(5, feedback_delay="10m")
    whole = case.log.rows_known[0]
    since = int(np.median(whole.stream(SHOWING).moments))
    later = layer_since(case, since)
    for of in (SHOWING, CLICK, "like", "view"):
        moments = whole.stream(of).moments
        assert sorted(later.stream(of).moments) == sorted(moments[moments >= since])
    for name in ("click_rows", "history_rows"):
        moments = getattr(whole, name).moments
        assert sorted(getattr(later, name).moments) == sorted(moments[moments >= since])


def test_rows_are_kept_of_which_something_becomes_known_later(tools):
    case = tools.full_case(5, feedback_delay="10m")
    whole = case.log.rows_known[0]
    clicks = whole.click_rows.moments
    since = int(clicks[len(clicks) // 2])  # lists that were shown before it, whose clicks are known then or later
    kept = whole.behaviour_since(since)
    late = kept.showings.filter(kept.showings["timestamp"].dt.epoch("us") < since)
    assert len(late) > 0
    assert (late["label"] > 0).all()
    assert len(kept.showings) < len(case.log.behaviour.showings)
    assert (kept.events["known_at"].dt.epoch("us") >= since).all()
    assert timedelta(0) < case.time.feedback_delay


def test_what_was_made_of_rows_is_made_anew_after_it_was_let_go(tools) -> None:
    case = tools.full_case(3, feedback_delay="10m")
    asked = Asked.of(case.candidates, case.log)
    before = tools.bits(build_features(asked, tools.settings, None))
    (layer,) = case.log.layers
    layer.forget()
    assert not layer._counted
    assert "_showings" not in vars(layer)
    again = Asked.of(case.candidates, case.log)
    assert tools.bits(build_features(again, tools.settings, None)) == before
