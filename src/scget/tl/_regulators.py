"""Which transcription factors drive a row or a list of genes, written into the MuData."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from scget import _keys
from scget._errors import InputError
from scget.model._motif_null import false_discovery_rates
from scget.pp._checks import check_writable, get_modality

from ._factors import MIN_EXPRESSION, expression_of, factors_of
from ._motif_effects import MotifEffects, batches, gene_sets_of, means, members, rank_sum_z
from ._slots import with_categories

if TYPE_CHECKING:
    from mudata import MuData

COLUMNS = ["row", "gene_set", "n_genes", "motif", "tf", "effect", "specific", "apart"]
COLUMNS += ["z", "fdr", "predicted", "observed", "expressed", "rank"]


def regulators(
    mdata: MuData,
    *,
    gene_sets: Mapping[str, Sequence[str]] | Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
    min_expression: float = MIN_EXPRESSION,
    rna_layer: str | None = None,
    key: str = "get",
    atac: str = _keys.ATAC,
    rna: str = _keys.RNA,
    copy: bool = False,
) -> MuData | None:
    r"""Tell which transcription factors drive a row or a list of genes, from motif attributions and factors' expression.

    With :math:`A_{kgm}` the attribution of gene g to motif cluster m in row k (``tl.attribute``), :math:`D_{kgm}` the same
    less its mean over the rows in which g is attributed, and G the genes of a set that are attributed in k, ::

        effect_km   = mean over g in G of A_kgm
        specific_km = mean over g in G of D_kgm
        apart_km    = mean over g in G of |D_kgm|

    ``effect`` also holds what a motif does in every row. ``specific`` is what sets this row apart, and ``apart`` the same
    without the sign: it also finds a motif that raises some genes and lowers others.

    A cluster is a motif that several factors bind, and its effect is that of those that are there: each line carries the
    factor's own expression and its rank among the factors of the cluster. Which of those expressed acts is not known.

    Parameters
    ----------
    mdata
        After ``scget.tl.attribute``, in the same way for all rows; the more genes and rows, the more there is to compare
        with. No model is needed.
    gene_sets
        A list of genes, such as markers; or lists by name; or None for all genes attributed. Names or symbols, in any
        case; genes that are not attributed are left out (``n_genes`` counts those that are).
    rows
        Names. None: all rows attributed. What ``specific`` compares with is always all rows attributed.
    min_expression
        log10(CPM + 1) from which a factor is taken as expressed. The default, 4 CPM, is for rows of many cells.
    rna_layer
        Layer of ``rna`` with raw counts; None for ``X``.
    key
        ``key_added`` of the attribution.
    atac, rna
        Names of the modalities.
    copy
        Return a changed copy and leave ``mdata`` as it is.

    Returns
    -------
    None, or the copy. Written: ``mdata.uns["get"]["regulators"]``, a line per row, gene set, motif cluster and factor,
    of a row and set those of greatest absolute ``specific`` (or else ``effect``) first:

    - row, gene_set ("all genes", "gene set", or its name), n_genes, motif (cluster), tf (missing: none is known);
    - effect, specific (signed) and apart: log10(CPM + 1) per gene; the last two are NaN where a single row is attributed;
    - z: of the rank-sum test (Wilcoxon 1945, normal with ties) of D of the set against D of the other genes attributed in
      the row, or of A where a single row is; positive: the motif raises the set more, or lowers it less, than others;
    - fdr: Benjamini and Hochberg's, two-sided, over the sets and motifs of the row;
    - predicted, observed: the factor's own expression, log10(CPM + 1), NaN where unknown (where several genes share its
      symbol, the highest); expressed: whether observed, or else predicted, reaches ``min_expression`` (missing: unknown);
      rank: among the cluster's factors by the same, 1 the most expressed.

    How it was done stands in ``mdata.uns["get"]["regulated"]``.

    Notes
    -----
    The test takes genes as independent. Neighbouring genes share their windows, so for a set of neighbours the fdr is too
    low; below about ten genes the normal approximation is rough. It says that the model's attributions differ between set
    and other genes, not that the motif matters: a marker list made from the same data differs by construction. All
    genes have no others to be tested against, and a test of them against 0 would call nearly everything significant:
    there z and fdr are those of shuffled motifs, ``tl.attribute(..., n_shuffles=20)`` (of the mean absolute attribution,
    one-sided, :class:`scget.model.MotifNull`), and NaN without. Attributions made with ``against="Mono"`` are already
    relative to that row, and so is the effect.

    Raises
    ------
    InputError
        If a row is not attributed, a set has no gene that is, or counts are no counts.

    Examples
    --------
    >>> scget.tl.attribute(pb, model)
    >>> scget.tl.regulators(pb, gene_sets={"mine": ["GATA1", "MYC", "G3"]}, rows=["Mono"])
    >>> table = pb.uns["get"]["regulators"]
    >>> table["row"].unique().tolist(), table["gene_set"].unique().tolist(), int(table["n_genes"].iloc[0])
    (['Mono'], ['mine'], 3)
    """
    effects = MotifEffects.of(mdata, key, rna)
    wanted = effects.asked(rows)
    sets = gene_sets_of(effects.rna, gene_sets)
    if not np.isfinite(min_expression):
        raise InputError(f"min_expression={min_expression}: log10(CPM + 1) is needed, 0 for any expression")
    record = mdata.uns.get(key)
    if not isinstance(record, dict) or "scget_version" not in record:
        raise InputError(f"mdata.uns[{key!r}] is not what scget.tl.attribute(mdata, model) writes; run it first")
    if not copy:
        check_writable(mdata, *mdata.mod)
    factors = factors_of(get_modality(mdata, atac, "accessibility"), effects.motifs)
    by_factor = _expressed(mdata, effects, factors, min_expression, rna=rna, rna_layer=rna_layer)
    by_motif = _by_motif(effects, wanted, sets, record.get("motif_null"), whole=gene_sets is None)
    mdata = mdata.copy() if copy else mdata
    table = _joined(by_motif, by_factor, effects.motifs)
    mdata.uns[key]["regulators"] = with_categories(table, ("row", "gene_set", "motif", "tf"))
    how: dict[str, Any] = {"min_expression": float(min_expression), "compared": list(effects.rows)}
    mdata.uns[key]["regulated"] = how
    return mdata if copy else None


def _expressed(
    mdata: MuData,
    effects: MotifEffects,
    factors: pd.DataFrame,
    min_expression: float,
    *,
    rna: str,
    rna_layer: str | None,
) -> pd.DataFrame:
    """Line per attributed row, motif and factor: predicted, observed, expressed and rank."""
    tfs = factors["tf"].dropna().unique()
    found = expression_of(mdata, tfs, rna=rna, rna_layer=rna_layer, layer=effects.slots.expression)
    column_n = pd.Index(tfs).get_indexer(factors["tf"])
    row_k = effects.rna.obs_names.get_indexer(effects.rows)
    lines = pd.concat([factors] * len(effects.rows), ignore_index=True)
    lines.insert(0, "row", np.repeat(np.array(effects.rows, dtype=object), len(factors)))
    for name, values_kt in zip(("predicted", "observed"), found, strict=True):
        padded_kt = np.column_stack([values_kt, np.full(len(values_kt), np.nan)])  # the last: no factor
        lines[name] = padded_kt[np.ix_(row_k, column_n)].ravel()
    known = lines["observed"].fillna(lines["predicted"])
    lines["expressed"] = (known >= min_expression).astype("boolean").mask(known.isna())
    lines["rank"] = known.groupby([lines["row"], lines["motif"]]).rank(method="min", ascending=False)
    return lines


def _by_motif(
    effects: MotifEffects,
    rows: list[str],
    sets: dict[str, np.ndarray],
    null: pd.DataFrame | None,
    *,
    whole: bool,
) -> pd.DataFrame:
    """Line per row, gene set and motif: n_genes, effect, specific, apart, z, fdr."""
    mean_gm, n_g = effects.mean_over_rows()
    lines, n_motifs = [], len(effects.motifs)
    for row, values_gm, known_g in batches(effects, rows):
        member_sg = members(sets, known_g, row)
        made: dict[str, Any] = {"effect": means(member_sg, values_gm)}
        compared_g = known_g & (n_g > 1)
        compared_sg, departs_gm = members(sets, compared_g), values_gm - mean_gm
        made |= {"specific": means(compared_sg, departs_gm), "apart": means(compared_sg, np.abs(departs_gm))}
        if whole:
            made |= _shuffled(null, row, effects.motifs)
        else:
            one = len(effects.rows) == 1
            tested = (member_sg, values_gm, known_g) if one else (compared_sg, departs_gm, compared_g)
            made["z"] = rank_sum_z(*tested)
            made["fdr"] = false_discovery_rates(2 * norm.sf(np.abs(made["z"])))
        here = pd.DataFrame({name: np.ravel(values) for name, values in made.items()})
        here.insert(0, "row", row)
        here.insert(1, "gene_set", np.repeat(np.array(list(sets), dtype=object), n_motifs))
        here.insert(2, "n_genes", np.repeat(np.diff(member_sg.indptr), n_motifs))
        here.insert(3, "motif", np.tile(np.arange(n_motifs), len(sets)))
        lines.append(here)
    return pd.concat(lines, ignore_index=True)


def _shuffled(null: pd.DataFrame | None, row: str, motifs: np.ndarray) -> dict[str, np.ndarray]:
    """Column z and fdr of all genes, from attributions of shuffled motifs."""
    if null is None or not (null["row"] == row).any():
        return {"z": np.full(len(motifs), np.nan), "fdr": np.full(len(motifs), np.nan)}
    mine = null[null["row"] == row].set_index("motif").reindex(motifs)
    return {name: mine[name].to_numpy() for name in ("z", "fdr")}


def _joined(by_motif: pd.DataFrame, by_factor: pd.DataFrame, motifs: np.ndarray) -> pd.DataFrame:
    """By row and set in the order asked; strongest motifs first, and of each the factors by expression."""
    table = by_motif.merge(by_factor, on=["row", "motif"], how="left")
    order = {name: pd.factorize(table[name])[0] for name in ("row", "gene_set")}
    strength = table["specific"].fillna(table["effect"]).abs()
    order |= {"strength": -strength, "motif": table["motif"], "rank": table["rank"].fillna(np.inf)}
    place = pd.DataFrame(order).sort_values(list(order), kind="stable").index
    table = table.loc[place].assign(motif=motifs[table.loc[place, "motif"]])
    return table[COLUMNS].set_axis(pd.RangeIndex(len(table)).astype(str))
