from dataclasses import dataclass, replace

import polars as pl
import pytest

from recsys.engines.engine import HERE
from recsys.errors import ModelError
from recsys.model import encoding
from recsys.model.encoding import current_vectors
from recsys.model.folder import Model, State


@dataclass
class Backwards:
    """An engine that gives what it made in another order, and counts the parts."""

    apart = False
    parts = 0

    def each(self, opening, parts, gpu=False):
        assert gpu
        done = [*HERE.each(opening, parts)]
        self.parts = len(done)
        return iter(done[::-1])


def test_the_order_in_which_parts_are_read_changes_nothing(line, monkeypatch) -> None:
    monkeypatch.setattr(encoding, "TEXTS_AT_ONCE", 30)
    known, model = State.load(line.model / "state", line.model).vectors, Model.load(line.model)
    items = line.dataset.items.with_columns(title=pl.col("title") + " salt")
    engine = Backwards()
    one, other = (current_vectors(model, line.model, known, items, each) for each in (HERE, engine))
    assert engine.parts == -(-items["title"].drop_nulls().n_unique() // 30)
    assert one.item_ids.equals(items["item_id"])
    for name in ("candidate", "history", "appeal"):
        assert (getattr(one, name) == getattr(other, name)).all()
    assert (one.candidate != known.candidate).any()


def test_an_encoder_that_was_changed_since_reads_nothing(line) -> None:
    known, model = State.load(line.model / "state", line.model).vectors, Model.load(line.model)
    items = line.dataset.items.with_columns(title=pl.col("title") + " dough")
    files = {**model.files, "encoder/heads.safetensors": "0" * 64}
    with pytest.raises(ModelError, match="heads.safetensors was changed after it was written"):
        current_vectors(replace(model, files=files), line.model, known, items)
