import subprocess
import sys
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recsys.batch.today import current_vectors, open_model
from recsys.errors import SettingsError
from recsys.model import Model, State


def test_known_texts_cost_nothing_and_load_no_torch(line) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nimport polars as pl\n"
        "from recsys.batch.today import current_vectors\nfrom recsys.model import Model, State\n"
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
    same = (fresh.candidate == known.candidate).all(axis=1)
    assert np.flatnonzero(~same).tolist() == [0]


def test_what_is_opened_gives_serving_the_state_that_the_batch_used(line) -> None:
    today = open_model(line.model, line.dataset)
    assert today.state.behaviour.showings.equals(
        line.dataset.requests.select("user_id", "item_id", "timestamp", "label")
    )
    assert today.reader.vectors.item_ids.equals(line.dataset.items["item_id"])


def test_tables_without_a_column_that_the_model_uses_are_refused(line) -> None:
    dataset = replace(line.dataset, items=line.dataset.items.drop("category"))
    with pytest.raises(SettingsError, match="affinity names 'category', which is not a column of items"):
        open_model(line.model, dataset)
