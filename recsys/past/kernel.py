"""The counting kernel, compiled: keys are found, moments searched and running totals subtracted, row by row."""

import numpy as np

from recsys.compiled import borrowing, compiled, inlined
from recsys.past.layout import (
    AMOUNTS,
    BEGIN,
    COLUMNS,
    COUNTS,
    FIRST,
    FIRSTS,
    INNER,
    LASTS,
    MANY,
    MOMENTS,
    OUTER,
    SIZES,
    SPARSE,
    TOTALS,
)
from recsys.past.streams import FIRST_MOMENT, NEVER_FIRST, NEVER_LAST, Flags, Ints

_MEMO = 256
"""From so many rows on, what was found for a code is kept for later rows of the same moment."""


WAITS, COUNTER, ROW = range(3)
"""What the kernel leaves when it meets a block that nobody has checked: which, and where it stopped."""

DAMAGED = -1
"""What is left in the place of a block where numbers say that others lie beyond the last."""

_NONE, _UNCHECKED = -1, -2
"""What stands for a key that never occurred, and for one whose numbers are not checked."""


@inlined
def below(values: Ints, start: int, end: int, wanted: int) -> int:
    """Count the sorted values below a number, those before `start` among them; only others before `end` are read."""
    many = end - start
    while many > 1:  # without a branch that a processor would have to guess
        half = many >> 1
        start += half if values[start + half - 1] < wanted else 0
        many -= half
    return start + 1 if many == 1 and values[start] < wanted else start


@compiled
def below_each(values: Ints, first: Ints, codes: Ints, wanted: Ints) -> Ints:
    """Count, for each of some codes, the values of smaller codes and its own below a number; 0 for the code -1.

    Values are sorted by code, and of each by size; those of a code begin at `first`.
    """
    found = np.zeros(len(codes), dtype=np.int64)
    for row in range(len(codes)):
        code = codes[row]
        if code >= 0:
            found[row] = below(values, first[code], first[code + 1], wanted[row])
    return found


Numbers = tuple[Ints, Ints, Flags, int]
"""The numbers of one layer, see `recsys.past.counters.Counters`; a plain tuple, which what was compiled before knows.

All of them, where each of C counters lies among them, which blocks are checked, and how many numbers a block holds, as
a power of 2, or -1 where all are checked.
"""

ReadPlan = tuple[Ints, Ints, Ints, Ints]
"""What is read of the counters, see `recsys.past.reads.Reads`.

- Which key columns each counter has, shape [C, most].
- Where the ends and the reads of each counter begin, and last where they end, shape [C + 1, 2].
- Ends: which bounds a counter is searched for, the latest first, -1 for its first row, shape [E].
- Reads: what is read, between which places of its counter's ends, into which row of the answers: shape [R, 4] of what,
  start, end, row.
"""


@inlined
def _waits(numbers: Numbers, at: Ints, start: int, end: int) -> bool:
    """Tell whether a block of the numbers from `start` to, not including, `end` is not checked, and leave which.

    Where there are no such numbers, whoever wrote the file did not write what this reads: `DAMAGED` is left.
    """
    data, _, checked, shift = numbers
    if shift >= 0:
        if start < 0 or end < start or end > len(data):
            at[WAITS] = DAMAGED
            return True
        for block in range(start >> shift, ((end - 1) >> shift) + 1):
            if not checked[block]:
                at[WAITS] = block
                return True
    return False


@inlined
def _find_key(numbers: Numbers, of: Ints, at: Ints, codes: Ints, columns: Ints, row: int) -> int:
    """Find the number of a row's key in a counter."""
    data, _, _, _ = numbers
    if of[COLUMNS] == 0:
        return 0 if of[MANY] > 0 else _NONE
    code = codes[columns[0], row]
    if code < 0:
        return _NONE
    if of[SPARSE]:
        first, last = of[FIRST], of[FIRST] + of[MANY]
        if _waits(numbers, at, first, last):
            return _UNCHECKED
        place = below(data, first, last, code) - first
        if place == of[MANY] or data[first + place] != code:
            return _NONE
    else:
        place = code
        if place >= of[MANY]:
            return _NONE
    if of[COLUMNS] == 1:
        return int(place)
    inner = 0
    for column in range(1, of[COLUMNS]):
        code, size = codes[columns[column], row], of[SIZES + column - 1]
        if code < 0 or code >= size:
            return _NONE
        inner = inner * size + code
    if _waits(numbers, at, of[OUTER] + place, of[OUTER] + place + 2):
        return _UNCHECKED
    start, end = of[INNER] + data[of[OUTER] + place], of[INNER] + data[of[OUTER] + place + 1]
    if _waits(numbers, at, start, end):
        return _UNCHECKED
    found = below(data, start, end, inner)
    return int(found - of[INNER]) if found < end and data[found] == inner else _NONE


@inlined
def _rows_wait(numbers: Numbers, of: Ints, at: Ints, start: int, end: int, behind: int) -> bool:
    """Tell whether something of rows from `start` to, not including, `end` is not checked.

    Running totals have one number more, `behind` the last row; amounts that stand as they are have none.
    """
    if numbers[3] >= 0:
        for begin in (of[MOMENTS], of[FIRSTS], of[LASTS]):
            if _waits(numbers, at, begin + start, begin + end):
                return True
        for which in range(AMOUNTS + 1):
            begin = of[COUNTS + which]
            if begin > 0 and _waits(numbers, at, begin + start, begin + end + behind):
                return True
    return False


@inlined
def _read(data: Ints, of: Ints, what: int, start: int, stop: int) -> np.int64:
    """Read what rows of one key hold together, those from `start` to, not including, `stop`."""
    if start >= stop:
        return np.int64(0 if what >= 0 else NEVER_FIRST if what == FIRST_MOMENT else NEVER_LAST)
    if what < 0:
        return np.int64(data[of[FIRSTS] + start] if what == FIRST_MOMENT else data[of[LASTS] + stop - 1])
    total = of[COUNTS + what]
    return np.int64(stop - start if total < 0 else data[total + stop] - data[total + start])


@inlined
def _add(data: Ints, of: Ints, plan: ReadPlan, counter: int, places: Ints, found: Ints, row: int) -> None:
    """Add what the rows of a key hold between places to what is known of it already."""
    _, spans, _, reads = plan
    for read in range(spans[counter, 1], spans[counter + 1, 1]):
        what, target = reads[read, 0], reads[read, 3]
        value = _read(data, of, what, places[reads[read, 1]], places[reads[read, 2]])
        if what >= 0:
            found[target, row] += value
        elif what == FIRST_MOMENT:
            found[target, row] = min(found[target, row], value)
        else:
            found[target, row] = max(found[target, row], value)


def room_for(where: Ints, ends: Ints, rows: int) -> Ints:
    """Make room for `look_up` to work in: places, and where there are many rows what was found for each code."""
    listed = np.where((where[:, COLUMNS] == 1) & (where[:, SPARSE] == 0), where[:, MANY], 0)
    return np.empty(len(ends) + (int(listed.max(initial=0)) if rows >= _MEMO else 0), dtype=np.int64)


@borrowing
def look_up(numbers: Numbers, at: Ints, codes: Ints, bounds: Ints, plan: ReadPlan, found: Ints, room: Ints) -> bool:
    """Add what the counters of one layer know of some rows to what those below know.

    Parameters
    ----------
    numbers, plan
        The layer, and what is read of it.
    at
        Where to begin, and where it stopped: see `WAITS`; shape [3].
    codes
        Key columns of the rows, shape [K, Q].
    bounds
        Moments: what became known before is counted; shape [B, Q].
    found
        Answers, shape [A, Q]; sums begin at 0, first moments at `NEVER_FIRST` and last ones at `NEVER_LAST`.
    room
        Room to work in, see `room_for`.

    Returns
    -------
    Whether all is done; if not, a block must be checked: then call again with the same `at` and `found`.
    """
    (data, where, _, _), (columns, spans, ends, reads) = numbers, plan
    first_counter, first_row, rows = at[COUNTER], at[ROW], bounds.shape[1]
    places, memo = room[: ends.shape[0]], room[ends.shape[0] :]
    for counter in range(first_counter, where.shape[0]):
        of, own, at[COUNTER] = where[counter], columns[counter], counter
        remembers = rows >= _MEMO and of[COLUMNS] == 1 and of[SPARSE] == 0
        if remembers:
            memo[: of[MANY]] = _NONE
        before, before_key = _NONE, _NONE
        for row in range(first_row if counter == first_counter else 0, rows):
            at[ROW] = row
            key = _find_key(numbers, of, at, codes, own, row)
            if key == _NONE:
                continue
            if key == _UNCHECKED or _waits(numbers, at, of[BEGIN] + key, of[BEGIN] + key + 2):
                return False
            same = before if key == before_key else _NONE
            if remembers:
                same, memo[key] = memo[key], row
            before, before_key = row, key
            if same >= 0 and bounds[0, same] == bounds[0, row]:
                for read in range(spans[counter, 1], spans[counter + 1, 1]):
                    found[reads[read, 3], row] = found[reads[read, 3], same]
                continue
            lowest, end = data[of[BEGIN] + key], data[of[BEGIN] + key + 1]
            if _rows_wait(numbers, of, at, lowest, end, 1):
                return False
            for place in range(spans[counter, 0], spans[counter + 1, 0]):
                bound = ends[place]
                if bound >= 0:
                    end = below(data, of[MOMENTS] + lowest, of[MOMENTS] + end, bounds[bound, row]) - of[MOMENTS]
                places[place] = lowest if bound < 0 else end
            _add(data, of, plan, counter, places, found, row)
    return True


@borrowing
def last_rows(
    numbers: Numbers, at: Ints, users: Ints, column: Ints, as_of: Ints, order: Ints, found: tuple[Ints, Ints, Ints]
) -> bool:
    """Put what a layer knows that users read before some moments among what the layers below know, the last first.

    Parameters
    ----------
    numbers
        One counter of the users' rows, whose amounts are the items and when each happened.
    at
        As of `look_up`.
    users, column
        Codes, shape [1, R], and which row of them they are, shape [1]: 0.
    as_of
        Microseconds, shape [R].
    order
        Place of every item's id among all, shape [n]: of rows of one moment that of the larger id counts as later.
    found
        Items, moments and when each happened, of shape [R, H], -1 and the lowest moment where there is none.

    Returns
    -------
    As of `look_up`.
    """
    (data, where, _, _), (items, moments, happened) = numbers, found
    of, length = where[0], items.shape[1]
    for row in range(at[ROW], len(as_of)):
        at[ROW] = row
        key = _find_key(numbers, of, at, users, column, row)
        if key == _NONE:
            continue
        if key == _UNCHECKED or _waits(numbers, at, of[BEGIN] + key, of[BEGIN] + key + 2):
            return False
        lowest, end = data[of[BEGIN] + key], data[of[BEGIN] + key + 1]
        if _rows_wait(numbers, of, at, lowest, end, 0):
            return False
        place = below(data, of[MOMENTS] + lowest, of[MOMENTS] + end, as_of[row]) - of[MOMENTS] - 1
        slot = 0
        while place >= lowest and slot < length:
            item, moment = data[of[TOTALS] + place], data[of[MOMENTS] + place]
            when, other = data[of[TOTALS + 1] + place], items[row, slot]
            if item < 0 or item >= len(order):
                at[WAITS] = DAMAGED
                return False
            if other >= 0 and (moments[row, slot], order[other], happened[row, slot]) >= (moment, order[item], when):
                slot += 1
                continue
            for later in range(length - 1, slot, -1):
                items[row, later] = items[row, later - 1]
                moments[row, later], happened[row, later] = moments[row, later - 1], happened[row, later - 1]
            items[row, slot], moments[row, slot], happened[row, slot] = item, moment, when
            slot += 1
            place -= 1
    return True
