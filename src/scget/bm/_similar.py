"""Predictors that carry expression over from training rows of like accessibility; all genes are known to them."""

from __future__ import annotations

import numpy as np

from scget.data import told_by

from ._task import Task

PENALTY = 1e-3  # ridge of the effect of accessibility, as of the other linear baselines


def training_mean(task: Task) -> np.ndarray:
    """Mean of the training rows, for every row. It knows all genes, held-out chromosomes too."""
    return np.broadcast_to(task.mean_g, task.table.expression_kg.shape).copy()


def best_training_row(task: Task) -> np.ndarray:
    """The other training row of most similar accessibility (Pearson over regions). It knows all genes."""
    return _copied(task, _nearest(task))


def similar_rows(task: Task) -> np.ndarray:
    """Training rows weighted by how their accessibility makes up that of the row. It knows all genes.

    With ``D`` the accessibility of the training rows less its mean over them and ``d`` that of the row predicted, the
    weights are those of ridge regression, ``w = (D D' + 0.1 mean(diag(D D')) I)^-1 D d``, and the prediction is the
    training mean plus ``w`` times the departures of the training rows. A training row is predicted from the others,
    their means and theirs alone; NaN if there is no other.
    """
    gram_kk = task.accessibility_kp @ task.accessibility_kp.T
    observed_kg = task.table.expression_kg.astype(np.float64)
    out_kg = np.full(observed_kg.shape, np.nan)
    for k, out_g in enumerate(out_kg):
        other_k = task.train_k[task.train_k != k]
        if len(other_k):
            mean_g = observed_kg[other_k].mean(axis=0)
            weight_j, _ = told_by(gram_kk, k, other_k)
            out_g[:] = np.maximum(mean_g + weight_j @ (observed_kg[other_k] - mean_g), 0)
    return out_kg


def nearest_row_plus_accessibility(task: Task) -> np.ndarray:
    """The most similar other training row plus a linear effect of what differs in accessibility. It knows all genes.

    The effect of the differences at the promoter and around it, weighted by ``exp(-distance / d)`` with d = 1, 5, 20
    and 100 kb, is learnt from each training row against its own nearest other. A gene without promoter is copied.
    """
    nearest_k = _nearest(task)
    differs_kaf = task.decayed_kaf - task.decayed_kaf[nearest_k]
    copied_kg = _copied(task, nearest_k)
    learn = np.ix_(task.train_k[nearest_k[task.train_k] >= 0], task.learn_a)
    rises_ka = (task.table.expression_kg - copied_kg)[:, task.able_g]
    slope_f = _through_origin(differs_kaf[learn].reshape(-1, differs_kaf.shape[-1]), rises_ka[learn].ravel())
    copied_kg[:, task.able_g] += differs_kaf @ slope_f
    return np.maximum(copied_kg, 0)


def _nearest(task: Task) -> np.ndarray:
    """Position of the most similar training row, not itself, of each row; -1 if there is none."""
    similar_kk = np.corrcoef(task.accessibility_kp)[:, task.train_k]
    similar_kk[task.train_k, np.arange(len(task.train_k))] = -np.inf  # a training row may not copy itself
    best_k = similar_kk.argmax(axis=1)
    alone_k = np.isneginf(similar_kk.max(axis=1))
    return np.where(alone_k, -1, task.train_k[best_k])


def _copied(task: Task, nearest_k: np.ndarray) -> np.ndarray:
    copied_kg = task.table.expression_kg[nearest_k].astype(np.float64)
    copied_kg[nearest_k < 0] = np.nan
    return copied_kg


def _through_origin(x_nf: np.ndarray, y_n: np.ndarray) -> np.ndarray:
    """Slopes of ridge regression without intercept on features of unit size; 0 where nothing is to be learnt."""
    if not len(y_n):
        return np.zeros(x_nf.shape[-1])
    size_f = np.sqrt(np.square(x_nf).mean(axis=0))
    size_f = np.where(size_f > 0, size_f, 1)
    scaled_nf = x_nf / size_f
    gram_ff = scaled_nf.T @ scaled_nf + PENALTY * len(y_n) * np.eye(len(size_f))
    return np.linalg.solve(gram_ff, scaled_nf.T @ y_n) / size_f
