"""`Ranker`: a model folder inside somebody's process, without torch."""

import logging
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Literal, TypeVar

import pandas as pd
import polars as pl

from recsys.arranging.rules import check_top, keep_top
from recsys.arranging.settings import RuleSettings
from recsys.data.candidates import refuse_misnamed
from recsys.data.checks import check_update
from recsys.data.faults import refuse_errors
from recsys.data.labels import with_clicks
from recsys.data.one_list import are_sound_events, widened
from recsys.data.plain import plain_table
from recsys.data.texts import text_columns
from recsys.errors import DataError, SettingsError
from recsys.explaining.explain import explain
from recsys.features.checks import check_context, check_id_types
from recsys.features.declared import Declared
from recsys.features.plan import counted_keys
from recsys.features.settings import declare
from recsys.model.news import News
from recsys.model.ready import Ready
from recsys.past.log import Log
from recsys.past.lookup import Lookup
from recsys.past.streams import CLICK
from recsys.past.tail import Tail
from recsys.past.told import Taken
from recsys.schema import CANDIDATES, EVENTS, ITEMS, REQUESTS, TIME, USERS
from recsys.serving.frames import past_moment, read, told
from recsys.shown import plain

logger = logging.getLogger(__name__)

_MOST_NAMED = 10

_FEW = 100
"""Up to so many events are looked at one by one."""

Frame = TypeVar("Frame", pl.DataFrame, pd.DataFrame)


class Ranker:
    """Ranks candidates exactly as `recsys score` does with the same model and state.

    Made by `Ranker.load`. Holds no open files; threads may share one, and a ranking that has begun sees no later
    `update`.
    """

    def __init__(self, ready: Ready) -> None:
        self._ready = ready
        self._tail = Tail.on(ready.log)
        self._growing, self._telling = Lock(), Lock()
        self._unread: set[str] = set()
        self._sound: set[tuple[tuple[str, ...], tuple[pl.DataType, ...]]] = set()
        self._nothing = News.of(None, None, ready.model.settings, ready.log, ready.reader)
        self._keys = counted_keys(ready.model.settings.features, ready.model.settings.rules.asks)
        self._count(ready.log)  # so that loading takes the time, and no list
        _warm(ready)

    @classmethod
    def load(
        cls, folder: str | Path, state: str | Path | None = None, *, verify: Literal["touched", "all"] = "touched"
    ) -> "Ranker":
        """Read a model folder; needs neither torch nor a network.

        The first text that comes, of a request that has one of its own or of a new item, loads the encoder from the
        folder, which must still be there; a backend other than torch needs no torch for that either.

        Parameters
        ----------
        folder
            Written by `recsys train`.
        state
            Newer behaviour and vectors: the `state` folder that `recsys score` wrote; the model's own when left out.
        verify
            Counters of the state are mapped, and each block of them is held against its hash when it is first read;
            `"all"` reads and checks them at once.

        Raises
        ------
        ModelError
            When a folder is not whole, or the state was made with another model.
        SettingsError
            When `verify` is neither.
        """
        if verify not in ("touched", "all"):
            raise SettingsError(f'verify = {verify!r}; write "touched", or "all"')
        folder = Path(folder)
        return cls(Ready.load(folder, folder / "state" if state is None else Path(state), verify == "all"))

    @property
    def known_until(self) -> datetime | None:
        """The latest moment (UTC) of a showing or of an event becoming known in the state; None when it has none."""
        return self._ready.known_until

    def rank(self, candidates: Frame, top: int | None = None) -> Frame:
        """Order the candidates of every request.

        Under nightly each request is ranked as the list made for the day in which its `timestamp` lies, at the making
        before it. Items that were not out then (`available_at` later) are absent from the answer, and so is a request
        of which no item was out: nobody could have put them into a list that is made before they are there.

        Parameters
        ----------
        candidates
            polars or pandas frame of whole requests, rows in any order: `request_id`, `user_id`, `timestamp` (naive
            ones are UTC), `item_id`, the context columns and the query column of the model.
        top
            Keep the first so many of each request; all when left out.

        Returns
        -------
        A frame of the same kind, sorted by request and rank: `request_id`, `user_id`, `item_id`, `rank` (1 = first),
        `score`, `click_probability` in (0, 1) or null (in pandas NaN), see `docs/serving.md`, `unknown_user`,
        `unknown_item`, and `unlike`: why the list is unlike all that the model has learnt from, null where it is not.

        Raises
        ------
        DataError
            When the candidates have faults; names all of them.
        SettingsError
            When `top` is below 1, or a context column or the query column is missing.
        """
        check_top(top)
        ready = self._ready  # an update that comes meanwhile gives others another one
        ranked = keep_top(ready.rank(ready.ask(read(candidates, CANDIDATES, ready.columns))), top)
        return ranked if isinstance(candidates, pl.DataFrame) else ranked.to_pandas()

    def explain(self, candidates: Frame, top: int | None = None) -> Frame:
        """Order candidates as `rank` does, and say what adds to each score of the first places; as of `rank`.

        Returns
        -------
        What `rank` returns and, beside it, `others`: the mean score of up to 20 others of its list, evenly from the
        best to the worst; `contribution_<family>`: what each family of features adds to that, exact Shapley values of
        the trees that sum to the score; `named_first`: the family that moves the score most when its values are
        exchanged for those of others; `clicks`: up to three clicked items that raise interest in the candidate most.
        """
        check_top(top)
        ready = self._ready
        explained = explain(ready, ready.ask(read(candidates, CANDIDATES, ready.columns)), top).frame()
        return explained if isinstance(candidates, pl.DataFrame) else explained.to_pandas()

    def find(self, requests: Frame) -> Frame:
        """Find candidates by the sources of the model's `[candidates]`, for requests that have none or too few.

        Parameters
        ----------
        requests
            polars or pandas frame, one row per request: `request_id`, `user_id`, `timestamp`, the context columns and
            the query column of the model; or candidates of your own with `item_id` and the scores of your retrievers,
            which stay and come first.

        Returns
        -------
        A frame of the same kind and columns with `item_id`, for `rank`; without requests for which nothing was found.
        Scores of retrievers are null beside what the sources found.

        Raises
        ------
        DataError
            When the requests have faults; names all of them.
        SettingsError
            When the model has no sources, or a context column or the query column is missing.
        """
        if not isinstance(requests, pl.DataFrame | pd.DataFrame):
            raise DataError(f"requests are a {type(requests).__name__}; pass a polars or pandas DataFrame")
        ready = self._ready
        refuse_misnamed(list(requests.columns))
        if "item_id" in requests.columns:
            found = ready.find(read(requests, CANDIDATES, ready.columns))
        else:
            own = requests.assign(item_id=0) if isinstance(requests, pd.DataFrame) else requests.with_columns(item_id=0)
            found = ready.find(read(own, CANDIDATES, ready.columns).drop("item_id"))
        return found if isinstance(requests, pl.DataFrame) else found.to_pandas()

    def score(self, candidates: Frame) -> "pl.Series | pd.Series[float]":
        """Score candidates: one number per row, in the order of the rows; arguments and errors as for `rank`.

        Under nightly the score of an item that was not out when its list was made is null, or NaN in pandas.
        """
        ready = self._ready
        frame = plain_table(read(candidates, CANDIDATES, ready.columns), CANDIDATES)  # ids as they are ranked
        ranked = ready.rank(ready.ask(frame), RuleSettings()).select("request_id", "item_id", "score")
        scores = frame.select("request_id", "item_id").join(
            ranked, on=["request_id", "item_id"], how="left", maintain_order="left"
        )["score"]
        return (
            scores
            if isinstance(candidates, pl.DataFrame)
            else pd.Series(scores.to_numpy(), candidates.index, name="score")
        )

    def update(
        self,
        events: pl.DataFrame | pd.DataFrame | None = None,
        requests: pl.DataFrame | pd.DataFrame | None = None,
        items: pl.DataFrame | pd.DataFrame | None = None,
        users: pl.DataFrame | pd.DataFrame | None = None,
        *,
        at: datetime | str | None = None,
    ) -> Taken:
        """Add what happened since, and what is new or changed: rankings from now on know it as if in the state.

        What is added is known to this process alone and gone with it; a process that is started again with the same
        state, and told the same, gives the same rankings. What became known more than `[time] lateness` before the
        first moment that the state answers for comes too late: it is left out and counted.

        Tell what is newer than the state; `known_until` says how far it goes. What was told before is left out and
        counted: lists that are told again as they were, and events by their `event_id`, where they and the state carry
        one; without an id each counts. Lists are told whole. Items and users may be told again. A row with `known_at`
        is a version: what happened before that moment still counts under the rows before. One without holds for all
        that happened before, too.

        Parameters
        ----------
        events
            Rows of the table of events. A click on a list that is in `requests` is none.
        requests
            Candidates of lists that were shown, whole requests: `request_id`, `user_id`, `timestamp`, `item_id`, the
            context columns, and `label`, null or absent as long as it is not known, with `clicked_at`?. A candidate
            that was added without a label is added again with it. Until then it counts as shown and, after the feedback
            delay, as not clicked. A label that is told before the delays have passed is read when they have.
        items
            Whole rows, one for each item, or version of one, that is new or changed: `item_id`, `known_at`?, the
            columns of the text, the attributes and numbers that the model uses, `available_at`? (where there is no such
            column, what is known of it stays).
        users
            The same for users: `user_id`, `known_at`? and the attributes that the model uses.
        at
            What would have been known before this moment (UTC where it names no zone) is known from it on: events and
            versions by `known_at`, an empty one too, clicks on lists by `clicked_at`. Lists stay where they were shown,
            items and users without that column hold for all time, and a version that a newer one has followed by then
            is left out. Give the moment of the call, and what else comes late changes no answer of before.

        Returns
        -------
        What was taken, to be logged.

        Raises
        ------
        DataError
            When rows have faults, names all of them; when a list or an event is told again otherwise, or is in the
            state in part or otherwise; when `at` is no moment, or lies in the future. Nothing is then added.
        SettingsError
            When a column that the model reads is missing, or events or requests are told to a model that grades labels
            from events, which only a batch can do.
        """
        done, shown = self._checked(events, requests)
        moment = None if at is None else past_moment(at)
        tells = items is not None or users is not None
        with self._telling if tells else nullcontext():  # while texts are read, events may still be told
            return self._taken(self._news(items, users, moment), done, shown, moment)

    def _taken(
        self, news: News, done: pl.DataFrame | None, shown: pl.DataFrame | None, moment: datetime | None
    ) -> Taken:
        """Know what was told and checked, from the next ranking on."""
        with self._growing:
            tail = self._tail.told(news.items, news.users)
            taken = tail.untold(done, shown)
            if moment is not None:
                taken = taken.known_from(moment, self._ready.model.clock)
            taken = tail.in_time(taken)
            tail = tail.grown(with_clicks(taken.events, self._ready.model.settings.labels), taken.requests)
            self._count(tail.log)  # no list waits for it
            reader = news.known_by(self._ready.reader, tail.log)
            self._ready, self._tail = self._ready.knowing(tail.log, reader), tail
        return replace(
            taken,
            items=news.items,
            users=news.users,
            ignored=taken.ignored + news.alike,
            untexted=news.texts.untexted,
            unread=self._unread_among(taken.events),
        )

    def _count(self, log: Log) -> None:
        """Count what lists will ask of a log, and was not counted yet."""
        for layer in log.layers:
            layer.prepare(self._keys)

    def _checked(
        self, events: pl.DataFrame | pd.DataFrame | None, requests: pl.DataFrame | pd.DataFrame | None
    ) -> tuple[pl.DataFrame | None, pl.DataFrame | None]:
        """Check what happened, and bring it to the types of the package."""
        settings, known = self._ready.model.settings, self._ready.log.behaviour
        grades = settings.labels.grades
        if grades and not (events is None and requests is None):
            raise SettingsError(
                f"this model grades labels from events ([labels] grades names {sorted(grades)}), which needs the lists "
                "before them; run `recsys score` with newer tables and load the state that it writes"
            )
        context = settings.features.context
        done, shown = told(events, EVENTS), told(requests, REQUESTS, context)
        done = None if done is None else widened(done)
        if done is not None and shown is None and self._are_sound(done):
            return done, None
        raw, done = done, None if done is None else plain_table(done, EVENTS)
        if shown is not None:
            labelled = shown if "label" in shown.columns else shown.with_columns(label=pl.lit(None, pl.Int64))
            shown = plain_table(labelled, REQUESTS, context)
        refuse_errors(check_update(done, shown))
        if done is not None:
            check_id_types(done, known, "events")
            self._warn_of_unread(done)
            if raw is not None and raw.schema == done.schema:
                self._sound.add(_kinds_of(done))
        if shown is not None:
            check_id_types(shown, known, "requests")
            unscored = settings.features.model_copy(update={"scores": ()})  # only who is ranked needs them
            check_context(shown, unscored, (), "requests")
        return done, shown

    def _are_sound(self, events: pl.DataFrame) -> bool:
        """Tell whether events are of columns and types in which no fault was found, and hold no value that is one."""
        if _kinds_of(events) not in self._sound or not are_sound_events(events, datetime.now(UTC)):
            return False
        self._warn_of_unread(events)
        return True

    @cached_property
    def _read_kinds(self) -> set[str]:
        """The kinds of events that the model reads."""
        settings = self._ready.model.settings
        named = (*settings.text.history, *settings.features.kinds, *settings.candidates.once)
        return {CLICK, *settings.labels.clicks, *named}

    def _unread_among(self, events: pl.DataFrame) -> int:
        """Count events that change no ranking."""
        kinds = events["event"].cast(pl.String)
        if len(kinds) > _FEW:
            return int((~kinds.is_in(list(self._read_kinds))).sum())
        return sum(kind not in self._read_kinds for kind in kinds.to_list())

    def _warn_of_unread(self, events: pl.DataFrame) -> None:
        """Say once of each kind of events that it changes no ranking."""
        read = self._read_kinds
        kinds = {*events["event"].cast(pl.String).to_list()} - {*read, *self._unread}
        if kinds:
            self._unread |= kinds
            logger.warning(
                "events of kinds that this model does not read change no ranking: %s; it reads %s",
                *(", ".join(map(plain, sorted(names)[:_MOST_NAMED])) for names in (kinds, read)),
            )

    def _news(
        self,
        items: pl.DataFrame | pd.DataFrame | None,
        users: pl.DataFrame | pd.DataFrame | None,
        at: datetime | None,
    ) -> News:
        """Check what is told of items and users, and read new texts."""
        ready = self._ready
        kept, text = ready.model.settings.kept, ready.model.settings.text
        named = (*kept.affinity, *kept.numbers, *kept.rules, *text_columns(text.fields, text.template))
        rows, people = told(items, ITEMS, named), told(users, USERS, (*kept.users, *kept.user_rules))
        if rows is None and people is None:
            return self._nothing
        return News.of(rows, people, ready.model.settings, ready.log, ready.reader, at)


def _kinds_of(frame: pl.DataFrame) -> tuple[tuple[str, ...], tuple[pl.DataType, ...]]:
    return tuple(frame.columns), tuple(frame.dtypes)


def _warm(ready: Ready) -> None:
    """Rank a list like the last that was clicked: what is compiled or mapped for a first list is loaded by then."""
    settings, shown = ready.model.settings, ready.log.behaviour.showings
    Declared.of(declare(settings.features)).read(Lookup.of_nobody(ready.log))
    last, items = shown.filter(pl.col("label") > 0).tail(1), ready.log.behaviour.items["item_id"].head(2)
    if "field" in settings.features.families or settings.features.compared == "field":
        return  # the field of a moment is counted for lists of that moment
    if last.is_empty() or settings.features.scores:
        return  # what a list says beside its items is not known here
    earliest = pl.lit(ready.log.earliest, pl.Int64).cast(TIME)
    moment = pl.max_horizontal("timestamp", earliest) + pl.duration(days=1)
    columns = [name for name in ready.columns if name not in last.columns]
    candidates = (
        items.to_frame()
        .join(last.drop("item_id"), how="cross")
        .with_columns(request_id=0, timestamp=moment, **{name: pl.lit(None) for name in columns})
    )
    ready.rank(ready.ask(candidates))
