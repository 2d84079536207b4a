"""Honest judgement: every figure beside what simpler predictors reach on the same genes and rows."""

from ._baselines import BASELINES, Task
from ._bootstrap import bootstrap
from ._compare import compare
from ._crispri import crispri
from ._crispri_curves import crispri_curves
from ._cross_validate import cross_validate
from ._evaluate import evaluate, summarise
from ._metrics import (
    auprc,
    auroc,
    coverage,
    fold_change_pearson,
    gene_correlation,
    interval,
    pearson,
    r2,
    slope,
    spearman,
    specific,
)
from ._mpra import mpra
from ._multivi import multivi
from ._predictions import predictions
from ._splits import Split, chromosome_folds, leave_groups_out, leave_one_out

__all__ = [
    "BASELINES",
    "Split",
    "Task",
    "auprc",
    "auroc",
    "bootstrap",
    "chromosome_folds",
    "compare",
    "coverage",
    "crispri",
    "crispri_curves",
    "cross_validate",
    "evaluate",
    "fold_change_pearson",
    "gene_correlation",
    "interval",
    "leave_groups_out",
    "leave_one_out",
    "mpra",
    "multivi",
    "pearson",
    "predictions",
    "r2",
    "slope",
    "spearman",
    "specific",
    "summarise",
]
