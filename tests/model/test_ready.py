import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.data.texts import item_texts
from recsys.errors import ModelError, SettingsError
from recsys.learning.text_model import TextModel
from recsys.manifest import read_manifest, write_manifest
from recsys.model.encoding import current_vectors
from recsys.model.folder import Model, State
from recsys.model.ready import Ready
from recsys.serving.ranker import Ranker


def test_known_texts_cost_nothing_and_load_no_torch(line) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nimport polars as pl\n"
        "from recsys.model.encoding import current_vectors\nfrom recsys.model.folder import Model, State\n"
        "folder = Path(sys.argv[1])\nknown = State.load(folder / 'state', folder).vectors\n"
        "items = pl.read_parquet(sys.argv[2])\n"
        "assert current_vectors(Model.load(folder), folder, known, items) is known\n"
        "assert 'torch' not in sys.modules\n"
    )
    arguments = [str(line.model), str(line.data / "items.parquet")]
    subprocess.run([sys.executable, "-c", program, *arguments], check=True)


def test_only_a_changed_text_gets_another_vector(line) -> None:
    known = State.load(line.model / "state", line.model).vectors
    first = line.dataset.items["item_id"][0]
    title = pl.when(pl.col("item_id") == first).then(pl.lit("bread and salt")).otherwise("title")
    items = line.dataset.items.with_columns(title=title)
    fresh = current_vectors(Model.load(line.model), line.model, known, items)
    same = (np.asarray(fresh.candidate) == known.candidate).all(axis=1)
    assert np.flatnonzero(~same).tolist() == [0]


def test_a_known_text_under_a_new_id_is_not_encoded(line) -> None:
    """Without an encoder there would be an error: the folder holds none."""
    known = State.load(line.model / "state", line.model).vectors
    renamed = line.dataset.items.with_columns(pl.col("item_id") + 1_000_000).reverse()
    program = (
        "import sys\nfrom pathlib import Path\nimport polars as pl\n"
        "from recsys.model.encoding import current_vectors\nfrom recsys.model.folder import Model, State\n"
        "folder = Path(sys.argv[1])\nknown = State.load(folder / 'state', folder).vectors\n"
        "items = pl.read_parquet(sys.argv[2]).with_columns(pl.col('item_id') + 1_000_000).reverse()\n"
        "assert current_vectors(Model.load(folder), folder, known, items).item_ids.equals(items['item_id'])\n"
        "assert 'torch' not in sys.modules\n"
    )
    arguments = [str(line.model), str(line.data / "items.parquet")]
    subprocess.run([sys.executable, "-c", program, *arguments], check=True)
    found = current_vectors(Model.load(line.model), line.model, known, renamed)
    for name in ("candidate", "history", "appeal"):
        assert np.array_equal(getattr(found, name), np.asarray(getattr(known, name))[::-1])


def test_vectors_of_another_encoder_are_refused(line) -> None:
    known = replace(State.load(line.model / "state", line.model).vectors, encoder="another")
    with pytest.raises(ModelError, match="the item vectors were made by the encoder another, this model has"):
        current_vectors(Model.load(line.model), line.model, known, line.dataset.items)


def with_backend(line, backend: str, folder: Path) -> Path:
    """Copy the model with another backend, as training with it would have written it."""
    shutil.copytree(line.model, folder)
    manifest = read_manifest(folder, "")
    manifest["settings"]["text"]["backend"] = backend
    for name in ("encoder", "state"):
        shutil.rmtree(folder / name)
    (folder / "manifest.json").unlink()
    text = TextModel.load(line.model)
    text = replace(text, settings=text.settings.model_copy(update={"backend": backend}))
    items = line.dataset.items
    vectors = text.vectors(items.select("item_id"), item_texts(items, text.settings.fields, text.settings.template))
    text.save(folder)
    State(State.load(line.model / "state", line.model).behaviour, vectors).save(folder / "state", folder, line.settings)
    write_manifest(folder, {name: manifest[name] for name in ("settings", "windows", "data")})
    return folder


@pytest.mark.parametrize("backend", ["onnx", "static"])
def test_a_process_without_torch_encodes_new_items_and_ranks_them(line, tmp_path, backend: str) -> None:
    folder = with_backend(line, backend, tmp_path / "model")
    candidates = line.candidates(10)
    first = candidates["item_id"][0]
    title = pl.when(pl.col("item_id") == first).then(pl.lit("bread and salt")).otherwise("title")
    dataset = replace(line.dataset, items=line.dataset.items.with_columns(title=title))
    dataset.write(tmp_path / "data")
    candidates.write_parquet(tmp_path / "candidates.parquet")
    program = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'transformers', 'pytorch_lightning', 'lightning', 'peft'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from pathlib import Path\n"
        "import polars as pl\n"
        "from recsys import Dataset, Ranker, score\n"
        "folder = Path(sys.argv[1])\n"
        "candidates = pl.read_parquet(folder / 'candidates.parquet')\n"
        "score(folder / 'model', Dataset.read(folder / 'data'), candidates, folder / 'answer')\n"
        "ranker = Ranker.load(folder / 'model', state=folder / 'answer' / 'state')\n"
        "ranker.rank(candidates).write_parquet(folder / 'ranked.parquet')\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    today, _ = Ready.today(folder, dataset)
    loaded = State.load(tmp_path / "answer" / "state", folder).vectors
    known = State.load(folder / "state", folder).vectors
    for name in ("candidate", "history", "appeal"):
        assert np.array_equal(getattr(loaded, name), getattr(today.reader.vectors, name))
    changed = (np.asarray(loaded.candidate) != known.candidate).any(axis=1)
    assert line.dataset.items["item_id"].filter(pl.Series(changed)).to_list() == [first]
    ranked = Ranker(Ready.of(today.model, today.state, folder)).rank(candidates)
    assert_frame_equal(pl.read_parquet(tmp_path / "ranked.parquet"), ranked, check_exact=True)


@pytest.mark.parametrize("backend", ["onnx", "static"])
def test_a_process_without_torch_reads_what_requests_ask_with(asking, tmp_path, backend: str) -> None:
    folder = with_backend(asking, backend, tmp_path / "model")
    candidates = asking.candidates(6).with_columns(asked=pl.lit("bread and salt"))
    candidates.write_parquet(tmp_path / "candidates.parquet")
    program = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'transformers', 'pytorch_lightning', 'lightning', 'peft'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from pathlib import Path\n"
        "import polars as pl\n"
        "from recsys import Ranker\n"
        "folder = Path(sys.argv[1])\n"
        "candidates = pl.read_parquet(folder / 'candidates.parquet')\n"
        "Ranker.load(folder / 'model').rank(candidates).write_parquet(folder / 'ranked.parquet')\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    ranked = Ranker.load(folder).rank(candidates)
    assert_frame_equal(pl.read_parquet(tmp_path / "ranked.parquet"), ranked, check_exact=True)
    assert not ranked.equals(Ranker.load(folder).rank(candidates.with_columns(asked=pl.lit(None))))


def test_what_is_opened_gives_serving_the_state_that_the_batch_used(line) -> None:
    today, _ = Ready.today(line.model, line.dataset)
    shown = line.dataset.requests.select(
        *("user_id", "item_id", "timestamp", "label"), pl.len().over("request_id").alias("list_size"), "device"
    )
    assert_frame_equal(today.state.behaviour.showings, shown, check_dtypes=False)
    assert today.reader.vectors.item_ids.equals(line.dataset.items["item_id"])


def test_tables_without_a_column_that_the_model_uses_are_refused(line) -> None:
    dataset = replace(line.dataset, items=line.dataset.items.drop("category"))
    with pytest.raises(SettingsError, match="affinity names 'category', which is not a column of items"):
        Ready.today(line.model, dataset)
