"""Logos of motifs beside a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scget import _keys
from scget._errors import InputError, first, needs_extra
from scget.pp._motif_sets import motif_set

from ._shared import BLUE, GREEN, ORANGE, VERMILION, beside

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

COLOURS = {"A": GREEN, "C": BLUE, "G": ORANGE, "T": VERMILION}
_TINY = 1e-9


def matrices_of(
    names: Iterable[str], motifs: str | PathLike[str] | Mapping[str, np.ndarray], atac: AnnData | None
) -> dict[str, np.ndarray | None]:
    """Probabilities (width, 4) of each motif or of the first motif of each cluster; None for one not in the set."""
    _logomaker()  # before any work
    given, names = motif_set(motifs), list(names)
    members: dict[str, str] = {cluster: motif for motif, cluster in reversed((given.clusters or {}).items())}
    table = None if atac is None else atac.uns.get(_keys.MOTIF_TFS)
    if table is not None and {"cluster", "motif"} <= set(table.columns):
        known = table[table["motif"].astype(str).isin(list(given))].drop_duplicates("cluster")
        members |= dict(zip(known["cluster"].astype(str), known["motif"].astype(str), strict=True))
    found = {name: given.get(name if name in given else members.get(name, "")) for name in names}
    if all(matrix is None for matrix in found.values()):
        raise InputError(
            f"none of the motifs {first(names)} is in the set, which has {first(given)}; "
            "give the one that scget.pp.motif_scores was given"
        )
    return found


def draw_logos(drawn: Axes, matrices: list[np.ndarray | None], width: float) -> None:
    """A logo of 2 bits' height beside each line of a heat map; the longest is ``width`` inches wide."""
    widest, height = max(len(m) for m in matrices if m is not None), 1 / len(matrices)
    for i, matrix in enumerate(matrices):
        if matrix is None:
            continue
        logo = drawn.inset_axes((0.1, 1 - (i + 0.95) * height, width, 0.9 * height), transform=beside(drawn))
        bits = 2 + (matrix * np.log2(np.maximum(matrix, _TINY))).sum(axis=1, keepdims=True)
        letters = pd.DataFrame(matrix * np.maximum(bits, 0), columns=list("ACGT"))
        _logomaker().Logo(letters, ax=logo, color_scheme=COLOURS, show_spines=False)
        logo.set(xlim=(-0.5, widest - 0.5), ylim=(0, 2))
        logo.axis("off")


def _logomaker() -> Any:
    with needs_extra("logo"):
        import logomaker
    return logomaker
