"""A model brought up to today's tables: checked, encoded, ready to compute features."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from recsys.data.checks import check_tables
from recsys.data.faults import refuse_errors
from recsys.data.labels import grade_labels
from recsys.data.tables import Dataset
from recsys.data.texts import item_texts
from recsys.encoders.text_reader import TextReader, read_identity
from recsys.features.builder import Reader
from recsys.model.folder import Model, State
from recsys.past.behaviour import Behaviour
from recsys.past.log import Log
from recsys.vectors.item_vectors import ItemVectors


@dataclass(frozen=True)
class Today:
    """A model and today's tables.

    Attributes
    ----------
    model
        The model.
    requests
        Today's logged requests, labels graded.
    log, reader
        What features are computed from.
    """

    model: Model
    requests: pl.DataFrame
    log: Log
    reader: Reader

    @property
    def learnt_until(self) -> datetime:
        """The first moment that the model has not learnt from."""
        return self.model.windows.cuts[3]

    @property
    def state(self) -> State:
        """What serving needs to give the same answers."""
        return State(self.log.behaviour, self.reader.vectors)


def open_model(folder: Path, dataset: Dataset) -> Today:
    """Load a model, check today's tables and encode the item texts that the model has not seen.

    Raises
    ------
    ModelError
        When the folder is no whole model.
    DataError
        When the tables have faults.
    SettingsError
        When the tables lack a column that the model uses.
    """
    model = Model.load(folder)
    refuse_errors(check_tables(dataset))
    dataset = grade_labels(dataset.with_plain_ids(), model.settings.labels)
    log = model.log(Behaviour.of(dataset, model.settings.features.kept))
    vectors = current_vectors(model, folder, State.load(folder / "state", folder).vectors, dataset.items)
    return Today(model, dataset.requests, log, model.reader(log, vectors, folder))


def current_vectors(model: Model, folder: Path, known: ItemVectors, items: pl.DataFrame) -> ItemVectors:
    """Bring item vectors up to an items table; the encoder is loaded only when a text has no vector yet.

    Parameters
    ----------
    model, folder
        The model and where its encoder lies.
    known
        Vectors so far.
    items
        Today's items.

    Raises
    ------
    ModelError
        When another encoder made the vectors, or the encoder cannot be loaded.
    """
    known.check_encoder(read_identity(folder / "encoder"))
    text = model.settings.text
    texts = item_texts(items, text.fields, text.template)
    return known.update(items["item_id"], texts, lambda new: TextReader.load(folder).encode(new))
