import typing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from recsys.errors import DataError, SettingsError
from recsys.settings import Settings, load_settings

CUTS = '["2023-05-18", "2023-05-20", "2023-05-21", "2023-05-22", "2023-05-25"]'


def written(folder: Path, text: str) -> Path:
    (folder / "s.toml").write_text(text)
    return folder / "s.toml"


def classes(root: type[BaseModel]) -> list[type[BaseModel]]:
    """List a settings class and every one inside it."""
    inner = [field.annotation for field in root.model_fields.values()]
    sections = [part for part in inner if isinstance(part, type) and issubclass(part, BaseModel)]
    return [root, *(found for section in sections for found in classes(section))]


def test_a_file_is_read(tmp_path: Path):
    path = written(
        tmp_path,
        'seed = 3\n[time]\nfreshness = "1d"\nfeedback_delay = "10m"\nzone = "Europe/Copenhagen"\n'
        "[windows]\ncuts = [2023-05-18T05:00:00Z, 2023-05-19T07:00:00+02:00, 2023-05-20, 2023-05-21T00:00:00, "
        '"2023-05-22"]\n[labels.grades]\nclick = 1\npurchase = 3\n'
        '[features]\nwindows = ["1h", "2d"]\naffinity = ["category"]\n[ranker]\nrounds = 9\n[text]\nepochs = 0\n',
    )
    settings = load_settings(str(path))
    assert (settings.seed, settings.time.freshness, settings.time.zone) == (3, "1d", "Europe/Copenhagen")
    assert settings.time.feedback_delay == timedelta(minutes=10)
    assert settings.windows.cuts == (
        *(datetime(2023, 5, day, 5, tzinfo=UTC) for day in (18, 19)),
        *(datetime(2023, 5, day, tzinfo=UTC) for day in (20, 21, 22)),
    )
    assert settings.labels.grades == {"click": 1, "purchase": 3}
    assert settings.features.windows == (timedelta(hours=1), timedelta(days=2))
    assert (settings.ranker.rounds, settings.text.epochs) == (9, 0)


def test_no_file_gives_the_defaults(tmp_path: Path):
    assert load_settings(None) == Settings()
    assert load_settings(written(tmp_path, "")) == Settings()


def test_settings_are_written_as_they_are_read():
    settings = load_settings(None, [f"windows.cuts={CUTS}", 'features.windows=["90m", "2d"]', "labels.grades.buy=2"])
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize("settings", classes(Settings), ids=lambda settings: settings.__name__)
def test_no_class_takes_unknown_keys_or_changes(settings):
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        settings(nonsense=1)
    name = next(iter(settings.model_fields))
    with pytest.raises(ValidationError, match="Instance is frozen"):
        setattr(settings(), name, None)


@pytest.mark.parametrize("settings", classes(Settings), ids=lambda settings: settings.__name__)
def test_every_setting_is_documented(settings):
    told = "".join(
        (each.__doc__ or "").partition("Attributes")[2]
        for each in settings.__mro__
        if each.__module__.startswith("recsys")
    )
    for name, annotation in typing.get_type_hints(settings).items():
        if name in settings.model_fields:
            assert name in told, (name, annotation)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sead = 1", "sead is not known; did you mean seed? Known are seed, time, windows, labels, text,"),
        ('[tme]\nzone = "UTC"', "tme is not known; did you mean time?"),
        ('[time]\nfresness = "live"', "time.fresness is not known; did you mean freshness? Known are freshness, made"),
        ("[windows]\ncut = []", "windows.cut is not known; did you mean cuts? Known are cuts, fractions"),
        ("[ranker]\nround = 3", "ranker.round is not known; did you mean rounds?"),
        ("[features]\nwindow = []", "features.window is not known; did you mean windows?"),
        ("[labels]\ngrade = {}", "labels.grade is not known; did you mean grades?"),
        ("[text]\nepoch = 3", "text.epoch is not known; did you mean epochs?"),
        ("[time.zone]\nname = 3", "time.zone does not fit: Input should be a valid string"),
        ("time = 3", "time = 3 does not fit: write a table, such as { name = value }"),
        ("seed = -1", "seed = -1 does not fit: Input should be greater than or equal to 0"),
        ("seed = 2147483648", "seed = 2147483648 does not fit: Input should be less than 2147483648"),
        ('[time]\nfreshness = "2d"', "time.freshness = '2d' does not fit: Input should be 'live', '1d' or 'nightly'"),
        (
            '[time]\nfreshness = "nightly"',
            'time does not fit: freshness = "nightly" needs made_at, the hour and minute in zone at which lists are made',
        ),
        (
            '[time]\nmade_at = "04:00"',
            '"04:00" has a meaning with freshness = "nightly" alone, not with "live"; remove it',
        ),
        (
            '[time]\nfreshness = "nightly"\nmade_at = "25:00"',
            "time.made_at = '25:00' does not fit: 25:00 is not an hour and a minute of [time] zone; write it in quotes",
        ),
        ('[time]\nfreshness = "nightly"\nmade_at = 04:00:00', "does not fit: 04:00:00 is not an hour and a minute of"),
        (
            '[time]\nfreshness = "nightly"\nmade_at = "04:00"\n[features]\ncontext = ["device", "page"]',
            ".toml: [features] context names 'device', which only a request knows, and nightly lists are made before any",
        ),
        (
            '[time]\nfreshness = "nightly"\nmade_at = "04:00"\n[features]\nscores = ["retrieval"]',
            "[features] scores names 'retrieval', which only a request knows",
        ),
        (
            '[time]\nfreshness = "nightly"\nmade_at = "04:00"\n[text]\nquery = "asked"',
            "[text] query names 'asked', which only a request knows",
        ),
        ('[features]\nfamilies = ["popular"]', "'field' or 'factors'; did you mean 'popularity'?"),
        ('[features]\nevents = ["click"]', ": features does not fit: events names 'click'"),
        ('[text]\nbackend = "onx"', "text.backend = 'onx' does not fit: Input should be 'torch', 'bf16', 'onnx',"),
        ('[time]\nzone = "Mars"', "time.zone = 'Mars' does not fit: 'Mars' is not a time zone; write a name such"),
        ("[time]\nfeedback_delay = 10", "time.feedback_delay = 10 does not fit: 10 is not a duration; write a whole"),
        ('[features]\nwindows = ["1h", "x"]', "features.windows.1 = 'x' does not fit: 'x' is not a duration"),
        ("[features]\nprior = nan", "features.prior = nan does not fit: Input should be a finite number"),
        ('[features]\nevents = ["click"]', "does not fit: events names 'click', which has a meaning of its own"),
        (
            '[windows]\ncuts = ["x", 2024-01-01, 2024-01-02, 2024-01-03, 2024-01-04]',
            "windows.cuts.0 = 'x' does not fit: 'x' is not a time; write it as",
        ),
        ("[windows]\nfractions = [1.0, 1.0, 0.0, 0.0]", "does not fit: fractions [1.0, 1.0, 0.0, 0.0] must be at"),
        (f"[windows]\ncuts = {CUTS}\nfractions = [1.0, 0.0, 0.0, 0.0]", "cuts and fractions are both set; keep one"),
        ("[labels.grades]\nclick = 99", "labels.grades.click = 99 does not fit: Input should be less than or equal"),
        ("[ranker]\nleaves = 1", "ranker.leaves = 1 does not fit: Input should be greater than or equal to 2"),
        (
            '[text]\nhistory = ["click"]',
            "[text] history names 'click', which is a click, and read as one already; leave",
        ),
        (
            '[labels]\nclicks = ["buy"]\n[text]\nhistory = ["like", "buy"]',
            "[text] history names 'buy', which is a click",
        ),
    ],
)
def test_each_fault_is_one_clear_line(tmp_path: Path, text: str, line: str):
    path = written(tmp_path, text)
    with pytest.raises(SettingsError) as fault:
        load_settings(path)
    message = str(fault.value)
    assert message.startswith(f"{path}: ")
    assert line in message
    assert "\n" not in message


def test_all_faults_are_named_at_once(tmp_path: Path):
    path = written(tmp_path, "sead = 1\n[ranker]\nleaves = 1\n[time]\nzoen = 3")
    with pytest.raises(SettingsError) as fault:
        load_settings(path)
    assert [line.split(" ")[1] for line in str(fault.value).split("\n")] == ["time.zoen", "ranker.leaves", "sead"]


def test_faults_of_changes_are_named_without_a_file():
    with pytest.raises(
        SettingsError, match=r"^the settings with --set: ranker\.leafs is not known; did you mean leaves\?"
    ):
        load_settings(None, ["ranker.leafs=3"])


def test_files_that_cannot_be_read_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"none\.toml does not exist; give the path of a TOML settings file"):
        load_settings(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match=r"cannot be read as TOML .*mend that line"):
        load_settings(tmp_path)
    for content in (b"seed = ", b"seed = 1\nseed = 2", b"\xff\xfe"):
        (tmp_path / "s.toml").write_bytes(content)
        with pytest.raises(SettingsError, match=r"s\.toml cannot be read as TOML .*mend that line"):
            load_settings(tmp_path / "s.toml")


def test_changes_are_toml_values_and_the_later_one_wins(tmp_path: Path):
    path = written(tmp_path, '[time]\nfreshness = "live"\nzone = "Asia/Tokyo"\n')
    changes = ['time.freshness="1d"', "ranker.rounds=5", "seed = 11", 'features.affinity=["a", "b"]', "ranker.rounds=6"]
    settings = load_settings(path, changes)
    assert (settings.time.freshness, settings.time.zone) == ("1d", "Asia/Tokyo")
    assert (settings.ranker.rounds, settings.seed, settings.features.affinity) == (6, 11, ("a", "b"))
    assert load_settings(None, ["labels.grades.buy=3"]).labels.grades == {"buy": 3}
    assert load_settings(None, ['time={zone="Asia/Tokyo"}', "time.freshness='1d'"]).time.zone == "Asia/Tokyo"


def test_setting_cuts_clears_fractions_and_the_other_way_round(tmp_path: Path):
    fractions = "fractions=[0.5, 0.25, 0.25, 0.0]"
    settings = load_settings(written(tmp_path, f"[windows]\n{fractions}"), [f"windows.cuts={CUTS}"])
    assert settings.windows.fractions is None
    assert settings.windows.cuts is not None
    settings = load_settings(written(tmp_path, f"[windows]\ncuts={CUTS}"), [f"windows.{fractions}"])
    assert settings.windows.cuts is None
    assert settings.windows.fractions == (0.5, 0.25, 0.25, 0)
    both = [f"windows.{fractions}", f"windows.cuts={CUTS}"]
    assert load_settings(None, both).windows.fractions is None
    assert load_settings(None, both[::-1]).windows.cuts is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seed", r"--set 'seed' is not section\.key=value; write for example --set time\.freshness=1d"),
        ("=3", r"--set '=3' is not section\.key=value"),
        ("time..zone=3", r"--set 'time\.\.zone=3' is not section\.key=value"),
        ("ranker.rounds=many", r"--set 'ranker\.rounds=many': 'many' is not a TOML value .*; write a number, true or"),
        (
            "features.events=view",
            r"'view' is not a TOML value .*; write .* a list such as features\.events='\[\"a\", \"b\"\]'",
        ),
        ("features.events=[view]", r"'\[view\]' is not a TOML value"),
        ('text.encoder="half', r"'\"half' is not a TOML value"),
        ("text.encoder=a\nseed = 9", r"'a\\nseed = 9' is not a TOML value \(a value stands on one line\)"),
        ("seed=1\nseed = 9", r"'1\\nseed = 9' is not a TOML value \(a value stands on one line\)"),
        ("text.encoder=\u202egnp", r"'\\u202egnp' is not a TOML value"),
        ("text.peft.r=" + "[" * 9999, r"is not a TOML value \(maximum recursion depth"),
        ("text.encoder=3", r"text\.encoder = 3 does not fit: Input should be a valid string"),
        ("text.blok=30d", r"text\.blok is not known; did you mean block\?"),
        ("time.freshness=2d", r"time\.freshness = '2d' does not fit: Input should be 'live', '1d' or 'nightly'"),
        ("seed=", r"--set 'seed=': '' is not a TOML value"),
        ("seed.value=3", r"--set 'seed\.value=3': seed is a value, not a section; write section\.key=value"),
    ],
)
def test_wrong_changes_are_refused(tmp_path: Path, change: str, message: str):
    with pytest.raises(SettingsError, match=message):
        load_settings(written(tmp_path, "seed = 1"), [change])


def test_a_change_of_a_whole_section_must_be_one():
    with pytest.raises(SettingsError, match="time = 3 does not fit: write a table"):
        load_settings(None, ["time=3"])


@pytest.mark.parametrize(
    ("change", "section", "key", "value"),
    [
        ("text.block=30d", "text", "block", timedelta(days=30)),
        ("time.click_delay=1m", "time", "click_delay", timedelta(minutes=1)),
        ("time.freshness=1d", "time", "freshness", "1d"),
        ('time.freshness="1d"', "time", "freshness", "1d"),
        ("time.zone=Europe/Copenhagen", "time", "zone", "Europe/Copenhagen"),
        ("text.encoder=models/my encoder", "text", "encoder", "models/my encoder"),
        ("text.query = search words ", "text", "query", "search words"),
        ("ranker.ties=item", "ranker", "ties", "item"),
        ("text.peft.peft_type=LORA", "text", "peft", {"peft_type": "LORA"}),
    ],
)
def test_a_bare_word_is_a_text_where_one_is_wanted(change: str, section: str, key: str, value: object):
    given = ["text.peft.r=4"] if key == "peft" else []
    found = getattr(getattr(load_settings(None, [*given, change]), section), key)
    assert found == ({"r": 4, **value} if given else value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "[ranker]\nrounds = 99999999999",
            r"s\.toml: ranker\.rounds = 99999999999 does not fit: a whole number lies between",
        ),
        ("[ranker]\nleaves = -99999999999", r"s\.toml: ranker\.leaves = -99999999999 does not fit"),
        ("[text]\nepochs = 2147483648", r"s\.toml: text\.epochs = 2147483648 does not fit"),
        ("[text.peft]\nr = [1, 99999999999]", r"s\.toml: text\.peft\.r\.1 = 99999999999 does not fit"),
        (
            "[text.peft]\n" + "a." * 3000 + "b = 1",
            r"s\.toml: text\.peft\.a\.\.\. holds more than 16 tables inside each other",
        ),
        ("[text]\npeft.a = " + "[" * 40 + "]" * 40, r"text\.peft\.a\.\.\. holds more than 16 tables"),
        ("a." * 3000 + "b = 1", r"s\.toml: a is not known"),
        ("[text]\nencoder = " + "[" * 3000, r"s\.toml cannot be read as TOML"),
    ],
)
def test_numbers_and_depths_that_nothing_can_take_are_refused(tmp_path: Path, content: str, message: str):
    with pytest.raises(SettingsError, match=message):
        load_settings(written(tmp_path, content))


def test_the_largest_number_is_taken(tmp_path: Path):
    assert load_settings(written(tmp_path, "[ranker]\nrounds = 2147483647")).ranker.rounds == 2**31 - 1


def test_the_making_of_nightly_lists_is_a_quoted_hour_and_minute_or_a_bare_word_of_set(tmp_path: Path):
    made = [load_settings(None, ["time.freshness=nightly", f"time.made_at={word}"]) for word in ("04:00", '"04:00"')]
    path = written(tmp_path, '[time]\nfreshness = "nightly"\nmade_at = "04:00"\n')
    assert made[0] == made[1] == load_settings(path)
    assert (made[0].time.made_at, made[0].time.nightly) == ("04:00", True)
