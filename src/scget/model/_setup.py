"""A MuData that a model may read, or a refusal; and read, as the table of arrays that the model knows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from mudata import MuData

from scget._errors import InputError, first, warn
from scget.data import RegionTable, build_tables, check_extra, has_expression
from scget.data._table import positions
from scget.pp import _checks

if TYPE_CHECKING:
    from ._get import GET

_WIDTH_FACTOR = 1.5
_VALUES = 1 << 24  # accessibility values that are dense at once, some 50 bytes each while features are made
_KEPT_VALUES = 1 << 20  # where what is done is kept for a run that is killed


def check_setup(mdata: MuData, setup: dict[str, Any]) -> None:
    """Refuse, with :class:`InputError`, a MuData that would give wrong numbers; ATAC alone will do."""
    atac, rna = setup["modalities"]["atac_layer"], setup["modalities"]["rna_layer"]
    has_rna = not isinstance(mdata, MuData) or has_expression(mdata, setup)  # anything else is refused by name below
    layers = {"atac_layer": setup["atac_layer"], "rna_layer": setup["rna_layer"]}
    _checks.check_mudata(mdata, atac=atac, rna=rna if has_rna else None, motifs=True, promoters=True, **layers)
    for name, layer in zip([atac, rna] if has_rna else [atac], layers.values(), strict=False):
        adata = mdata[name]
        _checks.check_rows_counted(adata.X if layer is None else adata.layers[layer], adata.obs_names, name)
    check_extra(mdata[atac], setup.get("extra_keys"))


def check_registrable(mdata: MuData, setup: dict[str, Any]) -> None:
    """Refuse what scvi-tools would not register; warn where accessibility is no counts of fragments."""
    _checks.check_writable(mdata, *mdata.mod)
    _checks.check_rows(mdata, list(mdata.mod))
    name, layer = setup["modalities"]["atac_layer"], setup["atac_layer"]
    matrix = mdata[name].X if layer is None else mdata[name].layers[layer]
    where = f"{name}.X" if layer is None else f"{name}.layers[{layer!r}]"
    _checks.warn_if_not_fragments(matrix, where)


def read_table(model: GET, mdata: MuData | None) -> RegionTable:
    """The model's own or other data, checked, with motifs in the model's order."""
    return next(read_tables(model, mdata, sys.maxsize))


def read_tables(
    model: GET, mdata: MuData | None, row_batch: int | None = None, *, often: bool = False
) -> Iterator[RegionTable]:
    """As :func:`read_table`, ``row_batch`` rows at a time; None: 16 million values, ``often`` 1, but at least one row."""
    mdata, setup = own_or(model, mdata), model.registry["setup_args"]
    check_setup(mdata, setup)
    if row_batch is None:
        row_batch = max((_KEPT_VALUES if often else _VALUES) // mdata[setup["modalities"]["atac_layer"]].n_vars, 1)
    if type(row_batch) is not int or row_batch < 1:
        raise InputError(f"row_batch={row_batch!r}: a whole number of at least 1 row is needed, or None")
    for i, table in enumerate(build_tables(mdata, setup, row_batch)):
        if model.motifs is not None and not i:
            _check_scan(model.motif_scan, table.motif_scan)
            _warn_of_sources(model, table)
            _warn_of_width(model.region_width, table.region_width)
        yield table if model.motifs is None else _with_motifs(table, model.motifs)


def own_or(model: GET, mdata: MuData | None) -> MuData:
    """``mdata``, or where that is None the data of the model."""
    mdata = model.adata if mdata is None else mdata
    if mdata is None:
        raise RuntimeError("this model was loaded without data; pass mdata=")
    return mdata


def _check_scan(trained: dict[str, Any], here: dict[str, Any]) -> None:
    """Refuse motif scores made by other rules than those the model was trained on; where both are on record."""
    both = [key for key in trained if key in here and key not in ("genome", "n_motifs")]
    other = [key for key in both if trained[key] != here[key]]
    if other:
        raise InputError(
            f"motif scores differ from those of training in {first(other)} (here {here[other[0]]!r}, there "
            f"{trained[other[0]]!r}); run scget.pp.motif_scores with the settings and motifs of training"
        )


def _warn_of_sources(model: GET, table: RegionTable) -> None:
    """Warn where scores or promoters come from other files than those of training, or have no record beside one there."""
    for what, trained, here, keys in (
        ("motif scores", model.motif_scan, table.motif_scan, ("genome",)),
        ("promoters", model.annotation, table.annotation, ("file", "flank")),
    ):
        if trained and not here:
            warn(f"there is no record of how the {what} were made, so they cannot be compared with those of training.")
        for key in keys:
            mine, other = (str(record.get(key, "")).removesuffix(".gz") for record in (here, trained))
            if mine and other and mine != other:
                warn(
                    f"{what} come from {key} {mine!r}, those of training from {other!r}: another build, release or species? "
                    "Regions, sequence and promoters must be of one build. Harmless if only a file's name differs."
                )


def _warn_of_width(trained: float | None, here: float) -> None:
    """Warn where regions are much longer or shorter than those of training: a motif score is a sum over the region."""
    if trained is not None and max(trained, here) > _WIDTH_FACTOR * min(trained, here):
        warn(
            f"the regions are {here:,.0f} bp long (median), the model was trained on {trained:,.0f}: motif scores and "
            "counts grow with the length, so its answers are in doubt. Give it regions like those of training, such as "
            "scget.pp.match_regions(mdata, reference) makes."
        )


def unlike_motifs(trained: np.ndarray, here: np.ndarray) -> str:
    """What is wrong with motif names other than those of training, as a message; empty for the same set."""
    trained, here = (np.array([str(name) for name in names]) for names in (trained, here))
    missing, extra = np.setdiff1d(trained, here), np.setdiff1d(here, trained)
    if not len(missing) and not len(extra):
        return ""
    return (
        f"the model was trained with {len(trained)} motifs, the data have {len(here)}: missing "
        f"{first(missing) or 'none'}, unknown {first(extra) or 'none'}. Score the motifs the model was trained with."
    )


def _with_motifs(table: RegionTable, motifs: np.ndarray) -> RegionTable:
    """Put the motif columns in the model's order; :class:`InputError` where the sets differ."""
    if np.array_equal(table.motifs, motifs):
        return table
    difference = unlike_motifs(motifs, table.motifs)
    if difference:
        raise InputError(difference)
    order = positions(table.motifs, list(motifs), "motif")
    return replace(table, motif_pm=table.motif_pm[:, order], motifs=motifs)
