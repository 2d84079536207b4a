"""Results are where scanpy, muon and decoupler look for them, and these show and compute the right numbers."""

from __future__ import annotations

import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy import stats

import scget

mpl.use("agg")
GENES = ["G1", "G2", "G7"]


@pytest.fixture(scope="module")
def answered(trained):
    from mudata import MuData

    toy = MuData({name: trained.adata[name].copy() for name in ("atac", "rna")})
    scget.tl.predict(toy, trained)
    scget.tl.embed(toy, trained)
    toy["rna"].obs["kind"] = pd.Categorical(["a", "a", "a", "b", "b", "b"])
    toy["rna"].obsm["X_umap"] = np.column_stack([np.arange(6.0), np.arange(6.0) ** 2])
    yield toy
    mpl.pyplot.close("all")


@pytest.fixture
def of_others():
    """What these packages warn of is not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    mpl.pyplot.close("all")


@pytest.fixture(scope="module")
def layer(answered):
    return answered["rna"].to_df(layer="get")


def test_umap_is_coloured_by_predictions(answered, layer, of_others):
    ax = sc.pl.umap(answered["rna"], color="G1", layer="get", sort_order=False, show=False)
    np.testing.assert_allclose(ax.collections[0].get_array(), layer["G1"], rtol=1e-6)


def test_matrixplot_and_dotplot_hold_means_of_predictions(answered, layer, of_others):
    means = layer[GENES].groupby(answered["rna"].obs["kind"], observed=True).mean()
    plots = (sc.pl.matrixplot, sc.pl.dotplot)
    shown = [plot(answered["rna"], GENES, groupby="kind", layer="get", return_fig=True) for plot in plots]
    np.testing.assert_allclose(shown[0].values_df[GENES], means, rtol=1e-6)
    np.testing.assert_allclose(shown[1].dot_color_df[GENES], means, rtol=1e-6)


def test_heatmap_holds_predictions(answered, layer, of_others):
    axes = sc.pl.heatmap(answered["rna"], GENES, groupby="kind", layer="get", show=False)
    np.testing.assert_allclose(axes["heatmap_ax"].images[0].get_array(), layer[GENES], rtol=1e-6)


def test_tables_of_layers_and_obsm(answered, layer):
    table = sc.get.obs_df(answered["rna"], ["kind", "G1", "get_ood"], layer="get")
    np.testing.assert_allclose(table["G1"], layer["G1"])
    table = sc.get.obs_df(answered["rna"], obsm_keys=[("get_expression", "G2")])
    np.testing.assert_allclose(table["get_expression-G2"], layer["G2"])
    embedding = sc.get.obs_df(answered["atac"], obsm_keys=[("X_get", 0)])
    np.testing.assert_allclose(embedding["X_get-0"], answered["atac"].obsm["X_get"][:, 0])


def test_genes_of_groups_are_ranked_by_predictions(answered, layer, of_others):
    able = answered["rna"][:, layer.notna().all().to_numpy()].copy()
    sc.tl.rank_genes_groups(able, "kind", layer="get", method="t-test", groups=["a"], reference="b")
    ranked = sc.get.rank_genes_groups_df(able, "a").set_index("names")["scores"]
    values = layer.loc[:, able.var_names]
    expected = stats.ttest_ind(values.iloc[:3], values.iloc[3:], equal_var=False).statistic
    np.testing.assert_allclose(ranked[able.var_names], expected, rtol=1e-3)


def test_neighbours_of_the_embedding(answered, of_others):
    atac = answered["atac"].copy()
    sc.pp.neighbors(atac, use_rep="X_get", n_neighbors=3)
    apart = np.linalg.norm(atac.obsm["X_get"][:, None] - atac.obsm["X_get"], axis=2)
    found = atac.obsp["distances"].toarray()
    np.testing.assert_allclose(found[found > 0], apart[found > 0], rtol=1e-4)


def test_muon_draws_predictions_on_an_embedding(answered, layer, of_others):
    import muon as mu

    ax = mu.pl.embedding(
        answered, basis="rna:X_umap", color="rna:G1", layer="get", sort_order=False, show=False, return_fig=False
    )
    drawn = ax if not isinstance(ax, list) else ax[0]
    np.testing.assert_allclose(drawn.collections[0].get_array(), layer["G1"], rtol=1e-6)
