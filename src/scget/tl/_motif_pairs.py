"""Motifs that act together, written into the MuData."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

from scget import _keys

from ._ppi import check_ppi, tfs_of, with_ppi
from ._record import write_record
from ._slots import with_categories, writable

if TYPE_CHECKING:
    import pandas as pd
    from mudata import MuData

    from scget.model import GET, Ensemble


def motif_pairs(
    mdata: MuData,
    model: GET | Ensemble,
    *,
    motifs: Sequence[str] | None = None,
    genes: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
    method: Literal["slopes", "difference"] = "slopes",
    n_genes: int = 200,
    seed: int = 0,
    ppi: pd.DataFrame | None = None,
    key_added: str = "get",
    batch_size: int = 32,
    cache: str | PathLike[str] | None = None,
    copy: bool = False,
) -> MuData | None:
    """Measure how much more two motifs in one region do together than each alone and write it into a MuData.

    With p(x) the network's part of a gene's prediction, averaged over its promoters, and S the regions of its window that
    hold both motifs, their interaction is the second difference

        p(x) - p(x without a in S) - p(x without b in S) + p(x without both in S),    log10(CPM + 1)

    which is 0 where the two add up. ``method="difference"`` computes it with three forward passes per pair; ``"slopes"``,
    with one backward pass per motif, takes the effect of a to first order: ``sum over S of x_a (dp/dx_a at x less dp/dx_a
    at x without b)``, and the mean of that and of a and b exchanged. Both are the same where p is a sum of products of motifs.
    What two motifs do from different regions is left out. Gene activity knows no motifs and has no part.

    Parameters
    ----------
    mdata
        Rows x regions.
    model
        Trained or loaded; or an ensemble, over whose members interactions are averaged.
    motifs
        Names; all pairs of them are measured. None: all.
    genes
        Names. None: ``n_genes`` genes with a promoter, drawn by ``seed``.
    rows
        Names. None: all.
    method
        See above.
    n_genes, seed
        See ``genes``.
    ppi
        Table of tf_a, tf_b and perhaps score of interacting proteins, as in :func:`scget.tl.motif_network`.
    key_added
        First part of the names written.
    batch_size
        Genes at a time; does not change the result.
    cache
        Folder where parts of the answer are kept as they are made, so that a killed run goes on when called again in the
        same way; it may be deleted afterwards.
    copy
        Return a changed copy and leave ``mdata`` as it is.

    Returns
    -------
    None, or the copy. Written: ``mdata.uns["get"]["motif_pairs"]``, in the place of earlier ones, by row, strongest first: row,
    motif_a, motif_b, mean and rms (over genes, of the interaction; log10(CPM + 1)), n_genes (that have both motifs in
    a region of their windows) and regions (with both, in a gene's window, mean over genes), with ``ppi`` also ppi and ppi_tfs.
    A model of departures from the training mean turns the sign of an interaction where regions are less open than on
    average, so rank pairs by rms, and read the sign of mean in rows in which the factors are active.

    Raises
    ------
    InputError
        If fewer than 2 motifs are asked, a name is unknown, or pairs x genes are too many to hold.

    Examples
    --------
    >>> scget.tl.motif_pairs(pb, model, rows=["Mono"], n_genes=5)
    >>> pb.uns["get"]["motif_pairs"].columns.tolist()
    ['row', 'motif_a', 'motif_b', 'mean', 'rms', 'n_genes', 'regions']
    """
    from scget.model._motif_pairs import motif_pair_effects

    slots = _keys.Slots(key_added)
    if ppi is not None:
        check_ppi(ppi)
    mdata = writable(mdata, model, slots, copy)
    how: dict[str, Any] = {"method": method, "n_genes": n_genes, "seed": seed}
    pairs = motif_pair_effects(
        model, mdata, motifs=motifs, genes=genes, rows=rows, batch_size=batch_size, cache=cache, **how
    )
    if ppi is not None:
        pairs = with_ppi(pairs, ("motif_a", "motif_b"), ppi, tfs_of(mdata))
    record = write_record(mdata, model, slots)
    record["motif_pairs"] = with_categories(pairs, ("row", "motif_a", "motif_b"))
    record["paired"] = {**how, "genes": "drawn" if genes is None else [str(gene) for gene in genes]}
    return mdata if copy else None
