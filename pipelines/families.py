"""What each family of behavioural features is worth: behaviour alone, with all of them and with each left out."""

import argparse
from pathlib import Path

import numpy as np

from recsys.data.tables import Dataset
from recsys.data.windows import WINDOWS, Window, place_windows
from recsys.evaluation.evaluation import evaluate_rankers
from recsys.features.columns import FROM_TEXTS
from recsys.features.plan import feature_names
from recsys.jobs.judging import LoggedWindow, read_logged
from recsys.jobs.train import grow_with_valid
from recsys.model.prepared import Prepared, prepare
from recsys.past.lookup import Asked
from recsys.settings import Settings, load_settings


def main() -> None:
    """Print one line per family."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="data folder, written by `recsys import` or `recsys demo`")
    parser.add_argument("--config", type=Path, help="TOML settings file")
    parser.add_argument("--set", action="append", default=[], metavar="section.key=value", help="change one setting")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    settings = load_settings(options.config, options.set)
    windows = read(prepare(Dataset.read(options.data), settings))
    everything = judge(windows, (), settings, options.seeds)
    print(f"all families: AUC {everything[0]:.4f}, nDCG@10 {everything[1]:.4f}", flush=True)
    for family in settings.features.families:
        others = tuple(each for each in settings.features.families if each != family)
        kept = feature_names(settings.features.model_copy(update={"families": others}))
        left_out = tuple(name for name in feature_names(settings.features) if name not in kept)
        if left_out:
            auc, ndcg = np.subtract(everything, judge(windows, left_out, settings, options.seeds))
            print(f"{family} ({len(left_out)} columns): AUC {auc:+.4f}, nDCG@10 {ndcg:+.4f}", flush=True)


def read(prepared: Prepared) -> dict[Window, LoggedWindow]:
    """Compute every feature of the ranker, valid and test windows, without texts."""
    requests, settings, log = prepared.made.lists, prepared.settings, prepared.log
    windows = place_windows(requests, settings.windows, time=log.time)
    found: dict[Window, LoggedWindow] = {}
    for window in WINDOWS[1:]:
        rows = windows.of(requests, window, None if window == "test" else log.time.feedback_delay, log.time.shown)
        found[window] = read_logged(Asked.of(rows, log), settings.features, None)
    return found


def judge(
    windows: dict[Window, LoggedWindow], left_out: tuple[str, ...], settings: Settings, seeds: int
) -> tuple[float, float]:
    """Return AUC and nDCG@10 on the test window, means over the seeds."""
    ranker, valid, test = (windows[name].examples.without((*FROM_TEXTS, *left_out)) for name in WINDOWS[1:])
    scores = {}
    for seed in range(settings.seed, settings.seed + seeds):
        grown = grow_with_valid(ranker, valid, settings.model_copy(update={"seed": seed}))
        scores[str(seed)] = grown.final.score(test.table)
    rankers = evaluate_rankers(windows["test"].requests, scores, {}, "test").overall.rankers.values()
    auc, ndcg = (float(np.mean([each[measure].mean for each in rankers])) for measure in ("AUC", "nDCG@10"))
    return auc, ndcg


if __name__ == "__main__":
    main()
