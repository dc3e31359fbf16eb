"""Merge what sources find: by how often what each of them puts at a place was chosen."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from recsys.data.clock import format_duration, parse_duration
from recsys.past.streams import Ints
from recsys.sources.settings import SourceName

if TYPE_CHECKING:
    from recsys.past.log import Log

Floats = npt.NDArray[np.float64]

_BANDS = 14
"""Places 1, 2 to 3, 4 to 7 and so on, up to 2 ** 14 - 1."""

_PARTS = 2**40
"""Rates are added up in whole parts of this, so that no order of adding them matters."""


class Ranked(NamedTuple):
    """What was found: which request, which item and at which place, 1 = first; each of shape [F], best first."""

    requests: Ints
    items: Ints
    places: Ints


@dataclass(frozen=True)
class Merging:
    """What is known of the sources.

    Attributes
    ----------
    rates
        Per source the share of what it put into each band of places that was chosen, never rising, shape [`_BANDS`].
    half_life
        After which age a click counts half for source `popular`; None where nothing says which is best.
    """

    rates: Mapping[SourceName, Floats]
    half_life: timedelta | None = None

    @classmethod
    def learn(
        cls,
        ranked: Mapping[SourceName, Ranked],
        choices: tuple[Ints, Ints],
        items: int,
        out: float,
        half_life: timedelta | None = None,
    ) -> "Merging":
        """Count how often what sources found was chosen.

        Half a choice more among as many as would be expected by chance keeps a band that nobody chose from above 0.

        Parameters
        ----------
        ranked
            What each source found.
        choices
            Requests and items of what was chosen.
        items
            How many items there are, those of later included.
        out
            How many were out, on average.
        half_life
            That of popularity.
        """
        from scipy.optimize import isotonic_regression

        chosen, rates = np.unique(choices[0] * items + choices[1]), {}
        chance = len(chosen) / max(1.0, len(np.unique(choices[0])) * out)
        for name, of in ranked.items():
            band = np.log2(of.places).astype(np.int64)
            hit = np.isin(of.requests * items + of.items, chosen)
            found, hits = (np.bincount(band, each, _BANDS) for each in (None, hit))
            rate = (hits + 0.5) / (found + 0.5 / max(chance, 1e-9))
            rates[name] = isotonic_regression(rate, weights=found + 1e-6, increasing=False).x
        return cls(rates, half_life)

    def worth(self, name: SourceName, places: Ints) -> Ints:
        """Give in whole parts how often what a source put at some places was chosen, falling from band to band."""
        middle = np.log2(1.5 * 2.0 ** np.arange(_BANDS))
        rate = np.interp(np.log2(places + 0.5), middle, self.rates[name])
        worth: Ints = np.rint(_PARTS * rate).astype(np.int64)
        return worth

    def to_json(self) -> dict[str, object]:
        """Write as plain JSON."""
        written = None if self.half_life is None else format_duration(self.half_life)
        return {"half_life": written, "rates": {name: of.tolist() for name, of in self.rates.items()}}

    @classmethod
    def from_json(
        cls, content: dict[str, Any], sources: tuple[SourceName, ...], half_lives: tuple[timedelta, ...]
    ) -> "Merging":
        """Read what `to_json` wrote for some sources, where popularity is counted with some half-lives.

        Raises
        ------
        KeyError, TypeError, ValueError
            When it is something else.
        """
        if not isinstance(content, dict) or list(content["rates"]) != list(sources):
            raise ValueError(f"what is known of sources is not of {', '.join(sources) or 'none'}")
        found, written = {}, content["half_life"]
        half_life = None if written is None else parse_duration(written)
        if half_life not in (None, *half_lives):
            raise ValueError(f"popularity is not counted with a half-life of {written!r}")
        for name in sources:
            rates = np.array(content["rates"][name], np.float64)
            if rates.shape != (_BANDS,) or not ((rates >= 0) & (rates <= 1)).all() or (np.diff(rates) > 0).any():
                raise ValueError(f"the rates of source {name!r} are not {_BANDS} numbers from 0 to 1 that never rise")
            found[name] = rates
        return cls(found, half_life)


EVEN = Merging({name: 1 / (60 + 1.5 * 2.0 ** np.arange(_BANDS)) for name in get_args(SourceName)})
"""Reciprocal rank fusion (Cormack, Clarke and Buettcher 2009), as long as nothing is known of the sources."""


def merge(ranked: Mapping[SourceName, Ranked], log: "Log", size: int, merging: Merging = EVEN) -> Ranked:
    """Merge what sources found, what is most likely chosen first: the sum over the sources that found it.

    Parameters
    ----------
    ranked
        What each found; of each the first `size` count.
    log
        Says which of two items has the smaller id, which comes first where all else is equal.
    size
        How many are kept for every request.
    merging
        What is known of the sources.
    """
    count, order, near = len(log.items), log.items.order, {}
    for name, of in ranked.items():
        near[name] = of if of.places.max(initial=0) <= size else Ranked(*(each[of.places <= size] for each in of))
    keys = {name: of.requests * count + of.items for name, of in near.items()}
    distinct = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *keys.values()]))
    fused = np.zeros(len(distinct), dtype=np.int64)
    for name, of in near.items():
        fused[np.searchsorted(distinct, keys[name])] += merging.worth(name, of.places)
    requests, items = np.divmod(distinct, max(1, count))
    best = np.lexsort((order[items], -fused, requests))
    requests, items = requests[best], items[best]
    places = np.arange(len(best)) - np.searchsorted(requests, requests) + 1
    kept = places <= size
    return Ranked(requests[kept], items[kept], places[kept])
