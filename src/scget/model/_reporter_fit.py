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
from scget.pp._kept import Arrays
from scget.train import random_state, set_random_state

from ._fit import seeded
from ._infer import check_learnt, lay_rows
from ._inserted import Contexts, check_choices, read_sequences, score_elements
from ._kept import Folder, Kept
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
    cache: Folder = None,
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
    asked = {"row": int(row_k[0]), "windows": windows, "elements": elements, "how": how, "schedule": schedule}
    kept = Kept(cache, model, table, asked="mpra_finetune", **asked)
    losses: dict[str, Any] = {"start": None, "end": None, "kept": "start"}
    with seeded(windows[1]):
        net, head = deepcopy(model.module), nn.Linear(model.config.width, 1).to(model.device)
        _set_head(head, kept.part("ridge", lambda: _ridge(net, contexts, fit, schedule.batch_size)))
        if how != "head":
            losses = _Course(net, head, contexts, fit, watch, how, schedule).run(kept)
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


def _ridge(net: ExpressionNet, contexts: Contexts, fit: _Elements, batch_size: int) -> Arrays:
    """Weight (1, d) and bias (1,) of a ridge regression on embeddings, the penalty chosen by leaving elements out one by one."""
    from sklearn.linear_model import RidgeCV

    x_ud = mean_embeddings(net, contexts, fit.score_um, batch_size).double().cpu().numpy()
    center_d, scale_d = x_ud.mean(axis=0), np.maximum(x_ud.std(axis=0), 1e-6)
    ridge = RidgeCV(PENALTIES * len(x_ud)).fit((x_ud - center_d) / scale_d, fit.value_u, sample_weight=fit.times_u)
    weight_d = ridge.coef_ / scale_d
    return {"weight": weight_d[None], "bias": np.array([ridge.intercept_ - weight_d @ center_d])}


def _set_head(head: nn.Linear, ridge: Arrays) -> None:
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(ridge["weight"]))
        head.bias.copy_(torch.from_numpy(ridge["bias"]))


class _Course:
    """Training in place, each batch in one window drawn at random; the best by the elements watched is kept."""

    def __init__(
        self,
        net: ExpressionNet,
        head: nn.Linear,
        contexts: Contexts,
        fit: _Elements,
        watch: _Elements,
        how: str,
        plan: Schedule,
    ) -> None:
        self.net, self.head, self.both = net, head, nn.ModuleDict({"net": net, "head": head})
        self.contexts, self.fit, self.watch, self.plan = contexts, fit, watch, plan
        if how == "lora":
            _lora.add(net, _lora.targets(net, ("embed", "encoder")), rank=plan.rank, alpha=1.0)
        else:
            _lora.thaw(net)
        self.optimiser = torch.optim.AdamW([p for p in self.both.parameters() if p.requires_grad], lr=plan.lr)

    def run(self, kept: Kept) -> dict[str, Any]:
        """Losses at the start and of the best, and which of both it is."""
        state = kept.last("epoch")
        if state is None:
            self.start = self.best = self._watched()
            self.weights, self.epoch, self.since = self._weights(), 0, 0
        else:
            self._restore(state)
        with tqdm(total=self.plan.max_epochs, initial=self.epoch, desc="fine-tune", leave=False) as bar:
            while self.epoch < self.plan.max_epochs and self.since < self.plan.patience:
                self._one_epoch()
                kept.keep("epoch", self._state)
                bar.update()
        self.both.load_state_dict(self.weights)
        self.both.eval()
        _lora.take_off(self.net, merge=True)
        return {"start": self.start, "end": self.best, "kept": "end" if self.best < self.start else "start"}

    def _one_epoch(self) -> None:
        self.both.train()
        for at in torch.randperm(len(self.fit.value_u)).split(self.plan.batch_size):
            batch, w = self.fit.at(at.numpy()), int(torch.randint(len(self.contexts), (1,)))
            said_u1 = self.head(embedded(self.net, self.contexts, self.contexts.motifs(batch.score_um), w))
            self.optimiser.zero_grad()
            _loss(said_u1, batch).backward()
            nn.utils.clip_grad_norm_(self.both.parameters(), 1.0)
            self.optimiser.step()
        now, self.epoch, self.since = self._watched(), self.epoch + 1, self.since + 1
        if now < self.best:
            self.best, self.weights, self.since = now, self._weights(), 0

    @torch.no_grad()
    def _watched(self) -> float:
        mean_ud = mean_embeddings(self.net.eval(), self.contexts, self.watch.score_um, self.plan.batch_size)
        return float(_loss(self.head(mean_ud), self.watch))

    def _weights(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.both.state_dict().items()}

    def _state(self) -> Arrays:
        """All that the epochs to come depend on."""
        adam = self.optimiser.state_dict()["state"]
        tensors = {f"adam/{i}/{name}": value for i, values in adam.items() for name, value in values.items()}
        tensors |= {f"now/{name}": tensor for name, tensor in self._weights().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.weights.items()}
        numbers = np.array([self.start, self.best, self.epoch, self.since], dtype=np.float64)
        random = {f"random/{name}": tensor for name, tensor in random_state(self.contexts.share_m.device).items()}
        return {name: tensor.cpu().numpy() for name, tensor in (tensors | random).items()} | {"numbers": numbers}

    def _restore(self, state: Arrays) -> None:
        self.start, self.best, epoch, since = state["numbers"].tolist()
        self.epoch, self.since = int(epoch), int(since)
        parts: dict[str, dict[str, Tensor]] = {"adam": {}, "now": {}, "best": {}, "random": {}}
        for name, values in state.items():
            if "/" in name:
                part, rest = name.split("/", 1)
                parts[part][rest] = torch.from_numpy(values)
        self.both.load_state_dict(parts["now"])
        self.weights = parts["best"]
        adam: dict[int, dict[str, Tensor]] = {}
        for name, tensor in parts["adam"].items():
            i, what = name.split("/")
            adam.setdefault(int(i), {})[what] = tensor
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": adam})
        set_random_state(parts["random"], self.contexts.share_m.device)


def _loss(said_u1: Tensor, elements: _Elements) -> Tensor:
    """Mean squared error over sequences, but for what two orientations differ."""
    value_u, times_u = (torch.from_numpy(a).to(said_u1) for a in elements[1:])
    return (times_u * (said_u1[:, 0] - value_u) ** 2).sum() / times_u.sum()


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
