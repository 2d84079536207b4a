"""What predictions would be if chromatin were otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING

from scget import _keys
from scget.model._changes import Change
from scget.model._perturb import perturb_genes

from ._record import provenance

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from scget.model import GET, Ensemble


def perturb(
    mdata: MuData,
    model: GET | Ensemble,
    changes: Mapping[str, Change | Sequence[Change]] | pd.DataFrame,
    *,
    genes: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
    batch_size: int = 64,
    cache: str | PathLike[str] | None = None,
) -> AnnData:
    """Predict how expression changes when regions are deleted, silenced or opened, or motifs knocked out or raised.

    ``difference = max(x + change, 0) - max(x, 0)``, with x the prediction before its bound at 0 and change the sum of two
    parts, averaged over the gene's promoters as predictions are: the network's output for the changed features less
    that for the features as they are; and, where gene activity is part of predictions, its share times the gene's spread times the
    slope times the change of accessibility around the promoter, weighted by exp(-distance / 20 kb). Each window keeps
    the regions of the unchanged prediction; one that no change reaches is not computed, and the difference there is 0.
    What is missed in similar rows (``baseline="similar_rows"``) is held fixed.

    A region's accessibility and its fold over the training mean change together; further channels stay. A deleted
    region is hidden from all others and leaves their sums over neighbours. A gene that starts in it is still read there,
    from a promoter that is closed and has no motifs. A closed region that is opened joins the windows within which it
    lies. Inactivation is the published perturbation (Fu et al. 2025); deletion, motifs and doses are not in it.

    Parameters
    ----------
    mdata
        Rows x (regions, genes), or ATAC alone; it is not changed.
    model
        Trained or loaded; or an ensemble, whose members' predictions are averaged.
    changes
        Name of each perturbation to a :class:`Change`, or to several made at once, one after the other, deletions last.
        Or a table with columns perturbation and kind, and any of regions, motifs, tfs and value, a change per line; lines
        of one perturbation are made at once.
    genes, rows
        Names. None: all genes with a promoter region, all rows.
    batch_size
        Windows at a time; does not change the result.
    cache
        Folder where parts of the answer are kept as they are made, so that a killed run goes on when called again in the
        same way; it may be deleted afterwards.

    Returns
    -------
    (Perturbations x rows) x genes. ``X``: difference in log10(CPM + 1); ``layers["predicted"]`` and ``["reference"]``: with
    and without the change. ``obs``: perturbation, row, kind, target, value (NaN for several changes), n_regions (that are
    changed, or all); names are ``<perturbation> in <row>``. ``uns["get"]``: as beside predictions; ``uns["log1p"]``: the
    base of the logarithm, for scanpy. A gene none of whose promoters a row shows (preset ``"compat"``) has difference 0
    and NaN in the layers.

    Raises
    ------
    InputError
        If there is no perturbation, a region, motif, TF, row or gene is unknown, or an interval overlaps no region.

    Examples
    --------
    >>> Change = scget.tl.Change
    >>> changes = {f"A x {dose}": Change("dose", motifs="A", value=dose) for dose in (0, 0.5, 2)}
    >>> changes["both"] = [Change("delete", "chr1:0-100000"), Change("knockout", motifs=["A", "C"])]
    >>> scget.tl.perturb(pb, model, changes, genes=["GATA1", "MYC"], rows=["Mono"]).obs_names.tolist()
    ['A x 0 in Mono', 'A x 0.5 in Mono', 'A x 2 in Mono', 'both in Mono']
    """
    found = perturb_genes(model, mdata, changes, genes, rows, batch_size=batch_size, cache=cache)
    found.uns[_keys.Slots().record] = provenance(mdata, model)
    found.uns[_keys.LOG1P] = {"base": 10}
    return found
