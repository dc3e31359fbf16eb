"""What is looked at beside a comparison: movement, reliability, measures without labels, example lists, facts."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.data.made import Made, NotOut
from recsys.data.tables import SAMPLED, one_version
from recsys.data.texts import NO_TEXT, item_titles
from recsys.evaluation import beyond
from recsys.evaluation.beyond import output_quality
from recsys.evaluation.measures import ndcg, per_request
from recsys.evaluation.movement import movement
from recsys.evaluation.reliability import list_reliability
from recsys.evaluation.reports.exhibited import Exhibits, LabelFree, PairedLists, Placed
from recsys.jobs.sides import Sides, last_learnt, making
from recsys.statistics.intervals import intervals_over_users

OF_FIELD = "each side's own, of all items that were out; what was chosen and is not listed earns nothing"

K = 10
"""Places of a list that are looked at."""

EXAMPLES = 4
"""Lists that the page shows."""

_LONGEST_EXAMPLE = 20
_HOUR = 3_600_000_000

Floats = npt.NDArray[np.float64]


def collect_exhibits(sides: Sides, primary: str) -> Exhibits:
    """Collect what is looked at beside the comparison of two sides that the measure `primary` decides."""
    _, _, k = primary.partition("@")
    labels, starts = sides.lists.labels, sides.lists.starts
    curves = [
        None if answer.probability is None else list_reliability(labels, answer.probability, starts, sides.seed)
        for answer in sides.answers
    ]
    free, notes = _label_free(sides)
    return Exhibits(
        movement=movement(*sides.scores, sides.lists.starts, K),
        reliability_a=curves[0],
        reliability_b=curves[1],
        label_free=free,
        examples=_examples(sides),
        facts=_facts(sides),
        warnings=list(_warnings(sides, k)),
        notes=[*_of_ranks(sides), *notes, *_not_out(sides), *sides.dataset.notes()],
    )


def _warnings(sides: Sides, k: str) -> Iterator[str]:
    """Say what makes the verdict mean less than it seems: drawn lists, a weak A, what one side leaves open."""
    if sides.dataset.about.sampled and not sides.of_field:
        yield SAMPLED
    if sides.systems[0].kind == "baseline":
        yield (
            f"{sides.systems[0].name} is a weak opponent, a rule that needs no training: beating it is the least a "
            "model must do. Compare with what you use today before anything is replaced."
        )
    for answer in sides.answers:
        yield from answer.notes
    ruled = [system.name for system in sides.systems if system.prepared and system.prepared.settings.rules]
    if ruled and not sides.of_field:
        yield (
            f"{' and '.join(ruled)} stand{'s' if len(ruled) == 1 else ''} in the order of scores, without [rules]; "
            "`recsys evaluate` prices these, and folders of `recsys score` are compared as rules arrange them."
        )
    longest = [_longest_list(of, sides.lists.starts) for of in sides.scores]
    deepest = int(k) if k else max(longest)
    for system, own, other in zip(sides.systems, longest, longest[::-1], strict=True):
        if own < min(deepest, other):
            yield (
                f"{system.name} lists at most {own} items, the other {other}: below place {own} it can only lose; "
                f"compare with --primary nDCG@{own}, too."
            )
    learnt, logged = last_learnt(*sides.systems), sides.made.lists
    fit = (logged if learnt is None else logged.filter(pl.col("timestamp") >= learnt))["request_id"].n_unique()
    compared = len(sides.lists.users)
    if compared < fit and not sides.of_field:
        yield (
            f"{compared:,} of {fit:,} logged requests are ranked and compared; who leaves out what is hard looks "
            "better than it is."
        )


def _of_ranks(sides: Sides) -> Iterator[str]:
    """Say of which side the pooled AUC is no more than a word."""
    for system in sides.systems:
        if system.rankings is not None and not sides.of_field:
            yield f"AUC pooled compares scores of different lists; where {system.name} gives ranks, it says little."


def _not_out(sides: Sides) -> Iterator[str]:
    """Say what lists that are made leave out of the days that are compared."""
    if making(*sides.systems) is not None:
        first = sides.requests["timestamp"].min()
        yield NotOut.of(Made(sides.requests, sides.made.left_out.filter(pl.col("timestamp") >= first))).in_words()


def _longest_list(scores: Floats, starts: npt.NDArray[np.int64]) -> int:
    """Count the items of the longest list that a system gives."""
    return int(np.add.reduceat(scores > -np.inf, starts[:-1], dtype=np.int64).max(initial=0))


def _label_free(sides: Sides) -> tuple[list[LabelFree], list[str]]:
    """Measure what each side shows in the first places, and say what could not be measured."""
    catalogue = sides.requests["item_id"].unique().sort()
    items = catalogue.to_frame().with_row_index("code")
    code = sides.requests.join(items, on="item_id", how="left", maintain_order="left")["code"].cast(pl.Int64).to_numpy()
    shown = [beyond.show(of, code, sides.lists.starts, len(items), K, sides.seed) for of in sides.scores]

    def whole(name: str, values: list[float], meaning: str) -> LabelFree:
        return LabelFree(f"{name}@{K}", values[0], values[1], meaning)

    def mean(name: str, values: list[Floats], meaning: str, unit: str = "") -> LabelFree:
        difference = intervals_over_users((values[1] - values[0])[None], sides.lists.users, seed=sides.seed)[0]
        both = ~np.isnan(values[0]) & ~np.isnan(values[1])
        a, b = (float(of[both].mean()) if both.any() else float("nan") for of in values)
        return LabelFree(f"{name}@{K}{unit}", a, b, meaning, difference)

    past = _past_clicks(sides, items)
    found = [
        whole(
            "coverage",
            [beyond.coverage(each) for each in shown],
            "Share of the candidate items that is shown at least once; higher shows more of the catalogue.",
        ),
        whole(
            "Gini",
            [beyond.gini(each) for each in shown],
            "How unevenly showings fall on items; 0 is even, 1 is one item only.",
        ),
        whole(
            "personalisation",
            [beyond.personalisation(each, sides.lists.users) for each in shown],
            "How little the lists of two users have in common; 0 is the same for all.",
        ),
        mean(
            "novelty",
            [beyond.novelty(each, past) for each in shown],
            "How little was clicked or done with the shown items before; higher is less known.",
            unit=", bits",
        ),
    ]
    notes = []
    ages, vectors = _ages(sides), _vectors(sides, catalogue)
    if np.isnan(ages).all():
        notes.append("Freshness is left out: items have no available_at.")
    else:
        fresh = [beyond.freshness(each, ages) for each in shown]
        found.append(mean("age", fresh, "Mean age of what is shown; lower is fresher.", ", hours"))
    if vectors is None:
        notes.append("Diversity is left out: neither side is a model, whose encoder would say how far items are apart.")
    else:
        varied = [beyond.diversity(each, vectors)[0] for each in shown]
        found.append(mean("diversity", varied, "Mean distance of the texts in a list; higher is more varied."))
    return [*found, *_quality(sides)], notes


def _past_clicks(sides: Sides, items: pl.DataFrame) -> npt.NDArray[np.int64]:
    """Count what happened to each item before the first of the requests: clicks on lists, and events."""
    before = pl.col("timestamp") < sides.requests["timestamp"].min()
    clicked = sides.dataset.requests.filter(before, pl.col("label") > 0).select("item_id")
    done = sides.dataset.events.filter(before).select("item_id")
    counts = pl.concat([clicked, done]).group_by("item_id").len()
    found = items.join(counts, on="item_id", how="left", maintain_order="left")["len"].fill_null(0)
    return found.cast(pl.Int64).to_numpy()


def _ages(sides: Sides) -> Floats:
    """Give the hours from publication to the request for every candidate, NaN where they are not known."""
    items = one_version(sides.dataset.items, "item_id", "first")
    if "available_at" not in items.columns:
        return np.full(len(sides.requests), np.nan)
    known = items.select("item_id", "available_at")
    known = sides.requests.select("item_id", "timestamp").join(known, on="item_id", how="left", maintain_order="left")
    age = known.select((pl.col("timestamp") - pl.col("available_at")).dt.total_microseconds() / _HOUR).to_series()
    return age.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _vectors(sides: Sides, catalogue: pl.Series) -> npt.NDArray[np.float32] | None:
    """Give the vectors of the first side that is a model, zero for items without one."""
    known = next((of.vectors for of in sides.systems if of.vectors is not None), None)
    if known is None:
        return None
    rows = one_version(known.texts.with_row_index("row"), "item_id", "last")
    row = catalogue.to_frame().join(rows, on="item_id", how="left", maintain_order="left")["row"]
    padded = np.concatenate([known.candidate, np.zeros((1, known.candidate.shape[1]), np.float32)])
    found: npt.NDArray[np.float32] = padded[row.fill_null(len(known)).to_numpy()]
    return found


def _quality(sides: Sides) -> list[LabelFree]:
    candidates = sides.requests.select("request_id", "user_id", "item_id")
    a, b = (output_quality(candidates.filter(pl.Series(of > -np.inf)), candidates, K) for of in sides.scores)

    def count(name: str, of: Sequence[int], meaning: str) -> LabelFree:
        return LabelFree(name, of[0], of[1], meaning)

    def each(name: str) -> list[int]:
        return [getattr(of, name) for of in (a, b)]

    return [
        count("requests answered", each("answered"), f"Of {a.requests:,} requests."),
        count(
            "lists too short",
            each("too_few"),
            f"Answered requests with fewer than {K} of their candidates.",
        ),
        count("users covered", each("users_covered"), f"Of {a.users:,} users."),
    ]


def _examples(sides: Sides) -> list[PairedLists]:
    """Choose short lists with a click, evenly from the one where B loses most to the one where it gains most."""
    lists = sides.lists
    a, b = (per_request([ndcg(K)], lists.labels, of, lists.starts)[0] for of in sides.scores)
    change = b - a
    fit = np.flatnonzero(~np.isnan(change) & (np.diff(lists.starts) <= _LONGEST_EXAMPLE) & (change != 0))
    fit = fit[np.argsort(change[fit], kind="stable")]
    chosen = fit[np.linspace(0, len(fit) - 1, min(EXAMPLES, len(fit))).astype(np.int64)]
    rows = [slice(lists.starts[request], lists.starts[request + 1]) for request in chosen]
    wanted = pl.concat([sides.requests["item_id"][own] for own in rows]) if rows else sides.requests["item_id"].clear()
    named = sides.dataset.items.filter(pl.col("item_id").is_in(wanted.implode()))
    titles = item_titles(one_version(named, "item_id", "last"))
    found = []
    for own in rows:
        first = sides.requests.row(own.start, named=True)
        places = [_places(of[own]) for of in sides.scores]
        items = sides.requests["item_id"][own].to_list()
        listed = tuple(
            Placed(titles.get(item, NO_TEXT), places[0][row], places[1][row], int(lists.labels[own][row]))
            for row, item in enumerate(items)
        )
        found.append(PairedLists(str(first["request_id"]), f"{first['timestamp']:%Y-%m-%d %H:%M} UTC", listed))
    return found


def _places(scores: Floats) -> list[int | None]:
    """Give ranks, 1 = first, ties in the order of items; None where the item is not listed."""
    ranks = np.argsort(np.argsort(-scores, kind="stable"), kind="stable") + 1
    return [int(rank) if score > -np.inf else None for rank, score in zip(ranks, scores, strict=True)]


def _facts(sides: Sides) -> dict[str, str]:
    first, *_, last = sides.requests["timestamp"].sort().dt.to_string("%F %H:%M")
    facts = {
        "Data": f"{sides.dataset.about.source}: {sides.dataset.items['item_id'].n_unique():,} items",
        "Requests": f"{len(sides.lists.users):,} with {len(sides.requests):,} candidates, {first} to {last} UTC",
        "Users": f"{len(np.unique(sides.lists.users)):,}",
    }
    for side, system in zip("AB", sides.systems, strict=True):
        facts[side] = f"{system.name} ({system.kind})"
    made = making(*sides.systems)
    facts |= {} if made is None else {"Lists": made.in_words()}
    facts |= {"Candidates": OF_FIELD} if sides.of_field else {}
    return {**facts, "Seed": str(sides.seed)}
