"""Open Bandit: what the uniform policy earns, estimated from the log of Thompson sampling and read off its own log.

FOLDER holds `random/<campaign>` and `bts/<campaign>` as published. "less on-policy" is the interval of an estimate less
the mean click of the random log; the rows of the two logs are independent. The other direction, the value of Thompson
sampling from the random log, is refused, and the reason is printed.
"""

import sys
from pathlib import Path

from recsys.data.importers import read_source
from recsys.data.tables import Dataset
from recsys.errors import DataError
from recsys.offpolicy import actions
from recsys.offpolicy.estimate import Estimate, difference
from recsys.offpolicy.rates import FixedPolicy, cross_fitted_rates, read_actions

CEILING = 10.0


def value_from(log: Dataset, policy: FixedPolicy) -> list[Estimate]:
    """Estimate the value of `policy` from `log` by every estimator."""
    predictions = cross_fitted_rates(log.requests, policy)
    logged = read_actions(log.requests, policy.of(log.requests), predictions)
    return [
        actions.ips(logged),
        actions.snips(logged),
        actions.clipped_ips(logged, CEILING),
        actions.direct_method(logged),
        actions.doubly_robust(logged),
        actions.switch(logged, CEILING),
    ]


def on_policy(log: Dataset, policy: FixedPolicy) -> Estimate:
    """Return the mean click of a log that `policy` made, whose weights are all 1."""
    logged = read_actions(log.requests, policy.of(log.requests))
    return actions.on_policy(logged.reward, logged.clusters)


def main(folder: Path, campaign: str) -> None:
    """Print one table, and why the other direction has no answer."""
    random, thompson = (read_source("openbandit", folder / name / campaign) for name in ("random", "bts"))
    uniform = FixedPolicy.of_log(random.requests)
    known = on_policy(random, uniform)
    print("clicks per 1,000 rows     value   95 % interval     less on-policy  effective  largest  clipped")
    for each in (known, *value_from(thompson, uniform)):
        gap, overlap = difference(known, each), each.overlap
        print(
            f"{each.name:24} {1e3 * each.value:6.2f} {1e3 * each.low:7.2f} {1e3 * each.high:7.2f} "
            f"{1e3 * gap.low:+9.2f} {1e3 * gap.high:+8.2f} {overlap.effective_size:10.0f} "
            f"{overlap.largest_weight:8.2f} {overlap.clipped:8.1%}  {'; '.join(each.warnings)}"
        )
    try:
        FixedPolicy.of_log(thompson.requests)
    except DataError as refusal:
        print(f"Thompson sampling from the random log: refused, {refusal}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m pipelines.openbandit FOLDER [CAMPAIGN, such as men]")
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) == 3 else "men")
