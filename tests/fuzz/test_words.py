"""Whatever words follow `recsys`: an exit status, and where it is not 0 a sentence that says why."""

import io
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import strategies as st

from recsys.cli import FINE, NO, WRONG_USE, main
from recsys.settings import Settings
from recsys.world import WorldSettings, make_world
from tests.fuzz.fuzzing import fuzzed

pytestmark = pytest.mark.slow

PLACES = [
    "data",
    "data/requests.parquet",
    "data/items.parquet",
    "files",
    "files/a.csv",
    "missing",
    "",
    "*",
    "model[1]",
    ".",
]
WORDS = st.sampled_from(["random", "popularity", "chosen before", "recency", "co-visitation", "tables", "mind", "1", "0", "-1", "1.5", "nan", "text", "AUC", "nDCG@0",
                         "nDCG@10,AUC", "device", "2025-03-05T07:00:00Z", "9999-99-99", "--help", "--version"])  # fmt: skip
WORDS |= st.sampled_from(PLACES) | st.text(st.characters(exclude_characters="/"), max_size=5)
OPTIONS = st.sampled_from(
    ["--out", "--config", "--model", "--request", "--window", "--json", "--html", "--primary", "--matters", "--measures", "--segment",
     "--seed", "--candidates", "--users", "--items", "--at", "--top", "--mapping", "--from", "-h", "--", "--wrong", "--set"]
)  # fmt: skip
FIELDS = [f"{section}.{name}" for section, field in Settings.model_fields.items()
          for name in getattr(field.annotation, "model_fields", {})]  # fmt: skip
VALUES = st.sampled_from(["1", "0", "-1", "1e400", "nan", "inf", "true", "'1d'", "'6h'", '["view"]', "[[]]", "{}", "'a'", "'", "[", "2024-01-01",
                          '["device"]', "[{kind='count'}]", "9" * 400, "'\x00'", "'UTC'", "'+99:99'"]) | st.text(max_size=5)  # fmt: skip
CHANGES = st.tuples(st.sampled_from(FIELDS) | st.text(max_size=6), VALUES).map("=".join)
LAST = {"world": ["--items", "100", "--users", "10", "--requests", "100", "--days", "2"]}
"""What keeps a verb small."""


@pytest.fixture(scope="module")
def world():
    return make_world(WorldSettings(seed=3, items=100, users=20, days=5, history_days=3, requests=100))


@st.composite
def _words(draw: st.DrawFn) -> list[str]:
    verb = draw(
        st.sampled_from(["world", "init", "import", "check", "train", "features", "evaluate", "compare", "score"])
        | WORDS
    )
    places = st.sampled_from(PLACES) if verb not in ("train", "demo") else st.sampled_from(["missing", "files"])
    words = [verb, *draw(st.lists(places | WORDS if verb != "train" else places, max_size=3))]
    for _ in range(draw(st.integers(0, 3))):
        words += [draw(OPTIONS), draw(WORDS)]
    if verb in ("train", "features"):
        words += [part for change in draw(st.lists(CHANGES, max_size=2)) for part in ("--set", change)]
    if draw(st.booleans()):
        words += ["--out", "out"]
    return words + LAST.get(verb, [])


@fuzzed(words=_words())
def test_any_words_end_with_a_status_and_a_sentence(world, words) -> None:
    said, complained = io.StringIO(), io.StringIO()
    with TemporaryDirectory() as place, chdir(place), redirect_stdout(said), redirect_stderr(complained):
        world.dataset.write(Path("data"))
        Path("files").mkdir()
        Path("files/a.csv").write_text("user_id,item_id,timestamp\n1,2,2024-03-01\n")
        status = main(words)
    assert status in (FINE, NO, WRONG_USE)
    if status != FINE and not (words[0] == "check" and said.getvalue()):
        assert complained.getvalue().startswith("recsys: ")
        assert "Traceback" not in complained.getvalue()
