"""How well the differences between rows are told, over the whole validation set at once."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as lightning
import torch
from torch import Tensor

DELTA_R = "validation_delta_r"


class DeltaR(lightning.Callback):
    """Log ``validation_delta_r`` at each validation.

    Per row, the Pearson correlation across the watched promoter slots between predicted and observed departure from
    the mean over the training rows; then the mean over rows. Outputs are summed per row and slot over all batches (and
    processes) before, so that neither batch size nor order counts, and a slot shown in several windows counts once.

    Parameters
    ----------
    row_k
        Positions of the training rows.
    """

    def __init__(self, row_k: Any) -> None:
        self.row_k = torch.as_tensor(row_k)
        self._out_bro = torch.empty(0)
        self._sum_kq = self._times_kq = torch.empty(0)
        self._hook: Any = None

    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin at 0 and listen to the network."""
        self._sum_kq = torch.zeros(pl_module.source.target_kqo.shape[:2])
        self._times_kq = torch.zeros_like(self._sum_kq)
        self._hook = pl_module.module.register_forward_hook(self._keep)

    def on_validation_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, *args: Any) -> None:
        """Add what the network said of this batch to its slots."""
        row_b, index_br = batch
        slot_brs = pl_module.source.slot_ps[index_br]
        departure_brs = self._out_bro[..., -2:]  # of level and deviation the latter; else expression itself
        row_brs = row_b[:, None, None].expand_as(slot_brs)
        has = slot_brs >= 0
        at = row_brs[has].cpu(), slot_brs[has].cpu()
        said = departure_brs[has].float().cpu()
        self._sum_kq.index_put_(at, said, accumulate=True)
        self._times_kq.index_put_(at, torch.ones_like(said), accumulate=True)

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Correlate and log."""
        self._hook.remove()
        sum_kq, times_kq = (_over_processes(part, trainer, pl_module) for part in (self._sum_kq, self._times_kq))
        shown_q = times_kq.any(dim=0).nonzero()[:, 0]
        predicted_kq = (sum_kq / times_kq)[self.row_k][:, shown_q].double()  # NaN where a row does not show it
        target_kqo = pl_module.source.target_kqo
        target_kqo = target_kqo[self.row_k.to(target_kqo.device)][:, shown_q.to(target_kqo.device)].double().cpu()
        observed_kq = target_kqo[..., 1]
        if not pl_module.module.config.deviation:
            expression_kq = target_kqo[..., 2]
            mean_q = expression_kq.mean(dim=0)
            predicted_kq, observed_kq = predicted_kq - mean_q, expression_kq - mean_q
        pl_module.log(DELTA_R, delta_r(predicted_kq, observed_kq).to(pl_module.device), prog_bar=True, sync_dist=True)

    def _keep(self, module: Any, args: Any, out_bro: Tensor) -> None:
        self._out_bro = out_bro.detach()


def delta_r(predicted_kq: Tensor, observed_kq: Tensor) -> Tensor:
    """Mean over rows of Pearson's r across the slots where both are numbers, float32; rows without spread do not count."""
    known_kq = torch.isfinite(predicted_kq) & torch.isfinite(observed_kq)
    n_k1 = known_kq.sum(dim=1, keepdim=True)
    parts = []
    for values_kq in (predicted_kq, observed_kq):
        values_kq = torch.where(known_kq, values_kq, 0.0)
        centred_kq = torch.where(known_kq, values_kq - values_kq.sum(dim=1, keepdim=True) / n_k1, 0.0)
        length_k1 = centred_kq.square().sum(dim=1, keepdim=True).sqrt()
        parts.append(centred_kq / torch.where(length_k1 > 1e-6 * n_k1.sqrt(), length_k1, torch.nan))
    r_k = (parts[0] * parts[1]).sum(dim=1)
    return r_k.nanmean().float()


def _over_processes(part: Tensor, trainer: Any, pl_module: Any) -> Tensor:
    return (
        part if trainer.world_size == 1 else trainer.strategy.reduce(part.to(pl_module.device), reduce_op="sum").cpu()
    )
