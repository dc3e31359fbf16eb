"""One night: import, check, train, gate, embed, candidates, score, publish; what is done already is not done again."""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from pathlib import Path

import polars as pl

from recsys.arranging.settings import RuleSettings
from recsys.data.candidates import ask, read_rows
from recsys.data.checks import check_tables
from recsys.data.cut import known_before
from recsys.data.cutting import first_moments
from recsys.data.databases import located
from recsys.data.importers import Mapping as Mapped
from recsys.data.importers import fetched, files_read, form_of, is_remote, read_mapped, read_source, refuse_unknown
from recsys.data.tables import Dataset, read_about
from recsys.engines.engine import open_engine, refuse_absent
from recsys.engines.settings import ONE_PROCESS
from recsys.errors import DataError, SettingsError, StorageError
from recsys.files import link_files, new_folder, read_json, write_json
from recsys.jobs.nightly.drift import DataProfile, data_drift
from recsys.jobs.nightly.forgotten import Forgotten
from recsys.jobs.nightly.gate import PROFILE, ListsProfile, judge_model, lists_drift
from recsys.jobs.nightly.home import LIVE, Home, Published
from recsys.jobs.nightly.outcome import NightDone
from recsys.jobs.nightly.settings import Configured
from recsys.jobs.nightly.sink import upsert
from recsys.jobs.nightly.steps import Steps, UndoneError, print_of
from recsys.manifest import file_hash, read_manifest, write_manifest
from recsys.model.folder import Model, identity
from recsys.reading import present_files
from recsys.settings import Settings

logger = logging.getLogger(__name__)

STEPS = ("import", "check", "train", "gate", "embed", "candidates", "score", "publish")
"""The steps, in their order."""

_FETCHED = "fetched"

CLOCK = "night.json"
"""The file that holds the moment of the night in work."""


def night_name(moment: datetime) -> str:
    """Give the name of a night, by its moment."""
    return f"{moment:%Y-%m-%dT%H%M%SZ}"


@dataclass
class NightSteps:
    """The steps of one night, in their order."""

    configured: Configured
    home: Home
    at: datetime
    steps: Steps
    mapping: Mapped | None = None

    @property
    def settings(self) -> Settings:
        """Settings of the model."""
        return self.configured.model

    def run(self) -> NightDone:
        """Do what is not done yet; errors as of `recsys.jobs.nightly.job.run_night`."""
        champion, notes = self.before(), list[str]()
        self._candidates_print()  # so that what is not there is told before anything is done
        source = self._source()
        data = self.steps.do("import", source, self._import)
        inputs = {"source": source, "at": self.at.isoformat()}
        faults = self._check(data, inputs, champion)
        if faults:
            return NightDone(None, tuple(faults))
        model, said = self._model(data, inputs, champion)
        notes += said
        lists = self._lists(data, inputs, model)
        rankings, broken = self._score(data, inputs, model, lists)
        notes += [f"broken, and left out: {name}: {why}" for name, why in broken.items()]
        return self._publish(rankings, model, notes)

    def before(self) -> Published | None:
        """Find the lists that this night comes after; their model is the one that a new one is held against."""
        live, published = self.home.live, {each.name: each for each in self.home.published()}
        earlier = [each for each in published.values() if each.at < self.at]
        if live is None and earlier:
            raise DataError(
                f"{self.home.folder / LIVE} is gone, so that nobody can tell which lists and model are live; point it "
                f"to some with `recsys rollback --to NAME`; the last ones are {max(earlier, key=attrgetter('at')).name}"
            )
        if live is None or live.at < self.at:
            return live
        if live.at == self.at:
            return published.get(live.after or "")
        return max(earlier, key=attrgetter("at"), default=None)

    def _source(self) -> dict[str, object]:
        """Say what is imported; what lies elsewhere is fetched first, for only then can it be told apart."""
        said = self.configured.nightly.source
        refuse_unknown(said.kind)
        folder = self.configured.path(said.folder)
        if not folder.is_dir():
            raise StorageError(f"{folder} is not there; name the folder that holds the files of {said.kind}")
        self.mapping = self.configured.mapping
        if said.kind != "tables" and self.mapping is not None:
            raise SettingsError(f"[source] mapping has no use with the kind {said.kind!r}; leave it out")
        if self.mapping is not None and is_remote(self.mapping):
            if self.steps.planning:
                self.steps.lines.append("import: would run, for what lies elsewhere is asked every night")
                raise UndoneError
            shutil.rmtree(self.home.work / _FETCHED, ignore_errors=True)
            self.steps.tell("fetch", "begun")
            self.mapping = fetched(self._absolute(self.mapping), self.home.work / _FETCHED)
            self.steps.tell("fetch", "done")
        mapping = self.configured.mapping
        try:
            files = [path for path in folder.rglob("*") if path.is_file()]
            files = files_read(folder, self.mapping) if said.kind == "tables" else files
        except DataError as error:
            raise StorageError(str(error)) from error
        return {
            "kind": said.kind,
            "forgotten": Forgotten.read(self.home.record).forms,
            "files": [[file.name, file_hash(file)] for file in sorted(files)],
            "mapping": None if mapping is None else mapping.model_dump(mode="json"),
        }

    def _absolute(self, mapping: Mapped) -> Mapped:
        """Let the path of a DuckDB file start from the folder of the configuration."""
        if mapping.database is None:
            return mapping
        return mapping.model_copy(update={"database": located(mapping.database, self.configured.root)})

    def _import(self, target: Path) -> None:
        said = self.configured.nightly.source
        folder = self.configured.path(said.folder)
        dataset = read_mapped(folder, self.mapping) if said.kind == "tables" else read_source(said.kind, folder)
        forgotten = Forgotten.read(self.home.record)
        forgotten.refuse_other_form(form_of(self.mapping), self.home.record)
        forgotten.left_out_of(dataset).write(target)

    def _known(self, data: Path) -> Dataset:
        """Give the tables as they were known at the moment of the night."""
        return known_before(Dataset.read(data), self.at, self.settings.clock)

    def _check(self, data: Path, inputs: Mapping[str, object], champion: Published | None) -> list[str]:
        """Say why the data is refused; nothing where it is not."""
        usual = None if champion is None else self.home.facts(champion.model).get("usual")
        gate, kept = self.configured.nightly.gate, self.settings.features.kept

        def decide() -> Mapping[str, object]:
            dataset = self._known(data)
            report = check_tables(dataset)
            if len(report.faults) > len(report.errors):
                logger.info("the table check has more to say: recsys check %s", data)
            if report.errors:
                said = [str(replace(fault, examples=())) for fault in report.errors]  # ids stay out of records
                return {"refused": [*said, f"`recsys check {data}` gives examples"]}
            if usual is None:
                return {"refused": []}
            return {"refused": data_drift(DataProfile(**usual), DataProfile.of(dataset, self.at, 1, kept), gate)}

        given = {**inputs, "usual": usual, "gate": gate.model_dump(mode="json"), "columns": vars(kept)}
        return list(self.steps.decide("check", given, decide)["refused"])

    def _model(self, data: Path, inputs: Mapping[str, object], champion: Published | None) -> tuple[str, list[str]]:
        """Train where it is time, and say which model ranks tonight."""
        training = self.configured.nightly.training
        parent = champion.model if champion is not None and training.warm else None
        given = {**inputs, "settings": self.settings.model_dump(mode="json"), "parent": parent}
        name = f"{night_name(self.at)}-{print_of(given)[:8]}"
        due = self.training_due(name)
        if champion is not None and due is not None and due > self.at:
            self.steps.lines.append(f"train: not due before {due:%F %T} UTC")
            return champion.model, self._settings_note(champion.model, due)
        facts = {"at": self.at.isoformat(), "parent": parent, "data": print_of(inputs)}

        def make(target: Path) -> None:
            from recsys.jobs.train import train  # imports as deep as they may be

            refuse_absent(self.configured.engine)  # before hours of learning
            dataset, settings = self._known(data), self.settings.model_copy(update={"engine": self.configured.engine})
            usual = DataProfile.usual(dataset, self.at, self.settings.features.kept)
            self.home.tell(name, {**facts, "usual": usual.to_json()})  # counts once the model is there
            train(dataset, settings, target, None if parent is None else self.home.models / parent)

        try:
            folder = self.steps.do("train", given, make, self.home.models / name)
        except (DataError, SettingsError) as error:
            if champion is None or isinstance(error, StorageError):
                raise
            return champion.model, [f"no new model was trained, and {champion.model} ranks tonight: {error}"]
        if champion is None or champion.model == name:
            return name, []
        live = self.home.models / champion.model
        judged = {"champion": identity(live), "challenger": identity(folder), **inputs}
        judged["gate"] = self.configured.nightly.gate.model_dump(mode="json")
        gate = self.configured.nightly.gate
        decision = self.steps.decide("gate", judged, lambda: judge_model(live, folder, self._known(data), gate))
        if self.home.facts(name).get("gate") != decision:
            self.home.tell(name, {**self.home.facts(name), "gate": decision})
        if decision["accepted"]:
            return name, [f"the model {name} takes over: {decision['reason']}"]
        return champion.model, [
            f"the model {name} is refused, and {champion.model} ranks tonight: {decision['reason']}"
        ]

    def training_due(self, besides: str = "") -> datetime | None:
        """Say when a model is to be trained, after all others than one of a name; None where none was trained yet.

        One that was accepted and has ranked nothing since, for the night went another way, does not count.
        """
        facts = {each: self.home.facts(each) for each in self.home.trained() if each != besides}
        ranked = {each.model for each in self.home.published()}
        begun = [
            datetime.fromisoformat(told["at"])
            for each, told in facts.items()
            if told and (each in ranked or not told.get("gate", {}).get("accepted"))
        ]
        past = [moment for moment in begun if moment <= self.at]
        return max(past) + self.configured.nightly.training.every if past else None

    def _settings_note(self, model: str, due: datetime) -> list[str]:
        """Say that settings have changed since a model was trained, where they have."""
        was, now = (
            of.model_copy(update={"rules": RuleSettings(), "engine": ONE_PROCESS})
            for of in (Model.load(self.home.models / model).settings, self.settings)
        )
        if was == now:
            return []
        return [f"the settings have changed since {model} was trained; they count from the training on {due:%F %T} UTC"]

    def _lists(self, data: Path, inputs: Mapping[str, object], model: str) -> Path:
        """Write what a model knows tonight."""
        from recsys.jobs.score import write_state  # imports as deep as they may be

        folder = self.home.models / model
        before = self._state_before(model)
        rules, earliest = self.settings.rules, self._earliest(folder)
        given = {**inputs, "model": identity(folder), "lists": self._candidates_print(), "rules": rules.model_dump()}

        def write(target: Path) -> None:
            with open_engine(self.configured.engine) as engine:
                write_state(folder, self._known(data), target, earliest, before, rules, engine)

        return self.steps.do("embed", given, write)

    def _state_before(self, model: str) -> Path | None:
        """Find the newest published state of a model, whose texts need not be encoded again."""
        own = [each for each in self.home.published() if each.model == model and each.at < self.at]
        return self.home.lists / own[-1].name / "state" if own else None

    def _candidates_print(self) -> object:
        said, found = self.configured.nightly.lists, []
        for name in ("candidates", "users"):
            path = getattr(said, name)
            if path is not None:
                files = present_files(self.configured.path(path), f"[lists] {name} names it")
                found.append([file_hash(file) for file in files])
        return found

    def _earliest(self, model: Path) -> int | None:
        """Give the first moment that lists ask, microseconds."""
        said, clock = self.configured.nightly.lists, Model.load(model).clock
        moments = pl.Series("timestamp", [self.at])
        if said.candidates is not None:
            moments = first_moments(self.configured.path(said.candidates))
        found = moments.to_frame().select(clock.as_of(pl.col("timestamp").min()).dt.epoch("us")).item()
        return None if found is None else int(found)

    def _score(
        self, data: Path, inputs: Mapping[str, object], model: str, state: Path
    ) -> tuple[Path, Mapping[str, str]]:
        """Rank tonight's candidates."""
        from recsys.jobs.score import score_from  # imports as deep as they may be

        said, folder = self.configured.nightly.lists, self.home.models / model
        given = {**inputs, "model": identity(folder), "lists": self._candidates_print()}
        given |= {"said": said.model_dump(mode="json"), "rules": self.settings.rules.model_dump()}
        if said.candidates is None:
            asked = self.steps.do("candidates", given, lambda target: self._ask(data, target)) / "asked.parquet"
        else:
            asked = self.configured.path(said.candidates)
        after = read_about(data / "about.json").recorded_after
        out = self.steps.do(
            "score",
            given,
            lambda target: score_from(state, folder, asked, target, said.top, False, after, self.configured.engine),
        )
        broken: Mapping[str, str] = read_json(out / "manifest.json", "score again")["counts"]["broken"]
        return out, broken

    def _ask(self, data: Path, target: Path) -> None:
        """Write one request for each user, at the moment of the night."""
        said, dataset = self.configured.nightly.lists, self._known(data)
        if said.users is not None:
            named = read_rows(self.configured.path(said.users))
            users = Forgotten.read(self.home.record).left_out_of_users(named, dataset)
        else:
            tables = [dataset.requests, dataset.events, *([] if dataset.users is None else [dataset.users])]
            users = pl.concat([table.select("user_id") for table in tables]).unique().sort("user_id")
        for name in (name for _, name in self.settings.of_requests if name not in users.columns):
            users = users.with_columns(pl.lit(said.context.get(name)).alias(name))
        if users.is_empty():
            raise DataError("there is nobody to make lists for; name users in [lists] users, or candidates")
        with new_folder(target) as staging:
            ask(users, self.at).write_parquet(staging / "asked.parquet")

    def _publish(self, out: Path, model: str, notes: list[str]) -> NightDone:
        """Put lists where readers find them, and let the pointer lead there."""
        name = f"{night_name(self.at)}-{out.name.rpartition('-')[2][:8]}"
        live, target, before = self.home.live, self.home.lists / name, self.before()
        if live is not None and live.name == name:
            self.steps.lines.append("publish: done")
            self._finish(name)
            return NightDone(live, notes=tuple(notes), nothing=True)
        if self.steps.planning:
            self.steps.lines.append(f"publish: would run, for {name} is not live")
            raise UndoneError
        if not target.exists():
            profile = None if before is None else self.home.lists / before.name / PROFILE
            usual = read_json(profile, "publish again") if profile is not None and profile.is_file() else None
            rankings = out / "rankings"
            reasons = lists_drift(usual, rankings, model, self.configured.nightly.gate)
            if reasons:
                return NightDone(None, tuple(reasons), tuple(notes))
            then = None if usual is None else ListsProfile(**usual)
            written = read_manifest(out, "written by `recsys nightly`")
            with new_folder(target) as staging:
                link_files(rankings.iterdir(), staging / "rankings")
                link_files((out / "state").iterdir(), staging / "state")
                write_json(staging / PROFILE, ListsProfile.of(rankings, model, then).to_json())
                kept = {key: written[key] for key in written if key not in ("format", "versions", "files")}
                night = {"at": self.at.isoformat(), "model": model, "after": None if before is None else before.name}
                write_manifest(staging, {**kept, "night": night, "notes": notes})
        published = self.home.read(name)
        ahead = live is not None and live.at > self.at
        back = live is not None and name in self.home.withdrawn()
        if ahead or back:
            why = "the later lists of" if ahead else "what it was rolled back to,"
            notes.append(f"{self.home.folder / 'live'} stays with {why} {'' if live is None else live.name}")
        else:
            self._sink(target, name)
            self.home.point(name)
            self.steps.tell("publish", "done", lists=name)
        self._finish(name)
        return NightDone(published, notes=tuple(notes), live=not (ahead or back))

    def _sink(self, lists: Path, name: str) -> None:
        """Write lists into a table, before readers of files take them: what fails leaves both as they were."""
        said = self.configured.nightly.sink
        if said.database is not None:
            database = located(said.database, self.configured.root)
            upsert(database, said.table, lists / "rankings", name)
            self.steps.tell("sink", "done", table=said.table)

    def _finish(self, made: str) -> None:
        """Leave nothing behind that no later night needs."""
        if self.steps.planning:
            return
        self.steps.close()
        keep = self.configured.nightly.keep
        self.home.clear({*self.steps.used, CLOCK}, made, keep.nights, keep.models)
