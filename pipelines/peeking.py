"""Looking at an experiment every day: how often each interval errs without an effect, and when it shows one."""

import argparse
import json
import sys
from pathlib import Path

from recsys.experiment.peeking import METRICS, simulate_peeking

ERRORS = 0.055
COVERED = (0.935, 0.965)


def main() -> int:
    """Print two lines per metric; return 1 when an interval errs too often or covers too rarely or too often."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="experiments per line, each with fresh users")
    parser.add_argument("--days", type=int, default=28)
    parser.add_argument("--users", type=int, default=200, help="new users a day, both arms together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    found, right = [], True
    for metric in METRICS:
        for with_effect in (False, True):
            seen = simulate_peeking(metric, options.runs, with_effect, options.days, options.users, options.seed)
            found.append(seen.to_json())
            shown = "power" if with_effect else "errors"
            print(
                f"{seen.metric}, effect {seen.effect:.4f}: {shown} of the anytime-valid interval looked at daily "
                f"{seen.sequential_ever:.2%}, of the fixed-horizon one at the end {seen.fixed_once:.2%}, looked at "
                f"daily {seen.fixed_ever:.2%}; days until the anytime-valid one is clear {seen.sequential_days:.1f} of "
                f"{options.days}; cover: fixed-horizon {seen.covered:.2%}, anytime-valid on all days "
                f"{seen.sequential_covered:.2%}",
                flush=True,
            )
            right &= COVERED[0] <= seen.covered <= COVERED[1] and seen.sequential_covered >= 1 - ERRORS
            right &= with_effect or seen.sequential_ever < ERRORS
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
