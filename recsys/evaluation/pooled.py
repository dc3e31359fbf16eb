"""The pooled AUC as a sum over requests, so that it can be compared like a mean over requests."""

import numpy as np

from recsys.evaluation.measures import Floats, Integers, Labels, Scores


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
    above, below = np.sort(scores[positive]), np.sort(scores[~positive])
    requests = len(starts) - 1
    if not len(above) or not len(below):
        return np.zeros(requests), np.zeros(requests)
    components = np.empty(len(labels))
    components[positive] = _share_below(below, scores[positive]) / len(above)
    components[~positive] = (1 - _share_below(above, scores[~positive])) / len(below)
    owner = np.repeat(np.arange(requests), np.diff(starts))
    weights = np.bincount(owner, weights=np.where(positive, 0.5 / len(above), 0.5 / len(below)), minlength=requests)
    added = np.bincount(owner, weights=components, minlength=requests)
    return added - added.sum() / 2 * weights, weights


def _share_below(others: Scores, scores: Scores) -> Floats:
    """Share of `others`, sorted, below each score, ties one half."""
    places = np.searchsorted(others, scores, "left") + np.searchsorted(others, scores, "right")
    return np.asarray(places / (2 * len(others)))
