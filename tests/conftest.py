"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csr_matrix


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in each test."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data, beside the repository or where SCGET_SHARED says."""
    folder = Path(os.environ.get("SCGET_SHARED", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set SCGET_SHARED to their folder")
    return folder


@pytest.fixture
def cells(rng: np.random.Generator) -> MuData:
    """24 cells of 3 types with 12 regions on 3 chromosomes and 6 genes: raw counts, motif scores, promoters."""
    names = [f"cell{i}" for i in range(24)]
    obs = pd.DataFrame({"cell_type": np.repeat(["B", "T", "NK"], 8), "donor": ["d1", "d2"] * 12}, index=names)
    start = np.tile(np.arange(4) * 1000, 3) + 100
    var = pd.DataFrame({"chrom": np.repeat(["chr2", "chr10", "chrX"], 4), "start": start, "end": start + 500})
    var.index = [f"{chrom}:{begin}-{end}" for chrom, begin, end in var.itertuples(index=False)]
    genes = pd.DataFrame(index=[f"G{i}" for i in range(6)])
    atac = AnnData(csr_matrix(rng.poisson(1.0, (24, 12)).astype(np.float32)), obs=obs.copy(), var=var)
    rna = AnnData(csr_matrix(rng.poisson(2.0, (24, 6)).astype(np.float32)), obs=obs.copy(), var=genes)
    atac.varm["motif_scores"] = rng.random((12, 3)).astype(np.float32)
    atac.uns["motif_names"] = np.array(["AP1/1", "GATA", "CTCF"], dtype=object)
    atac.uns["motif_scan"] = {"genome": "toy"}
    atac.uns["peak_annotation"] = pd.DataFrame(
        {
            "region": var.index[[0, 5, 5]].to_numpy(),
            "gene": ["G0", "G1", "G2"],
            "strand": ["+", "+", "-"],
            "tss": [300, 1300, 1400],
            "distance": [50, 50, 50],
        },
        index=["0", "1", "2"],
    )
    return MuData({"rna": rna, "atac": atac})
