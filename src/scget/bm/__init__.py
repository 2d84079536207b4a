"""Honest judgement: every figure beside what simpler predictors reach on the same genes and rows."""

from ._baselines import BASELINES
from ._evaluate import evaluate, summarise
from ._metrics import auroc, pearson, r2, spearman
from ._multivi import multivi

__all__ = ["BASELINES", "auroc", "evaluate", "multivi", "pearson", "r2", "spearman", "summarise"]
