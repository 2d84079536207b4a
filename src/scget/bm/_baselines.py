"""Simpler predictors of expression, fitted on the same training rows and chromosomes as the model they stand beside.

Each is a function of a :class:`Task` and gives rows x genes in log10(CPM + 1). Those that learn from features predict
as the model does: the training mean of a gene where it was seen, else a predicted level, plus a predicted deviation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from scget.data import RegionTable, Scaling

REACH = 100_000  # bp around a promoter that features may take in
DECAY = 5_000  # bp over which the weight of a region falls by e


@dataclass(frozen=True)
class Task:
    """What may be learnt from: ``row_k`` positions of training rows, ``seen_g`` genes on training chromosomes."""

    table: RegionTable
    scaling: Scaling
    row_k: np.ndarray
    seen_g: np.ndarray

    @cached_property
    def accessibility_kp(self) -> np.ndarray:
        """Accessibility free of depth, as the model reads it."""
        return self.scaling.channels(self.table)[..., 0].astype(np.float64)

    @cached_property
    def weights_gp(self) -> sp.csr_matrix:
        """``exp(-distance / 5 kb)`` of the regions within 100 kb of each gene's promoters, genes x regions."""
        return _weights(self.table)

    @property
    def mean_g(self) -> np.ndarray:
        """Mean expression over the training rows, of all genes."""
        return self.table.expression_kg[self.row_k].mean(axis=0, dtype=np.float64)


def training_mean(task: Task) -> np.ndarray:
    """Mean of the training rows, for every row. It knows all genes, held-out chromosomes too."""
    return np.broadcast_to(task.mean_g, task.table.expression_kg.shape).copy()


def best_training_row(task: Task) -> np.ndarray:
    """The training row of most similar accessibility (Pearson over regions). It knows all genes."""
    similar_kk = np.corrcoef(task.accessibility_kp)
    np.fill_diagonal(similar_kk, -np.inf)  # a training row may not copy itself
    nearest_k = task.row_k[similar_kk[:, task.row_k].argmax(axis=1)]
    return task.table.expression_kg[nearest_k].astype(np.float64)


def promoter_accessibility(task: Task) -> np.ndarray:
    """Linear in the accessibility of the gene's promoter regions."""
    pairs = task.table.promoters
    return _linear(task, pairs.slots_to_genes(task.accessibility_kp[:, pairs.region_q])[..., None])


def gene_activity(task: Task) -> np.ndarray:
    """Linear in the accessibility around the promoter, each region weighted by ``exp(-distance / 5 kb)``."""
    return _linear(task, (task.accessibility_kp @ task.weights_gp.T)[..., None])


def ridge(task: Task) -> np.ndarray:
    """Ridge regression on distance-weighted accessibility x motif sums and accessibility."""
    motif_pm, weights_gp = sp.csr_matrix(task.scaling.motifs(task.table)), task.weights_gp
    features = []
    for accessibility_p in task.accessibility_kp:
        by_motif = weights_gp @ sp.diags(accessibility_p) @ motif_pm
        features.append(np.column_stack([by_motif.toarray(), weights_gp @ accessibility_p]).astype(np.float32))
    return _linear(task, np.stack(features))


def mlp(task: Task) -> np.ndarray:
    """Multi-layer perceptron on the promoter region alone: its motifs, accessibility and fold, without context."""
    pairs, channels_kpc = task.table.promoters, task.scaling.channels(task.table)
    motif_qm = task.scaling.motifs(task.table)[pairs.region_q]
    motif_gm = pairs.slots_to_genes(motif_qm.T).T
    features = [np.column_stack([motif_gm, pairs.slots_to_genes(c[pairs.region_q].T).T]) for c in channels_kpc]
    return _level_and_deviation(task, np.stack(features).astype(np.float32), _fit_mlp, centred=False)


BASELINES: dict[str, Callable[[Task], np.ndarray]] = {
    "training_mean": training_mean,
    "best_training_row": best_training_row,
    "promoter_accessibility": promoter_accessibility,
    "gene_activity": gene_activity,
    "ridge": ridge,
    "mlp_no_context": mlp,
}
KNOWS_ALL_GENES = ("training_mean", "best_training_row")


def _linear(task: Task, x_kgf: np.ndarray) -> np.ndarray:
    return _level_and_deviation(task, x_kgf, _fit_ridge, centred=True)


def _level_and_deviation(
    task: Task, x_kgf: np.ndarray, fit: Callable[[np.ndarray, np.ndarray], Any], *, centred: bool
) -> np.ndarray:
    """Fit level on mean features and deviation on features (``centred``: less their mean), both on seen genes."""
    mean_gf = x_kgf[task.row_k].mean(axis=0)
    able_g = np.isfinite(mean_gf).all(axis=1)  # genes with a promoter region
    learn_g = able_g & task.seen_g
    deviation_kg = task.table.expression_kg[task.row_k] - task.mean_g
    x_kgf = x_kgf - mean_gf if centred else x_kgf
    level = fit(mean_gf[learn_g], task.mean_g[learn_g])
    change = fit(x_kgf[np.ix_(task.row_k, learn_g)].reshape(-1, x_kgf.shape[-1]), deviation_kg[:, learn_g].ravel())
    out_kg = np.full(task.table.expression_kg.shape, np.nan)
    base_g = np.where(task.seen_g[able_g], task.mean_g[able_g], level.predict(mean_gf[able_g]))
    for out_g, x_gf in zip(out_kg, x_kgf[:, able_g], strict=True):
        out_g[able_g] = np.maximum(base_g + change.predict(x_gf), 0)
    return out_kg


def _fit_ridge(x_nf: np.ndarray, y_n: np.ndarray) -> Any:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), Ridge(alpha=1e-3 * len(y_n))).fit(x_nf, y_n)


def _fit_mlp(x_nf: np.ndarray, y_n: np.ndarray) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    net = MLPRegressor(
        hidden_layer_sizes=(128, 64),
        batch_size=max(min(512, len(y_n) // 2), 1),
        early_stopping=True,  # on a tenth of the training genes and rows
        n_iter_no_change=3,
        max_iter=30,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 30 epochs are what it gets
        return make_pipeline(StandardScaler(), net).fit(x_nf, y_n)


def _weights(table: RegionTable) -> sp.csr_matrix:
    center_p, pairs = table.regions.centers, table.promoters
    starts = np.searchsorted(table.chrom_p, np.arange(len(table.chroms) + 1))
    data, rows, columns = [], [], []
    for slot, region in enumerate(pairs.region_q):
        low, high = starts[table.chrom_p[region]], starts[table.chrom_p[region] + 1]
        here = center_p[low:high]
        near = slice(*(low + np.searchsorted(here, [center_p[region] - REACH, center_p[region] + REACH + 1])))
        data.append(np.exp(-np.abs(center_p[near] - center_p[region]) / DECAY))
        rows.append(np.full(near.stop - near.start, slot))
        columns.append(np.arange(near.start, near.stop))
    shape = (len(pairs.region_q), len(center_p))
    weights_qp = sp.csr_matrix((np.concatenate(data), (np.concatenate(rows), np.concatenate(columns))), shape)
    n_slots_g = np.bincount(pairs.gene_n, minlength=pairs.n_genes)
    mean_gq = sp.csr_matrix(
        (1 / n_slots_g[pairs.gene_n], (pairs.gene_n, pairs.slot_n)), (pairs.n_genes, len(pairs.region_q))
    )
    return mean_gq @ weights_qp
