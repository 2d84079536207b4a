"""Coordinates written into a MuData: regions sorted, or named anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scget import _keys as keys
from scget.pp._checks import check_writable, get_modality
from scget.pp._regions import regions_of, sort_order

if TYPE_CHECKING:
    from mudata import MuData


def sort_regions(mdata: MuData, *, copy: bool = False) -> MuData | None:
    """Sort the regions of the ATAC modality by chromosome and position.

    ``X``, layers, ``varm``, ``varp`` and ``var`` of ``mdata["atac"]`` are reordered together, and the coordinates are
    written to ``var[["chrom", "start", "end"]]``. Names and everything that refers to regions by name stay as they are.

    Parameters
    ----------
    mdata
        Holds ``atac`` with coordinates in ``var`` or in ``var_names``.
    copy
        Return a sorted copy instead of changing ``mdata``.

    Returns
    -------
    None, or the changed copy.

    Raises
    ------
    InputError
        If the regions cannot be read (see the message), or ``mdata`` is a view or backed.

    Examples
    --------
    >>> scget.pp.sort_regions(mdata)  # doctest: +SKIP
    >>> mdata["atac"].var[["chrom", "start", "end"]]  # doctest: +SKIP
    """
    regions = regions_of(get_modality(mdata, keys.ATAC, "accessibility"))
    if not copy:
        check_writable(mdata, keys.ATAC)
    mdata = mdata.copy() if copy else mdata
    atac = mdata[keys.ATAC]
    order = sort_order(regions)
    if not np.array_equal(order, np.arange(len(order))):
        atac._inplace_subset_var(order)
        mdata.update_var()
    ordered = regions[order]
    for column, values in zip(keys.REGION_COLUMNS, (ordered.chrom, ordered.start, ordered.end), strict=True):
        atac.var[column] = values
    return mdata if copy else None
