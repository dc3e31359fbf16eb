"""The counting kernel, compiled: keys are found, moments searched and running totals subtracted, row by row."""

import numpy as np

from recsys.compiled import compiled
from recsys.past.streams import BLOCK, FIRST_MOMENT, NEVER_FIRST, NEVER_LAST, Flags, Ints

COLUMNS, SPARSE, FIRST, MANY, OUTER, INNER, BEGIN, MOMENTS, FIRSTS, LASTS, COUNTS, TOTALS = range(12)
"""What a row of `Counters.where` holds, see there; then come the sizes of the key columns after the first."""

AMOUNTS = 2
"""How many amounts a counter adds up beside the number of rows, at most."""

SIZES = TOTALS + AMOUNTS

_MEMO = 256
"""From so many rows on, what was found for a code is kept for later rows of the same moment."""


WAITS, COUNTER, ROW = range(3)
"""What the kernel leaves when it meets a block that nobody has checked: which, and where it stopped."""


class UncheckedError(Exception):
    """Numbers of a block are wanted that were not held against their hash yet."""


@compiled
def _read(data: Ints, checked: Flags, at: Ints, place: int) -> np.int64:
    """Read a number of a block that was checked."""
    if not checked[place >> BLOCK]:
        at[WAITS] = place >> BLOCK
        raise UncheckedError
    return np.int64(data[place])


@compiled
def _below(data: Ints, checked: Flags, at: Ints, start: int, end: int, wanted: int) -> int:
    """Count the sorted numbers below one, those before `start` among them; only others before `end` are read."""
    many = end - start
    while many > 1:  # without a branch that a processor would have to guess
        half = many >> 1
        start += half if _read(data, checked, at, start + half - 1) < wanted else 0
        many -= half
    return start + 1 if many == 1 and _read(data, checked, at, start) < wanted else start


@compiled
def below_each(values: Ints, first: Ints, codes: Ints, wanted: Ints) -> Ints:
    """Count, for each of some codes, the values of smaller codes and its own below a number; 0 for the code -1.

    Values are sorted by code, and of each by size; those of a code begin at `first`.
    """
    found = np.zeros(len(codes), dtype=np.int64)
    for row in range(len(codes)):
        code = codes[row]
        if code >= 0:
            own = values[first[code] : first[code + 1]]
            found[row] = first[code] + np.searchsorted(own, wanted[row])
    return found


@compiled
def _find_key(data: Ints, checked: Flags, at: Ints, of: Ints, codes: Ints, columns: Ints, row: int) -> int:
    """Find the number of a row's key in a counter, -1 where it never occurred."""
    if of[COLUMNS] == 0:
        return 0 if of[MANY] > 0 else -1
    code = codes[columns[0], row]
    if code < 0:
        return -1
    if of[SPARSE]:
        place = _below(data, checked, at, of[FIRST], of[FIRST] + of[MANY], code) - of[FIRST]
        if place == of[MANY] or _read(data, checked, at, of[FIRST] + place) != code:
            return -1
    else:
        place = code
        if place >= of[MANY]:
            return -1
    if of[COLUMNS] == 1:
        return int(place)
    inner = 0
    for column in range(1, of[COLUMNS]):
        code, size = codes[columns[column], row], of[SIZES + column - 1]
        if code < 0 or code >= size:
            return -1
        inner = inner * size + code
    start = of[INNER] + _read(data, checked, at, of[OUTER] + place)
    end = of[INNER] + _read(data, checked, at, of[OUTER] + place + 1)
    found = _below(data, checked, at, start, end, inner)
    return int(found - of[INNER]) if found < end and _read(data, checked, at, found) == inner else -1


@compiled
def _value(data: Ints, checked: Flags, at: Ints, of: Ints, what: int, start: int, stop: int) -> np.int64:
    """Read what rows of one key hold together, those from `start` to, not including, `stop`."""
    if start >= stop:
        return np.int64(0 if what >= 0 else NEVER_FIRST if what == FIRST_MOMENT else NEVER_LAST)
    if what == FIRST_MOMENT:
        return _read(data, checked, at, of[FIRSTS] + start)
    if what < 0:
        return _read(data, checked, at, of[LASTS] + stop - 1)
    total = of[COUNTS + what]
    if total < 0:
        return np.int64(stop - start)
    return _read(data, checked, at, total + stop) - _read(data, checked, at, total + start)


@compiled
def look_up(
    data: Ints,
    checked: Flags,
    at: Ints,
    where: Ints,
    codes: Ints,
    columns: Ints,
    bounds: Ints,
    spans: Ints,
    ends: Ints,
    reads: Ints,
    found: Ints,
) -> None:
    """Add what the counters of one layer know of some rows to what those below know.

    Parameters
    ----------
    data, checked, where
        See `Counters`; one row of `where` per counter, C of them.
    at
        Where to begin, and where it stopped: see `WAITS`; shape [3].
    codes, columns
        Key columns of the rows, shape [K, Q], and which of them each counter has, shape [C, most].
    bounds
        Moments: what became known before is counted; shape [B, Q].
    spans
        Where the `ends` and the `reads` of each counter begin, and last where they end, shape [C + 1, 2].
    ends
        Which bounds a counter is searched for, the latest first, -1 for its first row, shape [E].
    reads
        What is read, between which places of its counter's `ends`, into which row of `found`: shape [R, 4] of what,
        start, end, row.
    found
        Answers, shape [A, Q]; sums begin at 0, first moments at `NEVER_FIRST` and last ones at `NEVER_LAST`.

    Raises
    ------
    UncheckedError
        When a number is wanted of a block that is not checked; once it is, call again with the same `at` and `found`.
    """
    rows = bounds.shape[1]
    places = np.empty(ends.shape[0] + 1, dtype=np.int64)
    first_counter, first_row = at[COUNTER], at[ROW]
    values = np.empty(max(1, reads.shape[0]), dtype=np.int64)
    for counter in range(first_counter, where.shape[0]):
        of, own = where[counter], columns[counter]
        first_end, last_end = spans[counter, 0], spans[counter + 1, 0]
        first_read, last_read = spans[counter, 1], spans[counter + 1, 1]
        remembers = rows >= _MEMO and of[COLUMNS] == 1 and of[SPARSE] == 0
        memo = np.full(of[MANY] if remembers else 1, -1, dtype=np.int64)
        before, before_key = -1, -1
        at[COUNTER] = counter
        for row in range(first_row if counter == first_counter else 0, rows):
            at[ROW] = row
            key = _find_key(data, checked, at, of, codes, own, row)
            if key < 0:
                continue
            same = before if key == before_key else -1
            if remembers:
                same = memo[key]
                memo[key] = row
            before, before_key = row, key
            if same >= 0 and bounds[0, same] == bounds[0, row]:
                for read in range(first_read, last_read):
                    found[reads[read, 3], row] = found[reads[read, 3], same]
                continue
            lowest = of[MOMENTS] + _read(data, checked, at, of[BEGIN] + key)
            end = of[MOMENTS] + _read(data, checked, at, of[BEGIN] + key + 1)
            for place in range(first_end, last_end):
                if ends[place] < 0:
                    places[place] = lowest - of[MOMENTS]
                else:
                    end = _below(data, checked, at, lowest, end, bounds[ends[place], row])
                    places[place] = end - of[MOMENTS]
            for read in range(first_read, last_read):  # all of them, before the first is added to what is known
                what, start, stop = reads[read, 0], places[reads[read, 1]], places[reads[read, 2]]
                values[read] = _value(data, checked, at, of, what, start, stop)
            for read in range(first_read, last_read):
                what, target = reads[read, 0], reads[read, 3]
                if what >= 0:
                    found[target, row] += values[read]
                elif what == FIRST_MOMENT:
                    found[target, row] = min(found[target, row], values[read])
                else:
                    found[target, row] = max(found[target, row], values[read])


@compiled
def last_rows(
    data: Ints,
    checked: Flags,
    at: Ints,
    of: Ints,
    users: Ints,
    as_of: Ints,
    order: Ints,
    items: Ints,
    moments: Ints,
    happened: Ints,
) -> None:
    """Put what a layer knows that users read before some moments among what the layers below know, the last first.

    Parameters
    ----------
    data, checked, of
        Counter of the users' rows, whose amounts are the items and when each happened, see `Counters`.
    at
        As of `look_up`.
    users, as_of
        Codes and microseconds, each of shape [R].
    order
        Place of every item's id among all, shape [n]: of rows of one moment that of the larger id counts as later.
    items, moments, happened
        Answers, each of shape [R, H], -1 and the lowest moment where there is none.

    Raises
    ------
    UncheckedError
        As `look_up` does.
    """
    length, codes, column = items.shape[1], np.empty((1, 1), dtype=np.int64), np.zeros(1, dtype=np.int64)
    item_at, happened_at = of[TOTALS], of[TOTALS + 1]
    for row in range(at[ROW], len(users)):
        at[ROW] = row
        codes[0, 0] = users[row]
        key = _find_key(data, checked, at, of, codes, column, 0)
        if key < 0:
            continue
        lowest = of[MOMENTS] + _read(data, checked, at, of[BEGIN] + key)
        end = of[MOMENTS] + _read(data, checked, at, of[BEGIN] + key + 1)
        place = _below(data, checked, at, lowest, end, as_of[row]) - of[MOMENTS] - 1
        lowest -= of[MOMENTS]
        for each in range(max(lowest, place - length + 1), place + 1):  # all, before the first is put among the others
            for begin in (item_at, of[MOMENTS], happened_at):
                _read(data, checked, at, begin + each)
        slot = 0
        while place >= lowest and slot < length:
            item, moment, when = data[item_at + place], data[of[MOMENTS] + place], data[happened_at + place]
            other = items[row, slot]
            if other >= 0 and (moments[row, slot], order[other], happened[row, slot]) >= (moment, order[item], when):
                slot += 1
                continue
            for later in range(length - 1, slot, -1):
                items[row, later] = items[row, later - 1]
                moments[row, later], happened[row, later] = moments[row, later - 1], happened[row, later - 1]
            items[row, slot], moments[row, slot], happened[row, slot] = item, moment, when
            slot += 1
            place -= 1


@compiled
def by_code(rows: Ints, codes: Ints, size: int) -> Ints:
    """Sort rows by their codes, all of them from 0 to, not including, `size`; equal ones stay in their order."""
    begins, found = np.zeros(size + 1, dtype=np.int64), np.empty_like(rows)
    for row in rows:
        begins[codes[row] + 1] += 1
    for code in range(size):
        begins[code + 1] += begins[code]
    for row in rows:
        found[begins[codes[row]]] = row
        begins[codes[row]] += 1
    return found


@compiled
def fill(
    data: Ints,
    of: Ints,
    rows: Ints,
    first: Ints,
    inner: Ints,
    moments: Ints,
    amounts: Ints,
    running: bool,
    weighted: bool,
) -> int:
    """Write a counter of sorted rows behind all others and say where it lies, see `Counters.where`.

    Parameters
    ----------
    data, of
        What is written to, and what is said of it: columns, whether codes are sparse, sizes and, in `MANY`, how many
        codes the first column has; `FIRST` holds where in `data` there is room.
    rows
        Rows, sorted by key and moment, shape [N].
    first, inner
        Codes of the first key column, and the number of the others, of all rows, each of shape [M].
    moments, amounts
        Of all rows, shapes [M] and [A, M]; of weighted ones the first amount is how many rows each stands for, and the
        last two are their first and last moments.
    running
        Whether amounts are added up; where they are not, they stand as they are.
    weighted
        Whether rows stand for several.

    Returns
    -------
    Where there is room now.
    """
    at, count, pair = of[FIRST], len(rows), of[COLUMNS] > 1
    if of[SPARSE]:
        of[MANY], last = 0, -1
        for place in range(count):
            code = first[rows[place]]
            if code != last:
                data[at + of[MANY]] = code
                of[MANY] += 1
                last = code
        at += of[MANY]
    elif of[COLUMNS] == 0:
        of[MANY] = 1 if count else 0
    of[BEGIN] = at
    keys = of[MANY]
    if pair:
        of[OUTER] = at
        of[INNER] = at + of[MANY] + 1
        at, keys, outer, last_inner, last = of[INNER], 0, 0, -1, -1
        for place in range(count):
            row = rows[place]
            code = first[row]
            if code != last:
                stop = (outer if of[SPARSE] else code) + 1
                for each in range(outer, stop):
                    data[of[OUTER] + each] = keys
                outer, last, last_inner = stop, code, -1
            if inner[row] != last_inner:
                data[at + keys] = inner[row]
                keys += 1
                last_inner = inner[row]
        for each in range(outer, of[MANY] + 1):
            data[of[OUTER] + each] = keys
        at += keys
        of[BEGIN] = at
    key, last, last_inner = -1, -1, -1
    for place in range(count):
        row = rows[place]
        code = first[row]
        if code != last or (pair and inner[row] != last_inner):
            stop = key + 2 if pair or of[SPARSE] or of[COLUMNS] == 0 else code + 1
            for each in range(key + 1, stop):
                data[of[BEGIN] + each] = place
            key, last, last_inner = stop - 1, code, inner[row]
    for each in range(key + 1, keys + 1):
        data[of[BEGIN] + each] = count
    at += keys + 1
    of[MOMENTS] = of[FIRSTS] = of[LASTS] = at
    for place in range(count):
        data[at + place] = moments[rows[place]]
    at += count
    of[COUNTS] = -1
    many = amounts.shape[0]
    if weighted:
        for which in range(many - 2, many):
            of[FIRSTS + which - many + 2] = at
            for place in range(count):
                data[at + place] = amounts[which, rows[place]]
            at += count
        many -= 2
    for which in range(many):
        if weighted:
            of[COUNTS + which] = at
        else:
            of[TOTALS + which] = at
        total = 0
        for place in range(count):
            amount = amounts[which, rows[place]]
            data[at] = total if running else amount
            total += amount
            at += 1
        if running:
            data[at] = total
            at += 1
    return int(at)
