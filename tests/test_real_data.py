"""Real sequence, annotation, motifs and counts of human blood through every step."""

from __future__ import annotations

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csr_matrix

import scget


@pytest.fixture(scope="module")
def blood(shared_data):
    """11 cell types x 2,660 regions and 32,643 genes, raw counts; motif scores and promoters from files."""
    folder = shared_data / "blood_hg19_sequence"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    regions = pd.read_csv(folder / "atac_counts.tsv.gz", sep="\t", index_col=0)
    genes = pd.read_csv(shared_data / "blood_hg19" / "rna_counts.tsv.gz", sep="\t", index_col=0)
    modalities = {}
    for name, table in (("atac", regions), ("rna", genes[regions.columns])):
        obs, var = pd.DataFrame(index=table.columns), pd.DataFrame(index=table.index.astype(str))
        modalities[name] = AnnData(csr_matrix(table.to_numpy().T.astype(np.float32)), obs=obs, var=var)
    mdata = MuData(modalities)
    motifs = shared_data / "motifs" / "H12CORE.meme.gz"
    scget.pp.motif_scores(mdata, folder / "mini_hg19.fa.gz", motifs=motifs)
    with pytest.warns(scget._errors.ScgetWarning, match="promoter"):  # few genes lie in these 12 Mb
        scget.pp.promoters(mdata, folder / "genes.gtf.gz")
    return mdata


@pytest.mark.slow
def test_from_files_to_predictions_and_attributions(blood, tmp_path):
    assert blood["atac"].varm["motif_scores"].shape == (2660, 1443)
    promoters = blood["atac"].uns["peak_annotation"]
    assert 150 < promoters["gene"].nunique() <= 222
    scget.model.GET.setup_mudata(blood)
    model = scget.model.GET(blood, width=32, n_layers=2, n_heads=4, window=64)
    held = {"holdout_obs": ["Mono"], "holdout_chroms": ["chr20"], "enable_progress_bar": False, "accelerator": "cpu"}
    model.pretrain(1, **held)
    model.train(6, **held, plan_kwargs={"lr": 3e-3})
    scget.tl.predict(blood, model)
    gene = "SPI1" if "SPI1" in set(promoters["gene"]) else promoters["gene"].iloc[0]
    scget.tl.attribute(blood, model, genes=[gene], rows=["Mono"])

    counts = blood["rna"].X.toarray().astype(np.float64)
    observed = pd.DataFrame(
        np.log10(1e6 * counts / counts.sum(1, keepdims=True) + 1), blood["rna"].obs_names, blood["rna"].var_names
    )
    seen = promoters.loc[~promoters["region"].str.startswith("chr20"), "gene"].unique()
    mean = observed.drop(index="Mono").mean()
    scores = scget.bm.evaluate(model, baselines=["training_mean"])
    value = scores.set_index(["split", "metric", "predictor"])["value"].sort_index()
    by_hand = np.corrcoef(mean[seen], observed.loc["Mono", seen])[0, 1]
    assert value["rows", "pearson", "training_mean"].item() == pytest.approx(by_hand, abs=1e-6)
    predicted = blood["rna"].to_df(layer="get").loc["Mono", seen]
    r = np.corrcoef(predicted, observed.loc["Mono", seen])[0, 1]
    assert value["rows", "pearson", "GET"].item() == pytest.approx(r, abs=1e-5)
    assert r > 0.7  # the training mean alone gives 0.8 to 0.9

    blood.write_h5mu(tmp_path / "blood.h5mu")
    back = mudata.read_h5mu(tmp_path / "blood.h5mu")
    np.testing.assert_array_equal(back["rna"].layers["get"], blood["rna"].layers["get"])
    links = back.uns["get"]["links"]
    assert set(links["gene"].astype(str)) == {gene} and links["region"].isin(back["atac"].var_names).all()
    assert back["atac"].uns["motif_scan"]["genome"] == "mini_hg19.fa.gz"
