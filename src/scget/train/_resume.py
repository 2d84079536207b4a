"""A checkpoint every few steps, from which a killed run goes on as if it had never stopped.

Lightning saves weights, optimiser, schedule, counters and callbacks. Beside them go what it leaves out: the state of
the random generators, the batches already done of the epoch, and the history of the epochs before.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import pandas as pd
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from scget._errors import CheckpointError
from scget.module import gather_objects, rank

FORMAT = 1
STATE, RUN = "state.ckpt", "run.json"
_NAME, _PARTIAL = "step-{:010d}", ".partial"
_OURS = "scget"  # key in Lightning's checkpoint


class Resume(lightning.Callback):
    """Save every ``every`` optimiser steps below ``folder``, the last one kept; remove it when the run is finished.

    Parameters
    ----------
    every
        Optimiser steps between checkpoints.
    folder
        Where they go.
    settings
        What makes this run the same run, as flat JSON; see :func:`find`.

    Notes
    -----
    It must be the first callback: it saves before the first batch after a step, when all others are done with that
    step and none has begun the next.
    """

    def __init__(self, every: int, folder: Path, settings: dict[str, Any]) -> None:
        self.every, self.folder, self.settings = every, folder, settings
        self._saved_at = 0  # step
        self._to_restore: dict[str, Any] | None = None

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Save what the step before ended with, or restore it."""
        if self._to_restore is not None:  # not before: loaders and validation draw random numbers too
            state, self._to_restore = self._to_restore, None
            set_random_state(state["random"][rank()], pl_module.device)
            self._saved_at = trainer.global_step
        elif trainer.global_step > self._saved_at and trainer.global_step % self.every == 0:
            self._saved_at = trainer.global_step
            self._save(trainer)

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Count the batch that is about to begin, and an epoch of which it is the first, as not begun; add the rest."""
        loops = checkpoint["loops"]["fit_loop"]
        batches, epochs = loops["epoch_loop.batch_progress"], loops["epoch_progress"]
        batches["is_last_batch"] = False
        done = batches["current"]["ready"] - 1
        for count in ("total", "current"):
            batches[count]["ready"] -= 1
            if not done:
                epochs[count]["ready"] -= 1
                epochs[count]["started"] -= 1
        checkpoint[_OURS] = {
            "random": gather_objects(random_state(pl_module.device)),
            "resumed": [trainer.current_epoch, done],
            "history": _history(trainer.logger) if trainer.is_global_zero else {},
        }

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Leave out the batches that are done; all else waits for the first step."""
        self._to_restore = checkpoint[_OURS]
        trainer.datamodule.resumed = tuple(checkpoint[_OURS]["resumed"])

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Put back the history."""
        if self._to_restore is not None and trainer.is_global_zero and hasattr(trainer.logger, "history"):
            for name, (what, at, values) in self._to_restore["history"].items():
                table = pd.DataFrame({name: values}, index=pd.Index(at, name=what), dtype=object)
                trainer.logger.experiment.data[name] = table

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """A finished run leaves nothing that a later one could take for its own."""
        if trainer.is_global_zero:
            for path in _all_in(self.folder):
                shutil.rmtree(path)
        trainer.strategy.barrier()

    def _save(self, trainer: Any) -> None:
        """Write beside, sync, rename, then remove the older; a kill at any moment leaves a whole one."""
        final = self.folder / _NAME.format(trainer.global_step)
        partial = final.with_name(final.name + _PARTIAL)
        if trainer.is_global_zero:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        trainer.strategy.barrier()
        trainer.save_checkpoint(partial / STATE, weights_only=False)
        if not trainer.is_global_zero:
            return
        state = (partial / STATE).read_bytes()
        run = {"format": FORMAT, "step": trainer.global_step, "epoch": trainer.current_epoch}
        run |= {"sha256": hashlib.sha256(state).hexdigest(), "settings": self.settings}
        (partial / RUN).write_text(json.dumps(run, indent=1))
        for path in (partial / STATE, partial / RUN, partial):
            _sync(path)
        partial.rename(final)
        _sync(self.folder)
        for path in _all_in(self.folder):
            if path != final:
                shutil.rmtree(path)


def find(folder: Path, settings: dict[str, Any]) -> Path | None:
    """The last whole checkpoint of the run with these ``settings``, checked; None where ``folder`` holds none.

    Raises
    ------
    CheckpointError
        If it is damaged, or of another run: the message says in what they differ.
    """
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"ckpt_dir={str(folder)!r} is a file; name a folder")
    whole = [path for path in _all_in(folder) if not path.name.endswith(_PARTIAL)]
    if not whole:
        rank_zero_info(f"ckpt_dir={str(folder)!r} holds no checkpoint: the run starts at its beginning")
        return None
    found = whole[-1]
    run = _read_run(found)
    differ = [name for name in {**run["settings"], **settings} if run["settings"].get(name) != settings.get(name)]
    if differ:
        said = [f"{n}: {_short(run['settings'].get(n))} there, {_short(settings.get(n))} now" for n in differ[:5]]
        raise CheckpointError(
            f"{found} is of another run: {'; '.join(said)}{'; ...' if len(differ) > 5 else ''}. Give the same arguments and "
            "data to go on, or another ckpt_dir (or an emptied one) to start anew."
        )
    _check_state(found, run["sha256"])
    rank_zero_info(f"resuming from {found}: step {run['step']}, epoch {run['epoch']}")
    return found / STATE


def _read_run(found: Path) -> dict[str, Any]:
    try:
        run = json.loads((found / RUN).read_text())
    except OSError as error:
        raise CheckpointError(f"{found / RUN} cannot be read ({error.strerror}); remove {found}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{found / RUN} is not JSON ({error}): damaged, remove {found}") from error
    known = {"format": int, "step": int, "epoch": int, "sha256": str, "settings": dict}
    if not isinstance(run, dict) or any(not isinstance(run.get(name), kind) for name, kind in known.items()):
        raise CheckpointError(f"{found / RUN} is not as scget writes it; remove {found}")
    if run["format"] != FORMAT:
        raise CheckpointError(
            f"{found} has format {run['format']}, this scget resumes {FORMAT}; remove it to start anew"
        )
    return run


def _check_state(found: Path, sha256: str) -> None:
    """Refuse a damaged file, and one with anything but tensors and plain values."""
    path = found / STATE
    try:
        if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            raise CheckpointError(f"sha256 of {path} differs from {RUN}: damaged or changed, remove {found}")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}); remove {found}") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is not a checkpoint of scget ({error}); remove {found}") from error
    if not isinstance(state, dict) or _OURS not in state:
        raise CheckpointError(f"{path} is not a checkpoint of scget; remove {found}")


def _all_in(folder: Path) -> list[Path]:
    """Checkpoints and unfinished ones, oldest first."""
    return sorted(folder.glob("step-" + "[0-9]" * 10 + "*")) if folder.is_dir() else []


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """State of the generators that a network on ``device`` draws from."""
    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


def set_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Put back what :func:`random_state` gave."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def _history(logger: Any) -> dict[str, Any]:
    """Of scvi-tools' own logger: name to what the index counts, index and values."""
    tables = getattr(logger, "history", None)
    return {
        name: [table.index.name, [int(i) for i in table.index], [float(v) for v in table[name]]]
        for name, table in (tables if isinstance(tables, dict) else {}).items()
    }
