"""Vectors for today's items: only texts the model has not encoded yet cost anything."""

from pathlib import Path

import polars as pl

from recsys.model import Model
from recsys.text.fields import item_texts, text_hashes
from recsys.text.vectors import ItemVectors


def current_vectors(model: Model, folder: Path, known: ItemVectors, items: pl.DataFrame) -> ItemVectors:
    """Bring item vectors up to an items table; torch is loaded only when a text is new or has changed.

    Parameters
    ----------
    model, folder
        The model and where its encoder lies.
    known
        Vectors so far.
    items
        Today's items.
    """
    hashes = text_hashes(item_texts(items, model.settings.text.fields))
    if known.covers(items["item_id"], hashes):
        return known
    from recsys.text.model import TextModel

    return TextModel.load(folder).update(known, items)
