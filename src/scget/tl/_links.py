"""Scores of enhancers and genes, written into the MuData."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

from scget import _keys

from ._record import write_record
from ._slots import with_categories, writable

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from mudata import MuData

    from scget.model import GET, Ensemble


def links(
    mdata: MuData,
    model: GET | Ensemble,
    *,
    genes: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
    score: Literal["published", "gradient", "deletion"] = "gradient",
    contact: str | PathLike[str] | Callable[[np.ndarray], Any] | pd.DataFrame | None = "power_law",
    max_distance: int = 1_000_000,
    top: int | None = None,
    key_added: str = "get",
    batch_size: int = 32,
    cache: str | PathLike[str] | None = None,
    copy: bool = False,
) -> MuData | None:
    r"""Score regions as enhancers of genes and write the table into a MuData.

    Candidates are the regions of the windows from which a gene is predicted and, where the model has gene activity, those
    within 100 kb of its promoters. With p the gene's prediction, averaged over promoters, and r a region, each score is
    divided by its sum over the candidates of the gene in the row:

    - ``"gradient"``: what r's being more or less open than in the mean training row adds to p, absolute
      (:class:`scget.model.Attribution`). It asks for what differs in the row.
    - ``"deletion"``: p less p without r, absolute: in the network r is hidden and has no features; gene activity is that
      with r closed. It asks for what holds p up in the row. One forward pass per region of a window.
    - ``"published"`` (Fu et al. 2025): ``norm * a + a * contact``, with ``norm`` the Euclidean norm of p's gradient at the
      embedding of r, which the first layer makes of its features, and ``a`` the accessibility of r, 1 in a typical open
      region; norms of several promoters are added. Gene activity does not pass through the embedding and has no part.

    Parameters
    ----------
    mdata
        Rows x regions.
    model
        Trained or loaded; or an ensemble, over whose members effects are averaged before they become scores.
    genes, rows
        Names. None: all genes with a promoter region, all rows.
    score
        See above.
    contact
        How often region and promoter meet, part of ``"published"`` only. ``"power_law"``: ``exp(5.9595 - 1.0242 ln(d +
        1))`` of the distance d in bp, at least 5 kb, as published for K562. Or the path of a cooler file, whose balanced
        contacts are read if it has weights; a function of an array of distances in bp; a table of gene, region
        (``chr1:100-200``) and contact, with 0 for pairs that it lacks; or None, for 0.
    max_distance
        bp between centres of region and promoter region up to which a region is a candidate.
    top
        Regions kept per row and gene, those of highest score. None: all.
    key_added
        First part of the names written.
    batch_size
        Genes, and windows, at a time; does not change the result.
    cache
        Folder where parts of the answer are kept as they are made, so that a killed run goes on when called again in the
        same way; it may be deleted afterwards.
    copy
        Return a changed copy and leave ``mdata`` as it is.

    Returns
    -------
    None, or the copy. Written: ``mdata.uns["get"]["links"]``, in the place of earlier ones: row, gene, region, chrom, start
    and end (0-based, half-open), distance (bp from the nearest promoter region's centre, negative upstream), score (share,
    0 to 1), signed (log10(CPM + 1); positive raises expression; of ``"published"``: gradient x departure from the mean
    training row) and contact. How it was done stands in ``mdata.uns["get"]["linked"]``.

    Raises
    ------
    InputError
        If a gene has no promoter region, a name or choice is unknown, or contacts are missing or below 0.
    ImportError
        If cooler is needed and missing.

    Examples
    --------
    >>> scget.tl.links(pb, model, genes=["GATA1", "MYC"], rows=["Mono"], score="deletion")
    >>> pb.uns["get"]["links"].groupby("gene", observed=True)["score"].sum().round(6).tolist()
    [1.0, 1.0]
    """
    slots = _keys.Slots(key_added)
    mdata = writable(mdata, model, slots, copy)
    how: dict[str, Any] = {"score": score, "max_distance": max_distance}
    found = model.links(
        mdata, genes=genes, rows=rows, contact=contact, top=top, batch_size=batch_size, cache=cache, **how
    )
    record = write_record(mdata, model, slots)
    record["links"] = with_categories(found, ("row", "gene", "region", "chrom"))
    record["linked"] = {**how, "contact": str(contact) if isinstance(contact, str | PathLike) else _kind(contact)}
    return mdata if copy else None


def _kind(contact: Any) -> str:
    return "none" if contact is None else "function" if callable(contact) else "table"
