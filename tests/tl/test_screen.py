"""A screen of a model trained on simulated data finds the links that were planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

import scget
from scget.bm import auprc

REACH = 30_000  # bp, as far as the planted rule


@pytest.fixture(scope="session")
def simulated_model(tmp_path_factory):
    """Truth, rows and a small model that has not seen cell type 10 and chromosome 4."""
    truth = scget.datasets.simulated(tmp_path_factory.mktemp("planted"), n_chroms=4, regions_per_chrom=300, n_cells=40)
    scget.pp.motif_scores(truth.mdata, truth.genome, motifs=truth.motifs)
    scget.pp.promoters(truth.mdata, truth.annotation)
    pb = scget.pp.pseudobulk(truth.mdata, "cell_type")
    scget.model.GET.setup_mudata(pb)
    model = scget.model.GET(pb, width=32, n_layers=1, n_heads=2, dropout=0.2, window=64)
    held = {"holdout_obs": ["type10"], "holdout_chroms": ["chr4"]}
    model.train(40, **held, plan_kwargs={"lr": 5e-3}, enable_progress_bar=False, accelerator="cpu")
    return truth, pb, model


@pytest.mark.slow
def test_planted_links_rank_above_distance_and_have_their_sign(simulated_model):
    """Deleting a region takes away its planted effect x openness; promoters, which distance finds, are left out."""
    truth, pb, model = simulated_model
    found = scget.tl.screen(pb, model, rows=["type10", "type02", "type03"], reach=REACH)
    found = found[found["distance"] != 0].astype({"region": str, "gene": str, "row": str})
    of = {"gene": found["gene"], "region": found["region"], "row": found["row"]}
    effect = truth.links.set_index(["gene", "region"])["effect"]
    effect = effect.reindex(pd.MultiIndex.from_arrays([of["gene"], of["region"]])).fillna(0).to_numpy()
    openness = truth.openness.stack().reindex(pd.MultiIndex.from_arrays([of["row"], of["region"]])).to_numpy()
    planted = -effect * openness
    acts = np.abs(planted) > 0.05
    nearness = -found["distance"].abs().to_numpy()
    for row in ("type10", "type02", "type03"):
        here = (found["row"] == row).to_numpy()
        ours = auprc(found["effect"].abs().to_numpy()[here], acts[here])
        assert ours > auprc(nearness[here], acts[here]) + 0.1
    ours = spearmanr(found["effect"][acts], planted[acts])[0]
    by_size = -openness * np.exp(nearness / 10_000)  # near and open: says how much, and not which way
    assert ours > 0.25 and ours > spearmanr(by_size[acts], planted[acts])[0] + 0.2
