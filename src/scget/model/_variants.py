"""What alleles do to motif scores of regions, and these to predictions."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scget import _keys
from scget._errors import GenomeError, InputError, first
from scget.data import RegionTable
from scget.data._near import check_reach
from scget.data._table import STRAND_CODE
from scget.pp._alleles import Alleles, check_reference
from scget.pp._motif_sets import Clusters, Motifs
from scget.pp._regions import naming_hint
from scget.pp._sequence_scores import SequenceScorer
from scget.pp._variants import VARIANT_COLUMNS, read_variants

from ._edits import Edit, Step
from ._gene_windows import genes_to_explain
from ._kept import Folder
from ._rescore import Rescored, rescore
from ._what_if import effects_of_pairs

if TYPE_CHECKING:
    from mudata import MuData

    from ._ensemble import Ensemble
    from ._get import GET

SCOPES = ("predicted", "closed", "no promoter", "no gene", "region lost", "no region", "no sequence")


class VariantEffects(NamedTuple):
    """What alleles do; :func:`scget.tl.variants` makes it and says what the columns are.

    Parameters
    ----------
    effects
        Table of changes of predicted expression: a line per variant, gene and row, and one per variant out of scope.
    motifs
        Table of changes of motif scores: a line per variant, region and motif cluster that changes.
    """

    effects: pd.DataFrame
    motifs: pd.DataFrame


def variant_effects(
    model: GET | Ensemble,
    mdata: MuData,
    variants: str | PathLike[str] | pd.DataFrame,
    genes: Sequence[str] | None,
    rows: Sequence[str] | None,
    *,
    genome: object,
    motifs: Motifs | None,
    clusters: Clusters | None,
    reach: int,
    batch_size: int,
    cache: Folder = None,
) -> VariantEffects:
    """Tables of what variants do; :func:`scget.tl.variants` says what is in them."""
    check_reach(reach, "the distance from a start of transcription")
    table = model.table(mdata)
    row_k, gene_g = table.row_positions(rows), genes_to_explain(table, genes)
    if not len(row_k) or batch_size < 1:
        raise InputError(f"{len(row_k)} rows and batch_size={batch_size}: at least 1 of each is needed")
    scorer = SequenceScorer(motifs, clusters, table.motif_scan, table.motifs)
    found = read_variants(variants)
    check_reference(genome, found)
    _check_names(table, found)
    alleles = Alleles.of(found)
    v_n, p_n, lost_n = alleles.within(table.regions)
    out_v, kept_n = _out_of_scope(found["spelled"].to_numpy(), v_n, lost_n)
    scores = rescore(table, scorer, genome, alleles, v_n[kept_n], p_n[kept_n])
    atac = mdata[model.registry["setup_args"]["modalities"]["atac_layer"]]
    pairs = _pairs(table, atac.uns[_keys.PEAK_ANNOTATION], alleles, scores, gene_g, reach)
    effect_kn = np.zeros((len(row_k), len(pairs)))
    if len(pairs):
        effect_kn = _effects(model, table, rows, gene_g, scores, pairs, batch_size, cache)
    by_variant = found.assign(region=_joined(table, v_n, p_n, len(found)).where(found["spelled"], None))
    by_variant = by_variant.join(_most_changed(table, scores))
    effects = _lines(table, by_variant, out_v, pairs, row_k, gene_g, effect_kn, _closed(table, scores, pairs, row_k))
    return VariantEffects(effects, _motif_table(table, found, scores))


def _code(scope: str) -> int:
    return SCOPES.index(scope)


def _out_of_scope(spelled_v: np.ndarray, v_n: np.ndarray, lost_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Why variants may have no effect predicted (codes of scopes), and which pairs of variant and region are left."""
    every_v = np.arange(len(spelled_v))
    met_v, lost_v = np.isin(every_v, v_n), np.isin(every_v, v_n[lost_n])
    why_v = [_code(scope) for scope in ("no sequence", "no region", "region lost")]
    return np.select([~spelled_v, ~met_v, lost_v], why_v, _code("no gene")), (spelled_v & ~lost_v)[v_n]


def _check_names(table: RegionTable, found: pd.DataFrame) -> None:
    """Refuse variants and a genome that name chromosomes otherwise than the regions do."""
    theirs, ours = dict.fromkeys(found["chrom"]), table.chroms.tolist()
    hint = "" if theirs.keys() & set(ours) else naming_hint(ours, theirs)
    if hint:
        raise GenomeError(
            f"no variant is on a chromosome of the regions: variants and genome have {first(theirs)}, the regions "
            f"{first(ours)}. All must name chromosomes alike.{hint}"
        )


def _pairs(
    table: RegionTable, promoters: pd.DataFrame, alleles: Alleles, scores: Rescored, gene_g: np.ndarray, reach: int
) -> pd.DataFrame:
    """Variants in scope and genes (place in ``gene_g``) that start within reach, with the distance from the nearest start."""
    region_t = pd.Index(table.regions.names).get_indexer(promoters["region"].astype(str))
    gene_t = pd.Index(table.genes[gene_g].astype(str)).get_indexer(promoters["gene"].astype(str))
    t = np.flatnonzero((region_t >= 0) & (gene_t >= 0))
    tss_t = promoters["tss"].to_numpy(dtype=np.int64)[t]
    sign_t = 1 - 2 * promoters["strand"].astype(str).map(STRAND_CODE).to_numpy()[t]
    variant_n, first_n = np.unique(scores.v_n, return_index=True)
    at_n = alleles.start_v[variant_n]
    apart = max(int(tss_t.max(initial=0)), int(at_n.max(initial=0))) + 2 * reach + 1  # from chromosome to chromosome
    place_t = tss_t + apart * table.chrom_p[region_t[t]]
    place_n = at_n + apart * table.chrom_p[scores.p_n[first_n]]
    order = np.argsort(place_t, kind="stable")
    low_n = np.searchsorted(place_t[order], place_n - reach, "left")
    size_n = np.searchsorted(place_t[order], place_n + reach, "right") - low_n
    n_i = np.repeat(np.arange(len(at_n)), size_n)
    t_i = order[np.arange(size_n.sum()) + np.repeat(low_n - (np.cumsum(size_n) - size_n), size_n)]
    distance_i = (at_n[n_i] - tss_t[t_i]) * sign_t[t_i]
    pairs = pd.DataFrame(
        {"variant": variant_n[n_i], "gene": gene_t[t[t_i]], "distance": distance_i, "far": np.abs(distance_i)}
    )
    pairs = pairs.sort_values(["variant", "gene", "far", "distance"], kind="stable")
    return pairs.drop_duplicates(["variant", "gene"]).drop(columns="far").reset_index(drop=True)


def _effects(
    model: GET | Ensemble,
    table: RegionTable,
    rows: Sequence[str] | None,
    gene_g: np.ndarray,
    scores: Rescored,
    pairs: pd.DataFrame,
    batch_size: int,
    cache: Folder,
) -> np.ndarray:
    """What the variant of each pair adds to the prediction of its gene, rows x pairs."""
    variant_e, edit_n = np.unique(pairs["variant"], return_inverse=True)
    place_h, gene_n = np.unique(pairs["gene"], return_inverse=True)  # other genes need no windows
    low_e, high_e = (np.searchsorted(scores.v_n, variant_e, side) for side in ("left", "right"))
    motif_m, changed_n = np.arange(len(table.motifs)), scores.changed_n
    edits = []
    for low, high in zip(low_e, high_e, strict=True):
        here = low + np.flatnonzero(changed_n[low:high])
        step = Step("rewrite", scores.p_n[here], motif_m, None, scores.after_nm[here])
        edits.append(Edit((step,) if len(here) else ()))
    genes = table.genes[gene_g[place_h]].astype(str).tolist()
    return effects_of_pairs(
        model, table, genes, rows, edits=edits, edit_n=edit_n, gene_n=gene_n, batch_size=batch_size, cache=cache
    )


def _closed(table: RegionTable, scores: Rescored, pairs: pd.DataFrame, row_k: np.ndarray) -> np.ndarray:
    """True where all regions of the pair's variant are closed in the row, rows x pairs."""
    variant_e, e_n = np.unique(scores.v_n, return_inverse=True)
    of_variant_ne = sp.csr_matrix((np.ones(len(e_n)), (np.arange(len(e_n)), e_n)), (len(e_n), len(variant_e)))
    open_ke = (table.counts_kp[np.ix_(row_k, scores.p_n)] > 0).astype(np.float64) @ of_variant_ne
    return (open_ke == 0)[:, np.searchsorted(variant_e, pairs["variant"])]


def _joined(table: RegionTable, v_n: np.ndarray, p_n: np.ndarray, size: int) -> pd.Series:
    """Names of the regions of each variant, those of several joined by ``;``; None: none."""
    names = np.full(size, None, dtype=object)
    for v, name in zip(v_n.tolist(), table.regions.names[p_n].tolist(), strict=True):
        names[v] = name if names[v] is None else f"{names[v]};{name}"
    return pd.Series(names)


def _most_changed(table: RegionTable, scores: Rescored) -> pd.DataFrame:
    """The cluster whose score changes most, and by how much, a line per variant of which any does."""
    change = scores.change_i
    lines = pd.DataFrame({"v": scores.v_n[change.row], "motif": table.motifs[change.col], "change": change.data})
    lines = lines.assign(size=np.abs(change.data)).sort_values(["v", "size", "motif"], ascending=[True, False, True])
    return lines.drop_duplicates("v").set_index("v")[["motif", "change"]]


def _lines(
    table: RegionTable,
    by_variant: pd.DataFrame,
    out_v: np.ndarray,
    pairs: pd.DataFrame,
    row_k: np.ndarray,
    gene_g: np.ndarray,
    effect_kn: np.ndarray,
    closed_kn: np.ndarray,
) -> pd.DataFrame:
    """Lines of variant, gene and row, and one for each variant without a gene, in the order of variants."""
    n_rows, alone = len(row_k), np.setdiff1d(np.arange(len(by_variant)), pairs["variant"])
    scope_kn = np.where(
        np.isnan(effect_kn), _code("no promoter"), np.where(closed_kn, _code("closed"), _code("predicted"))
    )
    none = np.full(len(alone), -1)
    lines = {
        "variant": np.append(np.repeat(pairs["variant"], n_rows), alone),
        "gene": np.append(np.repeat(pairs["gene"], n_rows), none),
        "row": np.append(np.tile(np.arange(n_rows), len(pairs)), none),
        "distance": np.append(np.repeat(pairs["distance"], n_rows), none * np.nan),
        "effect": np.append(effect_kn.T.ravel(), none * np.nan),
        "scope": np.append(scope_kn.T.ravel(), out_v[alone]),
    }
    order = np.argsort(lines["variant"], kind="stable")
    v_i, gene_i, row_i, distance_i, effect_i, scope_i = (np.asarray(line)[order] for line in lines.values())
    found = {name: _of_variants(by_variant[name], v_i) for name in (*VARIANT_COLUMNS, "region")}
    found["gene"] = pd.Categorical.from_codes(gene_i, table.genes[gene_g].astype(str))
    found["row"] = pd.Categorical.from_codes(row_i, table.rows[row_k].astype(str))
    found["distance"] = distance_i
    found |= {name: _of_variants(by_variant[name], v_i) for name in ("motif", "change")}
    return pd.DataFrame({**found, "effect": effect_i, "scope": pd.Categorical.from_codes(scope_i, SCOPES)})


def _of_variants(column: pd.Series, v_i: np.ndarray) -> Any:
    """The value of each line's variant; texts as categories."""
    if column.dtype != object:
        return column.to_numpy()[v_i]
    code_v, names = pd.factorize(column)
    return pd.Categorical.from_codes(code_v[v_i], names)


def _motif_table(table: RegionTable, found: pd.DataFrame, scores: Rescored) -> pd.DataFrame:
    """Scores that change, by variant, region and cluster."""
    change = scores.change_i
    before_i, after_i = np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.float32)
    if change.nnz:  # of nothing scipy gives a matrix
        matrices = (scores.before_nm, scores.after_nm)
        before_i, after_i = (np.asarray(score_nm[change.row, change.col]).ravel() for score_nm in matrices)
    names = {
        "variant": (found["variant"], scores.v_n[change.row]),
        "region": (pd.Series(table.regions.names), scores.p_n[change.row]),
        "motif": (pd.Series(table.motifs.astype(object)), change.col),
    }
    lines = {name: _of_variants(column, at_i) for name, (column, at_i) in names.items()}
    lines = {name: value.remove_unused_categories() for name, value in lines.items()}
    return pd.DataFrame({**lines, "before": before_i, "after": after_i, "change": change.data})
