"""Vectors of a catalogue as it is today: texts that have none yet are read, here or by an engine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from recsys.data.texts import own_texts
from recsys.encoders.text_reader import read_identity
from recsys.engines.engine import HERE, Engine
from recsys.vectors.encoded import Encoded
from recsys.vectors.item_vectors import ItemVectors

if TYPE_CHECKING:
    from recsys.model.folder import Model

TEXTS_AT_ONCE = 4_096
"""So many texts are one part, whatever reads them: last bits depend on which texts are read together."""


@dataclass(frozen=True)
class Encoding:
    """How texts are read: what an engine opens, and does on part after part.

    Attributes
    ----------
    folder
        Of the model, whose encoder it is.
    """

    folder: Path

    def __call__(self) -> Callable[[Sequence[str]], Encoded]:
        """Load the encoder, and give what reads texts."""
        from recsys.model.folder import Model  # imports as deep as they may be

        return Model.load(self.folder).text_reader(self.folder).encode


def current_vectors(
    model: "Model", folder: Path, known: ItemVectors, items: pl.DataFrame, engine: Engine = HERE
) -> ItemVectors:
    """Bring item vectors up to an items table; the encoder is loaded only when a text has no vector yet.

    Parameters
    ----------
    model, folder
        The model and where its encoder lies.
    known
        Vectors so far.
    items
        Today's items.
    engine
        What reads new texts.

    Raises
    ------
    ModelError
        When another encoder made the vectors, the encoder was changed since the model was loaded, or cannot be loaded.
    """
    known.check_encoder(read_identity(folder / "encoder"))
    text = model.settings.text

    def encode(new: Sequence[str]) -> Encoded:
        model.check_encoder(folder)
        starts = range(0, len(new), TEXTS_AT_ONCE)
        parts = ((place, new[start : start + TEXTS_AT_ONCE]) for place, start in enumerate(starts))
        found = dict(engine.each(Encoding(folder.absolute()), parts, gpu=True))
        return Encoded(*(np.concatenate(each) for each in zip(*(found[place] for place in sorted(found)), strict=True)))

    return known.update(*own_texts(items, text.fields, text.template), encode)
