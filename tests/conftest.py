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


def make_toy(seed: int = 0, n_rows: int = 6) -> MuData:
    """Rows of a small genome ready for a model: 3 chromosomes x 40 regions, 5 motifs, 50 genes, deviations to learn.

    A gene follows, besides its own level, the accessibility of its promoter region where motif "A" is there.
    """
    rng = np.random.default_rng(seed)
    start = np.concatenate([np.sort(rng.choice(200, 40, replace=False)) * 3000 for _ in range(3)])
    var = pd.DataFrame({"chrom": np.repeat(["chr1", "chr2", "chr10"], 40), "start": start, "end": start + 500})
    var.index = [f"{c}:{s}-{e}" for c, s, e in var.itertuples(index=False)]
    motif_pm = (rng.random((120, 5)) < 0.4) * rng.gamma(9, 1, (120, 5))
    mean_kp = np.exp(rng.normal(3, 1, 120) + rng.normal(0, 1, (n_rows, 120))) * (rng.random((n_rows, 120)) < 0.8)
    counts_kp = rng.poisson(mean_kp)
    promoter_g, strand_g = rng.choice(120, 50), rng.choice(["+", "-"], 50)
    promoter_g[49], strand_g[49] = promoter_g[48], "-"
    strand_g[48] = "+"  # a bidirectional promoter
    fold_kp = np.log1p(counts_kp) - np.log1p(counts_kp).mean(axis=0)
    log_kg = rng.normal(4, 1, 50) + (fold_kp * (motif_pm[:, 0] > 0))[:, promoter_g]
    obs = pd.DataFrame({"cell_type": [f"T{i}" for i in range(n_rows)]}, index=[f"T{i}" for i in range(n_rows)])
    atac = AnnData(csr_matrix(counts_kp.astype(np.float32)), obs=obs.copy(), var=var)
    atac.varm["motif_scores"] = csr_matrix(motif_pm.astype(np.float32))
    atac.uns["motif_names"] = np.array(["A", "B/1", "C", "D", "E"], dtype=object)
    tss = start[promoter_g] + 250
    promoters = pd.DataFrame(
        {"region": var.index[promoter_g], "gene": [f"G{i}" for i in range(50)], "strand": strand_g}
    )
    promoters = promoters.assign(tss=tss, distance=0)
    extra = promoters.iloc[[0]].assign(region=var.index[(promoter_g[0] + 1) % 120])  # a gene with two promoters
    promoters = pd.concat([promoters, extra], ignore_index=True)
    atac.uns["peak_annotation"] = promoters.set_index(promoters.index.astype(str))
    genes = pd.DataFrame(index=[f"G{i}" for i in range(51)])  # the last has no promoter
    counts_kg = np.column_stack([rng.poisson(np.exp(log_kg)), rng.poisson(50, n_rows)])
    rna = AnnData(csr_matrix(counts_kg.astype(np.float32)), obs=obs.copy(), var=genes)
    return MuData({"rna": rna, "atac": atac})


@pytest.fixture
def toy() -> MuData:
    """See :func:`make_toy`."""
    return make_toy()


@pytest.fixture(scope="session")
def trained():
    """A small model trained on the toy data without row T5 and chr10; not to be trained further."""
    import scget

    mdata = make_toy()
    scget.model.GET.setup_mudata(mdata)
    model = scget.model.GET(mdata, width=16, n_layers=1, n_heads=2, window=16, drop_path=0.0)
    quiet = {"enable_progress_bar": False, "accelerator": "cpu"}
    model.train(20, holdout_obs=["T5"], holdout_chroms=["chr10"], plan_kwargs={"lr": 1e-2}, **quiet)
    return model


@pytest.fixture(scope="session")
def saved(trained, tmp_path_factory) -> Path:
    """Folder of the trained model; not to be changed."""
    folder = tmp_path_factory.mktemp("model") / "my_get"
    trained.save(folder)
    return folder


def make_linear(config):
    """A network whose answers are known: every output is the sum over the regions shown of one number per region.

    The number is linear in the region's embedding ``region_embed["embed"](features)`` (4 wide), by ``slope_d``.
    """
    import torch

    class Linear(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.config = config
            self.region_embed = torch.nn.ModuleDict({"embed": torch.nn.Linear(config.n_features, 4)})
            self.slope_d = torch.nn.Parameter(torch.tensor([0.3, -0.2, 0.5, 0.1]))
            self.cls_token = torch.nn.Parameter(torch.zeros(1))

        def forward(self, tokens_brf, center_br=None, pad_br=None, at_b=None):
            value_br = self.region_embed["embed"](tokens_brf) @ self.slope_d
            value_b = (value_br if pad_br is None else value_br.masked_fill(pad_br, 0)).sum(1)
            n_read = tokens_brf.shape[1] if at_b is None else 1
            return value_b[:, None, None].expand(-1, n_read, config.n_outputs)

        def reader(self, tokens_brf, center_br=None, pad_br=None):
            return lambda window_n, at_n: self(tokens_brf, center_br, pad_br, at_n)[window_n]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Linear().eval()


@pytest.fixture(scope="session")
def linear():
    """A model of the toy data with :func:`make_linear` for a network, the same windows in each row, no gene activity."""
    from scget.model import GET

    mdata = make_toy()
    GET.setup_mudata(mdata)
    model = GET(mdata, width=8, n_layers=1, n_heads=2, window=16, baseline="training_mean", closed="keep")
    quiet = {"enable_progress_bar": False, "accelerator": "cpu"}
    model.train(1, holdout_obs=["T5"], holdout_chroms=["chr10"], **quiet)
    model.module = make_linear(model.config)
    return model


@pytest.fixture
def goes_on(monkeypatch):
    """Kill a call at its ``limit``-th piece of work: the next computes what is left alone, and answers as one call."""

    def check(ask, owner, name, folder, limit=4):
        expected, done, whole = ask(None), [], getattr(owner, name)
        assert list(folder.iterdir()) == []
        killed = True

        def counted(*args):
            if killed and len(done) == limit - 1:
                raise KeyboardInterrupt
            done.append(None)
            return whole(*args)

        monkeypatch.setattr(owner, name, counted)
        with pytest.raises(KeyboardInterrupt):
            ask(folder)
        assert list(folder.iterdir())
        killed = False
        found, n_done = ask(folder), len(done)
        for table, other in zip(found, expected, strict=True):
            pd.testing.assert_frame_equal(table, other, check_exact=True)
        ask(folder)
        assert len(done) == n_done  # nothing is computed twice
        done.clear()
        ask(None)
        assert len(done) == n_done >= limit  # and killing cost nothing
        monkeypatch.setattr(owner, name, whole)

    return check
