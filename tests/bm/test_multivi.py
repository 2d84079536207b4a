"""MULTIVI as a baseline, on cells of few states: expression of a type is imputed from its accessibility alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData
from mudata import MuData

import scget
from scget._errors import InputError
from scget.bm import BASELINES, multivi, pearson
from scget.bm._baselines import Task
from scget.data import build_table, fit_scaling

SETUP = {"modalities": {"atac_layer": "atac", "rna_layer": "rna"}, "atac_layer": None, "rna_layer": None}
SMALL = {"n_hidden": 32, "n_latent": 5, "n_layers_encoder": 1, "n_layers_decoder": 1, "dropout_rate": 0.0}
QUIET = {"lr": 3e-3, "batch_size": 64, "accelerator": "cpu", "enable_progress_bar": False}
SIZE = {"model_kwargs": SMALL | {"gene_likelihood": "poisson"}, "train_kwargs": QUIET}


def make_cells(rng, n_regions=60, n_genes=40):
    """6 types x 30 cells; three hidden states set both modalities; T5 lies between T0 and T1."""
    state_ks = rng.normal(size=(6, 3))
    state_ks[5] = (state_ks[0] + state_ks[1]) / 2
    open_kp = np.exp(0.8 * state_ks @ rng.normal(size=(3, n_regions)) - 1)
    mean_kg = np.exp(0.8 * state_ks @ rng.normal(size=(3, n_genes)) + 1)
    type_c = np.repeat(np.arange(6), 30)
    obs = pd.DataFrame({"cell_type": [f"T{k}" for k in type_c]}, index=[f"c{c:03d}" for c in rng.permutation(180)])
    start = np.arange(n_regions) * 5000
    var = pd.DataFrame({"chrom": "chr1", "start": start, "end": start + 500})
    var.index = [f"chr1:{s}-{s + 500}" for s in start]
    genes = [f"G{g}" for g in range(n_genes)]
    atac = AnnData(sp.csr_matrix(rng.poisson(open_kp[type_c]).astype(np.float32)), obs=obs.copy(), var=var)
    atac.varm["motif_scores"] = rng.random((n_regions, 2)).astype(np.float32)
    atac.uns["motif_names"] = np.array(["A", "B"], dtype=object)
    promoters = {"region": var.index[:n_genes], "gene": genes, "strand": "+", "tss": start[:n_genes], "distance": 0}
    atac.uns["peak_annotation"] = pd.DataFrame(promoters, index=[str(g) for g in range(n_genes)])
    counts_cg = sp.csr_matrix(rng.poisson(mean_kg[type_c]).astype(np.float32))
    return MuData({"rna": AnnData(counts_cg, obs=obs.copy(), var=pd.DataFrame(index=genes)), "atac": atac})


def make_task(cells):
    table = build_table(scget.pp.pseudobulk(cells, "cell_type"), SETUP)
    row_k = np.arange(5)
    return Task(table, fit_scaling(table, row_k, np.ones(60, dtype=bool)), row_k, np.ones(40, dtype=bool))


@pytest.mark.slow
def test_expression_is_imputed_from_accessibility_alone(rng, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = make_cells(rng)
    task = make_task(cells)
    before = torch.random.get_rng_state()
    predicted = multivi(cells, "cell_type", max_epochs=80, **SIZE)(task)
    assert torch.equal(before, torch.random.get_rng_state())
    assert list(tmp_path.iterdir()) == []
    observed = task.table.expression_kg.astype(np.float64)
    np.testing.assert_allclose((10**predicted - 1).sum(axis=1), 1e6)  # counts per million
    assert pearson(predicted[5] - task.mean_g, observed[5] - task.mean_g) > 0.9
    assert pearson(predicted[5], observed[5]) > 0.9 > pearson(BASELINES["training_mean"](task)[5], observed[5])


@pytest.mark.slow
def test_what_is_held_out_and_the_order_of_cells_change_nothing(rng):
    cells = make_cells(rng)
    task = make_task(cells)
    predicted = multivi(cells, "cell_type", max_epochs=3, **SIZE)(task)
    order_c, order_g, order_p = rng.permutation(180), rng.permutation(40), rng.permutation(60)
    garbage = cells["rna"].copy()
    garbage.X = np.where((garbage.obs["cell_type"] == "T5").to_numpy()[:, None], 77, garbage.X.toarray())
    mixed = MuData({"rna": garbage[order_c, order_g].copy(), "atac": cells["atac"][:, order_p].copy()})
    table = task.table
    mixed_task = replace(
        task, table=replace(table, rows=table.rows[::-1], expression_kg=table.expression_kg[::-1]), row_k=5 - task.row_k
    )
    again = multivi(mixed, "cell_type", max_epochs=3, **SIZE)(mixed_task)
    np.testing.assert_array_equal(again[::-1], predicted)
    other = multivi(cells, "cell_type", max_epochs=3, seed=1, **SIZE)(task)
    assert not np.allclose(other, predicted)


def test_cells_that_do_not_fit_are_refused(rng):
    cells = make_cells(rng)
    task = make_task(cells)
    some = MuData({"rna": cells["rna"][:100].copy(), "atac": cells["atac"].copy()})
    with pytest.raises(InputError, match="100 of 180 rows of 'atac'"):
        multivi(some, "cell_type")
    with pytest.raises(InputError, match="no column 'louvain'"):
        multivi(cells, "louvain")
    with pytest.raises(InputError, match="max_epochs=0: a whole number"):
        multivi(cells, "cell_type", max_epochs=0)
    logged = MuData({"rna": cells["rna"].copy(), "atac": cells["atac"].copy()})
    logged["rna"].X.data = np.log1p(logged["rna"].X.data)
    with pytest.raises(InputError, match="rna.X"):
        multivi(logged, "cell_type")
    kept = (cells["atac"].obs["cell_type"] != "T3").to_numpy()
    without = MuData({name: cells[name][kept].copy() for name in ("rna", "atac")})
    with pytest.raises(
        InputError, match="1 of 6 rows have no cell with ATAC counts, first 'T3'; groups of cells are 'T0'"
    ):
        multivi(without, "cell_type")(task)
    few = MuData({"rna": cells["rna"][:, 3:].copy(), "atac": cells["atac"].copy()})
    with pytest.raises(InputError, match="3 of 40 genes are not in the RNA of the cells, first 'G0', 'G1', 'G2'"):
        multivi(few, "cell_type")(task)
    closed = MuData({"rna": cells["rna"].copy(), "atac": cells["atac"].copy()})
    closed["atac"].X = closed["atac"].X.toarray() * (closed["atac"].obs["cell_type"] != "T5").to_numpy()[:, None]
    with pytest.raises(InputError, match="1 of 6 rows have no cell with ATAC counts, first 'T5'"):
        multivi(closed, "cell_type")(task)
