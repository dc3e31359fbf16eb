"""Whether a difference is more than chance: users as the unit, intervals, permutation, corrections, power."""
