"""Predict gene expression from chromatin accessibility, in cell types the model has never seen."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scget import bm, datasets, model, pl, pp, tl

    __version__: str

__all__ = ["bm", "datasets", "model", "pl", "pp", "tl"]


def __getattr__(name: str) -> Any:
    # Folders load on first use: torch, lightning and scvi-tools take seconds.
    if name in __all__:
        return import_module(f"scget.{name}")
    if name == "__version__":
        return import_module("scget._version").scget_version()
    raise AttributeError(f"module 'scget' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
