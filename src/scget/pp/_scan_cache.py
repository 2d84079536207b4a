"""Motif scans, and other matrices that take long, kept in a folder, each in a file named by a hash of what decides it.

A file is the sha256 of its name and content, 32 bytes, then a CSR matrix in the safetensors format. It is written under
another name and then renamed, so that no process ever sees half of it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from scipy.sparse import csr_matrix

from scget._errors import InputError, warn


def check_folder(cache: str | PathLike[str]) -> None:
    """Make the folder if it is missing; refuse, with :class:`InputError`, where that cannot be."""
    try:
        Path(cache).expanduser().mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError, TypeError) as error:
        raise InputError(
            f"`cache` is {cache!r}, which is no folder and cannot become one ({error}). Give a folder."
        ) from error


def scan_key(codes: np.ndarray, offsets: np.ndarray, settings: Mapping[str, Any]) -> str:
    """Hash of the sequences, in their order, and of the settings."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for values, kind in ((offsets, "<i8"), (codes, "u1")):
        digest.update(f"\n{len(values)}\n".encode())
        digest.update(np.ascontiguousarray(values, dtype=kind).data)
    return digest.hexdigest()


def cached(cache: str | PathLike[str], key: str, make: Callable[[], csr_matrix], what: str = "scan") -> csr_matrix:
    """Read the matrix of that key from the folder; where it is not there, or damaged, make and keep it (a ``what``)."""
    check_folder(cache)
    path = Path(cache).expanduser() / f"{key}.{what}"
    scores = _read(path)
    if scores is None:
        scores = make()
        _write(path, scores)
    return scores


def _digest(path: Path, content: bytes | memoryview) -> bytes:
    digest = hashlib.sha256(path.name.encode())
    digest.update(content)
    return digest.digest()


def _read(path: Path) -> csr_matrix | None:
    """The matrix in the file; None, with a warning, if it is damaged, and None if there is no file."""
    from safetensors.numpy import load

    if not path.exists():
        return None
    try:
        content = memoryview(path.read_bytes())
    except OSError as error:
        warn(f"Cannot read the {path.suffix[1:]} kept at '{path}' ({error}); making it anew.")
        return None
    if content[:32] != _digest(path, content[32:]):
        warn(f"The {path.suffix[1:]} kept at '{path}' is damaged: its checksum is wrong. Making it anew.")
        return None
    parts = {name: values.copy() for name, values in load(bytes(content[32:])).items()}  # what is loaded is read-only
    return csr_matrix((parts["data"], parts["indices"], parts["indptr"]), shape=tuple(parts["shape"].tolist()))


def _write(path: Path, scores: csr_matrix) -> None:
    """Keep the matrix, whole or not at all; a disk that refuses costs no result, so it is only warned of."""
    from safetensors.numpy import save

    parts = {"data": scores.data, "indices": scores.indices, "indptr": scores.indptr, "shape": np.array(scores.shape)}
    content = save(parts)
    own = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with own.open("xb") as file:
            file.write(_digest(path, content))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(own, path)
    except OSError as error:
        warn(
            f"Cannot keep the {path.suffix[1:]} at '{path}' ({error}). The result is right; the next call makes it again."
        )
    finally:
        with suppress(OSError):
            own.unlink(missing_ok=True)
