"""What training minimises and what it is judged by: pure functions of padded lists."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def list_cross_entropy(
    scores: Tensor,
    labels: Tensor,
    present: Tensor,
    showings: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Softmax cross-entropy over the candidates of each request, labels shared out over the positives.

    B requests, C places. The listwise softmax loss of Cao et al. (2007), "Learning to Rank: From Pairwise Approach to
    Listwise Approach".

    Where a row stands for many showings, clicks of a request are a multinomial draw: the clicks of a row are Poisson
    with the mean showings * exp(score + c), and given their sum the request's constant c cancels. Then the softmax is
    over score + log(showings), and the likelihood of all clicks has `weights` = the request's clicks.

    Parameters
    ----------
    scores
        [B, C]; finite where present.
    labels
        [B, C]; at least 0; above 0 is positive, and more counts more. May be numbers of clicks.
    present
        [B, C] bool; where there is a candidate.
    showings
        [B, C]; at least 0; how many showings a candidate stands for, 0 leaves it out. None: one each.
    weights
        [B]; at least 0; how much a request counts in the mean. None: all the same.

    Returns
    -------
        Scalar: the mean over requests with a positive candidate, 0 when there is none.

    Examples
    --------
    >>> scores = torch.tensor([[0.0, 0.0, 7.0], [1.0, 2.0, 3.0]])
    >>> labels = torch.tensor([[1.0, 0.0, 9.0], [0.0, 0.0, 0.0]])
    >>> present = torch.tensor([[True, True, False], [True, True, True]])
    >>> round(list_cross_entropy(scores, labels, present).item(), 4)  # one request counts: log 2
    0.6931
    >>> showings = torch.tensor([[100.0, 300.0, 0.0], [1.0, 1.0, 1.0]])
    >>> round(list_cross_entropy(scores, labels, present, showings).item(), 4)  # log of 400 / 100
    1.3863
    """
    if showings is not None:
        present = present & (showings > 0)
        scores = scores + torch.where(present, showings, 1).log()
    gains = labels.clamp(min=0) * present
    total = gains.sum(dim=1)
    # A request whose places are all empty must not turn into NaN, hence a finite stand-in for minus infinity.
    log_share = torch.log_softmax(scores.masked_fill(~present, torch.finfo(scores.dtype).min), dim=1)
    per_request = -(gains * log_share.masked_fill(~present, 0)).sum(dim=1) / total.clamp(min=1e-12)
    counted = total > 0
    if weights is None:
        return (per_request * counted).sum() / counted.sum().clamp(min=1)
    return _weighted_mean(per_request, weights * counted)


def in_batch_cross_entropy(
    scores: Tensor,
    targets: Tensor,
    log_probability: Tensor,
    excluded: Tensor,
    weights: Tensor | None = None,
) -> Tensor:
    """Softmax cross-entropy of each clicked item against the items that others of the step clicked.

    B clicks, N distinct items. Popular items are clicked more often and so are more often among the negatives; taking
    log_probability off all scores makes up for it: Yi et al. (2019), "Sampling-Bias-Corrected Neural Modeling for
    Large Corpus Item Recommendations". By Bayes' rule this is the likelihood of the clicked item given the items of
    the step, when a score is the log probability of a click up to a constant of the request.

    Parameters
    ----------
    scores
        [B, N]; of each click's request against each item.
    targets
        int64 [B]; place of the clicked item, -1 for rows that do not count. A request with two clicks is two rows.
    log_probability
        [N]; log of how likely each item is among those of a step, see `log_inclusion`; a constant added to all
        changes nothing.
    excluded
        [B, N] bool; what must not count as a negative, such as other items of the request's list or of its user's
        history. The target itself always counts.
    weights
        [B]; at least 0; how much a click counts in the mean. None: all the same.

    Returns
    -------
        Scalar: the mean over clicks, 0 when there is none.

    Examples
    --------
    >>> scores, targets = torch.zeros(1, 3), torch.tensor([0])
    >>> clicks = torch.tensor([1.0, 3.0, 6.0])
    >>> excluded = torch.tensor([[False, False, True]])
    >>> round(in_batch_cross_entropy(scores, targets, clicks.log(), excluded).item(), 4)  # log of 1 + 1 / 3
    0.2877
    """
    counted = targets >= 0
    target = targets.clamp(min=0).unsqueeze(1)
    kept = (~excluded).scatter(1, target, True)
    logits = (scores - log_probability).masked_fill(~kept, torch.finfo(scores.dtype).min)
    per_click = -torch.log_softmax(logits, dim=1).gather(1, target).squeeze(1)
    return _weighted_mean(per_click, counted.to(scores.dtype) if weights is None else weights * counted)


def log_inclusion(shares: Tensor, draws: int) -> Tensor:
    """Return the log of how likely items are among some clicks drawn at random, [N], at most 0.

    log(1 - (1 - share) ** draws), near log(draws * share) for rare items.

    Parameters
    ----------
    shares
        [N]; above 0, at most 1; of all clicks of the log, how many are on the item.
    draws
        How many clicks a step holds, at least 1.

    Examples
    --------
    >>> log_inclusion(torch.tensor([0.5, 1.0]), 2).exp()
    tensor([0.7500, 1.0000])
    """
    return (-torch.expm1(draws * torch.log1p(-shares))).log()


def binary_cross_entropy(scores: Tensor, labels: Tensor, present: Tensor, showings: Tensor | None = None) -> Tensor:
    """Logistic loss of every candidate by itself.

    Parameters
    ----------
    scores
        [B, C]; log odds of a click, finite where present.
    labels
        [B, C]; 0 to 1, more counts as 1; with `showings` the number of clicks, at most the showings.
    present
        [B, C] bool; where there is a candidate.
    showings
        [B, C]; at least 0; how many showings a candidate stands for. None: one each.

    Returns
    -------
        Scalar: the mean over showings, 0 when there is none.

    Examples
    --------
    >>> scores, present = torch.zeros(1, 2), torch.tensor([[True, False]])
    >>> round(binary_cross_entropy(scores, torch.tensor([[1.0, 0.0]]), present).item(), 4)  # log 2
    0.6931
    """
    count = present.to(scores.dtype) if showings is None else showings.to(scores.dtype) * present
    share = (labels.to(scores.dtype) / count.clamp(min=1e-12)).clamp(0, 1)
    # What is not present may hold anything, infinity among it, which times 0 would be NaN.
    terms = binary_cross_entropy_with_logits(scores.masked_fill(~present, 0), share, reduction="none")
    return _weighted_mean(terms, count)


def request_auc(scores: Tensor, labels: Tensor, present: Tensor) -> Tensor:
    """Area under the ROC curve of each request that has positive and other candidates; ties count one half.

    Parameters
    ----------
    scores, labels, present
        [B, C]; as in `list_cross_entropy`.

    Returns
    -------
        [at most B]; 0 to 1, requests without both classes left out.

    Examples
    --------
    >>> one_list = torch.ones(1, 3, dtype=torch.bool)
    >>> request_auc(torch.tensor([[2.0, 1.0, 2.0]]), torch.tensor([[1.0, 0.0, 0.0]]), one_list)
    tensor([0.7500])
    """
    positive = present & (labels > 0)
    count = positive.sum(dim=1).double()
    others = present.sum(dim=1) - count
    judged = has_both(labels, present)
    values = scores.masked_fill(~present, torch.inf).contiguous()
    order = values.sort(dim=1).values
    below, upto = (torch.searchsorted(order, values, right=right) for right in (False, True))
    # Half a win for each tie, with itself as well; positives among each other win half of their comparisons.
    wins = ((below + upto) * positive).sum(dim=1) / 2 - count**2 / 2
    return (wins / (count * others))[judged].float()


def has_both(labels: Tensor, present: Tensor) -> Tensor:
    """Tell which requests, bool [B], have both a positive candidate and another; see `request_auc`."""
    positive = present & (labels > 0)
    return positive.any(dim=1) & (present & ~positive).any(dim=1)


def _weighted_mean(terms: Tensor, weights: Tensor) -> Tensor:
    """Mean of terms, 0 where the weights add up to 0."""
    total = weights.sum()
    return (terms * weights).sum() / torch.where(total > 0, total, 1)
