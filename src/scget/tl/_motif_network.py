"""Which motifs are upstream of which, written into the MuData."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scget import _keys
from scget._errors import InputError, first
from scget.pp._checks import check_writable

from ._motif_effects import MotifEffects
from ._ppi import check_ppi, tfs_of, with_ppi
from ._slots import check_free, with_categories

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def motif_network(
    mdata: MuData,
    *,
    row: str,
    n_draws: int = 20,
    draw_genes: int = 4000,
    seed: int = 0,
    estimator: Any | None = None,
    ppi: pd.DataFrame | None = None,
    cache: str | PathLike[str] | None = None,
    key_added: str = "get",
    copy: bool = False,
) -> MuData | None:
    r"""Find a causal graph of motifs in their attributions to genes and write its edges into a MuData.

    Genes are samples, motifs are variables: ``z_i = sum over motifs j upstream of i of weight_ij z_j + e_i``, with z the
    standardised columns of ``rna.varm["get_motif_<row>"]`` and e independent and not Gaussian (LiNGAM, Shimizu et al. 2006;
    of motif attributions: Fu et al. 2025). That decides directions too. Motifs are put in causal order as in DirectLiNGAM
    (Shimizu et al. 2011), with first-order likelihood ratios of pairs (Hyvarinen and Smith 2013); weights are those of
    least squares on all motifs upstream, where ``t^2 > log n + 2 log m`` for n genes and m motifs (extended BIC).
    "Upstream" is of what the model reads from regions: a claim about the model, and under the assumptions above, not a
    measured effect of one factor on another.

    Parameters
    ----------
    mdata
        After ``scget.tl.attribute``. No model is needed.
    row
        Name of the row whose attributions are read.
    n_draws
        Bootstrap draws, of genes with replacement; 0: none.
    draw_genes
        Genes in a draw, if there are as many. More than motifs are needed, ten times as many do well.
    seed
        Of the draws; each draw has random numbers of its own.
    estimator
        In the place of the above, what has ``fit(genes x motifs)`` and then ``adjacency_matrix_``, entry ``[i, j]`` being
        the edge from j to i: an estimator of the ``lingam`` package, such as ``lingam.DirectLiNGAM()``.
    ppi
        Table of tf_a, tf_b and perhaps score of interacting proteins, by gene symbol; see the columns below.
    cache
        Folder in which each finished draw is kept, so that a killed run goes on where it was.
    key_added
        First part of the names read and written.
    copy
        Return a changed copy and leave ``mdata`` as it is.

    Returns
    -------
    None, or the copy. Written, in the place of earlier ones of this row: ``mdata.uns["get"]["motif_network"]``, strongest
    first: row, source, target, weight (standard deviations of the target per one of the source), frequency and reverse
    (shares of draws with this edge, and with that from target to source; NaN without draws) and sign. With ``ppi`` also ppi
    (greatest score of a factor of the one motif with one of the other by ``atac.uns["motif_tfs"]``, NaN where none is
    known) and ppi_tfs. Motifs with the same attribution to all genes, or a sum of other motifs', are left out:
    ``mdata.uns["get"]["motif_network_left_out"]``, row, motif, why. Genes without attributions are left out.

    Raises
    ------
    InputError
        If the row has no attributions, or not more genes than motifs.

    Examples
    --------
    >>> scget.tl.attribute(pb, model, rows=["Mono"])
    >>> scget.tl.motif_network(pb, row="Mono", n_draws=5)
    >>> pb.uns["get"]["motif_network"].columns.tolist()
    ['row', 'source', 'target', 'weight', 'frequency', 'reverse', 'sign']
    """
    from scget.model._motif_network import network_edges

    slots = _keys.Slots(key_added)
    check_free(mdata, slots)
    effects = _attributions(mdata, slots, row)
    _check(mdata, slots, n_draws, draw_genes, seed)
    if ppi is not None:
        check_ppi(ppi)
    if not copy:
        check_writable(mdata, *mdata.mod)
    found = network_edges(effects, n_draws=n_draws, draw_genes=draw_genes, seed=seed, estimator=estimator, cache=cache)
    edges, left_out = (table.assign(row=row) for table in found)
    edges = edges[["row", *edges.columns.drop("row")]]
    if ppi is not None:
        edges = with_ppi(edges, ("source", "target"), ppi, tfs_of(mdata))
    mdata = mdata.copy() if copy else mdata
    record = mdata.uns[slots.record]
    record["motif_network"] = _beside(record.get("motif_network"), edges, ["row", "source", "target", "sign"])
    left_out = left_out[["row", "motif", "why"]]
    record["motif_network_left_out"] = _beside(record.get("motif_network_left_out"), left_out, ["row", "motif", "why"])
    return mdata if copy else None


def _check(mdata: MuData, slots: _keys.Slots, n_draws: Any, draw_genes: Any, seed: Any) -> None:
    """Refuse odd numbers, and data without the record of what was attributed."""
    from scget.model._choices import check_seed

    check_seed(seed)
    whole = all(isinstance(n, int | np.integer) for n in (n_draws, draw_genes))
    if not whole or n_draws < 0 or draw_genes < 1:
        raise InputError(f"n_draws={n_draws}, draw_genes={draw_genes}: whole numbers, at least 0 and 1 are needed")
    if slots.record not in mdata.uns:
        raise InputError(
            f"mdata.uns[{slots.record!r}], which scget.tl.attribute(mdata, model) writes, is missing; run it"
        )


def _attributions(mdata: MuData, slots: _keys.Slots, row: str) -> pd.DataFrame:
    """Genes x motifs of the row."""
    name = slots.motif_attribution(str(row))
    for modality, adata in mdata.mod.items():
        if name in adata.varm:
            effects = MotifEffects.of(mdata, slots.key, modality)
            effects.asked([row])
            return pd.DataFrame(adata.varm[name], adata.var_names.astype(str), effects.motifs)
    have = [key.removeprefix(slots.motif_attribution("")) for key in _varm_keys(mdata, slots)]
    raise InputError(
        f"no attributions of row {row!r} (there are those of {first(have) or 'none'}); run scget.tl.attribute(mdata, model, "
        f"rows=[{row!r}]) first"
    )


def _varm_keys(mdata: MuData, slots: _keys.Slots) -> list[str]:
    adatas: list[AnnData] = list(mdata.mod.values())
    return [key for adata in adatas for key in adata.varm if key.startswith(slots.motif_attribution(""))]


def _beside(earlier: Any, lines: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Lines of this row, after those of other rows that were there."""
    if earlier is not None and set(earlier["row"].astype(str)) - set(lines["row"]):
        others = earlier[~earlier["row"].astype(str).isin(set(lines["row"]))]
        text = {name: others[name].astype(str) for name in names}
        lines = pd.concat([others.assign(**text), lines], ignore_index=True)
    return with_categories(lines, names)
