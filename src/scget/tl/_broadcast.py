"""Results of rows carried back to the cells that the rows were made from."""

from __future__ import annotations

import copy as copying
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scget import _keys
from scget._errors import InputError, first, warn
from scget._version import scget_version
from scget.pp._checks import check_genes, check_in_memory, check_rows, check_writable, get_modality
from scget.pp._groups import groups_of

from ._record import OF_ROWS
from ._slots import check_free, without_slashes

if TYPE_CHECKING:
    from mudata import MuData


def broadcast(
    cells: MuData,
    pb: MuData,
    groupby: str | Sequence[str],
    *,
    genes: Sequence[str] | None = None,
    key_added: str = "get",
    copy: bool = False,
) -> MuData | None:
    """Give each cell what was found for its row of :func:`scget.pp.pseudobulk`, to draw it on a UMAP of cells.

    All cells of a row get the same numbers: nothing is learned about differences between them.

    Parameters
    ----------
    cells
        Cells; modality ``atac`` and perhaps ``rna``, in memory.
    pb
        Rows with results, such as those of :func:`scget.tl.predict`.
    groupby
        As it was given to ``pseudobulk``.
    genes
        Names of genes to carry, as a table. None: all genes of ``cells``, as a layer of cells x genes x 4 bytes,
        which is 0.8 GB for 10,000 cells and 20,000 genes.
    key_added
        First part of the names, in ``pb`` and in ``cells``.
    copy
        Return a changed copy and leave ``cells`` as it is.

    Returns
    -------
    None, or the copy. Written, where ``pb`` has it, and NaN for a cell whose group is no row: with ``genes``
    ``rna.obsm["get_expression"]`` (a table), without them ``rna.layers["get"]`` and ``["get_std"]``, all log10(CPM + 1);
    ``rna.obsm["get_motif"]``; ``atac.obsm["X_get"]``; and in ``uns["get"]`` the provenance, without the links. Cells
    without ``rna`` get that modality.

    Raises
    ------
    InputError
        If ``pb`` holds no results, no group of cells is a row of it, a gene is unknown, no gene is shared, or ``cells``
        is on disk or a view.

    Examples
    --------
    >>> cells = pb.copy()  # stands in for cells, whose labels name the rows
    >>> cells["atac"].obs["label"] = cells["atac"].obs_names
    >>> scget.tl.predict(pb, model)
    >>> scget.tl.broadcast(cells, pb, groupby="label", genes=["GATA1", "MYC"])
    >>> cells["rna"].obsm["get_expression"].columns.tolist()
    ['GATA1', 'MYC']
    """
    slots = _keys.Slots(key_added)
    names = [name for name in (_keys.ATAC, _keys.RNA) if name in cells.mod] or [_keys.ATAC]
    get_modality(cells, names[0], "accessibility")
    get_modality(pb, _keys.ATAC, "accessibility")
    check_rows(cells, names)
    check_free(cells, slots)
    for name in cells.mod:  # a copy of what is on disk would be on disk too
        check_in_memory(cells[name], name)
    if not copy:
        check_writable(cells, *cells.mod)
    found = _results(pb, slots, genes)
    groups, _ = groups_of(cells, names, groupby)
    _check_groups(groups, pb[_keys.ATAC].obs_names)
    if genes is None and _keys.RNA in cells.mod and any(slot[1] == "layers" for slot in found):
        _check_shared_genes(cells[_keys.RNA].var_names, pb[_keys.RNA].var_names)
    cells = cells.copy() if copy else cells
    if _keys.RNA not in cells.mod and any(name == _keys.RNA for name, _, _ in found):
        columns = pb[_keys.RNA].var_names if genes is None else pd.Index(genes)
        cells.mod[_keys.RNA] = AnnData(obs=cells[names[0]].obs.copy(), var=pd.DataFrame(index=columns))
        cells.update()
    for (name, attribute, key), rows in found.items():
        if name not in cells.mod:
            continue
        own = groups.reindex(cells[name].obs_names).astype(str)
        getattr(cells[name], attribute)[key] = _carried(rows, own, cells[name].var_names, attribute)
    _carry_record(cells, pb, slots, [groupby] if isinstance(groupby, str) else list(groupby))
    return cells if copy else None


def _results(pb: MuData, slots: _keys.Slots, genes: Sequence[str] | None) -> dict[tuple[str, str, str], pd.DataFrame]:
    """What there is to carry: rows x columns, by modality, attribute and key."""
    if isinstance(genes, str):  # would be read letter by letter
        raise InputError(f"{genes!r} is one text; a list of genes is needed: [{genes!r}]")
    found: dict[tuple[str, str, str], Any] = {}
    rna, atac = pb.mod.get(_keys.RNA), pb.mod.get(_keys.ATAC)
    if rna is not None:
        for key in (slots.expression, slots.uncertainty):
            if key in rna.layers:
                found[_keys.RNA, "layers", key] = rna.to_df(layer=key)
        if slots.motif_summary in rna.obsm:
            found[_keys.RNA, "obsm", slots.motif_summary] = pd.DataFrame(rna.obsm[slots.motif_summary], rna.obs_names)
    if atac is not None and slots.embedding in atac.obsm:
        found[_keys.ATAC, "obsm", slots.embedding] = pd.DataFrame(atac.obsm[slots.embedding], atac.obs_names)
    if rna is not None:
        check_genes(rna)
    if not found:
        raise InputError(f"no results named {slots.key!r} in pb; run scget.tl.predict(pb, model) first.")
    return found if genes is None else _of_genes(found, slots, list(genes))


def _of_genes(found: dict, slots: _keys.Slots, genes: list[str]) -> dict[tuple[str, str, str], pd.DataFrame]:
    """The same with a table of ``genes`` in place of layers."""
    expression = found.get((_keys.RNA, "layers", slots.expression))
    if expression is None:
        raise InputError(f"no predictions in pb['rna'].layers[{slots.key!r}]; run scget.tl.predict(pb, model) first.")
    unknown = [gene for gene in genes if gene not in expression.columns]
    if unknown:
        raise InputError(f"{len(unknown):,} genes are not in pb['rna'], first {unknown[0]!r}. Check their names.")
    others = {slot: rows for slot, rows in found.items() if slot[1] != "layers"}
    return {(_keys.RNA, "obsm", slots.expression_table): without_slashes(expression[genes]), **others}


def _check_groups(groups: pd.Series, rows: pd.Index) -> None:
    missing = groups[~groups.isin(rows)]
    if len(missing) == len(groups):
        raise InputError(
            f"no group of the cells is a row of pb: cells have {first(groups.cat.categories)}, pb has {first(rows)}. "
            "Pass groupby as it was given to pseudobulk."
        )
    if len(missing):
        warn(
            f"{len(missing):,} of {len(groups):,} cells are of groups that are no row of pb, first "
            f"{missing.iloc[0]!r}; they get NaN."
        )


def _check_shared_genes(genes: pd.Index, predicted: pd.Index) -> None:
    n_shared = int(genes.isin(predicted).sum())
    if not n_shared:
        raise InputError(
            f"no gene of the cells is in pb: cells have {first(genes)}, pb has {first(predicted)}. "
            "Name genes the same way in both (names or ids)."
        )
    if n_shared < len(genes) / 2:
        warn(f"{n_shared:,} of {len(genes):,} genes of the cells are in pb; the others get NaN.")


def _carried(rows: pd.DataFrame, groups: pd.Series, columns: pd.Index, attribute: str) -> Any:
    """Values of each cell's row: an array, or a table where the columns are genes that were asked for."""
    if attribute == "layers":
        rows = rows.reindex(columns=columns)
    at = rows.index.get_indexer(groups)
    values = rows.to_numpy(dtype=np.float32)[at]
    values[at < 0] = np.nan
    named = attribute == "obsm" and not isinstance(rows.columns, pd.RangeIndex)
    return pd.DataFrame(values, groups.index, rows.columns) if named else values


def _carry_record(cells: MuData, pb: MuData, slots: _keys.Slots, groupby: list[str]) -> None:
    """Provenance of ``pb``, without the tables that speak of rows."""
    record = {key: value for key, value in pb.uns.get(slots.record, {}).items() if key not in OF_ROWS}
    record = {"scget_version": scget_version(), **record}
    cells.uns[slots.record] = {**copying.deepcopy(record), "groupby": groupby}
    if _keys.RNA in cells.mod and _keys.RNA in pb.mod and slots.record in pb[_keys.RNA].uns:
        cells[_keys.RNA].uns[slots.record] = copying.deepcopy(pb[_keys.RNA].uns[slots.record])
