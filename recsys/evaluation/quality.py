"""Whether a table of rankings gives what was asked for: every request, enough items, no repeats, no strangers."""

from dataclasses import asdict, dataclass

import polars as pl

from recsys.errors import DataError, SettingsError


@dataclass(frozen=True)
class OutputQuality:
    """What was asked for and what came; only candidates of a request count as its items.

    Attributes
    ----------
    k
        Items that a request needs.
    requests, answered
        Requests that were asked, and how many of them have an item.
    too_few
        Answered requests with fewer different items than k, or than they have candidates where those are fewer.
    repeated
        Rows that repeat an item of their request.
    not_candidates
        Rows of asked requests whose item is not one of its candidates.
    not_asked
        Requests in the rankings that were not asked.
    users, users_covered
        Users who asked, and how many of them have at least one answered request.
    """

    k: int
    requests: int
    answered: int
    too_few: int
    repeated: int
    not_candidates: int
    not_asked: int
    users: int
    users_covered: int

    def to_json(self) -> dict[str, int]:
        """Return plain objects for `json.dumps`."""
        return asdict(self)


def output_quality(rankings: pl.DataFrame, candidates: pl.DataFrame, k: int) -> OutputQuality:
    """Compare rankings with the candidates that they were asked to order.

    Parameters
    ----------
    rankings
        `request_id`, `item_id`, one row per ranked item.
    candidates
        `request_id`, `user_id`, `item_id`, one row per candidate, ids in the types of the rankings.
    k
        Items that a request needs, at least 1.

    Raises
    ------
    DataError
        When a column is missing or ids of the two tables have different types.
    SettingsError
        When k is below 1.
    """
    if k < 1:
        raise SettingsError(f"k is {k}, which asks for nothing; write 1 or more")
    key = ["request_id", "item_id"]
    _check(rankings, candidates, key)
    asked = candidates.lazy().unique(["request_id", "item_id"])
    given = rankings.lazy().select(key)
    known = given.join(asked.select("request_id").unique(), on="request_id", how="semi")
    items = given.unique().join(asked, on=key, how="semi").group_by("request_id").agg(pl.len().alias("given"))
    needed = asked.group_by("request_id").agg(pl.len().clip(upper_bound=k).alias("needed"), pl.col("user_id").first())
    answered = pl.col("given").is_not_null()
    of_requests = needed.join(items, on="request_id", how="left").select(
        requests=pl.len(),
        answered=answered.sum(),
        too_few=(pl.col("given") < pl.col("needed")).sum(),
        users=pl.col("user_id").n_unique(),
        users_covered=pl.col("user_id").filter(answered).n_unique(),
    )
    of_rows = known.join(asked.select(*key, candidate=True), on=key, how="left")
    counts = pl.collect_all(
        [
            of_requests,
            of_rows.select(
                repeated=pl.len() - pl.struct(key).n_unique(), not_candidates=pl.col("candidate").is_null().sum()
            ),
            given.join(asked, on="request_id", how="anti").select(not_asked=pl.col("request_id").n_unique()),
        ]
    )
    return OutputQuality(
        k=k, **{name: int(value) for table in counts for name, value in table.row(0, named=True).items()}
    )


def _check(rankings: pl.DataFrame, candidates: pl.DataFrame, key: list[str]) -> None:
    for name, table, columns in (("rankings", rankings, key), ("candidates", candidates, [*key, "user_id"])):
        missing = [column for column in columns if column not in table.columns]
        if missing:
            raise DataError(f"{name} lack the columns {missing}; add them")
    for column in key:
        types = [str(table.schema[column]) for table in (rankings, candidates)]
        if types[0] != types[1]:
            raise DataError(f"{column} is {types[0]} in rankings and {types[1]} in candidates; cast one to the other")
