"""Off-policy estimates of lists on the simulated world: how often their 95 % intervals hold the true value.

Each run draws users of one world anew, their lists from the logging policy and their clicks from the planted chances.
The true value is known exactly. Exits with 1 when an interval holds it too seldom or too often, or when an estimator
answers that has no support.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from recsys.offpolicy.simulation import ESTIMATORS, HIGHEST, LOWEST, Coverage, populations, simulate_coverage
from recsys.world import WorldSettings, make_world

WORLD = WorldSettings(items=1_500, users=600, days=10, requests=6_000, random_tail=0.0)


def main() -> int:
    """Run every case, print one line per estimator and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="logs to draw per case")
    parser.add_argument("--users", type=int, default=200, help="users per log")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    found: list[Coverage] = []
    judged = populations(make_world(WORLD))
    for case in ESTIMATORS:
        for each in simulate_coverage(case, judged[case], options.runs, options.users, options.seed):
            print(line(each), flush=True)
            found.append(each)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps([to_json(each) for each in found], indent=2) + "\n")
    wrong = [f"{each.case}: {each.estimator}" for each in found if not each.right]
    print(f"not as it should be: {', '.join(wrong)}" if wrong else f"all within {LOWEST:.1%} to {HIGHEST:.1%}")
    return int(bool(wrong))


def line(found: Coverage) -> str:
    """Return one line for people."""
    start = f"{found.case}: {found.estimator}: "
    if not found.supported:
        return start + f"no support, refused in {found.refused} of {found.runs} runs"
    return start + (
        f"held {found.held:.1%} (+/- {found.error:.1%}) of {found.runs - found.refused} runs, truth {found.truth:.4f}, "
        f"bias {found.bias:+.4f} (+/- {found.bias_error:.4f}), spread {found.spread:.4f}, stated {found.stated:.4f}, "
        f"effective lists {found.effective:.0f}, refused {found.refused}, warned {found.warned}"
    )


def to_json(found: Coverage) -> dict[str, object]:
    """Return plain objects; what is not a number is None."""
    values = {**asdict(found), "supported": found.supported, "right": found.right}
    return {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in values.items()}


if __name__ == "__main__":
    sys.exit(main())
