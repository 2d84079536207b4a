"""Random data of any size, made sparse: time and memory do not hang on what counts and scores say."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

import scget

SPACING, LENGTH = 2_500, 500  # bp: regions of 500 every 2,500 on chromosomes of one length
N_CHROMS, IN_TEN = 20, 10  # a region holds one motif of every ten


def random_mdata(
    n_rows: int,
    n_regions: int,
    *,
    n_genes: int = 20_000,
    n_motifs: int = 282,
    open_share: float = 0.2,
    mean: float = 3.0,
    seed: int = 0,
) -> MuData:
    """Rows x (genes, regions), a share of the regions open in each row, with motif scores and promoters."""
    rng = np.random.default_rng(seed)
    var = _regions(n_regions)
    obs = pd.DataFrame(index=[f"row{k}" for k in range(n_rows)])
    atac = AnnData(_counts(rng, n_rows, n_regions, open_share, mean), obs=obs, var=var)
    atac.varm["motif_scores"] = _motif_scores(rng, n_regions, n_motifs)
    atac.uns["motif_names"] = np.array([f"M{m}" for m in range(n_motifs)], dtype=object)
    at = np.sort(rng.choice(n_regions, min(n_genes, n_regions), replace=False))
    genes, strand = [f"G{g}" for g in range(len(at))], np.where(rng.random(len(at)) < 0.5, "+", "-")
    tss = var["start"].to_numpy()[at] + LENGTH // 2
    promoters = {"region": var.index[at], "gene": genes, "strand": strand, "tss": tss, "distance": 0}
    atac.uns["peak_annotation"] = pd.DataFrame(promoters, index=[str(g) for g in range(len(at))])
    counts = rng.poisson(rng.gamma(1, 20, len(at)), (n_rows, len(at))).astype(np.float32) + (np.arange(len(at)) == 0)
    rna = AnnData(sp.csr_matrix(counts, dtype=np.float32), obs=obs.copy(), var=pd.DataFrame(index=genes))
    return MuData({"rna": rna, "atac": atac})


def untrained(mdata: MuData, batches: int = 1, **network: object) -> scget.model.GET:
    """A network on ``mdata``, trained for some batches of 8 windows, so that it may be asked."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    scget.model.GET.setup_mudata(mdata)
    model = scget.model.GET(mdata, **network)
    model.train(1, batch_size=8, limit_train_batches=batches, accelerator="auto", enable_progress_bar=False)
    return model


def _regions(n_regions: int) -> pd.DataFrame:
    nth = np.arange(n_regions)
    chrom = nth * N_CHROMS // n_regions
    first = np.searchsorted(chrom, np.arange(N_CHROMS))
    start = 10_000 + (nth - first[chrom]) * SPACING
    var = pd.DataFrame({"chrom": [f"chr{c + 1}" for c in chrom], "start": start, "end": start + LENGTH})
    var.index = [f"{c}:{s}-{e}" for c, s, e in var.itertuples(index=False)]
    return var


def _counts(rng: np.random.Generator, n_rows: int, n_regions: int, open_share: float, mean: float) -> sp.csr_matrix:
    """Negative binomial counts, at least 1 where open."""
    index, data, ends = [], [], [0]
    for _ in range(n_rows):
        at = np.flatnonzero(rng.random(n_regions) < open_share).astype(np.int32)
        index.append(at)
        data.append(1 + rng.poisson(mean * rng.standard_exponential(len(at))).astype(np.float32))
        ends.append(ends[-1] + len(at))
    return sp.csr_matrix((np.concatenate(data), np.concatenate(index), np.array(ends)), (n_rows, n_regions))


def _motif_scores(rng: np.random.Generator, n_regions: int, n_motifs: int) -> sp.csr_matrix:
    n_each = -(-n_motifs // IN_TEN)
    index = (np.arange(n_each, dtype=np.int32) * IN_TEN)[None] + rng.integers(
        0, IN_TEN, (n_regions, n_each), dtype=np.int32
    )
    kept = index < n_motifs
    data = rng.gamma(9, 1, int(kept.sum())).astype(np.float32)
    ends = np.append(0, np.cumsum(kept.sum(axis=1)))
    return sp.csr_matrix((data, index[kept], ends), (n_regions, n_motifs))
