"""A training from its arguments to the trained model: all is checked, laid and fitted here, and run by _run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scget._errors import InputError, first
from scget.data import (
    RegionTable,
    Scaling,
    TokenSource,
    Windows,
    fit_scaling,
    lay_tokens,
    training_windows,
)
from scget.data._datamodule import WindowDataModule
from scget.module import _lora
from scget.train import Options, RestoreBest, check_device, compiled

from . import _run
from ._holdout import HoldOut, merge, names_of, split
from ._settle import settle

if TYPE_CHECKING:
    from ._get import GET


def with_loss(plan_kwargs: dict[str, Any] | None, loss: str | None) -> dict[str, Any]:
    """A copy of ``plan_kwargs`` with the loss, which may be given by itself or in there."""
    chosen = dict(plan_kwargs or {})
    if loss is not None and chosen.setdefault("loss", loss) not in (loss, None):
        raise InputError(f"loss={loss!r}, but plan_kwargs has loss={chosen['loss']!r}; give one of them")
    return chosen if loss is None else chosen | {"loss": loss}


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's generators here and put them back afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def fit(
    model: GET,
    make_plan: Callable[..., Any],
    max_epochs: int,
    *,
    supervised: bool,
    adapted: bool = False,
    holdout_obs: Sequence[str] | None = None,
    holdout_chroms: Sequence[str] | None = None,
    validation_chroms: Sequence[str] = (),
    batch_size: int = 32,
    plan_kwargs: dict[str, Any] | None = None,
    ckpt_every: int | None = None,
    ckpt_dir: str | Path | None = None,
    **trainer_kwargs: Any,
) -> None:
    """Train ``model.module`` in place with ``make_plan(source, **plan_kwargs)``; arguments as ``GET.train``."""
    if _lora.adapters(model.module) and not adapted:
        raise InputError("LoRA adapters are on this network: merge_lora() first, or go on with finetune(how='lora')")
    call = {name: value for name, value in locals().items() if name not in ("model", "make_plan")}
    call["trainer_kwargs"] = dict(trainer_kwargs)
    _run.check_checkpoints(ckpt_every, ckpt_dir, trainer_kwargs.get("strategy", "auto"))
    supervised = supervised and model.config.task != "accessibility"
    table = model.table()
    _check_possible(table, supervised, (max_epochs, batch_size))
    row_k, region_p, holdout = split(table, holdout_obs, holdout_chroms, model.holdout)
    watched_p = table.on_chroms(names_of(validation_chroms=validation_chroms))
    if (watched_p & ~region_p).any():
        raise InputError(f"validation_chroms {first(validation_chroms)} are held out, so they cannot be looked at")
    options = Options.take(trainer_kwargs)
    device = _check_options(options, table, len(row_k), watched_p, supervised, trainer_kwargs)
    wanted_p = _taught(model, table, supervised, plan_kwargs or {})
    data = _windows(model, table, row_k, (region_p & ~watched_p, watched_p), wanted_p, batch_size)
    scaling = _fit_scaling(model, table, row_k, region_p & ~watched_p, supervised)
    arguments = _trainer_arguments(options, row_k, bool(watched_p.any()), supervised, trainer_kwargs)
    with _put_back_on_failure(model), seeded(model.seed), compiled(model.module.encoder, options.compile, device):
        plan = make_plan(_source(table, scaling, row_k, supervised), **(plan_kwargs or {}))
        task = {"plan": getattr(make_plan, "keywords", {}), "holdout": holdout.asdict()}
        settings = _run.settings_of(model, table, plan, call=call, **task) if ckpt_dir is not None else None
        _run.run(model, plan, data, max_epochs, settings, ckpt_every=ckpt_every, ckpt_dir=ckpt_dir, **arguments)
    _remember(model, table, scaling, holdout, arguments["callbacks"], row_k if supervised else row_k[:0])


def _fit_scaling(model: GET, table: RegionTable, row_k: np.ndarray, region_p: np.ndarray, supervised: bool) -> Scaling:
    """What is fitted beside the network; training rows are kept where expression is learnt alone."""
    rules = model.rules if supervised else replace(model.rules, activity=False, similar=False)
    return replace(fit_scaling(table, row_k, region_p, units=model.scaling, rules=rules), rules=model.rules)


def _remember(
    model: GET, table: RegionTable, scaling: Scaling, holdout: HoldOut, callbacks: list[Any], expressed_k: np.ndarray
) -> None:
    """What was learnt from, on the model; ``expressed_k`` are the rows whose expression was learnt."""
    model.best_epoch = next((c.epoch for c in callbacks if isinstance(c, RestoreBest)), None)
    model.scaling, model.motifs, model.motif_scan = scaling, table.motifs, table.motif_scan
    model.region_width, model.annotation = table.region_width, table.annotation
    model.holdout = merge(model.holdout, holdout)
    settle(model, table, expressed_k)


def _taught(model: GET, table: RegionTable, supervised: bool, plan_kwargs: dict[str, Any]) -> np.ndarray | None:
    """Regions of which a window must hold one to teach anything: promoters, or (None) any, as the loss says."""
    at_promoters = model.config.deviation or plan_kwargs.get("loss") in ("mse", "nb")
    return table.is_promoter_p if supervised and at_promoters and model.config.task == "expression" else None


@contextmanager
def _put_back_on_failure(model: GET) -> Iterator[None]:
    """Weights as they were if training fails or is interrupted: what was seen half-way would not be on record."""
    weights = {name: tensor.detach().clone() for name, tensor in model.module.state_dict().items()}
    try:
        yield
    except BaseException:
        model.module.load_state_dict(weights)
        model.module.eval()
        raise


def _source(table: RegionTable, scaling: Scaling, row_k: np.ndarray, supervised: bool) -> TokenSource:
    """Features by ``scaling``; targets too for the genes of watched chromosomes, whose means training never uses."""
    if not supervised:
        return TokenSource(table, scaling)
    means = replace(scaling, gene_g=table.genes, expression_g=table.expression_kg[row_k].mean(axis=0, dtype=np.float64))
    return TokenSource(table, scaling, targets=means.targets(table), row_j=row_k)


def _check_possible(table: RegionTable, supervised: bool, numbers: tuple[int, int]) -> None:
    if any(not isinstance(number, (int, np.integer)) or number < 1 for number in numbers):
        raise InputError(
            f"max_epochs={numbers[0]!r}, batch_size={numbers[1]!r}: both must be whole numbers, at least 1"
        )
    if supervised and table.expression_kg is None:
        raise InputError(
            "train() needs expression: the MuData has no RNA modality with counts. Use pretrain(), or add 'rna'"
        )


def _windows(
    model: GET,
    table: RegionTable,
    row_k: np.ndarray,
    shown: tuple[np.ndarray, np.ndarray],
    wanted_p: np.ndarray | None,
    batch_size: int,
) -> WindowDataModule:
    """Training windows on the regions ``shown[0]``, validation windows on ``shown[1]``."""

    def lay(region_p: np.ndarray) -> Callable[[np.random.Generator | None], Windows]:
        rules = model.rules
        tokens = lay_tokens(table.counts_kp, table.is_promoter_p, table.chrom_p, row_k, region_p, closed=rules.closed)
        step = max(rules.window // 2, 1)
        start_p = None if rules.max_span is None else table.regions.start
        return lambda rng: training_windows(
            tokens, rules.window, step, rng=rng, wanted_p=wanted_p, start_p=start_p, max_span=rules.max_span
        )

    draw = lay(shown[0])
    if not len(draw(None)):
        raise InputError("0 training windows: no region with counts or promoters is left. Hold out less.")
    validation = lay(shown[1])(None) if shown[1].any() else None
    if validation is not None and not len(validation):
        raise InputError("validation_chroms hold no region with counts or promoters; name others")
    return WindowDataModule(draw, validation, batch_size, model.seed)


def _check_options(
    options: Options, table: RegionTable, n_rows: int, watched_p: np.ndarray, supervised: bool, given: dict[str, Any]
) -> torch.device:
    """Refuse what these data or this machine cannot do; the device trained on."""
    n_slots = int(watched_p[table.promoters.region_q].sum()) if supervised else 0
    options.check(given, watched=bool(watched_p.any()), n_rows=n_rows, n_slots=n_slots)
    device = _run.pick_device(given.get("accelerator", "auto"), given.get("devices", "auto"))
    check_device(given.get("precision"), device)
    return device


def _trainer_arguments(
    options: Options, row_k: np.ndarray, watched: bool, supervised: bool, given: dict[str, Any]
) -> dict[str, Any]:
    """Arguments of scvi's Trainer: windows redrawn each epoch, the caller's list of callbacks left alone."""
    arguments = {
        **options.trainer(),
        "check_val_every_n_epoch": 1 if watched else None,
        "reload_dataloaders_every_n_epochs": 1,
        "gradient_clip_val": 1.0,
        **given,
    }
    callbacks = options.callbacks(row_k, watched=watched, expression=supervised)
    return arguments | {"callbacks": [*callbacks, *(given.get("callbacks") or [])]}
