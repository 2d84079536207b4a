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
from scget.pp._kept import Arrays, check_folder, kept

from ._run import digest

if TYPE_CHECKING:
    from ._get import GET


Folder = str | PathLike[str] | None


class Kept:
    """A folder for the parts of one question to one network.

    Parameters
    ----------
    folder
        Made if missing. None: nothing is kept.
    model, table
        Network and data asked.
    question
        All else that the answer depends on, by name; numbers, text, arrays.
    """

    def __init__(self, folder: Folder, model: GET, table: RegionTable, **question: Any) -> None:
        self._stem: Path | None = None
        if folder is None:
            return
        check_folder(folder)
        asked: dict[str, Any] = {
            "version": scget_version(),
            "weights": model.module.state_dict(),
            "settings": [str(model.config), model.window, model.closed, str(model.rules)],
            "precision": torch.get_float32_matmul_precision(),
            "scaling": model.scaling,
            "table": table,
            "question": question,
        }
        self._stem = Path(folder).expanduser() / digest(asked)

    def part(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """The arrays of a part, made where they are not kept yet."""
        if self._stem is None:
            return make()
        return kept(self._stem.with_name(f"{self._stem.name}-{name}.part"), "part of the answer", make)

    def joined(self, blocks: Sequence[slice], make: Callable[[slice], Arrays], what: str, name: str = "") -> Arrays:
        """The arrays of all blocks end to end, each a part of its own; a bar named ``what`` where there are several.

        ``name``: of these blocks, where there are others of the same question.
        """
        parts = [
            self.part(f"{name}{block.start}", partial(make, block))
            for block in tqdm(blocks, desc=what, leave=False, disable=len(blocks) < 2)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
