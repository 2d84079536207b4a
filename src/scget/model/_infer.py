"""A trained network to numbers per promoter and per gene, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from scget._errors import InputError, first, warn
from scget.data import (
    Batch,
    RegionTable,
    Scaling,
    Tokens,
    TokenSource,
    WindowBatches,
    Windows,
    gene_activity,
    lay_tokens,
    prediction_windows,
)
from scget.module import ExpressionNet

from ._expression import DEVIATION, SlotPrediction, to_expression

if TYPE_CHECKING:
    from ._get import GET


def prepare(
    model: GET, table: RegionTable, rows: Sequence[str] | None, batch_size: int, *, expression: bool = True
) -> tuple[TokenSource, Windows]:
    """Features on the network's device, and the windows that cover every promoter (or region) of ``rows``."""
    check_learnt(model, expression=expression)
    return lay(model, table, rows, batch_size, table.is_promoter_p if expression else None)


def check_learnt(model: GET, *, expression: bool = True) -> None:
    """Refuse a model that has not learnt what is asked for."""
    if not model.is_trained_:
        raise RuntimeError("this model has not learnt expression yet: train() or load() first")
    if expression and model.config.task == "accessibility":
        raise InputError("this model predicts accessibility alone: predict_accessibility(), or one of another task")
    if not expression and model.config.task == "expression":
        raise InputError("this model predicts expression alone; make one with task='accessibility' or 'both'")


def lay(
    model: GET, table: RegionTable, rows: Sequence[str] | None, batch_size: int, wanted_p: np.ndarray | None
) -> tuple[TokenSource, Windows]:
    """See :func:`prepare`; windows cover the regions ``wanted_p`` (None: all) where a row shows them."""
    source, tokens = lay_rows(model, table, rows, batch_size)
    every_p = np.ones(len(table.regions), dtype=bool)
    return source, prediction_windows(tokens, model.window, every_p if wanted_p is None else wanted_p)


def lay_rows(model: GET, table: RegionTable, rows: Sequence[str] | None, batch_size: int) -> tuple[TokenSource, Tokens]:
    """Features on the network's device, and the regions that ``rows`` show."""
    regions, genes = model.scaling.share_known(table)
    if regions < 0.5:
        warn(
            f"only {regions:.0%} of the regions are among those of training; for the others the fold over the training "
            "mean is taken as 0. Count fragments in the training regions for better predictions, or use pp.match_regions."
        )
    if genes < 0.5:
        warn(
            f"only {genes:.0%} of the genes are among those of training (here {first(table.genes)}, there "
            f"{first(model.scaling.gene_g)}); the others have no training mean. Name genes as in training."
        )
    row_k = table.row_positions(rows)
    if not len(row_k) or batch_size < 1:
        raise InputError(f"{len(row_k)} rows and batch_size={batch_size}: at least 1 of each is needed")
    every_p = np.ones(len(table.regions), dtype=bool)
    tokens = lay_tokens(table.counts_kp, table.is_promoter_p, table.chrom_p, row_k, every_p, closed=model.closed)
    model.module.eval()
    return TokenSource(table, model.scaling).to(model.device), tokens


def predict_all(model: GET, table: RegionTable, rows: Sequence[str] | None, batch_size: int) -> SlotPrediction:
    """Predictions at promoter slots and genes."""
    out_kqo, active_kq = read_slots(model, table, rows, batch_size)
    return to_expression(joined(out_kqo, active_kq, model.scaling), table, model.scaling, table.row_positions(rows))


def read_slots(
    model: GET, table: RegionTable, rows: Sequence[str] | None, batch_size: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Outputs of the network at promoter slots, (k, q, o), and gene activity there, (k, q), where it has a part."""
    source, windows = prepare(model, table, rows, batch_size)
    shape_kq, row_k = (len(table.rows), len(table.promoters.region_q)), table.row_positions(rows)
    out_kqo = predict_slots(model.module, source, windows, shape_kq, batch_size)
    if not model.rules.activity:
        return out_kqo, None
    active_kq = np.full(shape_kq, np.nan)
    active_kq[row_k] = gene_activity(table, source.folds(row_k))
    return out_kqo, active_kq


def joined(out_kqo: np.ndarray, active_kq: np.ndarray | None, scaling: Scaling) -> np.ndarray:
    """Outputs with the departure made of the network's and of gene activity."""
    if active_kq is None:
        return out_kqo
    (slope, share), joined_kqo = scaling.activity, out_kqo.copy()
    joined_kqo[..., DEVIATION] = (1 - share) * out_kqo[..., DEVIATION] + share * slope * active_kq
    return joined_kqo


@torch.inference_mode()
def predict_slots(
    net: ExpressionNet, source: TokenSource, windows: Windows, shape_kq: tuple[int, int], batch_size: int
) -> np.ndarray:
    """Network outputs at each promoter slot, (k, q, o): o = (level, deviation), or (expression,); NaN: no token.

    ``source`` and ``net`` stand on one device.
    """
    n_out = net.config.n_outputs // 2
    out_kqo = np.full((*shape_kq, n_out), np.nan, dtype=np.float64)

    def read(batch: Batch) -> Tensor:
        return net(batch.tokens_brf, batch.center_br, batch.pad_br)

    for row_n, _, slot_ns, out_no in at_focus(read, source, windows, batch_size, "predict"):
        out_nos = out_no.view(len(row_n), n_out, 2).double().numpy()
        for strand in (0, 1):
            has = slot_ns[:, strand] >= 0
            out_kqo[row_n[has], slot_ns[has, strand]] = out_nos[has, :, strand]
    return out_kqo


def at_focus(
    read: Callable[[Batch], Tensor], source: TokenSource, windows: Windows, batch_size: int, what: str
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, Tensor]]:
    """What ``read`` gives of each batch at the tokens to predict, (n, ...) on the CPU, after their rows, regions, (n,) and slots, (n, 2)."""
    done, device = 0, source.center_p.device
    for row_b, index_br in progress(WindowBatches(windows, batch_size), what):
        low, high = np.searchsorted(windows.focus_window_n, [done, done + len(row_b)])
        at = windows.focus_window_n[low:high] - done, windows.focus_token_n[low:high]
        batch = source.gather(row_b.to(device), index_br.to(device))
        yield row_b.numpy()[at[0]], index_br.numpy()[at], batch.slot_brs[at].cpu().numpy(), read(batch)[at].cpu()
        done += len(row_b)


def progress(batches: Any, what: str, n: int | None = None) -> Any:
    """Batches with a bar where there is more than one; ``n``: how many, where they do not tell."""
    n = len(batches) if n is None else n
    return tqdm(batches, desc=what, total=n, leave=False, disable=n < 2, mininterval=0.5)
