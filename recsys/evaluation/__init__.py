"""Orders into a judgement: measures, intervals and reports; knows tables and imports no model."""

from typing import TYPE_CHECKING

from recsys.lazy import exports

if TYPE_CHECKING:
    from recsys.evaluation.beyond import coverage, diversity, freshness, gini, novelty, personalisation, show
    from recsys.evaluation.comparison import Comparison, compare_rankers
    from recsys.evaluation.evaluation import Evaluation, evaluate_rankers
    from recsys.evaluation.measures import (
        AUC,
        FIRST_HIT_MRR,
        MRR,
        Measure,
        average_precision,
        hit,
        ndcg,
        parse_measure,
        per_request,
        precision,
        recall,
    )
    from recsys.evaluation.plan import Plan
    from recsys.evaluation.rankings import Rankings, read_rankings

_HOMES = {
    "AUC": "recsys.evaluation.measures",
    "Comparison": "recsys.evaluation.comparison",
    "Evaluation": "recsys.evaluation.evaluation",
    "FIRST_HIT_MRR": "recsys.evaluation.measures",
    "MRR": "recsys.evaluation.measures",
    "Measure": "recsys.evaluation.measures",
    "Plan": "recsys.evaluation.plan",
    "Rankings": "recsys.evaluation.rankings",
    "average_precision": "recsys.evaluation.measures",
    "compare_rankers": "recsys.evaluation.comparison",
    "coverage": "recsys.evaluation.beyond",
    "diversity": "recsys.evaluation.beyond",
    "evaluate_rankers": "recsys.evaluation.evaluation",
    "freshness": "recsys.evaluation.beyond",
    "gini": "recsys.evaluation.beyond",
    "hit": "recsys.evaluation.measures",
    "ndcg": "recsys.evaluation.measures",
    "novelty": "recsys.evaluation.beyond",
    "parse_measure": "recsys.evaluation.measures",
    "per_request": "recsys.evaluation.measures",
    "personalisation": "recsys.evaluation.beyond",
    "precision": "recsys.evaluation.measures",
    "read_rankings": "recsys.evaluation.rankings",
    "recall": "recsys.evaluation.measures",
    "show": "recsys.evaluation.beyond",
}

__all__ = [
    "AUC",
    "FIRST_HIT_MRR",
    "MRR",
    "Comparison",
    "Evaluation",
    "Measure",
    "Plan",
    "Rankings",
    "average_precision",
    "compare_rankers",
    "coverage",
    "diversity",
    "evaluate_rankers",
    "freshness",
    "gini",
    "hit",
    "ndcg",
    "novelty",
    "parse_measure",
    "per_request",
    "personalisation",
    "precision",
    "read_rankings",
    "recall",
    "show",
]

__getattr__, __dir__ = exports(__name__, _HOMES)
