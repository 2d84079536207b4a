"""What tl writes, where, in whose order, and that it survives a file."""

from __future__ import annotations

import mudata
import numpy as np
import pandas as pd
import pytest
from mudata import MuData

import scget
from scget._errors import InputError


@pytest.fixture
def mixed(toy, rng):
    """The toy data in another order of rows, regions and genes."""
    atac = toy["atac"][rng.permutation(6), rng.permutation(120)].copy()
    return MuData({"atac": atac, "rna": toy["rna"][rng.permutation(6), rng.permutation(51)].copy()})


def test_predictions_are_written_in_the_users_order(trained, mixed):
    assert scget.tl.predict(mixed, trained) is None
    expected = trained.predict()
    rna, atac = mixed["rna"], mixed["atac"]
    layer = rna.to_df(layer="get")
    pd.testing.assert_frame_equal(
        layer.loc[expected.index, expected.columns], expected.astype(np.float32), rtol=1e-4, atol=1e-4
    )
    pd.testing.assert_frame_equal(rna.obsm["get_expression"], layer, check_names=False)
    promoters = atac.uns["peak_annotation"]
    single = [g for g in range(1, 48) if (promoters["region"] == promoters["region"].iloc[g]).sum() == 1]
    for g in single[:5]:  # alone in its region: the region's prediction on its strand is the gene's
        line = promoters[promoters["gene"] == f"G{g}"].iloc[0]
        own, other = ("get_plus", "get_minus") if line["strand"] == "+" else ("get_minus", "get_plus")
        np.testing.assert_allclose(atac.to_df(layer=own).loc[layer.index, line["region"]], layer[f"G{g}"], rtol=1e-5)
        assert atac.to_df(layer=other)[line["region"]].isna().all()
    no_gene = ~atac.var_names.isin(promoters["region"])
    assert np.isnan(atac.layers["get_plus"][:, no_gene]).all()


def test_error_and_unlikeness_are_written_by_name(trained, mixed):
    """By hand from what the model keeps: sqrt(accessibility left over x squared error per unit of it)."""
    scget.tl.predict(mixed, trained)
    rna, kept = mixed["rna"], trained.scaling.similar
    table = trained.table(mixed)
    here = pd.Index(table.regions.names).get_indexer(trained.scaling.region_p[kept.region_n])
    k = list(table.rows).index("T5")
    departs = trained.scaling.channels(table)[k, here, 0] - trained.scaling.accessibility_p[kept.region_n]
    inner = kept.open_jn.astype(float) @ kept.open_jn.T.astype(float)
    weight = np.linalg.solve(inner + 0.1 * np.trace(inner) / 5 * np.eye(5), kept.open_jn.astype(float) @ departs)
    left = np.square(departs - weight @ kept.open_jn.astype(float))
    assert rna.obs.loc["T5", "get_ood"] == pytest.approx(left.sum() / np.square(departs).sum(), rel=1e-3)
    assert (rna.obs["get_ood"] < rna.obs.loc["T5", "get_ood"]).sum() == 5  # the others were trained on
    std = rna.to_df(layer="get_std").loc["T5", trained.scaling.gene_g.astype(str)].to_numpy()
    expected = np.sqrt(left.mean() * kept.error_g)
    promoterless = ~np.isin(trained.scaling.gene_g, mixed["atac"].uns["peak_annotation"]["gene"])
    np.testing.assert_allclose(std, np.where(promoterless, np.nan, expected), rtol=1e-3)
    assert np.isfinite(std).any() and np.isnan(std).any()  # genes of chr10 were never seen


def test_provenance(trained, toy):
    scget.tl.predict(toy, trained)
    record = toy.uns["get"]
    assert record["holdout_obs"] == ["T5"] and record["holdout_chroms"] == ["chr10"] and record["window"] == 16
    assert record["unit"] == toy["rna"].uns["get"]["unit"] == "log10(CPM + 1)"
    assert record["scget_version"] == scget.__version__ and len(record["model"]) == 16


def test_copy_leaves_the_original_alone(trained, toy):
    changed = scget.tl.predict(toy, trained, key_added="mine", copy=True)
    assert "mine" in changed["rna"].layers and not toy["rna"].layers and "mine" not in toy.uns
    with pytest.raises(InputError, match=r"mdata is a view.*mdata.copy\(\)"):
        scget.tl.predict(toy[:3], trained)


def test_atac_alone_gets_an_rna_modality(trained, toy):
    alone = MuData({"atac": toy["atac"].copy()})
    with pytest.raises(InputError, match="run scget.tl.predict"):
        scget.tl.attribute(alone, trained, genes=["G1"])
    scget.tl.predict(alone, trained)
    scget.tl.predict(toy, trained)
    assert alone["rna"].obs_names.tolist() == toy["rna"].obs_names.tolist() and alone.n_vars == 120 + 50
    both = toy["rna"].to_df(layer="get")
    pd.testing.assert_frame_equal(alone["rna"].to_df(layer="get")[both.columns[:50]], both.iloc[:, :50])
    scget.tl.attribute(alone, trained, genes=["G1"])
    assert np.isfinite(alone["rna"].varm["get_motif_T0"][alone["rna"].var_names == "G1"]).all()


def test_attributions_are_written_by_name(trained, mixed):
    scget.tl.attribute(mixed, trained, genes=["G7", "G2"], rows=["T5", "T1"], top=3)
    found = trained.attribute(genes=["G7", "G2"], rows=["T5", "T1"], top=3)
    rna = mixed["rna"]
    assert rna.uns["get"]["motif_names"].tolist() == ["A", "B/1", "C", "D", "E"]
    asked = rna.var_names.isin(["G7", "G2"])
    for row, motifs in found.motifs.items():
        written = pd.DataFrame(rna.varm[f"get_motif_{row}"], index=rna.var_names)
        np.testing.assert_allclose(written.loc[["G7", "G2"]], motifs, rtol=1e-3, atol=1e-5)
        assert written[~asked].isna().all(axis=None)
        summary = rna.obsm["get_motif"][rna.obs_names.get_loc(row)]
        np.testing.assert_allclose(summary, motifs.abs().mean(), rtol=1e-3, atol=1e-5)
    assert np.isnan(rna.obsm["get_motif"][rna.obs_names.get_loc("T0")]).all()
    links = mixed.uns["get"]["links"]
    assert len(links) == 2 * 2 * 3
    for column in ("row", "gene", "region"):
        assert links[column].astype(str).tolist() == found.links[column].tolist()
    np.testing.assert_allclose(links["signed"], found.links["signed"], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("form", ["h5mu", "zarr"])
def test_results_survive_a_file(trained, toy, tmp_path, form):
    toy["rna"].var_names = [*toy["rna"].var_names[:-1], "HLA/A"]
    toy["rna"].obs_names = toy["atac"].obs_names = [*toy["rna"].obs_names[:-1], "NK/T"]
    toy.update()
    scget.tl.predict(toy, trained)
    scget.tl.attribute(toy, trained, genes=["G7"])
    path = tmp_path / f"x.{form}"
    (toy.write_h5mu if form == "h5mu" else toy.write_zarr)(path)
    back = (mudata.read_h5mu if form == "h5mu" else mudata.read_zarr)(path)
    np.testing.assert_array_equal(back["rna"].layers["get"], toy["rna"].layers["get"])
    np.testing.assert_array_equal(back["rna"].varm["get_motif_NK_T"], toy["rna"].varm["get_motif_NK_T"])
    np.testing.assert_array_equal(back["atac"].layers["get_minus"], toy["atac"].layers["get_minus"])
    assert list(back.uns["get"]["holdout_obs"]) == ["T5"]
    pd.testing.assert_series_equal(back.uns["get"]["links"]["score"], toy.uns["get"]["links"]["score"])
    assert back.uns["get"]["links"]["row"].astype(str).tolist() == toy.uns["get"]["links"]["row"].astype(str).tolist()
    assert "HLA_A" in back["rna"].obsm["get_expression"]


def test_rows_that_would_share_a_slot_are_refused(trained, toy):
    toy["rna"].obs_names = toy["atac"].obs_names = ["a/b", "a_b", "T2", "T3", "T4", "T5"]
    toy.update()
    with pytest.raises(InputError, match="differ only in '/' and '_'"):
        scget.tl.attribute(toy, trained, genes=["G7"])
    assert not toy["rna"].varm and "get" not in toy.uns


@pytest.mark.parametrize("key", ["", "a/b", "counts", "mine"])
def test_keys_that_would_break_or_overwrite_something(trained, toy, key):
    toy["rna"].layers["counts"] = toy["rna"].X.copy()
    toy.uns["mine"] = "notes"
    for ask in (scget.tl.predict, scget.tl.attribute):
        with pytest.raises(InputError, match="key_added"):
            ask(toy, trained, key_added=key)
    assert set(toy["rna"].layers) == {"counts"} and toy.uns["mine"] == "notes" and not toy["atac"].layers


def test_asking_again_adds_and_replaces(trained, toy):
    scget.tl.attribute(toy, trained, genes=["G1"], rows=["T5"])
    scget.tl.predict(toy, trained)
    scget.tl.predict(toy, trained)
    assert toy["rna"].uns["get"]["motif_names"].tolist() == ["A", "B/1", "C", "D", "E"]
    assert set(toy.uns["get"]["links"]["gene"].astype(str)) == {"G1"}


def test_genes_that_differ_in_a_slash_alone(trained, toy, tmp_path):
    toy["rna"].var_names = ["A/B", "A_B", *toy["rna"].var_names[2:]]
    toy.update()
    scget.tl.predict(toy, trained)
    toy.write_h5mu(tmp_path / "x.h5mu")
    assert mudata.read_h5mu(tmp_path / "x.h5mu")["rna"].obsm["get_expression"].columns[:2].tolist() == [
        "A_B_0",
        "A_B_1",
    ]


def test_scanpy_draws_from_the_layer(trained, toy):
    import scanpy as sc

    scget.tl.predict(toy, trained)
    plot = sc.pl.matrixplot(toy["rna"], ["G1", "G2"], groupby="cell_type", layer="get", show=False, return_fig=True)
    drawn = plot.values_df
    np.testing.assert_allclose(drawn.loc["T3", "G2"], toy["rna"].to_df(layer="get").loc["T3", "G2"], rtol=1e-5)


def test_no_attribution_of_another_model_stays(trained, toy):
    """What is there under the key is of the model that the record names."""
    scget.tl.attribute(toy, trained, genes=["G1"])
    scget.tl.attribute(toy, trained, genes=["G2"], rows=["T0"])
    assert {"get_motif_T0", "get_motif_T5"} <= set(toy["rna"].varm)  # of one model
    scget.model.GET.setup_mudata(toy)
    other = scget.model.GET(toy, width=8, n_layers=1, n_heads=2, window=16)
    other.train(1, enable_progress_bar=False, accelerator="cpu")
    toy["rna"].varm["mine"] = np.ones((51, 1))
    scget.tl.attribute(toy, other, genes=["G1"], rows=["T1"])
    assert set(toy["rna"].varm) == {"mine", "get_motif_T1"} and set(toy.uns["get"]["links"]["row"]) == {"T1"}
    expected = other.attribute(genes=["G1"], rows=["T1"]).motifs["T1"].to_numpy()
    np.testing.assert_allclose(toy["rna"].varm["get_motif_T1"][[1]], expected, rtol=1e-5)
    scget.tl.predict(toy, trained)
    assert set(toy["rna"].varm) == {"mine"} and "get_motif" not in toy["rna"].obsm and "links" not in toy.uns["get"]


def test_checks_of_attributions_are_written_and_taken_away(trained, toy, tmp_path):
    asked = {"genes": ["G7", "G2"], "rows": ["T5"]}
    scget.tl.attribute(toy, trained, **asked, method="integrated", steps=2, n_shuffles=3, against="T1")
    found = trained.attribute(**asked, method="integrated", steps=2, n_shuffles=3, against="T1")
    toy.write_h5mu(tmp_path / "x.h5mu")
    back = mudata.read_h5mu(tmp_path / "x.h5mu")
    record, varm = back.uns["get"], back["rna"].varm
    np.testing.assert_allclose(record["gap"]["gap"], found.gap["gap"], atol=1e-6)
    np.testing.assert_allclose(record["motif_null"]["z"], found.null.motifs["z"], rtol=1e-2, atol=1e-3)
    at = back["rna"].var_names.get_indexer(["G7", "G2"])
    np.testing.assert_allclose(varm["get_motif-z_T5"][at], found.null.z["T5"], rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(varm["get_motif-fdr_T5"][at], found.null.fdr["T5"], rtol=1e-2, atol=1e-3)
    assert record["attribution"]["against"] == "T1" and record["attribution"]["steps"] == 2
    scget.tl.attribute(toy, trained, **asked)
    assert not {"gap", "motif_null"} & set(toy.uns["get"]) and "get_motif-z_T5" not in toy["rna"].varm
    assert toy.uns["get"]["attribution"]["against"] == "mean training row"


def test_chromosomes_watched_in_training_are_recorded(toy):
    scget.model.GET.setup_mudata(toy)
    model = scget.model.GET(toy, width=8, n_layers=1, n_heads=2, window=16)
    quiet = {"enable_progress_bar": False, "accelerator": "cpu"}
    model.train(1, holdout_chroms=["chr10"], validation_chroms=["chr2"], **quiet)
    scget.tl.predict(toy, model)
    assert list(toy.uns["get"]["watched_chroms"]) == ["chr2"]
