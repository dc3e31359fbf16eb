"""A model that knows a moment: what is asked of it is checked in one place, and answered in one way by every caller."""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from recsys.arranging.arrange import arranged
from recsys.arranging.rules import keep_top
from recsys.arranging.settings import RuleSettings
from recsys.data.candidates import refuse_misnamed
from recsys.data.checks import check_candidates
from recsys.data.faults import refuse_errors
from recsys.data.made import Made, at_the_making
from recsys.data.one_list import are_plain_ids, is_one_sound_list
from recsys.data.plain import plain_table
from recsys.data.tables import Dataset
from recsys.engines.engine import HERE, Engine
from recsys.errors import SettingsError
from recsys.features.checks import check_context, check_id_types, check_query
from recsys.features.plan import from_features
from recsys.model.encoding import current_vectors
from recsys.model.folder import Model, State, until
from recsys.model.prepared import Prepared, available_at, prepare, warn_of_rules
from recsys.past.log import Log
from recsys.past.lookup import Asked
from recsys.past.streams import LAST, Ints
from recsys.schema import CANDIDATES
from recsys.sources.finding import Finder, first_rows
from recsys.sources.index import Index
from recsys.statistics.numbers import Floats
from recsys.statistics.ties import tie_keys, tied_rows
from recsys.vectors.reader import Reader


@dataclass(frozen=True)
class Ready:
    """A model, the behaviour and the texts that it knows.

    Attributes
    ----------
    model
        The model.
    log, reader
        What features are computed from.
    recorded_after
        Columns of requests that were recorded after the list, as the importer of the tables declares.
    index
        Of the item vectors, where source `nearest` has one; who knows later rows shares it.
    known_until
        The latest moment (UTC) of a showing or of an event becoming known in the state; None when it has none.
    sound
        Columns and types of candidates in which no fault was found: of one more list of such only values are checked.
    """

    model: Model
    log: Log
    reader: Reader
    recorded_after: tuple[str, ...] = ()
    index: Index = field(default_factory=Index)
    known_until: datetime | None = None
    sound: set[tuple[tuple[str, ...], tuple[pl.DataType, ...]]] = field(default_factory=set)

    @classmethod
    def of(cls, model: Model, state: State, folder: Path) -> "Ready":
        """Join a model with a state, whose rules count; its encoder lies in `folder`."""
        if state.rules is not None:
            model = model.ruled(state.rules)
        log = model.log(state.behaviour) if state.log is None else state.log
        known_until = until(state.behaviour) if state.log is None else state.known_until
        reader = model.reader(log, state.vectors, folder, state.neighbours)
        return cls(model, log, reader, known_until=known_until)

    @classmethod
    def load(cls, folder: Path, state: Path, verify_all: bool = False, part: int | None = None) -> "Ready":
        """Read a model folder and a state of it, without torch; the last two arguments as of `State.load`.

        Raises
        ------
        ModelError
            When a folder is not whole, or the state was made with another model.
        """
        return cls.of(Model.load(folder), State.load(state, folder, verify_all, part), folder)

    @classmethod
    def today(
        cls,
        folder: Path,
        dataset: Dataset,
        before: Path | None = None,
        rules: RuleSettings | None = None,
        engine: Engine = HERE,
    ) -> tuple["Ready", Prepared]:
        """Load a model, prepare today's tables and encode the item texts that the model has not seen.

        Parameters
        ----------
        folder, dataset
            The model and today's tables.
        before
            A state of the model whose vectors and neighbours are known already; that of the training when left out.
        rules
            Of ranked lists; those of the model when left out.
        engine
            What reads new texts.

        Raises
        ------
        ModelError
            When the folder is no whole model.
        DataError
            When the tables have faults.
        SettingsError
            When the tables lack a column that the model uses.
        """
        model = Model.load(folder)
        model = model if rules is None else model.ruled(rules)
        prepared = prepare(dataset, model.settings)
        warn_of_rules(prepared.dataset, model.settings.rules)
        state = State.load(folder / "state" if before is None else before, folder)
        vectors = current_vectors(model, folder, state.vectors, dataset.items, engine)
        assert state.log is not None
        assert state.neighbours is not None
        neighbours = state.neighbours.carried_to(prepared.log, vectors, state.log)
        reader = model.reader(prepared.log, vectors, folder, neighbours)
        return cls(model, prepared.log, reader, dataset.about.recorded_after), prepared

    def knowing(self, log: Log, reader: Reader) -> "Ready":
        """Know later rows, and what a reader on top of them has of new items."""
        return replace(self, log=log, reader=reader)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of candidates that are read beside those with a fixed meaning."""
        settings = self.model.settings
        query = (settings.text.query,) if settings.text.query else ()
        return (*settings.features.context, *settings.features.scores, *query)

    @cached_property
    def finder(self) -> Finder:
        """What finds candidates for users who have none."""
        settings = self.model.settings
        return Finder(settings.candidates, settings.features, self.log, self.reader, self.model.merging, self.index)

    @property
    def state(self) -> State:
        """What serving needs to give the same answers."""
        return State.of(self.log, self.reader)

    def find(self, requests: pl.DataFrame) -> pl.DataFrame:
        """Let the sources of the model find candidates.

        Parameters
        ----------
        requests
            `request_id`, `user_id`, `timestamp` and the columns that the model reads, one row per request; or
            candidates of one's own with `item_id`, which all stay and come first.

        Returns
        -------
        Candidates of the same columns and `item_id`, as many per request as `[candidates] size` says unless more were
        brought; a request for which nothing was found has none. Under nightly the moments are those of the making.

        Raises
        ------
        DataError
            When requests have faults, names all of them.
        SettingsError
            When the model has no sources, or a column that it reads is missing.
        """
        if not self.model.settings.candidates.sources:
            raise SettingsError(
                "the model has no sources of candidates; name some in [candidates] sources and train, or give "
                "candidates"
            )
        brings = "item_id" in requests.columns
        refuse_misnamed(requests.columns)
        as_asked = requests if brings else requests.with_columns(item_id=pl.int_range(pl.len()))
        plain = plain_table(as_asked, CANDIDATES, self.model.settings.features.context, self.columns)
        checked = check_candidates(plain)
        if not brings:  # lists of one are no fault here, and nothing that is found has scores
            checked = replace(checked, faults=checked.errors)
            scores = [name for name in self.model.settings.features.scores if name not in plain.columns]
            plain = plain.drop("item_id").with_columns(pl.lit(None, pl.Float64).alias(name) for name in scores)
        refuse_errors(checked)
        check_id_types(plain, self.log.behaviour)
        check_context(plain, self.model.settings.features, self.recorded_after, "requests")
        check_query(plain, self.model.settings.text.query, self.recorded_after)
        if self.log.time.nightly:
            plain = plain.with_columns(timestamp=self.log.time.as_of(pl.col("timestamp")))
        asked = first_rows(plain)
        found = self.finder.candidates(asked, self.finder.find(asked))
        return self._beside(plain, found) if brings else found

    def _beside(self, brought: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
        """Put what was found behind what was brought, up to the size of a list."""
        key, size = ["request_id", "item_id"], self.model.settings.candidates.size
        new = found.with_columns(pl.col("item_id").cast(brought.schema["item_id"])).join(
            brought, on=key, how="anti", maintain_order="left"
        )
        many = brought.group_by("request_id").len("_brought")
        room = new.join(many, on="request_id", how="left", maintain_order="left")["_brought"]
        place = new.select(pl.int_range(pl.len()).over("request_id")).to_series()
        whole = pl.concat([brought, new.filter(place + room < size).select(brought.columns)])
        turns = first_rows(brought).select("request_id", _turn=pl.int_range(pl.len()))
        turn = whole.join(turns, on="request_id", how="left", maintain_order="left")["_turn"]
        return whole[np.argsort(turn.to_numpy(), kind="stable")]

    def ask(self, candidates: pl.DataFrame) -> Asked:
        """Check candidates of whole requests, and put them in order; arguments and errors as for `made`."""
        return Asked.of(self.made(candidates).lists, self.log)

    def made(self, candidates: pl.DataFrame) -> Made:
        """Check candidates of whole requests; under nightly, give their lists as they are made.

        A request then stands for the day in which its moment lies: its list is made at the making before it, of the
        candidates that were out then.

        Parameters
        ----------
        candidates
            Columns as `recsys.schema.CANDIDATES`, the context columns, the scores and the query column of the model, in
            any order; moments without a zone are UTC.

        Raises
        ------
        DataError
            When the candidates have faults, names all of them; or their ids are of another kind than those of the log.
        SettingsError
            When a column that the model reads is missing, of another kind, or was recorded after the list.
        """
        settings, schema = self.model.settings, (tuple(candidates.columns), tuple(candidates.dtypes))
        if not (schema in self.sound and is_one_sound_list(candidates)):
            candidates = plain_table(candidates, CANDIDATES, settings.features.context, self.columns)
            refuse_errors(check_candidates(candidates))
            check_id_types(candidates, self.log.behaviour)
            check_context(candidates, settings.features, self.recorded_after)
            check_query(candidates, settings.text.query, self.recorded_after)
            texts = candidates.schema.get(settings.text.query) == pl.Null  # a column of which no text was told
            kinds = [
                pl.String if texts and name == settings.text.query else dtype
                for name, dtype in candidates.schema.items()
            ]
            if schema == (tuple(candidates.columns), tuple(kinds)) and are_plain_ids(candidates.schema):
                self.sound.add(schema)
        return at_the_making(candidates, partial(available_at, self.log), self.log.time)

    def rank(self, asked: Asked, rules: RuleSettings | None = None) -> pl.DataFrame:
        """Score and rank candidates: the one way, for batch and for serving.

        Each request's answer depends on that request and on behaviour known before its `as_of` alone: not on the order
        of rows, and not on which other requests are ranked with it.

        Parameters
        ----------
        asked
            What `ask` gave, or a part of it.
        rules
            What is done to each list after scoring; the rules of the model when left out. They leave rows out.

        Returns
        -------
        `recsys.schema.RANKINGS`, sorted by request and rank. But for rules that is by score; equal scores are ordered
        by a hash of request and item, or by item where `[ranker] ties` says so. `click_probability` is null in a list
        of a size that calibration has not seen, and everywhere for a model that learnt from drawn lists. `unknown_user`
        says that no list shown to the user and nothing that the user read is known before `as_of`, `unknown_item` that
        the items table does not hold the item, or not before `as_of`; both are scored with missing features. `unlike`
        says why the list is unlike all that the model has learnt from, and is null where it is not, see
        `recsys.ranking.experience`.
        """
        parts = from_features(self.model.ranker.score, asked, self.model.settings.features, self.reader)
        return self.ranked(asked, parts[0] if len(parts) == 1 else np.concatenate(parts), rules)

    def ranked(self, asked: Asked, scores: Floats, rules: RuleSettings | None = None) -> pl.DataFrame:
        """Rank candidates by their scores, shape [Q]; all else is as of `rank`."""
        shown, read = asked.lookup.ever[0], asked.lookup.codes[f"{LAST}item"] >= 0
        request = np.repeat(np.arange(len(asked.lengths)), asked.lengths)
        by_score, propensity = partial(self.order, asked.candidates, request=request), None
        if rules := self.model.settings.rules if rules is None else rules:
            order, lengths, propensity = arranged(asked, scores, by_score, rules, self.reader)
        else:
            order, lengths = by_score(scores), asked.lengths
        kept = np.repeat(np.arange(len(lengths)), lengths)
        places = np.arange(1, len(kept) + 1) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        ids = pl.DataFrame([asked.candidates.get_column(name) for name in ("request_id", "user_id", "item_id")])
        probability = self.model.calibration.probability(scores, asked.starts)[order]
        return pl.DataFrame(
            [
                *ids[pl.Series(order.astype(np.uint32))].get_columns(),
                pl.Series("rank", places, dtype=pl.UInt32),
                pl.Series("score", scores[order]),
                pl.Series("click_probability", probability, nan_to_null=True),
                pl.Series("unknown_user", ((shown == 0) & ~read)[order]),
                pl.Series("unknown_item", (asked.lookup.items < 0)[order]),
                self._unlike(asked, kept).alias("unlike"),
                *([] if propensity is None else [pl.Series("propensity", propensity)]),
            ]
        )

    def rank_part(self, asked: Asked, top: int | None = None) -> "RankedPart":
        """Rank a part of candidates: the same rankings whatever else is ranked, here or elsewhere.

        Of the state no more need be known than the one part to which the users belong: `Ready.load(..., part=...)`.

        Parameters
        ----------
        asked
            Whole requests.
        top
            Keep the first so many of each; all when left out.

        Raises
        ------
        DataError
            When a user is of another part than was loaded.
        """
        ranked = self.rank(asked)
        strange = ranked.group_by("request_id").agg(pl.col("unlike").first())["unlike"].drop_nulls()
        return RankedPart(
            keep_top(ranked, top),
            int(tied_rows(ranked["score"].to_numpy(), ranked["request_id"].rle_id().to_numpy()).sum()),
            set(ranked.filter("unknown_user")["user_id"].unique()),
            set(ranked.filter("unknown_item")["item_id"].unique()),
            Counter(reason for words in strange for reason in words.split(", ")),
            len(asked.candidates) - len(ranked),
        )

    def _unlike(self, asked: Asked, request: Ints) -> pl.Series:
        """Say of each row's request why its list is unlike all that were learnt from; null where it is not."""
        known, reasons = self.model.experience, list[str | None]()
        if known is not None:
            by_length = self.model.settings.features.compared == "list"
            reasons = known.unlike(asked.lengths, asked.unseen(), by_length)
        if not any(reasons):
            return pl.Series([None], dtype=pl.String).new_from_index(0, len(request))
        return pl.Series(reasons, dtype=pl.String)[request]

    def order(self, candidates: pl.DataFrame, scores: Floats, request: Ints) -> Ints:
        """Order rows by request, score and what breaks ties; they come by request and item."""
        order = np.lexsort((-scores, request))
        if self.model.settings.ranker.ties == "item":
            return order
        tied = order[tied_rows(scores[order], request[order])]
        if not len(tied):
            return order
        keys = np.zeros(len(order), dtype=np.uint64)
        keys[tied] = tie_keys(candidates["request_id"][tied], candidates["item_id"][tied])
        return np.lexsort((keys, -scores, request))


class RankedPart(NamedTuple):
    """Rankings of a part, and what is told of them.

    Attributes
    ----------
    rankings
        See `recsys.schema.RANKINGS`, sorted by request and rank.
    tied
        How many candidates have the score of another one of their list.
    unknown_users, unknown_items
        Ids of which nothing was known.
    unlike
        How many lists are unlike all that was learnt from, by reason.
    left_out
        How many candidates the rules left out.
    """

    rankings: pl.DataFrame
    tied: int
    unknown_users: set[object]
    unknown_items: set[object]
    unlike: Counter[str]
    left_out: int
