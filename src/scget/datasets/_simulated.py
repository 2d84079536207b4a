"""A multiome with a known answer, made from a seed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.sparse import csr_matrix

from scget._errors import InputError
from scget._keys import ATAC, RNA

from . import _layout, _planted

if TYPE_CHECKING:
    from mudata import MuData

MAX_DISTANCE = 30_000  # bp from TSS to region centre; farther regions do nothing
_DECAY = 10_000  # bp in which the effect of a distal region falls to 1 / e
_SCALE = 0.85  # of all region effects, log10(CPM + 1)
_SUM = 6e5  # CPM at most of all genes with a promoter, in any cell type
_LEVEL, _LEVEL_SD = 1.65, 0.15  # of a gene whose regions do nothing, log10(CPM + 1)
_MOST = 3.5  # expression of any gene, log10(CPM + 1); the least is 0
_HEIGHT_SD = 0.25  # of log openness among open regions
_DEPTH_SD = 0.3  # of log counts among cells
_FRAGMENTS = 1.0  # mean count of a region with openness 1 in a cell
_TRANSCRIPTS = 50_000  # mean RNA counts of a cell


@dataclass(frozen=True)
class Simulated:
    """What `simulated` returns: data, the files that go with them, and the planted truth.

    Attributes
    ----------
    mdata
        Cells. ``rna.X`` and ``atac.X``: raw counts, CSR float32; ``obs["cell_type"]`` in both.
    genome, annotation, motifs
        FASTA, GTF, MEME.
    links
        One row per region that acts on a gene: gene, region, distance (bp from the nearest TSS of the gene to the
        region's centre), is_promoter (the region holds a TSS of the gene), weight (1 for promoters, falling with
        distance) and effect (what the region adds to log10(CPM + 1) per unit of openness).
    motif_effects
        Cell types x motifs: what having the motif adds to log10(CPM + 1) beyond the mean over cell types, with
        openness as it is; sum over regions, mean over genes. A decoy has 0 everywhere.
    motif_pairs
        motif_a, motif_b, kind ("cooperating": a strong effect only together; "repressing": each raises expression
        alone, b with a lowers it) and effect (what the pair adds to the two alone, per unit of openness at distance 0).
    openness
        Cell types x regions: expected ATAC counts are proportional to it.
    base
        Per gene with a promoter: log10(CPM + 1) were all its regions closed.
    expression
        Cell types x genes with a promoter: expected log10(CPM + 1), ``base + sum over links of effect * openness``,
        held between 0 and 3.5.
    activity
        Cell types x motifs: planted TF activity, 0 to 1.
    sites
        Each planted motif site: region, motif, chrom, start, end, strand, sequence (on the + strand).
    """

    mdata: MuData
    genome: Path
    annotation: Path
    motifs: Path
    links: pd.DataFrame
    motif_effects: pd.DataFrame
    motif_pairs: pd.DataFrame
    openness: pd.DataFrame
    base: pd.Series
    expression: pd.DataFrame
    activity: pd.DataFrame
    sites: pd.DataFrame


def simulated(
    directory: str | Path | None = None,
    *,
    n_cell_types: int = 10,
    n_cells: int = 60,
    n_chroms: int = 8,
    regions_per_chrom: int = 600,
    n_motifs: int = 24,
    seed: int = 0,
) -> Simulated:
    """Make a small multiome under a planted rule, with genome, annotation, motifs and the truth.

    TF activity, different in each cell type, decides which motif-bearing regions are open. Expression on the scale
    log10(CPM + 1) is a gene's base plus the sum over regions within 30 kb of its TSS of openness x effect x distance
    decay. The effect of a region comes from its motifs: some raise, one lowers, two pairs act only together, two pairs
    raise apart and lower together; half are decoys. Motifs that act in every cell type set the level of a gene, not
    its differences. Neither the mean of other cell types nor accessibility alone says how a gene differs between cell
    types. A few genes, with a TSS in no region, hold most of the counts and cannot be predicted.

    Parameters
    ----------
    directory
        Where genome.fa, genes.gtf and motifs.meme go; made if absent. None: a new temporary folder.
    n_cell_types
        At least 4.
    n_cells
        Cells of each type.
    n_chroms, regions_per_chrom
        Chromosomes chr1, chr2, ... and regions on each, at least 20; about a quarter of the regions are promoters.
    n_motifs
        At least 16: 12 act, the rest are decoys.
    seed
        The same seed and sizes give the same bytes.

    Returns
    -------
    Data, paths and truth tables.

    Raises
    ------
    InputError
        A size is too small.

    Examples
    --------
    >>> import scget
    >>> data = scget.datasets.simulated(n_chroms=2, regions_per_chrom=100, n_cells=20)
    >>> data.mdata["atac"].shape
    (200, 200)
    """
    from mudata import MuData

    _check_sizes(n_cell_types, n_cells, n_chroms, regions_per_chrom, n_motifs)
    rng = np.random.default_rng(seed)
    types = [f"type{i + 1:02d}" for i in range(n_cell_types)]
    rule = _planted.make_rule(rng, n_cell_types, n_motifs)
    regions, lengths = _layout.draw_regions(rng, n_chroms, regions_per_chrom)
    tss = _layout.draw_genes(rng, regions, n_apart=2)
    promoter_p = np.isin(np.arange(len(regions)), tss["region"])
    content_pm = _planted.draw_content(rng, rule, promoter_p)
    sites, codes = _layout.draw_sites(rng, regions, content_pm, rule.pwms, rule.names)
    truth = _truth(rng, rule, content_pm, types, regions, tss)

    folder = Path(tempfile.mkdtemp(prefix="scget-simulated-") if directory is None else directory)
    folder.mkdir(parents=True, exist_ok=True)
    genome, annotation, motifs = folder / "genome.fa", folder / "genes.gtf", folder / "motifs.meme"
    _layout.write_genome(rng, genome, lengths, sites, codes)
    _layout.write_annotation(annotation, tss, lengths)
    _layout.write_motifs(motifs, rule.names, rule.pwms)
    mdata = MuData(_cells(rng, n_cells, truth["openness"], truth["expression"], regions, tss))
    return Simulated(mdata=mdata, genome=genome, annotation=annotation, motifs=motifs, sites=sites, **truth)


def _check_sizes(*sizes: int) -> None:
    least = {"n_cell_types": 4, "n_cells": 1, "n_chroms": 1, "regions_per_chrom": 20, "n_motifs": _planted.MIN_MOTIFS}
    for size, (name, needed) in zip(sizes, least.items(), strict=True):
        if size < needed:
            raise InputError(f"{name} is {size}; the planted rule needs at least {needed}. Ask for more.")


def _truth(
    rng: np.random.Generator,
    rule: _planted.Rule,
    content_pm: np.ndarray,
    types: list[str],
    regions: pd.DataFrame,
    tss: pd.DataFrame,
) -> dict[str, Any]:
    """The tables of `Simulated` that say what was planted, all but the sites."""
    open_kp = _planted.openness(rule, content_pm, rng.lognormal(0, _HEIGHT_SD, len(regions)))
    openness = pd.DataFrame(open_kp, index=types, columns=regions.index)
    links = _links(tss, regions, _SCALE * _planted.region_effect(rule, content_pm))
    base = _base(rng, tss, links, openness)
    effects_km = _motif_effects(links, openness, _SCALE * _planted.motif_effect(rule, content_pm), len(base))
    return {
        "links": links[links["effect"] != 0].reset_index(drop=True),
        "motif_effects": pd.DataFrame(effects_km, index=types, columns=rule.names),
        "motif_pairs": rule.pairs.assign(effect=_SCALE * rule.pairs["effect"]),
        "openness": openness,
        "base": base,
        "expression": _expression(base, links, openness),
        "activity": pd.DataFrame(rule.activity_km, index=types, columns=rule.names),
    }


def _links(tss: pd.DataFrame, regions: pd.DataFrame, effect_p: np.ndarray) -> pd.DataFrame:
    """All regions within reach of each gene with a promoter, by gene and region."""
    parts = []
    centre = (regions["start"] + regions["end"]) // 2
    for chrom, here in tss[tss["region"] >= 0].groupby("chrom", sort=False):
        rows_p = np.flatnonzero(regions["chrom"] == chrom)
        distance_tp = np.abs(here["tss"].to_numpy()[:, None] - centre.to_numpy()[rows_p])
        t, p = np.nonzero(distance_tp <= MAX_DISTANCE)
        part = pd.DataFrame({"gene": here["gene"].to_numpy()[t], "p": rows_p[p], "distance": distance_tp[t, p]})
        parts.append(part.assign(is_promoter=here["region"].to_numpy()[t] == rows_p[p]))
    links = pd.concat(parts).groupby(["gene", "p"], as_index=False).agg({"distance": "min", "is_promoter": "max"})
    links["weight"] = np.where(links["is_promoter"], 1.0, np.exp(-links["distance"] / _DECAY))
    links["effect"] = links["weight"] * effect_p[links["p"]]
    links.insert(1, "region", regions.index.to_numpy()[links.pop("p")])
    return links


def _base(rng: np.random.Generator, tss: pd.DataFrame, links: pd.DataFrame, openness: pd.DataFrame) -> pd.Series:
    """Levels of genes with a promoter, low enough to leave part of a million to the others."""
    genes = tss.loc[tss["region"] >= 0, "gene"].unique()
    base = pd.Series(rng.normal(_LEVEL, _LEVEL_SD, len(genes)), index=genes, name="base")
    while (total := (10 ** _expression(base, links, openness) - 1).sum(axis=1).max()) > _SUM:
        base -= max(np.log10(total / _SUM), 0.01)
    return base


def _expression(base: pd.Series, links: pd.DataFrame, openness: pd.DataFrame) -> pd.DataFrame:
    """Expected log10(CPM + 1), cell types x genes."""
    g, p = base.index.get_indexer(links["gene"]), openness.columns.get_indexer(links["region"])
    effect_gp = csr_matrix((links["effect"], (g, p)), shape=(len(base), openness.shape[1]))
    values_kg = base.to_numpy() + (effect_gp @ openness.to_numpy().T).T
    return pd.DataFrame(np.clip(values_kg, 0, _MOST), index=openness.index, columns=base.index)


def _motif_effects(links: pd.DataFrame, openness: pd.DataFrame, effect_pm: np.ndarray, n_genes: int) -> np.ndarray:
    """Mean over genes of what each motif adds beyond the mean over cell types, cell types x motifs."""
    weight_p = links.groupby("region")["weight"].sum().reindex(openness.columns, fill_value=0).to_numpy()
    return (openness - openness.mean()).to_numpy() @ (weight_p[:, None] * effect_pm) / n_genes


def _cells(
    rng: np.random.Generator,
    n_cells: int,
    openness: pd.DataFrame,
    expression: pd.DataFrame,
    regions: pd.DataFrame,
    tss: pd.DataFrame,
) -> dict[str, AnnData]:
    """Poisson counts of cells in random order; genes without a promoter share what is left of a million."""
    names = tss["gene"].unique()
    apart_g = ~np.isin(names, expression.columns)
    cpm_kg = np.empty((len(expression), len(names)))
    cpm_kg[:, ~apart_g] = 10 ** expression[names[~apart_g]].to_numpy() - 1
    cpm_kg[:, apart_g] = (1e6 - cpm_kg[:, ~apart_g].sum(axis=1, keepdims=True)) / apart_g.sum()

    type_c = rng.permutation(np.repeat(np.arange(len(openness)), n_cells))
    obs = pd.DataFrame(
        {"cell_type": pd.Categorical.from_codes(type_c, categories=openness.index)},
        index=[f"cell{i + 1:05d}" for i in range(len(type_c))],
    )
    depth_c1 = rng.lognormal(-(_DEPTH_SD**2) / 2, _DEPTH_SD, (len(type_c), 1))
    counts_cg = rng.poisson(depth_c1 * _TRANSCRIPTS * cpm_kg[type_c] / 1e6)
    counts_cp = rng.poisson(depth_c1 * _FRAGMENTS * openness.to_numpy()[type_c])
    genes = pd.DataFrame({"gene_id": tss.drop_duplicates("gene")["gene_id"].to_numpy()}, index=names)
    return {
        RNA: AnnData(csr_matrix(counts_cg, dtype=np.float32), obs=obs.copy(), var=genes),
        ATAC: AnnData(csr_matrix(counts_cp, dtype=np.float32), obs=obs.copy(), var=regions.copy()),
    }
