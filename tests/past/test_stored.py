"""A log that was written and mapped answers what the log in memory does, and refuses what was changed."""

import json
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from recsys.data.tables import read_table
from recsys.errors import ModelError
from recsys.features.plan import build_features, counted_keys
from recsys.past import parts
from recsys.past.behaviour import Behaviour
from recsys.past.blocks import Writer, hashes_of, map_table
from recsys.past.log import Log
from recsys.past.lookup import Asked
from recsys.past.stored import read_log, write_log
from recsys.past.totals import Keeping

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)
KEPT = Keeping(rows_for=DAY, read=20, clicks_for=1000 * DAY, kinds=("like",))


def written(log, folder, settings):
    folder.mkdir()
    write_log(folder, log, counted_keys(settings))
    return folder


def load(folder, log, verify_all=False, part=None):
    mapped = [map_table(folder / f"{name}.arrow") for name in ("showings", "events")]
    behaviour = Behaviour(read_table(folder, "items"), read_table(folder, "users"), *mapped)
    found = Log(behaviour, log.time, log.history, log.horizon)
    found.register, found.layers, found.earliest = read_log(folder, behaviour, log.time, log.history, verify_all, part)
    return found


@pytest.mark.parametrize("users", [1, 2, 2**16])
@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("horizon", [None, 2 * DAY])
def test_a_mapped_log_answers_as_the_one_in_memory(tools, tmp_path, monkeypatch, compact, horizon, users):
    monkeypatch.setattr(parts, "USERS", users)
    case, families = tools.full_case(7, feedback_delay="10m"), ("popularity", "affinity", "transitions", "field")
    settings = tools.settings.model_copy(update={"families": families, "windows": (timedelta(hours=2),)})
    log = Log(case.log.behaviour, case.time, case.history, horizon)
    as_of = log.rows(case.candidates).as_of
    first = int(np.median(as_of))
    kept = log.compacted(first, KEPT, counted_keys(settings)) if compact else log
    mapped = load(written(kept, tmp_path / "log", settings), log, verify_all=compact)
    asked = case.candidates.filter(pl.Series(as_of >= first)) if compact else case.candidates
    found, expected = (build_features(Asked.of(asked, each), settings, None) for each in (mapped, log))
    assert tools.bits(found) == tools.bits(expected)
    assert mapped.earliest == (first if compact else None)
    assert len(mapped.layers) == 1 + compact
    latest = kept.top.clicked.moments.max()
    assert mapped.top.latest_click == latest
    assert mapped.top.ends_by(latest)
    assert not mapped.top.ends_by(latest - 1)
    assert "clicked" not in vars(mapped.top)  # no row was looked at for that
    count = parts.parts_for(len(log.vocabularies["user"]))
    assert len([*(tmp_path / "log").glob("rows-?.numbers")]) == (count if count > 1 else 0)


@pytest.mark.parametrize("name", ["rows", "rows-read", "totals", "totals-read", "kept"])
def test_numbers_that_were_cut_or_changed_are_refused(tools, tmp_path, name):
    case = tools.full_case(7, feedback_delay="10m")
    first = int(np.median(case.log.rows(case.candidates).as_of))
    log = case.log.compacted(first, KEPT, counted_keys(tools.settings))
    path = written(log, tmp_path / "log", tools.settings) / f"{name}.numbers"
    whole = path.read_bytes()
    path.write_bytes(whole[:-8] + bytes(8 * [1 + whole[-1] % 7]))
    with pytest.raises(ModelError, match=rf"{name}\.numbers was changed after it was written"):
        load(path.parent, log, verify_all=True)
    path.write_bytes(whole[:-4])
    with pytest.raises(ModelError, match=rf"{name}\.numbers was cut or grew after it was written"):
        load(path.parent, log)


def test_a_folder_without_its_layout_is_no_state(tools, tmp_path):
    case = tools.full_case(7)
    folder = written(case.log, tmp_path / "log", tools.settings)
    (folder / "counters.json").write_text('{"earliest": null}')
    with pytest.raises(ModelError, match=r"log is no state of this version \(KeyError: 'vocabularies'\); copy the"):
        load(folder, case.log)


@pytest.mark.parametrize("name", ["rows", "rows-read", "totals", "totals-read"])
def test_forged_numbers_with_hashes_of_their_own_end_no_process(tools, tmp_path, name):
    """Whoever can write the numbers can write their hashes: what they say may be wrong, but leads nowhere else."""
    case, random = tools.full_case(7, feedback_delay="10m"), np.random.default_rng(3)
    as_of = case.log.rows(case.candidates).as_of
    first = int(np.median(as_of))
    asked = case.candidates.filter(pl.Series(as_of >= first))
    log = case.log.compacted(first, KEPT, counted_keys(tools.settings))
    path = written(log, tmp_path / "log", tools.settings) / f"{name}.numbers"
    whole, refused = np.fromfile(path, dtype=np.int64), 0
    for _ in range(60):
        forged = whole.copy()
        places = random.integers(0, len(forged), 40)
        forged[places] = random.choice([-1, 2**40, 2**62, len(forged), 7, -(2**62)], len(places))
        path.unlink()
        hashes_of(path).unlink()
        writer = Writer(path)
        writer.add(forged)
        writer.close()
        try:
            build_features(Asked.of(asked, load(path.parent, log)), tools.settings, None)
        except ModelError as error:
            refused += "holds numbers that nobody wrote there" in str(error)
    assert refused > 5


def test_a_forged_layout_is_refused(tools, tmp_path):
    case = tools.full_case(7)
    folder = written(case.log, tmp_path / "log", tools.settings)
    layout = json.loads((folder / "counters.json").read_text())
    for change in (
        lambda row: row.__setitem__(5, 10**12),
        lambda row: row.__setitem__(0, 9),
        lambda row: row.append(1),
    ):
        changed = json.loads(json.dumps(layout))
        change(changed["where"]["rows"][0][3])
        (folder / "counters.json").write_text(json.dumps(changed))
        with pytest.raises(ModelError, match="log is no state of this version"):
            load(folder, case.log)


@pytest.mark.parametrize(
    "change",
    [{"earliest": "x"}, {"earliest": 10**30}, {"since": 1.5}, {"kept": []}, {"kept": {"click": "many"}}, {"parts": 7}],
)
def test_a_layout_of_other_kinds_is_refused(tools, tmp_path, change):
    case = tools.full_case(7, feedback_delay="10m")
    first = int(np.median(case.log.rows(case.candidates).as_of))
    log = case.log.compacted(first, KEPT, counted_keys(tools.settings))
    folder = written(log, tmp_path / "log", tools.settings)
    layout = json.loads((folder / "counters.json").read_text())
    (folder / "counters.json").write_text(json.dumps(layout | change))
    with pytest.raises(ModelError, match=r"log is no state of this version \(.*\); copy the whole folder again"):
        load(folder, case.log)
