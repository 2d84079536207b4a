"""Every refusal of a MuData: what was found, what is needed, what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse

from scget import _keys as keys
from scget._errors import InputError, first
from scget.pp._counts import (
    check_counts,
    check_finite,
    check_in_memory,
    check_rows_counted,
    get_counts,
    warn_if_not_fragments,
)
from scget.pp._regions import regions_of

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

__all__ = [
    "as_names",
    "check_counts",
    "check_genes",
    "check_in_memory",
    "check_is_mudata",
    "check_motifs",
    "check_mudata",
    "check_promoters",
    "check_rows",
    "check_rows_counted",
    "check_writable",
    "get_counts",
    "get_modality",
    "only_predicted",
    "warn_if_not_fragments",
]


def check_mudata(
    mdata: MuData,
    *,
    atac: str = keys.ATAC,
    rna: str | None = keys.RNA,
    atac_layer: str | None = None,
    rna_layer: str | None = None,
    motifs: bool = False,
    promoters: bool = False,
) -> None:
    """Check all of a MuData before anything is computed from it.

    Parameters
    ----------
    mdata
        Rows x (regions, genes).
    atac, rna
        Names of the modalities; ``rna=None`` where expression is not needed.
    atac_layer, rna_layer
        Layers with raw counts; None for ``X``.
    motifs, promoters
        Whether the results of :func:`scget.pp.motif_scores` and :func:`scget.pp.promoters` are needed.

    Raises
    ------
    InputError
        With what was found, what is needed and what to do. ``mdata`` is never changed.
    TypeError
        If ``mdata`` is no MuData.
    """
    regions = get_modality(mdata, atac, "accessibility")
    genes = None if rna is None else get_modality(mdata, rna, "expression")
    check_rows(mdata, [atac] if rna is None else [atac, rna])
    region_names = regions_of(regions).names
    if genes is not None:
        check_genes(genes)
    if motifs:
        check_motifs(regions)
    if promoters:
        check_promoters(regions, region_names)
    get_counts(regions, atac_layer, keys.ATAC)
    if genes is not None:
        get_counts(genes, rna_layer, keys.RNA)


def check_is_mudata(mdata: Any) -> None:
    """Raise a TypeError for anything but a MuData."""
    from anndata import AnnData
    from mudata import MuData

    if not isinstance(mdata, MuData):
        got = "AnnData" if isinstance(mdata, AnnData) else type(mdata).__name__
        raise TypeError(
            f"a MuData with an RNA and an ATAC modality is needed, got {got}. "
            "Make one: MuData({'rna': rna, 'atac': atac})"
        )


def get_modality(mdata: MuData, name: str, role: str) -> AnnData:
    """Return the modality ``name``, which has at least one row and one column.

    Parameters
    ----------
    mdata
        Of one set of rows and several sets of columns (``axis=0``).
    name
        Key of the modality.
    role
        What it holds, for the message: "accessibility" or "expression".
    """
    check_is_mudata(mdata)
    if mdata.axis != 0:
        raise InputError(f"MuData with axis={mdata.axis}: modalities must share rows. Make it with axis=0.")
    if name not in mdata.mod:
        others = list(mdata.mod)
        example = others[0] if others else "..."
        raise InputError(
            f"no modality {name!r} ({role}); there are {first(others, 5) or 'none'}. "
            f"Name it so: MuData({{{name!r}: mdata[{example!r}], ...}})"
        )
    modality = mdata.mod[name]
    if 0 in modality.shape:
        what = (
            "rows" if modality.n_obs == 0 else {"accessibility": "regions", "expression": "genes"}.get(role, "columns")
        )
        raise InputError(f"modality {name!r} has 0 {what}. Check the filters that were applied.")
    return modality


def only_predicted(mdata: MuData, rna_layer: str | None = None) -> bool:
    """Whether ``rna`` holds but predictions, as made for data of ``atac`` alone: no ``X``, and a record of scget."""
    rna = mdata.mod.get(keys.RNA)
    if rna is None or rna_layer is not None or rna.X is not None:
        return False
    return any(isinstance(record, Mapping) and "scget_version" in record for record in mdata.uns.values())


def check_writable(mdata: MuData, *names: str) -> None:
    """Refuse to write into a view or a backed object."""
    if mdata.is_view or any(mdata.mod[name].is_view for name in names):
        raise InputError("mdata is a view, so results cannot be written into it; call mdata = mdata.copy() first.")
    for name in names:
        check_in_memory(mdata.mod[name], name)


def check_rows(mdata: MuData, names: Sequence[str]) -> None:
    """Refuse modalities whose row names are duplicated or not the same set; their order may differ.

    Parameters
    ----------
    mdata
        Whose modalities are compared.
    names
        Modalities, the first is compared with each other one.
    """
    for name in names:
        obs_names = mdata.mod[name].obs_names
        twice = obs_names[obs_names.duplicated()].unique()
        if len(twice):
            raise InputError(
                f"{len(twice):,} row names occur twice in {name!r}, first {str(twice[0])!r}. Modalities are paired by "
                f"name: use mdata[{name!r}].obs_names_make_unique() before pairing them."
            )
    one = mdata.mod[names[0]].obs_names
    for name in names[1:]:
        _check_same_rows(names[0], one, name, mdata.mod[name].obs_names)


def _check_same_rows(name: str, rows: pd.Index, other_name: str, other: pd.Index) -> None:
    missing, extra = rows[~rows.isin(other)], other[~other.isin(rows)]
    if not len(missing) and not len(extra):
        return
    n_shared = len(rows) - len(missing)
    if n_shared == 0:
        raise InputError(
            f"no row name in common: {name!r} has {first(rows, 1)}, {other_name!r} has {first(other, 1)}. "
            "Rows are paired by name: rename one side (a prefix or suffix may differ)."
        )
    only = [f"only in {n!r}: {first(r, 1)}" for n, r in ((name, missing), (other_name, extra)) if len(r)]
    raise InputError(
        f"{n_shared:,} of {len(rows):,} rows of {name!r} and of {len(other):,} rows of {other_name!r} are shared "
        f"({'; '.join(only)}). Keep the shared ones with muon.pp.intersect_obs(mdata)."
    )


def check_genes(rna: AnnData) -> None:
    """Refuse duplicated gene names."""
    twice = rna.var_names[rna.var_names.duplicated()].unique()
    if len(twice):
        raise InputError(
            f"{len(twice):,} gene names occur twice, first {str(twice[0])!r}. "
            "Use Ensembl ids, sum the columns, or rename with var_names_make_unique()."
        )


def as_names(values: Any, called: str = "names") -> np.ndarray:
    """Return names as ``(n,)`` objects of text, whatever kind of array or list a file was read into.

    Parameters
    ----------
    values
        One-dimensional, such as text of numpy's own type (zarr), of fixed length, of bytes, or a list.
    called
        What they are, for the message.
    """
    names = np.asarray(values, dtype=object)
    if names.ndim != 1:
        raise InputError(f"{called} are a {type(values).__name__} of {names.ndim} axes, a list of texts is needed.")
    texts = np.empty(len(names), dtype=object)
    texts[:] = [name.decode() if isinstance(name, bytes) else str(name) for name in names]
    return texts


def check_motifs(atac: AnnData) -> None:
    """Refuse missing, unnamed or broken motif scores."""
    run = "run scget.pp.motif_scores(mdata, genome=..., motifs=...) first."
    if keys.MOTIF_SCORES not in atac.varm:
        raise InputError(f"no motif scores in atac.varm[{keys.MOTIF_SCORES!r}]: {run}")
    scores = atac.varm[keys.MOTIF_SCORES]
    if not issparse(scores) and not isinstance(scores, np.ndarray):
        raise InputError(f"motif scores are a {type(scores).__name__}, an array or sparse matrix is needed: {run}")
    if scores.ndim != 2 or scores.shape[0] != atac.n_vars:
        raise InputError(f"motif scores of shape {scores.shape} for {atac.n_vars:,} regions: {run}")
    names = atac.uns.get(keys.MOTIF_NAMES)
    if names is None:
        raise InputError(f"no motif names in atac.uns[{keys.MOTIF_NAMES!r}]: {run}")
    index = pd.Index(as_names(names, f"motif names in atac.uns[{keys.MOTIF_NAMES!r}]"))
    if len(index) != scores.shape[1]:
        raise InputError(f"{len(index):,} motif names for {scores.shape[1]:,} columns of motif scores: {run}")
    twice = index[index.duplicated()].unique()
    if len(twice):
        raise InputError(f"{len(twice):,} motif names occur twice, first {str(twice[0])!r}: make them unique.")
    check_finite(scores, "motif scores", (atac.var_names, index), ("region", "motif"))


def check_promoters(atac: AnnData, region_names: np.ndarray) -> None:
    """Refuse a table of promoters that is missing, foreign or without strands.

    Parameters
    ----------
    atac
        Whose ``uns["peak_annotation"]`` is checked; it may name regions that have been removed since.
    region_names
        ``(p,)`` names of the regions of ``atac``, as ``chr1:100-200``.
    """
    run = "run scget.pp.promoters(mdata, annotation=...) first."
    table = atac.uns.get(keys.PEAK_ANNOTATION)
    if not isinstance(table, pd.DataFrame):
        raise InputError(f"no promoters in atac.uns[{keys.PEAK_ANNOTATION!r}]: {run}")
    missing = [column for column in keys.PROMOTER_COLUMNS if column not in table.columns]
    if missing:
        raise InputError(f"the promoter table lacks the columns {first(missing, 5)}: {run}")
    twice = table.columns[table.columns.duplicated()].intersection(keys.PROMOTER_COLUMNS)
    if len(twice):
        raise InputError(f"the promoter table has the columns {first(twice)} twice: {run}")
    strand = table["strand"].astype(str)
    odd = strand[~strand.isin(["+", "-"])]
    if len(odd):
        raise InputError(f"{len(odd):,} promoters have strand {first(odd.unique())}; '+' or '-' is needed")
    if not table["region"].astype(str).isin(region_names).any():
        raise InputError(f"none of the {len(table):,} promoters is one of the regions of 'atac': {run}")
