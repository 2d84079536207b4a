"""An ensemble on disk: a folder of :meth:`GET.save` per member, and JSON with a sha256 of each."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scget._errors import CheckpointError
from scget._version import scget_version

from . import _checkpoint
from ._calibration import Calibration
from ._files import content_of, read_sealed, replacing, sealed, write_synced

if TYPE_CHECKING:
    from mudata import MuData

    from ._ensemble import Ensemble
    from ._get import GET

FORMAT = 1
DESCRIPTION = "ensemble.json"


def member_folder(folder: Path, i: int) -> Path:
    """Where member ``i`` is."""
    return folder / f"member_{i}"


def write(ensemble: Ensemble, folder: Path, *, overwrite: bool) -> None:
    """Write a folder per member and the JSON, whole or not at all."""
    with replacing(folder, not_of_an_ensemble(folder), "ensemble", overwrite=overwrite) as fresh:
        for i, member in enumerate(ensemble.members):
            member.save(member_folder(fresh, i))
        write_description(fresh, describe(ensemble, fresh))


def read(
    folder: Path, mdata: MuData | None, accelerator: str
) -> tuple[list[GET], dict[str, int], dict[str, Calibration | None]]:
    """Members, folds and calibration that were written to ``folder``; :class:`CheckpointError` for anything else."""
    from ._get import GET

    description = read_description(folder)
    try:
        names = description["members"]
        if names is None:
            raise CheckpointError(f"{folder} is unfinished: run train_folds() again with the same arguments")
        folds = {str(chrom): int(fold) for chrom, fold in description["folds"].items()}
        calibration = {
            kind: None if (given := description["calibration"][kind]) is None else _calibration(given)
            for kind in ("new_genes", "known_genes")
        }
        for i, name in enumerate(map(str, names)):
            if digest_of(member_folder(folder, i)) != name:
                raise CheckpointError(f"{member_folder(folder, i)} is not the member that {DESCRIPTION} names")
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{folder / DESCRIPTION} is not as save() writes it ({error!r})") from error
    members = [GET.load(member_folder(folder, i), mdata, accelerator=accelerator) for i in range(len(names))]
    if not members or not all(member.is_trained_ for member in members):
        raise CheckpointError(f"{folder} holds {len(members)} members: at least one is needed, and all trained")
    return members, folds, calibration


def describe(ensemble: Ensemble, folder: Path, run: dict[str, Any] | None = None) -> dict[str, Any]:
    """All of an ensemble but its members, which are in ``folder``; ``run``: how they were trained."""
    return {
        "folds": ensemble.folds,
        "run": run,
        "members": [digest_of(member_folder(folder, i)) for i in range(len(ensemble.members))],
        "calibration": {kind: None if c is None else asdict(c) for kind, c in ensemble.calibration.items()},
    }


def write_description(folder: Path, description: dict[str, Any]) -> None:
    """Replace the JSON, whole or not at all."""
    fresh = folder / f"{DESCRIPTION}.tmp-{os.getpid()}"
    content = sealed({"format": FORMAT, "scget": scget_version(), **description})
    write_synced(fresh, json.dumps(content, indent=1).encode())
    fresh.replace(folder / DESCRIPTION)


def read_description(folder: Path) -> dict[str, Any]:
    """The JSON, checked to be of an ensemble."""
    return read_sealed(folder / DESCRIPTION, "ensemble", FORMAT)


def digest_of(member: Path) -> str:
    """The sha256 of a member's JSON, which holds that of its weights."""
    return hashlib.sha256(content_of(member / _checkpoint.DESCRIPTION)).hexdigest()


def not_of_an_ensemble(folder: Path) -> list[str]:
    """Names in ``folder`` that an ensemble does not have."""
    if not folder.is_dir():
        return []
    own = re.compile(rf"{re.escape(DESCRIPTION)}(\.tmp-\d+)?|member_\d+(\.(tmp|old)-\d+)?")
    return sorted(path.name for path in folder.iterdir() if not own.fullmatch(path.name))


def _calibration(given: dict[str, Any]) -> Calibration:
    numbers = {name: float(given[name]) for name in ("floor", "scale", "typical")}
    if not all(0 <= number < float("inf") for number in numbers.values()):
        raise ValueError(f"calibration {numbers}")
    return Calibration(**numbers, n=int(given["n"]))
