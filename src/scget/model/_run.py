"""One run of scvi-tools' TrainRunner: on which device, from which checkpoint, and what makes it the same run."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from scvi.model._utils import parse_device_args
from scvi.train import TrainRunner
from scvi.train._logger import SimpleLogger

from scget._errors import InputError
from scget._version import scget_version
from scget.train import Resume, find

from ._digest import digest

if TYPE_CHECKING:
    from scget.data import RegionTable
    from scget.data._datamodule import WindowDataModule
    from scget.train._plan import _Plan

    from ._get import GET

# Arguments that change where and how a run is shown, not what it computes; the number of processes is kept apart.
_NOT_OF_THE_RUN = {
    "accelerator",
    "ckpt_dir",
    "ckpt_every",
    "default_root_dir",
    "devices",
    "enable_model_summary",
    "enable_progress_bar",
    "log_every_n_steps",
    "log_save_dir",
    "logger",
    "num_nodes",
    "progress_bar_refresh_rate",
    "simple_progress_bar",
    "strategy",
}


def pick_device(accelerator: Any = "auto", devices: Any = "auto") -> torch.device:
    """The device scvi-tools takes; for ``"auto"`` it is said, once, which and why.

    Raises
    ------
    InputError
        If there is no such device.
    """
    try:
        _, _, device = parse_device_args(accelerator=accelerator, devices=devices, return_device="torch")
    except (MisconfigurationException, ValueError, ModuleNotFoundError) as error:
        raise InputError(
            f"accelerator={accelerator!r}, devices={devices!r} cannot be had: {str(error).rstrip('.')}. "
            "Use accelerator='auto' or 'cpu'."
        ) from error
    if accelerator == "auto":
        _say_once(f"accelerator='auto': {device}, {_why(device)} (torch {torch.__version__})")
    return device


def _why(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, of {torch.cuda.device_count()} CUDA devices found"
    if torch.backends.mps.is_available():
        return "no CUDA device was found; MPS is there and taken for accelerator='mps' alone"
    return "no CUDA or MPS device was found"


@cache
def _say_once(text: str) -> None:
    rank_zero_info(text)


def check_checkpoints(ckpt_every: Any, ckpt_dir: Any, strategy: Any = "auto") -> None:
    """Refuse one without the other, a number of steps below 1, and strategies that split the weights."""
    if (ckpt_every is None) != (ckpt_dir is None):
        raise InputError("ckpt_every=steps and ckpt_dir='folder' go together; give both, or neither")
    if ckpt_every is not None and (not isinstance(ckpt_every, int) or ckpt_every < 1):
        raise InputError(f"ckpt_every={ckpt_every!r}; a number of optimiser steps, at least 1, is needed")
    if ckpt_every is not None and str(strategy).startswith(("fsdp", "deepspeed")):
        raise InputError(f"ckpt_every keeps whole weights, which strategy={strategy!r} splits; use 'ddp'")


def run(
    model: GET,
    plan: _Plan,
    data: WindowDataModule,
    max_epochs: int,
    settings: dict[str, Any] | None,
    *,
    ckpt_every: int | None,
    ckpt_dir: str | Path | None,
    **trainer_kwargs: Any,
) -> None:
    """Train ``plan``, whose features go then; with ``ckpt_dir``, go on from the checkpoint of the same ``settings`` there and keep new ones."""
    with warnings.catch_warnings():
        if not trainer_kwargs.get("early_stopping"):  # scvi-tools says it with DDP in any case
            warnings.filterwarnings("ignore", "early_stopping was automatically disabled", UserWarning)
        # these batches are a function of seed and epoch, and those done are left out
        warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before", UserWarning)
        # its own default would write a pickle into the working directory with DDP
        trainer_kwargs = {"logger": SimpleLogger(), "use_distributed_sampler": False, **trainer_kwargs}
        runner = TrainRunner(model, plan, data, max_epochs, **trainer_kwargs)
        if ckpt_every is not None and ckpt_dir is not None and settings is not None:
            folder, settings = Path(ckpt_dir).expanduser(), settings | {"processes": runner.trainer.world_size}
            runner.trainer.callbacks.insert(0, Resume(ckpt_every, folder, settings))
            runner.ckpt_path = find(folder, settings)
        before = dict(model.history_ or {}) if model.is_trained_ else {}
        runner()
    del plan.source  # the model keeps its trainer, as scvi-tools has it, and that all data of the training
    _add_newly_watched(model, before, runner.trainer)


def _add_newly_watched(model: GET, before: dict[str, Any], trainer: Any) -> None:
    """What an earlier training did not watch: scvi-tools only lengthens the histories that are there."""
    if not trainer.is_global_zero or not isinstance(model.history_, dict):
        return
    n_epochs = max(map(len, before.values()), default=0)
    watched = getattr(trainer.logger, "history", None)
    for name, table in (watched if isinstance(watched, dict) else {}).items():
        if name not in model.history_:
            model.history_[name] = table.set_axis(range(n_epochs, n_epochs + len(table))).rename_axis(table.index.name)


def settings_of(model: GET, table: RegionTable, plan: _Plan, /, **given: Any) -> dict[str, Any]:
    """What makes a run the same run, as flat JSON: version, data, starting weights, and every argument given."""
    weights = plan.module.state_dict()
    learns = [name for name, parameter in plan.module.named_parameters() if parameter.requires_grad]
    parts = {
        "scget": scget_version(),
        "stage": type(plan).__name__,
        "init": model.init_params_["non_kwargs"],
        "network": asdict(model.config),
        "rules": asdict(model.rules),
        "start": {"weights": digest(weights), "learns": digest(learns), "scaling": digest(model.scaling)},
        "data": {field.name: digest(getattr(table, field.name)) for field in fields(table)},
        **given,
    }
    plain = json.loads(json.dumps(parts, default=lambda value: type(value).__name__))
    return dict(sorted(_flat(plain, "").items()))


def _flat(value: Any, name: str) -> dict[str, Any]:
    """Nested dicts to one, ``{"a": {"b": 1}}`` to ``{"a.b": 1}``, without what a run does not depend on."""
    if not isinstance(value, dict):
        return {name: value}
    flat: dict[str, Any] = {}
    for key, part in value.items():
        if key not in _NOT_OF_THE_RUN:
            flat |= _flat(part, f"{name}.{key}" if name else key)
    return flat
