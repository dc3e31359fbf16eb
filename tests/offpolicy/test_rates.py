import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipelines.openbandit import on_policy, value_from
from recsys.data.importers import read_openbandit
from recsys.errors import DataError, SettingsError
from recsys.offpolicy.actions import doubly_robust, ips
from recsys.offpolicy.estimate import difference
from recsys.offpolicy.rates import FixedPolicy, cross_fitted_rates, read_actions

OBD = Path("../shared/data/obd")


def log(rows, seed=0, items=3):
    """Requests of one item each: a uniform policy over the items at two positions; item 2 is clicked most."""
    random = np.random.default_rng(seed)
    item, position = random.integers(items, size=rows), random.integers(1, 3, size=rows)
    click = random.random(rows) < np.array([0.1, 0.2, 0.4])[item] / position
    return pl.DataFrame(
        {
            "request_id": np.arange(rows),
            "user_id": np.arange(rows) // 2,
            "item_id": item,
            "position": position,
            "label": click.astype(np.int8),
            "propensity": np.full(rows, 1 / items),
        }
    )


def fixed(*probabilities):
    cells = [(item, position, each) for position in (1, 2) for item, each in enumerate(probabilities)]
    return FixedPolicy(pl.DataFrame(cells, schema=["item_id", "position", "probability"], orient="row"))


def test_a_uniform_policy_is_read_off_its_own_log():
    requests = log(200)
    policy = FixedPolicy.of_log(requests)
    uniform = FixedPolicy.uniform(requests["item_id"], requests["position"])
    assert policy.of(requests).tolist() == [1 / 3] * 200
    assert uniform.of(requests).tolist() == [1 / 3] * 200
    unknown = pl.DataFrame({"item_id": [0, 7], "position": [1, 1]})
    assert policy.of(unknown)[0] == 1 / 3
    assert math.isnan(policy.of(unknown)[1])


def test_a_policy_that_varies_is_not_known_from_its_log():
    requests = log(60).with_columns(propensity=pl.when(pl.col("request_id") == 5).then(0.25).otherwise(pl.lit(1 / 3)))
    row = requests.row(5, named=True)
    with pytest.raises(
        DataError,
        match=rf"item {row['item_id']} at position {row['position']} goes from 0\.25 to 0\.333333 \(as for 1 of 6 pairs "
        r"of item and position\), and the logged row holds no full action distribution; log the probabilities",
    ):
        FixedPolicy.of_log(requests)


def test_a_policy_with_an_unseen_action_is_not_known_from_its_log():
    with pytest.raises(DataError, match=r"items seen at position 1 sum to 0\.6667, and the logged row holds no full"):
        FixedPolicy.of_log(log(60).filter((pl.col("item_id") != 0) | (pl.col("position") == 2)))


def test_unknown_target_probabilities_are_refused():
    requests = log(10)
    with pytest.raises(DataError, match="the logged choice is unknown in 10 of 10 rows: .*no full action distribution"):
        read_actions(requests, FixedPolicy.uniform(pl.Series([99]), pl.Series([1])).of(requests))


def test_a_table_becomes_a_log_clustered_by_user():
    requests = log(6).with_columns(
        label=pl.Series([0, 2, 0, 1, 0, 0]), user_id=pl.Series(["b", "a", "b", "c", "c", "a"])
    )
    found = read_actions(requests, np.full(6, 0.5))
    assert found.reward.tolist() == [0, 1, 0, 1, 0, 0]
    assert found.clusters.tolist() == [1, 0, 1, 2, 2, 0]
    assert found.weights.tolist() == pytest.approx([1.5] * 6)


def test_tables_that_are_no_log_of_single_actions_are_refused():
    with pytest.raises(
        DataError, match="requests have no column label, propensity; off-policy estimates need what was"
    ):
        read_actions(log(3).drop("label", "propensity"), np.ones(3))
    with pytest.raises(DataError, match="2 rows belong to requests of several candidates; use read_lists"):
        read_actions(log(3).with_columns(request_id=pl.Series([0, 0, 1])), np.ones(3))
    nothing = log(3).with_columns(propensity=pl.Series([0.5, None, 0.5]))
    with pytest.raises(DataError, match=r"the logging propensity is missing in 1 of 3 rows: nan \(row 2\)"):
        read_actions(nothing, np.ones(3) / 2)


def test_rates_are_those_of_a_plain_loop_over_the_other_folds():
    requests, policy = log(80), fixed(0.5, 0.3, 0.2)
    found = cross_fitted_rates(requests, policy, folds=4, prior=3.0, seed=2)
    users = sorted(set(requests["user_id"]))
    fold = dict(zip(users, np.random.default_rng(2).permutation(len(users)) % 4, strict=True))
    rows = requests.rows(named=True)

    def rate(item, position, held_out):
        others = [row for row in rows if fold[row["user_id"]] != held_out and row["position"] == position]
        own = [row["label"] for row in others if row["item_id"] == item]
        overall = np.mean([row["label"] for row in others])
        return (sum(own) + 3.0 * overall) / (len(own) + 3.0)

    for row, logged, expected in zip(rows, found.logged, found.expected, strict=True):
        held_out, position = fold[row["user_id"]], row["position"]
        assert logged == pytest.approx(rate(row["item_id"], position, held_out))
        by_hand = sum(p * rate(item, position, held_out) for item, p in enumerate((0.5, 0.3, 0.2)))
        assert expected == pytest.approx(by_hand)


def test_a_row_and_its_user_never_learn_from_themselves():
    requests = log(80)
    changed = requests.with_columns(label=pl.when(pl.col("user_id") == 7).then(1 - pl.col("label")).otherwise("label"))
    before, after = (cross_fitted_rates(rows, fixed(0.5, 0.3, 0.2)) for rows in (requests, changed))
    own = (requests["user_id"] == 7).to_numpy()
    assert before.logged[own].tolist() == after.logged[own].tolist()
    assert (before.logged != after.logged).any()


def test_rates_do_not_depend_on_the_order_of_the_rows():
    requests = log(80)
    order = np.random.default_rng(1).permutation(80)
    found = cross_fitted_rates(requests, fixed(0.5, 0.3, 0.2))
    again = cross_fitted_rates(requests[order], fixed(0.5, 0.3, 0.2))
    assert again.logged == pytest.approx(found.logged[order])


def test_the_reward_model_steadies_the_estimate_and_keeps_it_right():
    policy, truth = fixed(0.1, 0.1, 0.8), (0.01 + 0.02 + 0.32) * 0.75
    errors = []
    for seed in range(5):
        requests = log(4000, seed)
        logged = read_actions(requests, policy.of(requests), cross_fitted_rates(requests, policy, prior=10.0))
        found = doubly_robust(logged)
        assert found.low < truth < found.high
        errors.append((found.error, ips(logged).error))
    assert all(robust < plain for robust, plain in errors)


def test_rates_need_folds_users_and_positions():
    with pytest.raises(SettingsError, match="folds is 1 and prior is 100.0; folds start at 2"):
        cross_fitted_rates(log(80), fixed(0.5, 0.3, 0.2), folds=1)
    with pytest.raises(SettingsError, match="prior is 0.0"):
        cross_fitted_rates(log(80), fixed(0.5, 0.3, 0.2), prior=0.0)
    with pytest.raises(DataError, match="2 users cannot be cut into 5 folds; take fewer folds"):
        cross_fitted_rates(log(4), fixed(0.5, 0.3, 0.2))
    with pytest.raises(DataError, match=r"the policy says nothing of position \[2\]; give it every position"):
        cross_fitted_rates(log(80), FixedPolicy.uniform(pl.Series([0, 1, 2]), pl.Series([1])))


@pytest.mark.skipif(not OBD.is_dir(), reason="needs the Open Bandit men's campaign in ../shared/data/obd")
def test_the_value_of_the_uniform_policy_on_open_bandit():
    random, thompson = (read_openbandit(OBD / name / "men") for name in ("random", "bts"))
    uniform = FixedPolicy.of_log(random.requests)
    assert uniform.table["probability"].to_numpy() == pytest.approx(np.full(34 * 3, 1 / 34))
    known = on_policy(random, uniform)
    assert known.value == pytest.approx(46 / 10_000)
    found = {each.name: each for each in value_from(thompson, uniform)}
    assert len(found) == 6
    for name in ("IPS", "SNIPS"):
        gap = difference(known, found[name])
        assert gap.low < 0 < gap.high, name
    weight = 1 / 34 / thompson.requests["propensity"]
    assert found["IPS"].value == pytest.approx((weight * thompson.requests["label"]).mean())
    assert found["IPS"].overlap.effective_size == pytest.approx(weight.sum() ** 2 / (weight**2).sum())
    with pytest.raises(
        DataError, match=r"\(as for 102 of 102 pairs .* the logged row holds no full action distribution"
    ):
        FixedPolicy.of_log(thompson.requests)
