"""Multi-layer perceptrons that see one region at a time, without context."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from ._learn import level_and_deviation
from ._task import Task

if TYPE_CHECKING:
    import torch

N_EPOCHS = 5
MIN_STEPS = 500  # where data are so few that epochs would be too short
BATCH = 256  # regions
RATE = 1e-3


def mlp_no_context(task: Task) -> np.ndarray:
    """Multi-layer perceptron on the promoter region alone: its motifs, accessibility and fold, without context."""
    pairs, channels_kpc = task.table.promoters, task.scaling.channels(task.table)
    motif_am = pairs.slots_to_genes(_motifs_at(task, pairs.region_q).T).T[task.able_g]
    fold_kac = [pairs.slots_to_genes(c[pairs.region_q].T).T[task.able_g] for c in channels_kpc]
    features = np.stack([np.column_stack([motif_am, fold_ac]) for fold_ac in fold_kac])
    return level_and_deviation(task, features.astype(np.float32), _fit_mlp, centred=False)


def mlp_per_region(task: Task) -> np.ndarray:
    """Multi-layer perceptron of Fu et al. (2025): motifs and accessibility of a region to expression on its strands.

    Expression itself is predicted, not its deviation from the training mean, with the Poisson loss of the paper. It
    is trained on the promoter regions of seen genes in training rows; a strand on which no such gene starts has no
    part in the loss.
    """
    import torch

    pairs = task.table.promoters
    at_r, region_q = np.unique(pairs.region_q, return_inverse=True)
    motif_rm = _motifs_at(task, at_r)
    seen_kg = np.where(task.seen_g, task.table.expression_kg[task.train_k], np.nan)
    target_krs = np.full((len(task.train_k), len(at_r), 2), np.nan, dtype=np.float32)
    target_krs[:, region_q, pairs.strand_q] = pairs.genes_to_slots(seen_kg)
    open_kr = task.accessibility_kp[:, at_r].astype(np.float32)
    net = _trained(motif_rm, open_kr[task.train_k], target_krs)
    out_krs = np.empty((*open_kr.shape, 2))
    with torch.no_grad():
        for out_rs, open_r in zip(out_krs, open_kr, strict=True):
            out_rs[:] = net(torch.from_numpy(np.column_stack([motif_rm, open_r]))).numpy()
    return pairs.slots_to_genes(out_krs[:, region_q, pairs.strand_q])


def network(n_features: int) -> torch.nn.Sequential:
    """``n_features`` to 512 to 256 to 2 strands, ReLU between, softplus at the end."""
    from torch import nn

    layers = [nn.Linear(n_features, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 2), nn.Softplus()]
    return nn.Sequential(*layers)


def _motifs_at(task: Task, region_r: np.ndarray) -> np.ndarray:
    """Motif features of some regions, float32."""
    part = task.table.motif_pm[region_r]
    return (np.asarray(part.toarray() if hasattr(part, "toarray") else part) / task.scaling.motif_m).astype(np.float32)


def _trained(motif_rm: np.ndarray, open_kr: np.ndarray, target_krs: np.ndarray) -> torch.nn.Sequential:
    """Train on the pairs of row and region with a target; the random numbers of the session are left as they are."""
    import torch

    k_n, r_n = np.nonzero(np.isfinite(target_krs).any(axis=-1))
    n_batches = math.ceil(len(k_n) / BATCH)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = network(motif_rm.shape[1] + 1)
        optimiser = torch.optim.Adam(net.parameters(), lr=RATE)
        for _ in range(max(N_EPOCHS, math.ceil(MIN_STEPS / n_batches))):
            for n in torch.randperm(len(k_n)).split(BATCH):
                k, r = k_n[n.numpy()], r_n[n.numpy()]
                predicted = net(torch.from_numpy(np.column_stack([motif_rm[r], open_kr[k, r]])))
                target = torch.from_numpy(target_krs[k, r])
                known = target.isfinite()
                loss = torch.nn.functional.poisson_nll_loss(predicted[known], target[known], log_input=False)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    return net


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
