"""Motif scans kept in a folder, each in a file named by a hash of all that decides it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from scget.pp._kept import Arrays, check_folder, kept


def scan_key(codes: np.ndarray, offsets: np.ndarray, settings: Mapping[str, Any]) -> str:
    """Hash of the sequences, in their order, and of the settings."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for values, kind in ((offsets, "<i8"), (codes, "u1")):
        digest.update(f"\n{len(values)}\n".encode())
        digest.update(np.ascontiguousarray(values, dtype=kind).data)
    return digest.hexdigest()


def cached(cache: str | PathLike[str], key: str, make: Callable[[], csr_matrix]) -> csr_matrix:
    """Read the matrix of that key from the folder; where it is not there, or damaged, make and keep it."""
    check_folder(cache)

    def arrays() -> Arrays:
        scores = make()
        return {
            "data": scores.data,
            "indices": scores.indices,
            "indptr": scores.indptr,
            "shape": np.array(scores.shape),
        }

    parts = kept(Path(cache).expanduser() / f"{key}.scan", "scan", arrays)
    return csr_matrix((parts["data"], parts["indices"], parts["indptr"]), shape=tuple(parts["shape"].tolist()))
