"""Learn from the data a model is attached to: masked regions first, then expression. These are methods of GET."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from scget._errors import InputError
from scget.module import MaskedNet
from scget.train import ExpressionPlan, Mask, MaskedPlan, MaskTarget, Watch

from ._fit import fit, seeded, with_loss

if TYPE_CHECKING:
    from ._get import GET


def pretrain(
    self: GET,
    max_epochs: int = 50,
    *,
    mask_ratio: float = 0.5,
    mask: Mask = "bernoulli",
    target: MaskTarget = "raw",
    **kwargs: Any,
) -> None:
    """Learn to fill in hidden regions; needs no RNA. :meth:`train` goes on from what is learnt.

    Parameters
    ----------
    max_epochs
        Passes over the training windows.
    mask_ratio
        Share of regions hidden: all features of such a region are replaced by a learned token.
    mask
        ``"bernoulli"`` hides each region by itself, ``"exact"`` the share ``mask_ratio`` of every window, rounded
        down but at least one. Masks are drawn anew at each step, and are the same at each validation.
    target
        What is filled in: features as the network reads them (``"raw"``), or less their mean over the window and
        divided by their standard deviation there (``"standardised"``), so that no feature weighs more by its spread.
    **kwargs
        As for :meth:`train`; give the same ``holdout_obs`` and ``holdout_chroms``, so that nothing held out is
        seen here either.

    Raises
    ------
    InputError
        As :meth:`train`, and if ``mask_ratio``, ``mask`` or ``target`` is none of these.

    Examples
    --------
    >>> scget.model.GET.setup_mudata(pb)
    >>> model = scget.model.GET(pb, width=16, n_layers=1, n_heads=2, window=32)
    >>> model.pretrain(1, mask="exact", target="standardised", holdout_obs=["Mono"], enable_progress_bar=False)
    >>> model.train(1, enable_progress_bar=False)  # "Mono" stays held out
    >>> model.holdout.obs
    ['Mono']
    """
    if not 0 < mask_ratio < 1:
        raise InputError(f"mask_ratio={mask_ratio}; a share between 0 and 1 is needed")
    for name, value, known in (("mask", mask, get_args(Mask)), ("target", target, get_args(MaskTarget))):
        if value not in known:
            raise InputError(f"{name}={value!r}; one of {', '.join(map(repr, known))} is needed")
    with seeded(self.seed):
        net = MaskedNet(self.module)
    plan = partial(MaskedPlan, net, mask_ratio=mask_ratio, mask=mask, target=target)
    fit(self, plan, max_epochs, supervised=False, **kwargs)
    self.is_trained_ = False  # it cannot predict expression yet


def train(
    self: GET,
    max_epochs: int = 50,
    *,
    holdout_obs: Sequence[str] | None = None,
    holdout_chroms: Sequence[str] | None = None,
    validation_chroms: Sequence[str] = (),
    batch_size: int = 32,
    accelerator: str = "auto",
    devices: int | list[int] | str = "auto",
    loss: Literal["mse", "poisson", "nb"] | None = None,
    early_stopping: Watch = False,
    restore_best: Watch | None = None,
    ema: float | None = None,
    compile: bool | str = False,
    plan_kwargs: dict[str, Any] | None = None,
    ckpt_every: int | None = None,
    ckpt_dir: str | Path | None = None,
    **trainer_kwargs: Any,
) -> None:
    """Learn expression (or what ``task`` says) from the rows and chromosomes that are not held out; goes on from what was learnt before.

    Parameters
    ----------
    max_epochs
        Passes over the training windows, which shift by up to half a step each epoch.
    holdout_obs, holdout_chroms
        Rows and chromosomes whose values training never sees; only a row's totals, by which depth is
        normalised, run over all chromosomes, and with preset ``"compat"`` its greatest count and motif scores. None:
        those of an earlier ``pretrain``.
    validation_chroms
        Chromosomes on which loss and delta r are watched (``history["validation_loss"]``, and
        ``["validation_delta_r"]``: Pearson's r across promoters between predicted and observed departure from the mean
        over the training rows, averaged over these rows) and which are not trained on either. Needed for
        ``early_stopping`` and ``restore_best``; what is held out is never looked at.
    batch_size
        Windows per step and device.
    ckpt_every, ckpt_dir
        Optimiser steps between checkpoints, and the folder that holds the last one. The same call after a kill goes on
        from there and ends with the weights of a run never killed; a finished run removes it. One folder per run.
    loss
        ``"mse"``; ``"poisson"``, as published, over all regions; ``"nb"``, negative binomial on counts with the depth of
        the row as offset. The last two need ``baseline="zero"``. None: ``"mse"``, or ``"poisson"`` with that baseline.
    early_stopping
        Stop when ``"loss"`` (True means it too) or ``"delta_r"`` has not improved for ``early_stopping_patience``
        epochs (45).
    restore_best
        End with the weights of the best epoch by ``"loss"`` or ``"delta_r"``, which ``best_epoch`` then names. None:
        with early stopping, and by the same. True: by that of early stopping, else by loss.
    ema
        Decay, as 0.999, of an exponential moving average of the weights over steps: validation looks at it, and the
        model holds it in the end. None: the weights themselves.
    compile
        Run the encoder through torch.compile; a text names the backend. Pays for long trainings of large networks.
    plan_kwargs
        Of the optimiser: ``lr``, ``weight_decay``, ``betas``, ``warmup``, ``layer_decay``.
    accelerator, devices, **trainer_kwargs
        As in scvi-tools and Lightning: ``precision="bf16-mixed"``; ``accumulate_grad_batches=4``, whose steps are those
        of batches four times as large; ``gradient_clip_val=None`` in place of a norm of 1.

    Raises
    ------
    InputError
        If a name is unknown, everything is held out, something is held out that was trained on before, or this
        machine cannot do what is asked for.
    CheckpointError
        If ``ckpt_dir`` holds a checkpoint of another run, which is named, or a damaged one.
    TrainingError
        If the loss stops being a number.
    """
    chosen = {k: v for k, v in locals().items() if k not in ("self", "max_epochs", "trainer_kwargs", "loss")}
    chosen["plan_kwargs"] = with_loss(plan_kwargs, loss)
    fit(self, partial(ExpressionPlan, self.module), max_epochs, supervised=True, **chosen, **trainer_kwargs)
