"""Coordinates written into a MuData: regions sorted, shifted, or on chromosomes of other names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scget import _keys as keys
from scget._errors import InputError, first
from scget.pp._checks import check_writable, get_modality
from scget.pp._regions import (
    Regions,
    are_names,
    check_coordinates,
    find_columns,
    name_columns,
    parse_regions,
    regions_of,
    sort_order,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

# Chromosomes of animals, plants and yeast; contigs have other names in each database, which no rule translates.
_CHROMOSOME = re.compile(r"[0-9]{1,2}[A-Za-z]?|[IVX]+|[WXYZ]")


def sort_regions(mdata: MuData, *, one_based: bool = False, copy: bool = False) -> MuData | None:
    """Sort the regions of the ATAC modality by chromosome and position.

    ``X``, layers, ``varm``, ``varp`` and ``var`` of ``mdata["atac"]`` are reordered together, and the coordinates are
    written to ``var[["chrom", "start", "end"]]``. Names and everything that refers to regions by name stay as they are,
    unless ``one_based``. Sorting is for people: scget itself takes regions in any order and answers in that order.

    Parameters
    ----------
    mdata
        Holds ``atac`` with coordinates in ``var`` or in ``var_names``.
    one_based
        The coordinates are 1-based and include their end, as those of ArchR and of R's GRanges: all starts are
        lowered by one, names that are coordinates are rewritten, and ``atac.uns["one_based"]`` is False from then on,
        so that this is done once only; before motif scores and promoters are made. (ArchR's regions of 501 bp seem to
        be 500 bp long if read as 0-based.)
    copy
        Return a sorted copy instead of changing ``mdata``.

    Returns
    -------
    None, or the changed copy.

    Raises
    ------
    InputError
        If the regions cannot be read (see the message), ``mdata`` is a view or backed, or with ``one_based`` if a region
        starts at 0, the shift is done already, or motif scores or promoters are there already.

    Examples
    --------
    >>> scget.pp.sort_regions(pb)
    >>> pb["atac"].var["chrom"].unique().tolist()
    ['chr1', 'chr2', 'chr10']
    """
    atac = get_modality(mdata, keys.ATAC, "accessibility")
    regions = regions_of(atac, one_based=one_based)
    if one_based:
        _check_may_shift(atac)
    if not copy:
        check_writable(mdata, keys.ATAC)
    mdata = mdata.copy() if copy else mdata
    atac = mdata[keys.ATAC]
    order = sort_order(regions)
    if one_based:
        _write(atac, regions_of(atac), regions)
        atac.uns[keys.ONE_BASED] = False
    moved = not np.array_equal(order, np.arange(len(order)))
    if moved:
        atac._inplace_subset_var(order)
    _write_columns(atac.var, regions[order])
    if moved or one_based:
        mdata.update_var()
    return mdata if copy else None


def rename_chromosomes(mdata: MuData, to: str | Mapping[str, str], *, copy: bool = False) -> MuData | None:
    """Name the chromosomes of the ATAC modality as a genome or annotation does.

    Changed together are ``var[["chrom", "start", "end"]]``, those ``var_names`` that are coordinates, columns of such
    names (``interval``), and the regions in the table of promoters. Motif scores stay valid. Answers of a model that
    are there already keep the old names.

    Parameters
    ----------
    mdata
        Holds ``atac`` with coordinates in ``var`` or in ``var_names``.
    to
        ``"ucsc"``: ``1`` becomes ``chr1``, ``MT`` becomes ``chrM``. ``"ensembl"``: the other way round. Both leave
        contigs as they are. Or a mapping from old to new names; chromosomes that are not in it stay.
    copy
        Return a changed copy instead of changing ``mdata``.

    Returns
    -------
    None, or the changed copy.

    Raises
    ------
    InputError
        If ``to`` is none of these, no chromosome is in the mapping, or two regions would become one.

    Examples
    --------
    >>> renamed = scget.pp.rename_chromosomes(pb, to="ensembl", copy=True)
    >>> renamed["atac"].var["chrom"].unique().tolist()
    ['1', '2', '10']
    """
    atac = get_modality(mdata, keys.ATAC, "accessibility")
    regions = regions_of(atac)
    new_name = _new_names(pd.unique(regions.chrom).tolist(), to)
    renamed = Regions(np.array([new_name[c] for c in regions.chrom], dtype=object), regions.start, regions.end)
    check_coordinates(renamed)
    table = _renamed_table(atac.uns.get(keys.PEAK_ANNOTATION), to)
    if not copy:
        check_writable(mdata, keys.ATAC)
    mdata = mdata.copy() if copy else mdata
    atac = mdata[keys.ATAC]
    _write(atac, regions, renamed)
    if table is not None:
        atac.uns[keys.PEAK_ANNOTATION] = table
    mdata.update_var()
    return mdata if copy else None


def _renamed_table(table: object, to: str | Mapping[str, str]) -> pd.DataFrame | None:
    """The table of promoters with regions of the new names; None where there is none."""
    if not isinstance(table, pd.DataFrame) or "region" not in table:
        return None
    regions = parse_regions(table["region"])  # may name regions that have been removed since
    new_name = _new_names(pd.unique(regions.chrom).tolist(), to, some=False)
    chrom = np.array([new_name[c] for c in regions.chrom], dtype=object)
    return table.assign(region=Regions(chrom, regions.start, regions.end).names)


def _new_names(chroms: list[str], to: str | Mapping[str, str], *, some: bool = True) -> dict[str, str]:
    """New name of each of ``chroms``; ``some`` of which must be in a mapping."""
    if isinstance(to, Mapping):
        nameless = [str(old) for old, new in to.items() if pd.isna(new) or not str(new).strip()]
        if nameless:
            raise InputError(f"the mapping has no new name for {first(nameless)}. Give one, or leave them out.")
        known = {str(old): str(new) for old, new in to.items()}
        if some and not known.keys() & set(chroms):
            raise InputError(
                f"none of the chromosomes {first(chroms)} is in the mapping, which has {first(known) or 'none'}. "
                "Map old names to new ones."
            )
        return {chrom: known.get(chrom, chrom) for chrom in chroms}
    if to not in ("ucsc", "ensembl"):
        raise InputError(f"to={to!r}: 'ucsc', 'ensembl' or a mapping from old to new names is needed.")
    return {chrom: ucsc_name(chrom) if to == "ucsc" else ensembl_name(chrom) for chrom in chroms}


def ucsc_name(chrom: str) -> str:
    """UCSC's name of a chromosome that may be named by Ensembl; contigs stay.

    Examples
    --------
    >>> [ucsc_name(c) for c in ("1", "MT", "chrX", "2L", "GL000194.1")]
    ['chr1', 'chrM', 'chrX', 'chr2L', 'GL000194.1']
    """
    if chrom in ("MT", "M"):
        return "chrM"
    return f"chr{chrom}" if _CHROMOSOME.fullmatch(chrom) else chrom


def ensembl_name(chrom: str) -> str:
    """Ensembl's name of a chromosome that may be named by UCSC; contigs stay.

    Examples
    --------
    >>> [ensembl_name(c) for c in ("chr1", "chrM", "X", "chrUn_GL000195v1")]
    ['1', 'MT', 'X', 'chrUn_GL000195v1']
    """
    bare = chrom.removeprefix("chr")
    if bare in ("M", "MT"):
        return "MT"
    return bare if _CHROMOSOME.fullmatch(bare) else chrom


def _check_may_shift(atac: AnnData) -> None:
    """Refuse to shift regions that have been shifted, or whose sequence or genes have been looked up at the old place."""
    if keys.ONE_BASED in atac.uns:
        raise InputError(
            f"the coordinates have been shifted already, as atac.uns[{keys.ONE_BASED!r}] tells. Leave out one_based=True, or "
            f"del mdata['atac'].uns[{keys.ONE_BASED!r}] if the regions have been replaced by 1-based ones since."
        )
    made = [f"atac.varm[{keys.MOTIF_SCORES!r}]"] if keys.MOTIF_SCORES in atac.varm else []
    made += [f"atac.uns[{keys.PEAK_ANNOTATION!r}]"] if keys.PEAK_ANNOTATION in atac.uns else []
    if made:
        raise InputError(
            f"{' and '.join(made)} belong to the coordinates as they were. Remove them, such as "
            f'del mdata["atac"].{made[0].removeprefix("atac.")}, and make them again after one_based=True.'
        )


def _write(atac: AnnData, old: Regions, new: Regions) -> None:
    """Write coordinates, to names where these are coordinates and to all columns that hold the old ones."""
    named = are_names(atac.var_names)
    if named.any():
        atac.var_names = pd.Index(np.where(named, new.names, np.asarray(atac.var_names, dtype=object)), dtype=object)
    for column in name_columns(atac.var):
        if np.array_equal(parse_regions(atac.var[column]).names, old.names):
            atac.var[column] = new.names
    _write_columns(atac.var, new)


def _write_columns(var: pd.DataFrame, regions: Regions) -> None:
    """Write coordinates to the columns they are read from and to those of scget."""
    values = (regions.chrom, regions.start, regions.end)
    for columns in (*find_columns(var), keys.REGION_COLUMNS):
        for column, value in zip(columns, values, strict=True):
            var[column] = value
