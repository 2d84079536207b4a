"""What a MuData must be before a model may read it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from mudata import MuData

from scget._errors import InputError, first
from scget.data import RegionTable, build_table, has_expression
from scget.data._table import positions
from scget.pp import _checks

if TYPE_CHECKING:
    from ._get import GET


def check_setup(mdata: MuData, setup: dict[str, Any]) -> None:
    """Refuse, with :class:`InputError`, a MuData that would give wrong numbers; ATAC alone will do."""
    atac, rna = setup["modalities"]["atac_layer"], setup["modalities"]["rna_layer"]
    has_rna = not isinstance(mdata, MuData) or has_expression(mdata, setup)  # anything else is refused by name below
    layers = {"atac_layer": setup["atac_layer"], "rna_layer": setup["rna_layer"]}
    _checks.check_mudata(mdata, atac=atac, rna=rna if has_rna else None, motifs=True, promoters=True, **layers)
    for name, layer in zip([atac, rna] if has_rna else [atac], layers.values(), strict=False):
        adata = mdata[name]
        _checks.check_rows_counted(adata.X if layer is None else adata.layers[layer], adata.obs_names, name)


def check_windows(closed: str, window: int) -> None:
    """Refuse settings of windows without meaning."""
    if closed not in ("drop", "promoters", "keep") or not isinstance(window, int) or window < 1:
        raise InputError(
            f"closed={closed!r}, window={window}: 'promoters', 'drop' or 'keep', and a whole number of at least 1 region"
        )


def read_table(model: GET, mdata: MuData | None) -> RegionTable:
    """The model's own or other data, checked, with motifs in the model's order."""
    mdata = model.adata if mdata is None else mdata
    if mdata is None:
        raise RuntimeError("this model was loaded without data; pass mdata=")
    setup = model.registry["setup_args"]
    check_setup(mdata, setup)
    table = build_table(mdata, setup)
    if model.motifs is None:
        return table
    _check_scan(model.motif_scan, table.motif_scan)
    return _with_motifs(table, model.motifs)


def _check_scan(trained: dict[str, Any], here: dict[str, Any]) -> None:
    """Refuse motif scores made by other rules than those the model was trained on; where both are on record."""
    both = [key for key in trained if key in here and key not in ("genome", "n_motifs")]
    other = [key for key in both if trained[key] != here[key]]
    if other:
        raise InputError(
            f"motif scores differ from those of training in {first(other)} (here {here[other[0]]!r}, there "
            f"{trained[other[0]]!r}); run scget.pp.motif_scores with the settings and motifs of training"
        )


def _with_motifs(table: RegionTable, motifs: np.ndarray) -> RegionTable:
    """Put the motif columns in the model's order; :class:`InputError` where the sets differ."""
    if np.array_equal(table.motifs, motifs):
        return table
    missing, extra = np.setdiff1d(motifs, table.motifs), np.setdiff1d(table.motifs, motifs)
    if len(missing) or len(extra):
        raise InputError(
            f"the model was trained with {len(motifs)} motifs, the data have {len(table.motifs)}: missing "
            f"{first(missing) or 'none'}, unknown {first(extra) or 'none'}. Score the motifs the model was trained with."
        )
    order = positions(table.motifs, list(motifs), "motif")
    return replace(table, motif_pm=table.motif_pm[:, order], motifs=motifs)
