"""Fine-tuning on measured activity of sequences: a ridge regression on embeddings, then the network itself."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from scget._errors import InputError, first
from scget.module import ExpressionNet, _lora
from scget.pp._inserts import check_once

from ._fit import seeded
from ._infer import check_learnt, lay_rows
from ._inserted import Contexts, check_choices, read_sequences, score_elements
from ._reporter import Reporter, embedded, mean_embeddings

if TYPE_CHECKING:
    from mudata import MuData

    from scget.data import RegionTable
    from scget.pp._motif_sets import Clusters, Motifs
    from scget.pp._sequence_scores import SequenceScorer

    from ._get import GET

HOW = ("full", "lora", "head")
LEAST = 20  # elements
PENALTIES = 10.0 ** np.arange(-4, 2)  # of the ridge regression, relative to the number of elements


class Schedule(NamedTuple):
    """How long and how fast; ``watched``: share of the elements by which it is decided when to stop."""

    max_epochs: int
    patience: int
    lr: float
    batch_size: int
    watched: float
    rank: int


class _Elements(NamedTuple):
    """Motif scores (u, m) in bits, activity (u,) standardised, and how many sequences each stands for (u,)."""

    score_um: Any
    value_u: np.ndarray
    times_u: np.ndarray

    def at(self, i: np.ndarray) -> _Elements:
        return _Elements(*(array[i] for array in self))


def fit_reporter(
    model: GET,
    mdata: MuData,
    sequences: Sequence[str] | pd.Series,
    activity: Sequence[float] | pd.Series,
    row: str,
    scored: tuple[Motifs | None, Clusters | None, int],
    windows: tuple[int, int, str, float],
    how: str,
    schedule: Schedule,
) -> Reporter:
    """See :func:`scget.tl.mpra_finetune`; arguments as of :func:`~scget.model._inserted.inserted_activity`."""
    check_choices(*windows)
    _check(model, how, schedule)
    check_learnt(model)
    table = model.table(mdata)
    row_k = table.row_positions([row])
    scorer, elements, (center, scale) = _read(table, sequences, activity, scored)
    contexts = Contexts.of(model, lay_rows(model, table, [row], 1), int(row_k[0]), *windows)
    n = len(elements.times_u)
    order_u = np.random.default_rng(windows[1]).permutation(n)
    n_watched = 0 if how == "head" else max(round(schedule.watched * n), 2)
    watch, fit = (elements.at(np.sort(part_u)) for part_u in (order_u[:n_watched], order_u[n_watched:]))
    losses: dict[str, Any] = {"start": None, "end": None, "kept": "start"}
    with seeded(windows[1]):
        net, head = deepcopy(model.module), nn.Linear(model.config.width, 1).to(model.device)
        _ridge(head, mean_embeddings(net, contexts, fit.score_um, schedule.batch_size), fit)
        if how != "head":
            losses = _learn(net, head, contexts, fit, watch, how, schedule)
    with torch.no_grad():  # back to the unit of the activity
        head.weight.mul_(scale)
        head.bias.mul_(scale).add_(center)
    said = {key: float(value * scale**2) if isinstance(value, float) else value for key, value in losses.items()}
    fitted = {"how": how, "row": str(row), "n_elements": n, "n_watched": n_watched, **said}
    return Reporter(net, head, contexts, scorer, table.motif_scan, fitted)


def _read(
    table: RegionTable, sequences: Any, activity: Any, scored: tuple[Motifs | None, Clusters | None, int]
) -> tuple[SequenceScorer, _Elements, tuple[float, float]]:
    """What scores sequences, the elements measured, and centre and scale of the activity."""
    scorer, cut = read_sequences(table, sequences, scored[2], *scored[:2])
    check_once(cut)
    value_n = _numbers(sequences, activity, len(cut))
    score_um, at_n = score_elements(scorer, cut)
    times_u = np.bincount(at_n)
    if len(times_u) < LEAST:
        raise InputError(f"{len(times_u)} elements are too few to learn from; {LEAST} are needed, hundreds are better")
    center, scale = float(value_n.mean()), max(float(value_n.std()), 1e-12)
    return (
        scorer,
        _Elements(score_um, (np.bincount(at_n, value_n) / times_u - center) / scale, times_u),
        (center, scale),
    )


def _ridge(head: nn.Linear, embedded_ud: Tensor, fit: _Elements) -> None:
    """Set the head by ridge regression, the penalty chosen by leaving elements out one by one."""
    from sklearn.linear_model import RidgeCV

    x_ud = embedded_ud.double().cpu().numpy()
    center_d, scale_d = x_ud.mean(axis=0), np.maximum(x_ud.std(axis=0), 1e-6)
    ridge = RidgeCV(PENALTIES * len(x_ud)).fit((x_ud - center_d) / scale_d, fit.value_u, sample_weight=fit.times_u)
    weight_d = ridge.coef_ / scale_d
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight_d)[None])
        head.bias.fill_(float(ridge.intercept_ - weight_d @ center_d))


def _learn(
    net: ExpressionNet, head: nn.Linear, contexts: Contexts, fit: _Elements, watch: _Elements, how: str, plan: Schedule
) -> dict[str, Any]:
    """Train in place, each batch in one window drawn at random; the best by the elements watched is kept."""
    both = nn.ModuleDict({"net": net, "head": head})
    if how == "lora":
        _lora.add(net, _lora.targets(net, ("embed", "encoder")), rank=plan.rank, alpha=1.0)
    else:
        _lora.thaw(net)
    optimiser = torch.optim.AdamW([p for p in both.parameters() if p.requires_grad], lr=plan.lr)
    start = best = _watched_loss(net, head, contexts, watch, plan.batch_size)
    weights, since = _weights(both), 0
    for _ in tqdm(range(plan.max_epochs), desc="fine-tune", leave=False):
        both.train()
        for at in torch.randperm(len(fit.value_u)).split(plan.batch_size):
            batch, w = fit.at(at.numpy()), int(torch.randint(len(contexts), (1,)))
            loss = _loss(head(embedded(net, contexts, contexts.motifs(batch.score_um), w)), batch)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(both.parameters(), 1.0)
            optimiser.step()
        now, since = _watched_loss(net, head, contexts, watch, plan.batch_size), since + 1
        if now < best:
            best, weights, since = now, _weights(both), 0
        if since >= plan.patience:
            break
    both.load_state_dict(weights)
    both.eval()
    _lora.take_off(net, merge=True)
    return {"start": start, "end": best, "kept": "end" if best < start else "start"}


def _loss(said_u1: Tensor, elements: _Elements) -> Tensor:
    """Mean squared error over sequences, but for what two orientations differ."""
    value_u, times_u = (torch.from_numpy(a).to(said_u1) for a in elements[1:])
    return (times_u * (said_u1[:, 0] - value_u) ** 2).sum() / times_u.sum()


@torch.no_grad()
def _watched_loss(net: ExpressionNet, head: nn.Linear, contexts: Contexts, watch: _Elements, batch_size: int) -> float:
    return float(_loss(head(mean_embeddings(net.eval(), contexts, watch.score_um, batch_size)), watch))


def _weights(both: nn.ModuleDict) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in both.state_dict().items()}


def _numbers(sequences: Any, activity: Any, n: int) -> np.ndarray:
    """Activities, one for each sequence, finite."""
    if isinstance(sequences, pd.Series) and isinstance(activity, pd.Series):
        if not sequences.index.equals(activity.index):
            raise InputError(
                "sequences and activity have different indices; give them in the same order, index and all"
            )
    value_n = np.asarray(activity)
    if value_n.shape != (n,) or value_n.dtype.kind not in "iuf":
        raise InputError(f"activity is of shape {value_n.shape} and type {value_n.dtype}; {n:,} numbers are needed")
    wrong = np.flatnonzero(~np.isfinite(value_n.astype(np.float64)))
    if len(wrong):
        raise InputError(
            f"{len(wrong):,} of {n:,} activities are missing or infinite, first that of sequence {wrong[0]}"
        )
    return value_n.astype(np.float64)


def _check(model: Any, how: str, plan: Schedule) -> None:
    """Refuse what cannot be done."""
    if hasattr(model, "members"):
        raise InputError("an ensemble has no one network to fine-tune; take a member, ensemble.members[0]")
    if how not in HOW:
        raise InputError(f"how={how!r}: one of {first(HOW)} is needed")
    if _lora.adapters(model.module):
        raise InputError("LoRA adapters are on this network: merge_lora() first")
    for name in ("max_epochs", "patience", "batch_size", "rank"):
        if type(getattr(plan, name)) is not int or getattr(plan, name) < 1:
            raise InputError(f"{name}={getattr(plan, name)!r}: a whole number of at least 1 is needed")
    if not plan.lr > 0 or not 0 < plan.watched <= 0.5:
        raise InputError(f"lr={plan.lr!r}, watched={plan.watched!r}: above 0, and at most 0.5 of the elements")
