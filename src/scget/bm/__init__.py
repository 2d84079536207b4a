"""Honest judgement: every figure beside what simpler predictors reach on the same genes and rows."""

from ._baselines import BASELINES
from ._evaluate import evaluate, summarise
from ._metrics import auprc, auroc, pearson, r2, spearman

__all__ = ["BASELINES", "auprc", "auroc", "evaluate", "pearson", "r2", "spearman", "summarise"]
