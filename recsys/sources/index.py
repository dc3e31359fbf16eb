"""An index over item vectors, an extra: what lies near is looked for among the nearest cells alone."""

import logging
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np

from recsys.lazy import need
from recsys.past.streams import Ints, Singles
from recsys.vectors.matrix import Matrix

_PER_CELL = 40
"""Vectors, at least, that a cell holds on average."""

_SEARCHED = 16
"""One cell of so many is looked into, and 8 at least."""


_ROUNDS = 10
"""Of the k-means that places the cells."""


@dataclass(eq=False)
class Index:
    """The cells that vectors lie in, an inverted file of faiss; those of the last vectors are kept, for all threads."""

    _vectors: Singles | Matrix | None = None
    _rows: Ints | None = None
    _built: Any = None
    _lock: Lock = field(default_factory=Lock)

    def near(self, vectors: Singles | Matrix, rows: Ints, queries: Singles, count: int) -> Ints:
        """Find vectors whose dot products with queries are among the largest, most of them.

        Parameters
        ----------
        vectors, rows
            Vectors, never changed, shape [n, d], and which of them may be found, shape [m].
        queries
            Shape [R, d].
        count
            How many are wanted for each query.

        Returns
        -------
        Places in `rows`, in no certain order, -1 where there are fewer, shape [R, count]. The same vectors and queries
        give the same.

        Raises
        ------
        ModelError
            When the extra is not installed.
        """
        faiss = need_faiss()
        with self._lock:
            faiss.omp_set_num_threads(1)  # more would add up in another order
            if vectors is not self._vectors or self._rows is None or not np.array_equal(rows, self._rows):
                self._vectors, self._rows, self._built = vectors, rows, _build(faiss, vectors[rows])
            found: Ints = self._built.search(np.ascontiguousarray(queries), count)[1]
        return found


def need_faiss() -> Any:
    """Import faiss, or say what to type, see `recsys.lazy.need`."""
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)  # it tells which of its builds it tried
    return need("faiss", "ann", '[candidates] index = "faiss"')


def _build(faiss: Any, vectors: Singles) -> Any:
    cells = max(1, min(4 * int(len(vectors) ** 0.5), len(vectors) // _PER_CELL))
    index = faiss.index_factory(vectors.shape[1], f"IVF{cells},Flat", faiss.METRIC_INNER_PRODUCT)
    index.cp.niter = _ROUNDS
    index.train(vectors)
    index.add(vectors)
    index.nprobe = min(cells, max(8, cells // _SEARCHED))
    return index
