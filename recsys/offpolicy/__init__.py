"""Off-policy evaluation: what another policy would have earned, from the log of the one that ran.

Single actions (`actions`): IPS, SNIPS, clipped IPS, the direct method, doubly robust and switch.

Lists, by what each assumes of how users read; the less it assumes, the more its weights vary:

    slate           a click may depend on the whole list down to the last counted position     (`cascades`)
    cascade         a click depends on its item, its position and the items above              (`cascades`)
    pseudo_inverse  the clicks of a list are a sum over its pairs of item and position         (`placements`)
    item_position   a click depends on its item and its position                               (`placements`)
    position_based  a click is the chance of looking at the position, known, times the item's  (`placements`)

A user who reads as position_based says satisfies all five. All take it that both policies order the same candidates
and that a list was logged whole; `top` counts the clicks of the first positions only. Every answer is an `Estimate`
with interval, effective sample size and warnings; where the log does not support one, a DataError says why.
"""
