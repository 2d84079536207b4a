"""A screen of the model: what its prediction of a gene is with each region around it changed."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

from scget.model._screen import screen_genes

if TYPE_CHECKING:
    import pandas as pd
    from mudata import MuData

    from scget.model import GET, Ensemble


def screen(
    mdata: MuData,
    model: GET | Ensemble,
    *,
    genes: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
    kind: str = "delete",
    reach: int = 1_000_000,
    batch_size: int = 64,
    cache: str | PathLike[str] | None = None,
) -> pd.DataFrame:
    """Predict what each region around a gene does, by changing one after the other: a CRISPRi screen of the model.

    The effect is the difference of :func:`scget.tl.perturb`; genes that share a window share its computation.

    Parameters
    ----------
    mdata
        Rows x (regions, genes), or ATAC alone; it is not changed.
    model
        Trained or loaded; or an ensemble, whose members' predictions are averaged.
    genes, rows
        Names. None: all genes with a promoter region, all rows.
    kind
        ``"delete"``, ``"inactivate"`` or ``"open"``, see :class:`Change`.
    reach
        Regions whose centre is at most so many bp from that of a promoter region of the gene are screened.
    batch_size
        Changed windows at a time; does not change the result.
    cache
        Folder where parts of the answer are kept as they are made, so that a killed run goes on when called again in the
        same way; it may be deleted afterwards.

    Returns
    -------
    Table of region, gene, row, distance (bp from the centre of the gene's nearest promoter region, negative upstream) and
    effect (difference in log10(CPM + 1): negative where the region raises expression), every region within reach once per
    row and gene. 0 exactly: the prediction does not see the region, as it is closed or outside of the gene's windows.

    Raises
    ------
    InputError
        If a row, gene or kind is unknown, or ``reach`` is negative.

    Examples
    --------
    >>> found = scget.tl.screen(pb, model, genes=["GATA1"], rows=["Mono"], reach=50_000)
    >>> found.columns.tolist(), bool(found["distance"].abs().max() <= 50_000)
    (['region', 'gene', 'row', 'distance', 'effect'], True)
    """
    return screen_genes(model, mdata, genes, rows, reach=reach, kind=kind, batch_size=batch_size, cache=cache)
