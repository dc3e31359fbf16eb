"""Text signals: what texts say about every candidate, the same to the last bit in any batching."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recsys.errors import DataError
from recsys.past.streams import distinct
from recsys.progress import progress
from recsys.vectors.coded_lists import CodedLists
from recsys.vectors.padding import pad, similar_blocks
from recsys.vectors.user_tower import UserTower

if TYPE_CHECKING:
    from recsys.vectors.item_vectors import ItemVectors

_NUMBERS_PER_BLOCK = 150_000
"""Padded candidates of a block times the numbers kept for each: they stay near the processor."""


@dataclass(frozen=True, eq=False)
class TextSignals:
    """What the text says about each of C candidates; NaN for unknown items.

    Attributes
    ----------
    interest
        float32 [C]; match with the user's clicks, NaN for users without a known click.
    appeal
        float32 [C]; attraction to anybody.
    text_score
        float32 [C]; appeal, plus interest for users with a known click, plus `query_scale * query_match` for requests
        with a text.
    nearest_click
        float32 [C]; largest dot product with one of the user's clicks, about -1 to 1, NaN without a known click.
    last_click
        float32 [C]; dot product with the user's last click: whether it is the same story; NaN without a known one.
    query_match
        float32 [C]; dot product with the request's own text, about -1 to 1, NaN where it has none.
    """

    interest: NDArray[np.float32]
    appeal: NDArray[np.float32]
    text_score: NDArray[np.float32]
    nearest_click: NDArray[np.float32]
    last_click: NDArray[np.float32]
    query_match: NDArray[np.float32]


def text_signals(
    lists: CodedLists, vectors: "ItemVectors", tower: UserTower, asked: NDArray[np.float32] | None = None
) -> TextSignals:
    """Compute the text signals of every candidate.

    Dot products are exact (see `recsys.vectors.encoded.GRID`) and everything after them is computed candidate by
    candidate, so answers do not depend on how requests are batched, nor on the order of candidates.

    Parameters
    ----------
    lists
        The requests; codes are rows of `vectors`, those of `queries` rows of `asked`. Unknown clicks are skipped.
    vectors
        One row per item of the catalogue.
    tower
        Learned with the encoder that made the vectors.
    asked
        float32 [Q, p]; vectors of the requests' own texts, on the same grid; left out when no request has one.

    Raises
    ------
    DataError
        When a code is not a row of its vectors.
    """
    asked = np.empty((0, vectors.candidate.shape[1]), np.float32) if asked is None else asked
    _check(lists, len(vectors), len(asked))
    asks = lists.queries >= 0
    asked = np.append(asked, np.zeros_like(asked, shape=(1, asked.shape[1])), axis=0)  # code -1 finds the last row
    found = np.full((4, len(lists.items)), np.nan, np.float32)
    interest, nearest, last, match = found
    width = vectors.candidate.shape[1] + tower.parts * lists.history.shape[1]
    many = len(lists) > 1
    with progress(len(lists), "text signals", "request") if many else nullcontext(_nothing) as advance:
        for requests in similar_blocks(lists.lengths, max(1, _NUMBERS_PER_BLOCK // width)):
            places, present = pad(lists.starts, requests)
            for values, block in zip(found, _match(lists, requests, lists.items[places], vectors, tower), strict=False):
                values[places[present]] = block[present]
            if asks[requests].any() and len(vectors):
                products = vectors.candidate[lists.items[places]] @ asked[lists.queries[requests], :, None]
                match[places[present]] = products[..., 0][present]
            advance(len(requests))
    unknown = lists.items < 0
    found[:, unknown] = np.nan
    match[np.repeat(~asks, lists.lengths)] = np.nan
    appeal = np.where(unknown, np.float32(np.nan), vectors.appeal[lists.items] if len(vectors) else np.float32(np.nan))
    score = np.where(np.isnan(interest), appeal, interest + appeal)
    score = np.where(np.isnan(match), score, score + (tower.query_scale * match).astype(np.float32))
    return TextSignals(interest, appeal, score, nearest, last, match)


def _nothing(_: int) -> None:
    """Show no progress."""


def _check(lists: CodedLists, items: int, asked: int) -> None:
    known = (("items", items, "item"), ("history", items, "item"), ("queries", asked, "query"))
    for name, rows, kind in known:
        codes = getattr(lists, name)
        if codes.size and codes.max() >= rows:
            raise DataError(f"{name} holds the code {codes.max()} but there are {rows} {kind} vectors")


def _match(
    lists: CodedLists, requests: NDArray[np.int64], items: NDArray[np.int32], vectors: "ItemVectors", tower: UserTower
) -> tuple[NDArray[np.floating], ...]:
    """Return interest, nearest and last click, each [B, longest], of a block of requests."""
    clicks = lists.history[requests]
    clicks = clicks[:, : np.flatnonzero((clicks >= 0).any(axis=0)).max(initial=-1) + 1]  # beyond it nobody clicked
    known = clicks >= 0
    if not known.any() or not items.size:
        nothing = np.full(items.shape, np.nan)
        return nothing, nothing.astype(np.float32), nothing.astype(np.float32)
    # Unknown items and clicks read the last row; what comes of them is masked.
    candidate = vectors.candidate[items].reshape(*items.shape, tower.parts, -1)
    clicked = vectors.history[clicks]
    if len(requests) > 1:  # what is read often is attended to once
        own, of_click = distinct(clicks.ravel().astype(np.int64), len(vectors))
        attention = tower.attention(vectors.history[own])[of_click].reshape(*clicks.shape, -1)
    else:
        attention = tower.attention(clicked)
    history = clicked.reshape(*clicks.shape, tower.parts, -1)
    similarity = np.ascontiguousarray(history.transpose(0, 2, 1, 3) @ candidate.transpose(0, 2, 3, 1))
    whole = similarity.sum(axis=1)  # exact as well: still sums of the same products
    last = np.where(known[:, :1], whole[:, 0], np.float32(np.nan))
    np.copyto(whole, -np.inf, where=~known[:, :, None])
    nearest = whole.max(axis=1)
    nearest[np.isneginf(nearest)] = np.nan
    return (
        tower.interest(similarity, attention, lists.ages[requests, : clicks.shape[1]], known),
        nearest,
        last,
    )
