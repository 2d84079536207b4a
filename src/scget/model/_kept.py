"""Parts of a long answer kept as they are made, so that a run that was killed goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm.auto import tqdm

from scget._version import scget_version
from scget.data import RegionTable
from scget.pp._kept import Arrays, check_folder, kept, read, write

from ._digest import digest

if TYPE_CHECKING:
    from ._ensemble import Ensemble
    from ._get import GET


_PART = "part of the answer"
Folder = str | PathLike[str] | None


class Kept:
    """A folder for the parts of one question to a network, or to all of an ensemble.

    Parameters
    ----------
    folder
        Made if missing. None: nothing is kept.
    model, table
        Networks and data asked.
    question
        All else that the answer depends on, by name; numbers, text, arrays.
    """

    def __init__(self, folder: Folder, model: GET | Ensemble, table: RegionTable, **question: Any) -> None:
        self._stem: Path | None = None
        if folder is None:
            return
        check_folder(folder)
        asked: dict[str, Any] = {
            "version": scget_version(),
            "networks": [_all_of(member) for member in getattr(model, "members", [model])],
            "calibration": str(getattr(model, "calibration", None)),
            "precision": _precision(),
            "table": table,
            "question": question,
        }
        self._stem = Path(folder).expanduser() / digest(asked)

    def part(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """The arrays of a part, made where they are not kept yet."""
        path = self._path(name)
        return make() if path is None else kept(path, _PART, make)

    def last(self, name: str) -> Arrays | None:
        """The arrays last kept under this name; None where there are none."""
        path = self._path(name)
        return None if path is None else read(path, _PART)

    def keep(self, name: str, arrays: Callable[[], Arrays]) -> None:
        """Keep arrays in place of those kept before."""
        path = self._path(name)
        if path is not None:
            write(path, _PART, arrays())

    def joined(self, blocks: Sequence[slice], make: Callable[[slice], Arrays], what: str, name: str = "") -> Arrays:
        """The arrays of all blocks end to end, each a part of its own; a bar named ``what`` where there are several.

        ``name``: of these blocks, where there are others of the same question.
        """
        parts = [
            self.part(f"{name}{block.start}", partial(make, block))
            for block in tqdm(blocks, desc=what, leave=False, disable=len(blocks) < 2)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _path(self, name: str) -> Path | None:
        return None if self._stem is None else self._stem.with_name(f"{self._stem.name}-{name}.part")


def _precision() -> list[str]:
    """What torch may compute in: of float32 products, and inside ``torch.autocast``."""
    inside = [device for device in ("cpu", "cuda") if torch.is_autocast_enabled(device)]
    return [torch.get_float32_matmul_precision(), *(f"{d} {torch.get_autocast_dtype(d)}" for d in inside)]


def _all_of(model: GET) -> dict[str, Any]:
    """All of a network that its answers depend on."""
    settings = [str(model.config), model.window, model.closed, str(model.rules)]
    return {"weights": model.module.state_dict(), "settings": settings, "scaling": model.scaling}
