"""The pooled AUC as a sum over requests, so that it can be compared like a mean over requests."""

import numpy as np

from recsys.statistics.numbers import Floats, Integers, Labels, Scores


def pooled_auc_parts(labels: Labels, scores: Scores, starts: Integers) -> tuple[Floats, Floats]:
    """Say what each request adds to the AUC of all rows as one list, to first order.

    A positive has the share of all negatives below it, a negative the share of all positives above it, ties one half
    (the components of DeLong et al. 1988). With P positives and N negatives a request's weight is
    (its positives / P + its negatives / N) / 2, and its part is its components over P and N, less AUC * weight. Weights
    sum to 1 and parts to the AUC; the residuals part - AUC * weight, added up by user, give the variance of
    Obuchowski (1997) for clustered data.

    Parameters
    ----------
    labels
        [C] graded outcomes; above 0 is positive.
    scores
        [C] any numbers but NaN.
    starts
        [R + 1] candidates of request r are rows `starts[r]` up to `starts[r + 1]`.

    Returns
    -------
    tuple[Floats, Floats]
        [R] parts, [R] weights; all 0 without both classes.

    Examples
    --------
    >>> parts, weights = pooled_auc_parts(np.array([0, 1, 1, 0]), np.array([0.3, 0.9, 0.5, 0.7]), np.array([0, 2, 4]))
    >>> parts.sum(), weights.sum()
    (np.float64(0.75), np.float64(1.0))
    """
    positive = labels > 0
    owner = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    positives, negatives = (np.bincount(owner[of], minlength=len(starts) - 1) for of in (positive, ~positive))
    pairs = positives.sum() * negatives.sum()
    if not pairs:
        return np.zeros(len(starts) - 1), np.zeros(len(starts) - 1)
    right = np.zeros(len(starts) - 1)  # sums of halves, so exact
    for ours, theirs, sign in ((positive, ~positive, 1), (~positive, positive, -1)):
        below = _count_below(np.sort(sign * scores[theirs]), sign * scores[ours])
        right += np.bincount(owner[ours], weights=below, minlength=len(starts) - 1)
    weights = (positives / positives.sum() + negatives / negatives.sum()) / 2
    return (right - right.sum() / 2 * weights) / pairs, weights


def _count_below(others: Scores, scores: Scores) -> Floats:
    """Count `others`, sorted, below each score, ties one half."""
    return np.asarray(np.searchsorted(others, scores, "left") + np.searchsorted(others, scores, "right")) / 2
