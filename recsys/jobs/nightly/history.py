"""What a nightly job did: its models, what is live since when, and the way back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recsys.errors import DataError
from recsys.files import read_json
from recsys.jobs.nightly.home import LIVE, Home, Published
from recsys.manifest import read_manifest
from recsys.shown import counted

_FIGURES = ("AUC", "nDCG@10")


@dataclass(frozen=True)
class JobHistory:
    """Models and published lists of a nightly job.

    Attributes
    ----------
    models
        What is told of each model, by name, the oldest first: `at`, `parent`, `gate`, `figures` on its test window,
        `rows` of its tables, `live_since` where it ranks what is live.
    lists
        All published lists, the oldest first.
    live
        Name of the live ones; None where there are none.
    """

    models: Mapping[str, Mapping[str, Any]]
    lists: tuple[Published, ...]
    live: str | None

    def to_json(self) -> dict[str, object]:
        """Return plain objects for `json.dumps`."""
        lists = [
            {"name": each.name, "at": each.at.isoformat(), "model": each.model, "after": each.after}
            for each in self.lists
        ]
        return {"live": self.live, "models": self.models, "lists": lists}

    def to_text(self) -> str:
        """Write it for a terminal."""
        lines = []
        for name, told in self.models.items():
            figures = ", ".join(f"{measure} {value:.4f}" for measure, value in told["figures"].items())
            rows = ", ".join(f"{counted(count, 'row')} of {table}" for table, count in told["rows"].items())
            lines.append(
                f"model {name}" + (f", live since the lists for {told['live_since']}" if told["live_since"] else "")
            )
            lines.append(f"  learnt from {rows}" + (f", after {told['parent']}" if told["parent"] else ""))
            lines.append(f"  figures: {figures or 'none'}")
            if told["gate"]:
                verdict = "accepted" if told["gate"]["accepted"] else "refused"
                lines.append(f"  {verdict}: {told['gate']['reason']}")
        for each in self.lists:
            mark = " (live)" if each.name == self.live else ""
            lines.append(f"lists {each.name}{mark}: made for {each.at:%F %T} UTC by {each.model}")
        if self.lists and self.live is None:
            lines.append(f"no lists are live: the pointer {LIVE} is gone; `recsys rollback --to NAME` sets it")
        return "\n".join(lines or ["nothing was trained or published yet; run `recsys nightly`"])


def history(home: Home) -> JobHistory:
    """Read what a nightly job did.

    Raises
    ------
    DataError
        When the job has no folder yet, or the pointer leads to lists that are not there.
    ModelError
        When a model or published lists are damaged.
    """
    if not home.models.is_dir():
        raise DataError(f"{home.folder} holds no nightly job yet; run `recsys nightly` first")
    live, lists = home.live, tuple(home.published())
    models = {}
    for name in home.trained():
        told, manifest = home.facts(name), read_manifest(home.models / name, "written by `recsys nightly`")
        models[name] = {
            "at": told.get("at"),
            "parent": told.get("parent"),
            "gate": told.get("gate"),
            "figures": _figures(home, name),
            "rows": {table: of["rows"] for table, of in manifest["data"].items()},
            "live_since": _since(lists, live) if live is not None and live.model == name else None,
        }
    return JobHistory(models, lists, None if live is None else live.name)


def roll_back(home: Home, to: str | None) -> str:
    """Point to earlier lists, whose model the next night starts from; say so.

    Parameters
    ----------
    home
        Folder of the job.
    to
        Name of the lists; those before the live ones when left out.

    Raises
    ------
    DataError
        When there are no such lists, or another process is at work.
    ModelError
        When they are damaged.
    """
    with home.locked():
        names = [each.name for each in home.published()]
        if to is None:
            live = home.live
            to = None if live is None else live.after
        if to not in names:
            asked = f"no lists called {to}" if to else "no lists before the live ones, or none are live"
            raise DataError(f"{home.lists} holds {asked}; there are: {', '.join(names) or 'none'}; give one as --to")
        home.verify(to)
        home.withdraw([each.name for each in home.published() if each.at >= home.read(to).at and each.name != to])
        home.point(to)
        return f"{home.folder / LIVE} leads to the lists {to} of the model {home.read(to).model} again"


def _figures(home: Home, name: str) -> dict[str, float]:
    path = home.models / name / "metrics.json"
    both = read_json(path, "train again").get("rankers", {}).get("both", {}) if path.is_file() else {}
    return {measure: both[measure]["mean"] for measure in _FIGURES if measure in both}


def _since(lists: tuple[Published, ...], live: Published) -> str:
    """Say since which night, without another in between, the model of the live lists ranks."""
    since = live
    for each in reversed([each for each in lists if each.at < live.at]):
        if each.model != live.model:
            break
        since = each
    return since.at.isoformat()
