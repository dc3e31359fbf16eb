"""What texts have in common letter by letter: a small latent space of character n-grams, in numpy alone."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_array

from recsys.errors import ModelError

Floats = NDArray[np.float32]

_SIZES = (3, 4, 5)
"""Letters of an n-gram."""
_FEWEST = 3
"""Texts that an n-gram must occur in."""
_MOST_GRAMS = 20_000
"""N-grams that are kept: those that occur in most texts; bounds the file."""
_MOST_TEXTS = 20_000
"""Texts that the space is fitted on; more change little."""
_TEXTS_PER_BATCH = 2_000
_RAREST = 1e3
"""Bound of every number; a rarity beyond it would need more texts than there are."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Latent semantic analysis of character n-grams within words: what a pretrained encoder cannot read.

    Names, codes, numbers, and words of a language that the encoder was not made for, still tell that two texts are
    about the same. A text is the bag of its n-grams of 3 to 5 letters, weighed by 1 + log of their number in the text
    and by rarity, projected on the first singular directions (Deerwester et al. 1990, "Indexing by Latent Semantic
    Analysis").

    Attributes
    ----------
    grams
        uint64 [g], rising; hashes of the known n-grams.
    rarity
        float32 [g]; log((1 + texts) / (1 + texts with it)) + 1.
    directions
        float32 [g, m]; orthonormal columns.
    """

    grams: NDArray[np.uint64]
    rarity: Floats
    directions: Floats

    @classmethod
    def fit(cls, texts: Sequence[str], dimension: int, seed: int) -> "Lexicon":
        """Find the n-grams and directions of some texts.

        Parameters
        ----------
        texts
            Distinct texts; of more than 20,000 a sample is read.
        dimension
            m, the length of a vector; fewer where there are not so many texts or n-grams.
        seed
            Draws the sample and the start of the search.
        """
        random = np.random.default_rng(seed)
        if len(texts) > _MOST_TEXTS:
            texts = [texts[place] for place in np.sort(random.choice(len(texts), _MOST_TEXTS, replace=False))]
        parts = [texts[first : first + _TEXTS_PER_BATCH] for first in range(0, len(texts), _TEXTS_PER_BATCH)]
        keys = [np.empty(0, np.uint64), *(_bag(part)[1] for part in parts)]
        grams, spread = np.unique(np.concatenate(keys), return_counts=True)
        often = np.flatnonzero(spread >= min(_FEWEST, len(texts)))
        often = np.sort(often[np.argsort(-spread[often], kind="stable")][:_MOST_GRAMS])
        rarity = np.log((1 + len(texts)) / (1 + spread[often])) + 1
        unfinished = cls(grams[often], rarity.astype(np.float32), np.zeros((len(often), 0), np.float32))
        matrix = unfinished._matrix(texts)
        rank = min(dimension, min(matrix.shape) - 1)
        if rank < 1:
            return unfinished
        return cls(unfinished.grams, unfinished.rarity, _directions(matrix.astype(np.float64), rank, random))

    @property
    def dimension(self) -> int:
        """m, the length of a vector."""
        return int(self.directions.shape[1])

    def embed(self, texts: Sequence[str]) -> Floats:
        """Return unit vectors [n, m]; zeros for a text without any known n-gram."""
        found = np.zeros((len(texts), self.dimension), np.float32)
        for first in range(0, len(texts), _TEXTS_PER_BATCH):
            part = texts[first : first + _TEXTS_PER_BATCH]
            found[first : first + len(part)] = self._matrix(part) @ self.directions
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        unit: Floats = np.divide(found, lengths, out=np.zeros_like(found), where=lengths > 0)
        return unit

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        save_file({name: np.ascontiguousarray(value) for name, value in asdict(self).items()}, path)

    @classmethod
    def load(cls, path: Path) -> "Lexicon":
        """Read what `save` wrote.

        Raises
        ------
        ModelError
            When the file is missing or holds something else.
        """
        try:
            lexicon = cls(**load_file(path))
            lexicon._check()
        except Exception as error:  # safetensors raises an exception class of its own
            raise ModelError(f"{path} is not a lexicon ({error}); copy the model folder again") from error
        return lexicon

    def _check(self) -> None:
        count, kinds = len(self.grams), [values.dtype for values in vars(self).values()]
        if kinds != [np.uint64, np.float32, np.float32]:
            raise ValueError(f"it holds {', '.join(map(str, kinds))} values, not uint64, float32 and float32")
        if self.grams.shape != self.rarity.shape or self.directions.shape[:-1] != (count,):
            raise ValueError("rarity and directions are not those of the n-grams")
        if (self.grams[1:] <= self.grams[:-1]).any():
            raise ValueError("its n-grams do not rise")
        if not ((self.rarity >= 1) & (self.rarity <= _RAREST)).all() or not (np.abs(self.directions) <= _RAREST).all():
            raise ValueError(f"a rarity is not between 1 and {_RAREST:g}, or a direction is longer")

    def _matrix(self, texts: Sequence[str]) -> csr_array:
        """Return the weighted bags of texts, rows of length 1, [n, g]."""
        rows, keys, counts = _bag(texts)
        places = np.searchsorted(self.grams, keys)
        places[places == len(self.grams)] = 0
        known = self.grams[places] == keys if len(self.grams) else np.zeros(len(keys), bool)
        rows, places = rows[known], places[known]
        weights = (1 + np.log(counts[known])) * self.rarity[places]
        length = np.sqrt(np.bincount(rows, weights**2, minlength=len(texts)))
        shape = (len(texts), len(self.grams))
        return csr_array(((weights / length[rows]).astype(np.float32), (rows, places)), shape=shape)


def _directions(matrix: csr_array, rank: int, random: np.random.Generator) -> Floats:
    """Return the first right singular vectors of a matrix [n, g], [g, rank].

    By a random start and power iterations (Halko et al. 2011, "Finding Structure with Randomness"); unlike a Lanczos
    solver it never draws numbers of its own.
    """
    wide = min(rank + 10, *matrix.shape)
    found = matrix.T @ random.normal(size=(matrix.shape[0], wide))
    for _ in range(4):
        found = matrix.T @ np.linalg.qr(matrix @ np.linalg.qr(found)[0])[0]
    basis = np.linalg.qr(found)[0]
    seen = matrix @ basis
    _, turned = np.linalg.eigh(seen.T @ seen)
    directions: Floats = (basis @ turned[:, ::-1][:, :rank]).astype(np.float32)
    return directions


def _bag(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]:
    """Return text, n-gram hash and number of occurrences, sorted by text and hash, each pair once.

    Words stand between spaces; an n-gram may begin or end with one but never spans two words.
    """
    spaced = [f" {' '.join(text.lower().split())} " for text in texts]
    letters = np.frombuffer("".join(spaced).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    owner = np.repeat(np.arange(len(texts)), [len(text) for text in spaced])
    blank = letters == ord(" ")
    rows, keys = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
    for size in _SIZES:
        count = max(0, len(letters) - size + 1)
        key = np.full(count, size, np.uint64)
        whole = owner[:count] == owner[size - 1 :]
        for place in range(size):
            key = (key ^ letters[place : place + count]) * _MULTIPLIER
            key ^= key >> np.uint64(29)
            if 0 < place < size - 1:
                whole &= ~blank[place : place + count]
        rows.append(owner[:count][whole])
        keys.append(key[whole])
    row, found = np.concatenate(rows), np.concatenate(keys)
    order = np.lexsort((found, row))
    row, found = row[order], found[order]
    first = np.ones(len(row), bool)
    first[1:] = (row[1:] != row[:-1]) | (found[1:] != found[:-1])
    starts = np.flatnonzero(first)
    return row[starts], found[starts], np.diff(np.append(starts, len(row)))
