"""Gradient-boosted trees on features made by hand of the accessibility and motifs near each gene."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._learn import assemble, base, deviations, samples
from ._task import Task

N_COMPONENTS = 32  # of motif sums, if there are more motifs
N_TREES = 200


def boosted_trees(task: Task) -> np.ndarray:
    """Gradient-boosted trees on accessibility near the gene, by distance, and its sums with motifs.

    Level: trained on the means over training rows. Deviation: on departures from these means, the means, and the
    training mean of expression (or the level, for a gene never seen). Motif sums are reduced by a truncated singular
    value decomposition fitted on training rows and seen genes.
    """
    near_kaf = np.concatenate([task.decayed_kaf, task.binned_kaf], axis=-1)
    mean_af = near_kaf[task.train_k].mean(axis=0)
    motif_mean_am = task.motifs_kam[task.train_k].mean(axis=0)
    level_af = np.hstack([mean_af, motif_mean_am @ _components([motif_mean_am[task.learn_a]])])
    level_a = _fit_trees(level_af[task.learn_a], task.mean_g[task.able_g][task.learn_a]).predict(level_af)
    axes_mf = _components([task.motifs_kam[k, task.learn_a] - motif_mean_am[task.learn_a] for k in task.train_k])
    change_kaf = np.stack(
        [
            np.hstack([near_af - mean_af, mean_af, base(task, level_a)[:, None], (motif_am - motif_mean_am) @ axes_mf])
            for near_af, motif_am in zip(near_kaf, task.motifs_kam, strict=True)
        ]
    ).astype(np.float32)
    change = _fit_trees(samples(task, change_kaf), deviations(task))
    return assemble(task, level_a, np.stack([change.predict(x_af) for x_af in change_kaf]))


def _components(parts: list[np.ndarray]) -> np.ndarray:
    """Scaled motifs to their leading right singular vectors, (m, <= 32), over the samples of all parts.

    From the eigenvectors of their inner products, so that the samples are never held together. The sign, which is
    arbitrary, is that with which the greatest entry is positive.
    """
    gram_mm = np.sum([part.astype(np.float64).T @ part for part in parts], axis=0)
    size_m = np.sqrt(np.diag(gram_mm) / sum(map(len, parts)))
    unit_m = np.divide(1.0, size_m, out=np.zeros_like(size_m), where=size_m > 0)
    if len(unit_m) <= N_COMPONENTS:
        return np.diag(unit_m)
    axes_mf = np.linalg.eigh(gram_mm * unit_m * unit_m[:, None])[1][:, ::-1][:, :N_COMPONENTS]
    greatest_f = np.take_along_axis(axes_mf, np.abs(axes_mf).argmax(axis=0)[None], axis=0)[0]
    return unit_m[:, None] * axes_mf * np.sign(greatest_f)


def _fit_trees(x_nf: np.ndarray, y_n: np.ndarray) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    trees = HistGradientBoostingRegressor(
        max_iter=N_TREES, learning_rate=0.05, l2_regularization=1.0, early_stopping=False, random_state=0
    )
    return trees.fit(x_nf, y_n)
