import numpy as np

from recsys.features.declared import Declared, values_of
from recsys.features.settings import declare
from recsys.past.streams import Amount


def test_features_together_are_those_of_each_alone(tools):
    case = tools.full_case(4, feedback_delay="10m")
    features = declare(tools.settings)
    together = np.full((len(features) + 1, len(case.candidates)), 7.0)
    rows = np.arange(len(features))[::-1].copy()  # whatever row each has
    Declared.of(features).fill(case.lookup, together, rows)
    for feature, row in zip(features, rows, strict=True):
        np.testing.assert_array_equal(together[row], values_of(feature, case.lookup), err_msg=feature.name)
    assert (together[-1] == 7.0).all()


def test_what_features_of_one_kind_ask_stands_together(tools):
    features = declare(tools.settings)
    declared = Declared.of(features)
    assert sum(len(group.places) for group in declared.groups) == len(features)
    for group in declared.groups:
        for turn, (kind, those) in enumerate(group.asks):
            asked = declared.asks[kind][those]
            assert list(asked) == [features[place].asks[turn] for place in group.places]
    assert len(declared.asks[Amount]) == sum(isinstance(ask, Amount) for each in features for ask in each.asks)


def test_no_features_are_no_answers(tools):
    case = tools.full_case(4)
    assert Declared.of(()).groups == ()
    assert all(len(answer) == 0 for answer in Declared.of(()).read(case.lookup).values())
