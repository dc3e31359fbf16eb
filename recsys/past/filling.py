"""The loops, compiled, that write counters, see `recsys.past.layout`."""

import numpy as np

from recsys.compiled import compiled
from recsys.past.layout import (
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
from recsys.past.streams import Ints


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
def fill(data: Ints, of: Ints, rows: Ints, keys: Ints, moments: Ints, amounts: Ints, running: bool) -> int:
    """Write a counter of sorted rows behind all others and say where it lies, see `Counters.where`.

    Parameters
    ----------
    data, of
        What is written to, and what is said of it: columns, whether codes are sparse, sizes and, in `MANY`, how many
        codes the first column has; `FIRST` holds where in `data` there is room.
    rows
        Rows, sorted by key and moment, shape [N].
    keys
        Codes of the first key column, and the number of the others, of all rows, shape [2, M].
    moments, amounts
        Of all rows, shapes [M] and [A, M].
    running
        Whether amounts are added up; where they are not, they stand as they are.

    Returns
    -------
    Where there is room now.
    """
    at, count = _fill_begins(data, of, rows, keys), len(rows)
    of[MOMENTS] = of[FIRSTS] = of[LASTS] = at
    for place in range(count):
        data[at + place] = moments[rows[place]]
    at += count
    of[COUNTS] = -1
    for which in range(amounts.shape[0]):
        of[TOTALS + which] = at
        at = _fill_amounts(data, at, rows, amounts[which], running)
    return int(at)


@compiled
def fill_weighted(data: Ints, of: Ints, rows: Ints, keys: Ints, moments: Ints, amounts: Ints) -> int:
    """Write a counter of rows that stand for several each, as `fill` does.

    The first of the amounts is how many each stands for, and the last two are their first and their last moment.
    """
    at, count, many = _fill_begins(data, of, rows, keys), len(rows), amounts.shape[0]
    of[MOMENTS] = at
    for place in range(count):
        data[at + place] = moments[rows[place]]
    at += count
    for which in range(2):
        of[FIRSTS + which] = at
        at = _fill_amounts(data, at, rows, amounts[many - 2 + which], False)
    for which in range(many - 2):
        of[COUNTS + which] = at
        at = _fill_amounts(data, at, rows, amounts[which], True)
    return int(at)


@compiled
def _fill_amounts(data: Ints, at: int, rows: Ints, amounts: Ints, running: bool) -> int:
    """Write amounts of rows, or what they are together before each and in the end."""
    total = 0
    for place in range(len(rows)):
        amount = amounts[rows[place]]
        data[at + place] = total if running else amount
        total += amount
    if running:
        data[at + len(rows)] = total
    return at + len(rows) + running


@compiled
def _fill_begins(data: Ints, of: Ints, rows: Ints, keys: Ints) -> int:
    """Write codes that occur, where the keys of each begin, what they are, and where the rows of each begin."""
    at, count, pair = of[FIRST], len(rows), of[COLUMNS] > 1
    if of[SPARSE]:
        of[MANY], last = 0, -1
        for place in range(count):
            code = keys[0, rows[place]]
            if code != last:
                data[at + of[MANY]] = code
                of[MANY] += 1
                last = code
        at += of[MANY]
    elif of[COLUMNS] == 0:
        of[MANY] = 1 if count else 0
    many = of[MANY]
    if pair:
        of[OUTER], of[INNER] = at, at + many + 1
        at = of[INNER]
        many = _fill_pairs(data, of, rows, keys)
        at += many
    of[BEGIN] = at
    key, last, last_inner = -1, -1, -1
    for place in range(count):
        code, inner = keys[0, rows[place]], keys[1, rows[place]]
        if code != last or (pair and inner != last_inner):
            stop = key + 2 if pair or of[SPARSE] or of[COLUMNS] == 0 else code + 1
            for each in range(key + 1, stop):
                data[at + each] = place
            key, last, last_inner = stop - 1, code, inner
    for each in range(key + 1, many + 1):
        data[at + each] = count
    return int(at + many + 1)


@compiled
def _fill_pairs(data: Ints, of: Ints, rows: Ints, keys: Ints) -> int:
    """Write where the keys of each code of the first column begin, and the numbers of their other columns."""
    many, outer, last, last_inner = 0, 0, -1, -1
    for place in range(len(rows)):
        code, inner = keys[0, rows[place]], keys[1, rows[place]]
        if code != last:
            stop = (outer if of[SPARSE] else code) + 1
            for each in range(outer, stop):
                data[of[OUTER] + each] = many
            outer, last, last_inner = stop, code, -1
        if inner != last_inner:
            data[of[INNER] + many] = inner
            many += 1
            last_inner = inner
    for each in range(outer, of[MANY] + 1):
        data[of[OUTER] + each] = many
    return many


@compiled
def together(rows: Ints, keys: Ints, days: Ints, moments: Ints, amounts: Ints) -> tuple[Ints, Ints]:
    """Add up the rows of one key and day.

    Parameters
    ----------
    rows, keys, moments, amounts
        As of `fill`.
    days
        The first moment of each row's day, shape [M].

    Returns
    -------
    Both numbers of each key, and its day, shape [3, G]; and how many rows there are, what their amounts are together,
    and their first and last moment, shape [A + 3, G].
    """
    many, count, last = amounts.shape[0], 0, -1
    found, totals = np.empty((3, len(rows)), dtype=np.int64), np.zeros((many + 3, len(rows)), dtype=np.int64)
    for row in rows:
        key, inner, day = keys[0, row], keys[1, row], days[row]
        if last < 0 or found[0, last] != key or found[1, last] != inner or found[2, last] != day:
            last = count
            count += 1
            found[0, last], found[1, last], found[2, last] = key, inner, day
            totals[many + 1, last] = moments[row]
        totals[0, last] += 1
        for which in range(many):
            totals[which + 1, last] += amounts[which, row]
        totals[many + 2, last] = moments[row]
    return found[:, :count].copy(), totals[:, :count].copy()


@compiled
def count_few(
    data: Ints, where: Ints, plan: Ints, spans: Ints, sizes: Ints, of_rows: tuple[Ints, Ints, Ints], running: bool
) -> int:
    """Write the counters of a few rows: what `fill` does for each key, without a call for each.

    Parameters
    ----------
    data, where
        What is written to, and what is said of each of C counters.
    plan
        Which stream each counts, and which key columns: shape [C, 2 + most] of stream, how many columns, columns.
    spans
        Where the rows of each stream, by moment, begin and end, and how many amounts they have: shape [S, 3].
    sizes
        How many codes each of K key columns has.
    of_rows
        Key columns, -1 where there is none, moments and amounts, of shapes [K, N], [N] and [A, N].
    running
        As of `fill`.

    Returns
    -------
    How many numbers were written.
    """
    codes, moments, amounts = of_rows
    room, count = 0, len(moments)
    rows, keys = np.empty(count, dtype=np.int64), np.zeros((2, count), dtype=np.int64)
    for counter in range(where.shape[0]):
        of, stream, columns = where[counter], plan[counter, 0], plan[counter, 1]
        many = 0
        for row in range(spans[stream, 0], spans[stream, 1]):
            first, inner, known = np.int64(0), np.int64(0), True
            for place in range(columns):
                column = plan[counter, 2 + place]
                code = codes[column, row]
                known = known and 0 <= code < sizes[column]
                if place == 0:
                    first = code
                else:
                    inner = inner * sizes[column] + code
            if not known:
                continue
            keys[0, row], keys[1, row] = first, inner
            slot = many
            while slot > 0:
                other = rows[slot - 1]
                if keys[0, other] < first or (keys[0, other] == first and keys[1, other] <= inner):
                    break
                rows[slot] = other
                slot -= 1
            rows[slot] = row
            many += 1
        of[COLUMNS], of[SPARSE], of[FIRST] = columns, 1, room
        for place in range(1, columns):
            of[SIZES + place - 1] = sizes[plan[counter, 2 + place]]
        if many:
            room = fill(data, of, rows[:many], keys, moments, amounts[: spans[stream, 2]], running)
        else:
            of[FIRST] = 0
    return room
