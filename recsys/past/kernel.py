"""The counting kernel, compiled: keys are found, moments searched and running totals subtracted, row by row."""

import numpy as np

from recsys.compiled import compiled
from recsys.past.streams import Ints

COLUMNS, SPARSE, FIRST, MANY, OUTER, INNER, BEGIN, MOMENTS, FIRSTS, LASTS, COUNTS, TOTALS = range(12)
"""What a row of `Counters.where` holds, see there; then come the sizes of the key columns after the first."""

AMOUNTS = 2
"""How many amounts a counter adds up beside the number of rows, at most."""

SIZES = TOTALS + AMOUNTS

FIRST_MOMENT, LAST_MOMENT = -2, -1
"""What is read beside amounts: the first and the last moment; amounts are 0, the number of rows, and from 1 on."""

NEVER_FIRST, NEVER_LAST = int(np.iinfo(np.int64).max), int(np.iinfo(np.int64).min)
"""What these are where there is no row."""

_MEMO = 256
"""From so many rows on, what was found for a code is kept for later rows of the same moment."""


@compiled
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


@compiled
def find_key(data: Ints, of: Ints, codes: Ints, columns: Ints, row: int) -> int:
    """Find the number of a row's key in a counter, -1 where it never occurred."""
    if of[COLUMNS] == 0:
        return 0 if of[MANY] > 0 else -1
    code = codes[columns[0], row]
    if code < 0:
        return -1
    if of[SPARSE]:
        place = below(data, of[FIRST], of[FIRST] + of[MANY], code) - of[FIRST]
        if place == of[MANY] or data[of[FIRST] + place] != code:
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
    start, end = of[INNER] + data[of[OUTER] + place], of[INNER] + data[of[OUTER] + place + 1]
    found = below(data, start, end, inner)
    return int(found - of[INNER]) if found < end and data[found] == inner else -1


@compiled
def look_up(
    data: Ints,
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
    data, where
        See `Counters`; one row of `where` per counter, C of them.
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
    """
    rows = bounds.shape[1]
    places = np.empty(ends.shape[0] + 1, dtype=np.int64)
    for counter in range(where.shape[0]):
        of, own = where[counter], columns[counter]
        first_end, last_end = spans[counter, 0], spans[counter + 1, 0]
        first_read, last_read = spans[counter, 1], spans[counter + 1, 1]
        remembers = rows >= _MEMO and of[COLUMNS] == 1 and of[SPARSE] == 0
        memo = np.full(of[MANY] if remembers else 1, -1, dtype=np.int64)
        before, before_key = -1, -1
        for row in range(rows):
            key = find_key(data, of, codes, own, row)
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
            lowest, highest = of[MOMENTS] + data[of[BEGIN] + key], of[MOMENTS] + data[of[BEGIN] + key + 1]
            end = highest
            for place in range(first_end, last_end):
                if ends[place] < 0:
                    places[place] = lowest - of[MOMENTS]
                else:
                    end = below(data, lowest, end, bounds[ends[place], row])
                    places[place] = end - of[MOMENTS]
            for read in range(first_read, last_read):
                what, start, end = reads[read, 0], places[reads[read, 1]], places[reads[read, 2]]
                target = reads[read, 3]
                if start == end:
                    continue
                if what > 0:
                    total = of[TOTALS + what - 1]
                    found[target, row] += data[total + end] - data[total + start]
                elif what == 0:
                    total = of[COUNTS]
                    found[target, row] += end - start if total < 0 else data[total + end] - data[total + start]
                elif what == FIRST_MOMENT:
                    found[target, row] = min(found[target, row], data[of[FIRSTS] + start])
                else:
                    found[target, row] = max(found[target, row], data[of[LASTS] + end - 1])


@compiled
def last_rows(
    data: Ints,
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
    data, of
        Counter of the users' rows, whose amounts are the items and when each happened, see `Counters`.
    users, as_of
        Codes and microseconds, each of shape [R].
    order
        Place of every item's id among all, shape [n]: of rows of one moment that of the larger id counts as later.
    items, moments, happened
        Answers, each of shape [R, H], -1 and the lowest moment where there is none.
    """
    length, codes, column = items.shape[1], np.empty((1, 1), dtype=np.int64), np.zeros(1, dtype=np.int64)
    item_at, happened_at = of[TOTALS], of[TOTALS + 1]
    for row in range(len(users)):
        codes[0, 0] = users[row]
        key = find_key(data, of, codes, column, 0)
        if key < 0:
            continue
        lowest = of[MOMENTS] + data[of[BEGIN] + key]
        place = below(data, lowest, of[MOMENTS] + data[of[BEGIN] + key + 1], as_of[row]) - of[MOMENTS] - 1
        lowest -= of[MOMENTS]
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
