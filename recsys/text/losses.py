"""What training minimises and what it is judged by: pure functions of padded lists."""

import torch
from torch import Tensor


def list_cross_entropy(scores: Tensor, labels: Tensor, present: Tensor) -> Tensor:
    """Softmax cross-entropy over the candidates of each request, labels shared out over the positives.

    B requests, C places. The listwise softmax loss of Cao et al. (2007), "Learning to Rank: From Pairwise Approach to
    Listwise Approach".

    Parameters
    ----------
    scores
        [B, C]; finite where present.
    labels
        [B, C]; at least 0; above 0 is positive, and more counts more.
    present
        [B, C] bool; where there is a candidate.

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
    """
    gains = labels.clamp(min=0) * present
    total = gains.sum(dim=1)
    # A request whose places are all empty must not turn into NaN, hence a finite stand-in for minus infinity.
    log_share = torch.log_softmax(scores.masked_fill(~present, -1e9), dim=1)
    per_request = -(gains * log_share.masked_fill(~present, 0)).sum(dim=1) / total.clamp(min=1e-12)
    counted = total > 0
    return (per_request * counted).sum() / counted.sum().clamp(min=1)


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
    negative = present & (labels <= 0)
    difference = scores[:, :, None] - scores[:, None, :]
    wins = (difference > 0).float() + 0.5 * (difference == 0).float()
    pairs = (positive[:, :, None] & negative[:, None, :]).float()
    count = pairs.sum(dim=(1, 2))
    return ((wins * pairs).sum(dim=(1, 2)) / count)[count > 0]
