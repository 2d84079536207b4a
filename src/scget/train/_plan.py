"""What Lightning does with a batch: one loss, one optimiser, one schedule."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from torch import Tensor, nn

from scget._errors import InputError, TrainingError, first
from scget.data import Batch, TokenSource, drop_motifs, mix_rows
from scget.module import (
    ExpressionNet,
    negative_binomial_loss,
    poisson_loss,
    squared_loss,
)

from ._mean import EpochMean

LOSSES = ("mse", "poisson", "nb")
FUSED = ("cpu", "cuda", "mps", "xpu")  # where torch has all of a step of AdamW in one kernel


class _Plan(lightning.LightningModule):
    """AdamW with linear warm-up and cosine decay per step; ``loss`` is the task.

    Parameters
    ----------
    module
        The network trained.
    source
        Where batches are gathered; it moves to the device with the plan.
    lr, weight_decay, betas
        Of AdamW; biases, norms and tokens do not decay.
    warmup
        Share of all steps over which the rate rises from 0.
    layer_decay
        Factor on the rate per layer, from the head (1) down to the embedding; see :func:`depth_from_top`.
    """

    def __init__(
        self,
        module: nn.Module,
        source: TokenSource,
        *,
        lr: float = 1e-3,
        weight_decay: float = 0.05,
        warmup: float = 0.1,
        layer_decay: float | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        super().__init__()
        if layer_decay is not None and not 0 < layer_decay <= 1:
            raise InputError(f"layer_decay={layer_decay}; a factor above 0 and at most 1 is needed, or None")
        if not (lr >= 0 and weight_decay >= 0 and 0 <= warmup <= 1):
            raise InputError(
                f"lr={lr}, weight_decay={weight_decay}, warmup={warmup}; a rate and a decay of at least 0, and a share "
                "of the steps are needed"
            )
        self.module, self.source = module, source
        self.lr, self.weight_decay, self.warmup, self.layer_decay = lr, weight_decay, warmup, layer_decay
        self.train_mean, self.validation_mean = EpochMean(), EpochMean()
        self.betas = betas
        self._terms: Tensor | float = 0.0  # of the batches since the last step

    def loss(self, batch: Batch) -> Tensor:
        """One number to lower."""
        raise NotImplementedError

    def augment(self, batch: Batch, index_br: Tensor, batch_idx: int) -> Batch:
        """What is trained on in place of ``batch``, number ``batch_idx`` of the epoch, whose regions are ``index_br``."""
        return batch

    def terms(self, batch: Batch) -> Tensor:
        """How many numbers :meth:`loss` is the mean of: batches count by it where several make one step."""
        return torch.tensor(batch.center_br.numel()) if batch.pad_br is None else (~batch.pad_br).sum()

    def setup(self, stage: str) -> None:
        """Name to PyTorch's DDP what it shall not copy between processes: data, and parts idle in pretraining."""
        idle = ("module.trunk.head_", "module.trunk.region_embed.sums.")
        parts = [name for name, _ in self.named_parameters() if name.startswith(idle)]
        self._ddp_params_and_buffers_to_ignore = [name for name, _ in self.source.named_buffers("source")] + parts

    def on_fit_start(self) -> None:
        """Undo the eval mode in which scvi-tools leaves a trained model, or drop path would stay off."""
        self.module.train()
        if self.global_rank:  # masks and dropout of its own
            torch.manual_seed(torch.initial_seed() + self.global_rank)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Loss of one batch of (row_b, index_br)."""
        gathered = self.augment(self.source.gather(*batch), batch[1], batch_idx)
        loss = self.loss(gathered)
        self.train_mean.update(loss, len(batch[0]))
        self.log("train_loss", self.train_mean, on_step=False, on_epoch=True, prog_bar=True)
        n_batches = self.trainer.accumulate_grad_batches
        if n_batches == 1:
            return loss
        terms = self.trainer.strategy.reduce(self.terms(gathered).to(loss), reduce_op="mean")
        self._terms = self._terms + terms
        return loss * terms * n_batches  # Lightning divides by it

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Gradient of the mean over all terms of a step, so that several small batches are as good as one large."""
        if self.trainer.accumulate_grad_batches == 1:
            return
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad /= max(float(self._terms), 1.0)
        self._terms = 0.0

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """The same loss, on the validation windows."""
        loss = self.loss(self.source.gather(*batch))
        self.validation_mean.update(loss, len(batch[0]))
        self.log("validation_loss", self.validation_mean, on_step=False, on_epoch=True, prog_bar=True)

    def on_train_epoch_end(self) -> None:
        """Stop at the first epoch whose loss is not a number."""
        loss = self.trainer.callback_metrics.get("train_loss")
        if loss is not None and not torch.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss.item()} in epoch {self.current_epoch}; lower plan_kwargs={{'lr': {self.lr:g}}}"
            )

    def configure_optimizers(self) -> Any:
        """AdamW, and a rate set anew at every step."""
        fused = True if self.device.type in FUSED else None
        optimiser = torch.optim.AdamW(self._groups(), lr=self.lr, betas=self.betas, fused=fused)
        optimiser._step_supports_amp_scaling = False  # or Lightning, in mixed precision, refuses to clip gradients
        total = int(self.trainer.estimated_stepping_batches)
        rising = max(round(self.warmup * total), 1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_at(step, rising, total))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _groups(self) -> list[dict[str, Any]]:
        """What learns, by rate and weight decay; the schedule multiplies each group's own rate."""
        named = dict(self.module.named_parameters())
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for (name, parameter), depth in zip(named.items(), depth_from_top([*named]), strict=True):
            if not parameter.requires_grad:
                continue
            decay = self.weight_decay if parameter.ndim > 1 and not name.endswith("token") else 0.0
            rate = self.lr if self.layer_decay is None else self.lr * self.layer_decay**depth
            groups.setdefault((rate, decay), []).append(parameter)
        return [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]


def depth_from_top(names: Sequence[str]) -> list[int]:
    """How deep each parameter lies: head and last norm 0, the last block 1, ..., embedding and tokens below the first."""
    found = [re.search(r"encoder\.blocks\.(\d+)\.", name) for name in names]
    n_layers = max((int(at[1]) + 1 for at in found if at), default=0)
    lowest = ["region_embed." in name or name.endswith("_token") for name in names]
    return [n_layers - int(at[1]) if at else (n_layers + 1) * low for at, low in zip(found, lowest, strict=True)]


def rate_at(step: int, rising: int, total: int) -> float:
    """Share of the full rate at ``step`` (from 0): linear to 1 over ``rising`` steps, then half a cosine to 0."""
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(total - rising, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


class ExpressionPlan(_Plan):
    """Expression at promoters, accessibility of regions, or the sum of both losses, as the network's task says.

    Parameters
    ----------
    loss
        ``"mse"``: squared error. ``"poisson"``: as published, over all regions of log10(CPM + 1), 0 where no gene starts.
        ``"nb"``: negative binomial on counts, with the row's depth as offset and one dispersion, learnt beside.
        Accessibility has no counts left and takes the squared error with ``"nb"``. None: ``"mse"`` for departures from
        the training mean, else ``"poisson"``.
    mix_rows
        Train on windows between two rows; see :func:`scget.data.mix_rows`. None: for departures from the training mean.
    motif_dropout
        Share of the windows without motif scores. None: half for departures from the training mean, else 0.
    """

    module: ExpressionNet

    def __init__(
        self,
        module: ExpressionNet,
        source: TokenSource,
        *,
        loss: str | None = None,
        mix_rows: bool | None = None,
        motif_dropout: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, source, **kwargs)
        alone = module.config.deviation and module.config.task == "expression"
        self.mix_rows = alone if mix_rows is None else mix_rows
        self.motif_dropout = 0.5 * alone if motif_dropout is None else motif_dropout
        if not 0 <= self.motif_dropout <= 1 or (self.mix_rows and not alone):
            raise InputError(
                f"mix_rows={mix_rows}, motif_dropout={motif_dropout}: a share from 0 to 1, and rows can be mixed where "
                "departures of expression from the training mean are learnt alone"
            )
        deviation = module.config.deviation and module.config.task != "accessibility"
        self.kind = loss or ("mse" if module.config.deviation else "poisson")
        if self.kind not in LOSSES or (deviation and self.kind != "mse"):
            raise InputError(
                f"loss={loss!r}: one of {first(LOSSES)}; departures from the training mean take 'mse' alone, the others "
                "need a model with baseline='zero'"
            )
        if self.kind == "nb":
            self.log_theta = nn.Parameter(torch.zeros(()))

    def augment(self, batch: Batch, index_br: Tensor, batch_idx: int) -> Batch:
        """Windows between two rows, some without motif scores; drawn for the batch, so that a resumed run draws the same."""
        entropy = np.random.SeedSequence([torch.initial_seed(), self.current_epoch, batch_idx])
        draw = torch.Generator().manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> 1))
        batch = mix_rows(batch, index_br, self.source, draw) if self.mix_rows else batch
        n_motifs, rate = self.module.config.n_motifs, self.motif_dropout
        return drop_motifs(batch, n_motifs, rate, draw) if rate else batch

    def loss(self, batch: Batch) -> Tensor:
        """Loss of expression, of accessibility, or their sum."""
        task = self.module.config.task
        parts = [] if task == "accessibility" else [self._of_expression(batch)]
        return sum(parts if task == "expression" else [*parts, self._of_accessibility(batch)], torch.zeros(()))

    def terms(self, batch: Batch) -> Tensor:
        """Targets known where the loss is taken at promoters (of two tasks those of expression), else regions."""
        if self.kind == "poisson" or self.module.config.task == "accessibility":
            return super().terms(batch)
        wanted = self.source.targets(batch) if self.module.config.deviation else self.source.expression(batch)
        return torch.isfinite(wanted).sum()

    def _of_expression(self, batch: Batch) -> Tensor:
        out_bro = self.module(batch.tokens_brf, batch.center_br, batch.pad_br)
        if self.module.config.deviation:
            return squared_loss(out_bro, self.source.targets(batch))
        wanted_bro = self.source.expression(batch)
        if self.kind == "nb":
            return negative_binomial_loss(out_bro, wanted_bro, self.source.depth_k[batch.row_b], self.log_theta)
        if self.kind == "mse":
            return squared_loss(out_bro, wanted_bro)
        shown_br = _shown(batch)
        return poisson_loss(out_bro[shown_br], wanted_bro[shown_br].nan_to_num(0.0))  # as published: no gene, no RNA

    def _of_accessibility(self, batch: Batch) -> Tensor:
        shown_br = _shown(batch)
        out_n = self.module.accessibility(batch.tokens_brf, batch.center_br, batch.pad_br)[shown_br]
        wanted_n = batch.tokens_brf[..., self.module.config.n_motifs][shown_br]
        return (poisson_loss if self.kind == "poisson" else squared_loss)(out_n, wanted_n)

    def _groups(self) -> list[dict[str, Any]]:
        own = [{"params": [self.log_theta], "lr": self.lr, "weight_decay": 0.0}] if self.kind == "nb" else []
        return super()._groups() + own


def _shown(batch: Batch) -> Tensor:
    """True for regions, False where a window is padded."""
    return torch.ones_like(batch.center_br, dtype=torch.bool) if batch.pad_br is None else ~batch.pad_br
