"""A short name for arrays, tables, tensors and plain values, by all that they hold: equal names, equal content."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch


def digest(value: Any) -> str:
    """First 16 hex digits of the sha256 of arrays, tables and plain values."""
    sha = hashlib.sha256()
    _feed(sha, value)
    return sha.hexdigest()[:16]


def _feed(sha: Any, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().contiguous().view(torch.uint8 if value.ndim else value.dtype).numpy()
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if sp.issparse(value):
        value = {"shape": value.shape, "data": value.data, "indices": value.indices, "indptr": value.indptr}
    if isinstance(value, dict):
        for key in sorted(value):
            sha.update(f"{key}:".encode())
            _feed(sha, value[key])
    elif isinstance(value, list | tuple) and not all(isinstance(one, str | int | float) for one in value):
        sha.update(f"{len(value)}:".encode())
        for one in value:
            _feed(sha, one)
    elif isinstance(value, np.ndarray) and value.dtype != object:
        sha.update(f"{value.dtype}{value.shape}".encode())
        sha.update(np.ascontiguousarray(value).data)
    else:
        plain = value.tolist() if isinstance(value, np.ndarray) else value
        sha.update(json.dumps(plain, default=str).encode())
