"""Arrays kept in a folder, so that what was computed once, or until a run was killed, is not computed again.

A file is the sha256 of its name and content, 32 bytes, then arrays in the safetensors format. It is written under another
name and then renamed, so that no process ever sees half of it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from os import PathLike
from pathlib import Path
from uuid import uuid4

import numpy as np

from scget._errors import InputError, warn

Arrays = dict[str, np.ndarray]


def check_folder(cache: str | PathLike[str]) -> None:
    """Make the folder if it is missing; refuse, with :class:`InputError`, where that cannot be."""
    try:
        Path(cache).expanduser().mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError, TypeError) as error:
        raise InputError(
            f"`cache` is {cache!r}, which is no folder and cannot become one ({error}). Give a folder."
        ) from error


def kept(path: Path, what: str, make: Callable[[], Arrays]) -> Arrays:
    """Read the arrays of a file; where it is not there, or damaged, make and keep them.

    Parameters
    ----------
    path
        In a folder that is there; its name says all that decides the arrays.
    what
        What they are, for messages, such as ``"scan"``.
    make
        Called where they cannot be read.
    """
    arrays = read(path, what)
    if arrays is None:
        arrays = make()
        write(path, what, arrays)
    return arrays


def _digest(path: Path, content: bytes | memoryview) -> bytes:
    digest = hashlib.sha256(path.name.encode())
    digest.update(content)
    return digest.digest()


def read(path: Path, what: str) -> Arrays | None:
    """The arrays in the file; None, with a warning, if it is damaged, and None if there is no file."""
    from safetensors.numpy import load

    if not path.exists():
        return None
    try:
        content = memoryview(path.read_bytes())
    except OSError as error:
        warn(f"Cannot read the {what} kept at '{path}' ({error}); computing it anew.")
        return None
    if content[:32] != _digest(path, content[32:]):
        warn(f"The {what} kept at '{path}' is damaged: its checksum is wrong. Computing it anew and replacing it.")
        return None
    return {name: values.copy() for name, values in load(bytes(content[32:])).items()}  # what is loaded is read-only


def write(path: Path, what: str, arrays: Arrays) -> None:
    """Keep the arrays, whole or not at all; a disk that refuses costs no result, so it is only warned of."""
    from safetensors.numpy import save

    content = save({name: np.asarray(values, order="C") for name, values in arrays.items()})
    own = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with own.open("xb") as file:
            file.write(_digest(path, content))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(own, path)
    except OSError as error:
        warn(f"Cannot keep the {what} at '{path}' ({error}). It is right, but the next call computes it again.")
    finally:
        with suppress(OSError):
            own.unlink(missing_ok=True)
