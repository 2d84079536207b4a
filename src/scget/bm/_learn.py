"""Predictors that learn from features of genes: level where a gene was never seen, and departure from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ._task import Task


def promoter_accessibility(task: Task) -> np.ndarray:
    """Linear in the accessibility of the gene's promoter regions."""
    pairs = task.table.promoters
    return _linear(task, pairs.slots_to_genes(task.accessibility_kp[:, pairs.region_q])[:, task.able_g, None])


def gene_activity(task: Task) -> np.ndarray:
    """Linear in the accessibility around the promoter, each region weighted by ``exp(-distance / 5 kb)``."""
    return _linear(task, (task.accessibility_kp @ task.weights_gp.T)[:, task.able_g, None])


def ridge(task: Task) -> np.ndarray:
    """Ridge regression on distance-weighted accessibility x motif sums and accessibility."""
    activity_ka = (task.accessibility_kp @ task.weights_gp.T)[:, task.able_g]
    return _linear(task, np.concatenate([task.motifs_kam, activity_ka[..., None].astype(np.float32)], axis=-1))


def level_and_deviation(
    task: Task, x_kaf: np.ndarray, fit: Callable[[np.ndarray, np.ndarray], Any], *, centred: bool
) -> np.ndarray:
    """Fit level on mean features and deviation on features (``centred``: less their mean), both on seen genes.

    ``x_kaf`` are rows x genes with a promoter x features; ``fit(x, y)`` gives what has a method ``predict``.
    """
    mean_af = x_kaf[task.train_k].mean(axis=0)
    x_kaf = x_kaf - mean_af if centred else x_kaf
    level = fit(mean_af[task.learn_a], task.mean_g[task.able_g][task.learn_a])
    change = fit(samples(task, x_kaf), deviations(task))
    return assemble(task, level.predict(mean_af), np.stack([change.predict(x_af) for x_af in x_kaf]))


def samples(task: Task, x_kaf: np.ndarray) -> np.ndarray:
    """Features of the training rows and seen genes, (rows * genes, features)."""
    return x_kaf[np.ix_(task.train_k, task.learn_a)].reshape(-1, x_kaf.shape[-1])


def deviations(task: Task) -> np.ndarray:
    """Expression less its training mean, as :func:`samples`."""
    deviation_kg = task.table.expression_kg[task.train_k] - task.mean_g
    return deviation_kg[:, task.able_g][:, task.learn_a].ravel()


def assemble(task: Task, level_a: np.ndarray, change_ka: np.ndarray) -> np.ndarray:
    """Training mean, or ``level_a`` for a gene never seen, plus ``change_ka``, at least 0; NaN without a promoter."""
    out_kg = np.full(task.table.expression_kg.shape, np.nan)
    out_kg[:, task.able_g] = np.maximum(base(task, level_a) + change_ka, 0)
    return out_kg


def base(task: Task, level_a: np.ndarray) -> np.ndarray:
    """Training mean of a gene that was seen, else ``level_a``."""
    return np.where(task.seen_g[task.able_g], task.mean_g[task.able_g], level_a)


def _linear(task: Task, x_kaf: np.ndarray) -> np.ndarray:
    return level_and_deviation(task, x_kaf, _fit_ridge, centred=True)


def _fit_ridge(x_nf: np.ndarray, y_n: np.ndarray) -> Any:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), Ridge(alpha=1e-3 * len(y_n))).fit(x_nf, y_n)
