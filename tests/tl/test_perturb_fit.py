"""What perturb returns is taken as it is by scanpy and decoupler, and these compute the right numbers of it."""

from __future__ import annotations

import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy import stats

import scget
from scget._errors import InputError
from scget.tl import Change

mpl.use("agg")
MOTIFS = ("A", "B/1", "C", "D", "E")


@pytest.fixture(scope="module")
def made(trained):
    """Each motif knocked out in each of 6 rows, and the control."""
    changes = {f"no {name}": Change("knockout", motifs=name) for name in MOTIFS}
    return scget.tl.perturb(trained.adata, trained, {"control": Change("control"), **changes})


@pytest.fixture
def found(made):
    """What these packages warn of is not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield made.copy()
    mpl.pyplot.close("all")


def of(found, name, layer=None):
    """Values of one perturbation, rows x genes."""
    return found.to_df(layer=layer)[(found.obs["perturbation"] == name).to_numpy()].to_numpy(dtype=float)


def test_the_control_is_the_prediction_itself(trained, made):
    lines = made[made.obs["perturbation"] == "control"]
    assert lines.obs_names.tolist() == [f"control in T{i}" for i in range(6)] and not lines.X.any()
    expected = trained.predict()[made.var_names]
    for layer in ("predicted", "reference"):
        np.testing.assert_allclose(lines.layers[layer], expected, rtol=1e-4, atol=1e-4)
    assert set(lines.obs["kind"]) == {"control"} and set(lines.obs["target"]) == {""}
    assert (lines.obs["n_regions"] == 0).all() and lines.obs["value"].isna().all()


def test_a_control_changes_no_other_line_and_is_kept(trained, made, tmp_path):
    table = pd.DataFrame({"perturbation": ["no A", "nothing"], "kind": ["knockout", "control"], "motifs": ["A", None]})
    for _ in range(2):
        again = scget.tl.perturb(trained.adata, trained, table, rows=["T5"], cache=tmp_path)
        np.testing.assert_allclose(again["no A in T5"].X, made["no A in T5"].X, atol=2e-6)
        assert not again["nothing in T5"].X.any() and np.abs(again["no A in T5"].X).max() > 1e-3
    alone = scget.tl.perturb(trained.adata, trained, {"x": Change("control")}, rows=["T0"])
    np.testing.assert_allclose(alone.layers["predicted"], made["control in T0"].layers["predicted"], atol=2e-6)


def test_a_control_that_is_none(trained):
    for names in ({"motifs": "A"}, {"tfs": "GATA1"}, {"regions": "chr1:1-2"}):
        with pytest.raises(InputError, match="'control' changes nothing: name no regions, motifs or tfs"):
            Change("control", **names)
    with pytest.raises(InputError, match="value=1 says nothing for 'control'"):
        Change("control", value=1)
    several = [Change("knockout", motifs="A"), Change("control")]
    with pytest.raises(InputError, match="perturbation 'x': 'control' changes nothing; leave it out of several"):
        scget.tl.perturb(trained.adata, trained, {"x": several})


def test_scanpy_ranks_genes_with_fold_changes_of_counts_per_million(found):
    """``uns["log1p"]`` says that the logarithm is to base 10; scanpy takes it for natural otherwise."""
    sc.tl.rank_genes_groups(found, "perturbation", reference="control", layer="predicted", method="t-test")
    table = sc.get.rank_genes_groups_df(found, "no A").set_index("names").loc[found.var_names]
    one, other = (of(found, name, "predicted") for name in ("no A", "control"))
    cpm = [10 ** values.mean(axis=0) - 1 + 1e-9 for values in (one, other)]
    np.testing.assert_allclose(table["logfoldchanges"], np.log2(cpm[0] / cpm[1]), rtol=1e-3, atol=1e-4)
    assert table["logfoldchanges"].abs().max() > 0.1
    scores = stats.ttest_ind(one, other, equal_var=False).statistic
    np.testing.assert_allclose(table["scores"], scores, rtol=1e-2, atol=1e-4)


def test_scanpy_reduces_groups_and_draws(found):
    sc.pp.pca(found, n_comps=3)
    values = found.to_df().to_numpy(dtype=float)
    left, size, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(found.obsm["X_pca"]), np.abs(left * size)[:, :3], rtol=1e-3, atol=1e-4)
    means = sc.get.aggregate(found, "perturbation", "mean").to_df(layer="mean")
    np.testing.assert_allclose(means.loc["no C"], of(found, "no C").mean(axis=0), atol=1e-6)
    genes = ["G3", "G1"]
    drawn = sc.pl.heatmap(found, genes, groupby="perturbation", show=False)["heatmap_ax"].images[0].get_array()
    np.testing.assert_allclose(drawn, found.to_df()[genes], atol=1e-6)  # categories stand in the order given
    table = sc.get.obs_df(found, ["row", "kind", "G1"], layer="predicted")
    np.testing.assert_allclose(table["G1"], found.to_df(layer="predicted")["G1"])


def test_decoupler_scores_differences(found, rng):
    import decoupler

    genes = rng.permutation(found.var_names)[:24]
    net = pd.DataFrame({"source": np.repeat(["x", "y"], 12), "target": genes, "weight": rng.normal(size=24)})
    knocked = found[found.obs["perturbation"] != "control"].copy()
    decoupler.mt.ulm(knocked, net, tmin=5)
    weight = net.pivot(index="target", columns="source", values="weight").reindex(knocked.var_names).fillna(0)
    for name in ("x", "y"):
        by_hand = [stats.linregress(weight[name], values) for values in knocked.X.astype(float)]
        np.testing.assert_allclose(knocked.obsm["score_ulm"][name], [f.slope / f.stderr for f in by_hand], rtol=1e-3)
    left = decoupler.mt.ulm(found, net, tmin=5)  # lines of zeros are no data to it: the others come back
    assert left.obs_names.tolist() == knocked.obs_names.tolist()
    np.testing.assert_allclose(left.obsm["score_ulm"], knocked.obsm["score_ulm"], rtol=1e-6)
