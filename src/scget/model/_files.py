"""Folders of saved models: read whole, sealed by a sha256, replaced at once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scget._errors import CheckpointError, first


def sealed(description: dict[str, Any]) -> dict[str, Any]:
    """Add ``sha256``, of everything else as JSON with sorted keys: white space and order do not count, values do."""
    rest = json.loads(json.dumps({key: value for key, value in description.items() if key != "sha256"}))
    return rest | {"sha256": hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()}


def content_of(path: Path) -> bytes:
    """The bytes of a file of a saved model."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}); is this a folder that save() wrote, whole?"
        ) from error


def read_sealed(path: Path, kind: str, version: int) -> dict[str, Any]:
    """What :func:`sealed` gave, of this ``kind`` and ``version`` of its format; :class:`CheckpointError` for all else."""
    content = content_of(path)
    try:
        description = json.loads(content)
        as_sealed = sealed(description) if isinstance(description, dict) else {}
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON ({error}); copy it again") from error
    found = as_sealed.get("format")
    if not isinstance(found, int):
        raise CheckpointError(f"{path} does not describe a scget {kind}")
    if found != version:
        todo = "upgrade scget" if found > version else f"train and save the {kind} anew"
        raise CheckpointError(f"{path} is of format {found}, this scget reads {version}: {todo}")
    if as_sealed["sha256"] != description.get("sha256"):
        raise CheckpointError(f"sha256 of {path} is not the one it names: damaged or changed, copy it again")
    return as_sealed


def write_synced(path: Path, content: bytes) -> None:
    """Write, and wait until it is on the disk."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replacing(folder: Path, foreign: list[str], kind: str, *, overwrite: bool) -> Iterator[Path]:
    """A folder beside ``folder`` to fill, which takes its place at the end, so that a killed save leaves the old or none.

    Parameters
    ----------
    folder
        May be there, if ``overwrite``.
    foreign
        What it holds that a ``kind`` has not: such a folder is never replaced.
    kind
        Of what is saved, for messages.
    overwrite
        Replace what is there.
    """
    folder = Path(os.path.realpath(folder))
    if folder.exists() and not overwrite:
        raise FileExistsError(f"{folder} exists; pass overwrite=True to replace it")
    if folder.is_file() or foreign:
        raise FileExistsError(
            f"{folder} is not a saved {kind} (it holds {first(foreign) or 'a file'}); choose another folder"
        )
    fresh, old = (folder.with_name(f"{folder.name}.{what}-{os.getpid()}") for what in ("tmp", "old"))
    fresh.mkdir(parents=True)
    try:
        yield fresh
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
