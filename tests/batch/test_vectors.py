import subprocess
import sys

import numpy as np
import polars as pl

from recsys.batch.vectors import current_vectors
from recsys.model import Model, State


def test_known_texts_cost_nothing_and_load_no_torch(line) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nimport polars as pl\n"
        "from recsys.batch.vectors import current_vectors\nfrom recsys.model import Model, State\n"
        "folder = Path(sys.argv[1])\nknown = State.load(folder / 'state').vectors\n"
        "items = pl.read_parquet(sys.argv[2])\n"
        "assert current_vectors(Model.load(folder), folder, known, items) is known\n"
        "assert 'torch' not in sys.modules\n"
    )
    arguments = [str(line.model), str(line.data / "items.parquet")]
    subprocess.run([sys.executable, "-c", program, *arguments], check=True)


def test_only_a_changed_text_gets_another_vector(line) -> None:
    known = State.load(line.model / "state").vectors
    first = line.dataset.items["item_id"][0]
    title = pl.when(pl.col("item_id") == first).then(pl.lit("bread and salt")).otherwise("title")
    items = line.dataset.items.with_columns(title=title)
    fresh = current_vectors(Model.load(line.model), line.model, known, items)
    same = (fresh.candidate == known.candidate).all(axis=1)
    assert np.flatnonzero(~same).tolist() == [0]
