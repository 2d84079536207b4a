"""The demo: the main job from files to figures learns the planted rule, and only where the rule can be read."""

from __future__ import annotations

import mudata
import numpy as np
import pandas as pd
import pytest

import scget
from scget import _demo
from scget.bm import BASELINES


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """What ``python -m scget demo`` writes, and what it prints."""
    import contextlib
    import io

    out, printed = tmp_path_factory.mktemp("demo"), io.StringIO()
    with contextlib.redirect_stdout(printed):
        _demo.main(["demo", "--out", str(out)])
    return out, printed.getvalue()


def delta_r(scores, predictor):
    rows = scores[(scores["split"] == "rows") & (scores["metric"] == "delta_pearson")]
    return rows.set_index("predictor")["value"][predictor]


@pytest.mark.slow
def test_demo_beats_every_baseline_and_finds_the_planted_rule(output):
    out, printed = output
    scores = pd.read_csv(out / "scores.csv")
    ours = delta_r(scores, "GET")
    assert ours > 0.6
    others = {name: delta_r(scores, name) for name in BASELINES}
    assert np.isnan(others.pop("training_mean"))  # it predicts no deviation
    assert ours > max(others.values()) + 0.1
    for line in ("unseen cell type", "training_mean *", "ridge", "Attributions against the planted rule"):
        assert line in printed
    truth = scget.datasets.simulated(out / "again", seed=0)
    ranks = _demo.rank_truth(mudata.read_h5mu(out / "demo.h5mu"), truth, "type10")
    assert ranks.loc["regions within 30 kb", "AUROC"] >= 0.8
    assert ranks.loc["regions within 30 kb", "AUROC"] > ranks.loc["  by nearness alone", "AUROC"]
    assert ranks.loc["regions within 30 kb", "r"] > ranks.loc["  by accessibility fold alone", "r"] + 0.1
    assert ranks.loc["motifs", "AUROC"] >= 0.8


@pytest.mark.slow
def test_demo_leaves_files_that_can_be_used(output):
    out, _ = output
    for name in ("predicted.png", "attribution.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    pb = mudata.read_h5mu(out / "demo.h5mu")
    again = scget.model.GET.load(out / "model", accelerator="cpu").predict(pb)
    np.testing.assert_allclose(
        pb["rna"].to_df(layer="get").loc[again.index, again.columns], again, rtol=1e-4, atol=1e-4
    )
    assert list(pb.uns["get"]["holdout_obs"]) == ["type10"] and list(pb.uns["get"]["holdout_chroms"]) == ["chr8"]


@pytest.mark.slow
def test_shuffled_motif_scores_destroy_the_prediction(output, rng):
    """The model learns from motifs; with the same numbers at other regions it cannot."""
    out, _ = output
    pb = mudata.read_h5mu(out / "demo.h5mu")
    pb["atac"].varm["motif_scores"] = pb["atac"].varm["motif_scores"][rng.permutation(pb["atac"].n_vars)]
    scget.model.GET.setup_mudata(pb)
    model = scget.model.GET(pb, width=64, n_layers=2, n_heads=4, window=64)
    held = {"holdout_obs": ["type10"], "holdout_chroms": ["chr8"]}
    model.train(40, **held, plan_kwargs={"lr": 5e-3}, enable_progress_bar=False, accelerator="cpu")
    shuffled = delta_r(scget.bm.evaluate(model, baselines=["training_mean"]), "GET")
    assert shuffled < 0.5 * delta_r(pd.read_csv(out / "scores.csv"), "GET")


def test_own_data_must_be_complete(capsys):
    with pytest.raises(SystemExit, match="2"):
        _demo.main(["demo", "--genome", "hg38.fa"])
    assert "own data need all of --mdata, --genome, --annotation, --motifs" in capsys.readouterr().err


def test_help_offers_own_data(capsys):
    with pytest.raises(SystemExit, match="0"):
        _demo.main(["demo", "--help"])
    shown = capsys.readouterr().out
    assert all(f"--{name}" in shown for name in ("mdata", "genome", "annotation", "motifs", "holdout-obs", "groupby"))
