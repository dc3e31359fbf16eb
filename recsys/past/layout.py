"""How a counter lies in an array of whole numbers: what a row of `Counters.where` says, field by field.

Its numbers stand behind each other: codes of the first key column, where only those that occur are listed; where the
keys of each code begin; the numbers of their other columns; where the rows of each key begin; the moments of the rows,
sorted by key and moment; their first and last moments, where rows stand for several; and running totals before each
row, the last of them behind the last.
"""

COLUMNS = 0
"""How many key columns it has."""

SPARSE, FIRST, MANY = 1, 2, 3
"""Whether only codes of the first column that occur are listed, where, and how many codes there are."""

OUTER, INNER, BEGIN = 4, 5, 6
"""Where the begins of keys lie, the numbers of their other columns, and the begins of rows.

Of one column the codes are the keys, and there are neither of the first two.
"""

MOMENTS, FIRSTS, LASTS = 7, 8, 9
"""Where moments lie, and the first and last ones of rows that stand for several, which are else the same."""

COUNTS, TOTALS, AMOUNTS = 10, 11, 2
"""Where running totals lie: of how many each row stands for, -1 where it is one, and of at most so many amounts."""

SIZES = TOTALS + AMOUNTS
"""From here on: how many codes the columns after the first have, one field each."""
