"""The report of a training run: measures as JSON and one page for people."""

from pathlib import Path

import numpy as np

from recsys.data.tables import Dataset, one_version
from recsys.data.texts import NO_TEXT, item_titles
from recsys.evaluation.reports.evaluation_report import Example, Listed, to_html
from recsys.files import write_json
from recsys.jobs.judging import Judgement
from recsys.jobs.told import bias_told
from recsys.model.folder import Model

EXAMPLES = 4
"""Lists that the page shows."""
RECENT = 5
"""Past clicks that the page shows for each of them, where `[report] histories` asks for them."""


_BECAME = {
    "published": ", as it was published",
    "heads": ", as it was published, with a part on top that learnt from clicks",
    "tuned": ", fine-tuned on clicks",
}
"""What became of the encoder, by what its last lesson kept."""


def write_report(folder: Path, judgement: Judgement, model: Model, dataset: Dataset) -> None:
    """Write `metrics.json` and `report.html` into an existing folder."""
    write_json(folder / "metrics.json", judgement.evaluation.to_json())
    (folder / "report.html").write_text(make_page(judgement, model, dataset))


def make_page(judgement: Judgement, model: Model, dataset: Dataset) -> str:
    """Write the page: measures, what the model was trained with, what the importer said, and a few lists."""
    cuts = " | ".join(f"{cut:%Y-%m-%d %H:%M}" for cut in model.windows.cuts)
    requests = dataset.requests["request_id"].n_unique()
    facts = {
        "Data": f"{dataset.about.source}: {dataset.items['item_id'].n_unique():,} items, {requests:,} requests",
        "Windows (UTC)": cuts,
        "Freshness": model.settings.time.in_words(),
        "Labels known after": model.clock.delays_in_words,
        "Encoder": f"{model.settings.text.encoder}{_BECAME.get(judgement.kept, '')}",
        "Trees": f"{model.ranker.size} with text, {model.behaviour_ranker.size} without{bias_told(judgement.bias)}",
        "Seed": str(model.settings.seed),
    }
    strongest = ", ".join(list(model.ranker.importance())[:8])
    notes = [*dataset.notes(), f"Features with the largest gain: {strongest}."]
    return to_html(judgement.evaluation, "Ranking report", facts, notes, _examples(judgement, model, dataset))


def _examples(judgement: Judgement, model: Model, dataset: Dataset) -> list[Example]:
    """Choose lists with a click and a known history, spread over the window."""
    window, log = judgement.window, judgement.log
    starts, labels = window.examples.starts, window.examples.labels
    rows = log.rows(window.requests[starts[:-1]])
    recent, *_ = log.last_clicks(rows.codes["user"], rows.as_of, RECENT)
    clicked = np.add.reduceat(labels > 0, starts[:-1]) > 0
    fit = np.flatnonzero(clicked & (recent[:, 0] >= 0))
    chosen = fit[np.linspace(0, len(fit) - 1, min(EXAMPLES, len(fit))).astype(np.int64)]
    titles = item_titles(one_version(dataset.items, "item_id", "last"), model.settings.text.fields)
    ids = log.items.values.to_list()

    def title(item: object) -> str:
        return titles.get(item, NO_TEXT)

    examples = []
    histories = model.settings.report.histories
    for request in chosen:
        own = slice(starts[request], starts[request + 1])
        ranks = {name: (-scores[own]).argsort(kind="stable").argsort() + 1 for name, scores in judgement.scores.items()}
        items = window.requests["item_id"][own].to_list()
        listed = tuple(
            Listed(title(item), int(ranks["both"][place]), int(ranks["behaviour"][place]), int(labels[own][place]))
            for place, item in enumerate(items)
        )
        clicks = tuple(title(ids[code]) for code in recent[request] if code >= 0) if histories else None
        examples.append(Example(str(window.requests["request_id"][int(starts[request])]), clicks, listed))
    return examples
