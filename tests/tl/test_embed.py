"""Embeddings against windows laid by hand, and labels against votes counted by hand."""

from __future__ import annotations

import mudata
import numpy as np
import pandas as pd
import pytest
import torch
from mudata import MuData

import scget
from scget._errors import InputError
from scget.data import TokenSource


def by_hand(model, mdata):
    """Row x region x d, NaN where not shown: each region from the window whose middle is nearest, one at a time."""
    table, size = model.table(mdata), model.window
    source, net = TokenSource(table, model.scaling), model.module
    out = np.full((len(table.rows), len(table.regions), model.config.width), np.nan)
    for k, counts_p in enumerate(table.counts_kp):
        for chrom in np.unique(table.chrom_p):
            shown = np.flatnonzero((table.chrom_p == chrom) & ((counts_p > 0) | table.is_promoter_p))
            last = max(len(shown) - size, 0)
            starts = sorted({*range(0, last, size // 2), last})
            for place, region in enumerate(shown):
                start = min(starts, key=lambda s: abs(s + size // 2 - place))  # the first of two that are as near
                window = torch.from_numpy(shown[start : start + size])[None]
                batch = source.gather(torch.tensor([k]), window)
                with torch.inference_mode():
                    if model.is_trained_:
                        encoded = net.regions(batch.tokens_brf, batch.center_br)
                        if place == 0:
                            predicted = net(batch.tokens_brf, batch.center_br)
                            torch.testing.assert_close(net.head_exp["head"](encoded), predicted)
                    else:
                        encoded = net.encode(net.embed(batch.tokens_brf), batch.center_br, None)
                out[k, region] = encoded[0, place - start]
    return table, out


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture
def pretrained(toy):
    """A model that has learnt regions alone; its weights of sums over neighbours are those of chance."""
    pb = toy.copy()
    scget.model.GET.setup_mudata(pb)
    model = scget.model.GET(pb, width=8, n_layers=1, n_heads=2, window=16)
    model.pretrain(1, enable_progress_bar=False, accelerator="cpu")
    return model


@pytest.mark.parametrize("which", ["trained", "pretrained"])
def test_means_of_the_encoders_output(which, toy, rng, request):
    model = request.getfixturevalue(which)
    mixed = MuData({"atac": toy["atac"][rng.permutation(6), rng.permutation(120)].copy(), "rna": toy["rna"].copy()})
    table, each = by_hand(model, mixed)
    scget.tl.embed(mixed, model, batch_size=3)
    atac, rna = mixed["atac"], mixed["rna"]
    assert atac.obsm["X_get"].dtype == np.float32
    close(atac.obsm["X_get"], np.nanmean(each, axis=1))
    of_region = pd.DataFrame(np.nanmean(each, axis=0), table.regions.names)
    close(atac.varm["X_get"], of_region.loc[atac.var_names])
    promoters = atac.uns["peak_annotation"]
    of_gene = pd.DataFrame(rna.varm["X_get"], rna.var_names)
    for gene in ("G0", "G7"):  # G0 has two promoters
        close(of_gene.loc[gene], of_region.loc[promoters["region"][promoters["gene"] == gene]].mean())
    assert of_gene.isna().all(axis=1).tolist() == (~rna.var_names.isin(promoters["gene"])).tolist()
    assert mixed.uns["get"]["embedded_rows"] == atac.obs_names.tolist()

    scget.tl.embed(mixed, model, rows=["T3"])  # regions and genes as they are in one row
    close(atac.obsm["X_get"], np.nanmean(each, axis=1))
    in_t3 = pd.DataFrame(each[atac.obs_names.get_loc("T3")], table.regions.names)
    close(atac.varm["X_get"], in_t3.loc[atac.var_names])
    assert np.isnan(atac.varm["X_get"]).any() and mixed.uns["get"]["embedded_rows"] == ["T3"]


@pytest.mark.parametrize("batches", [{"batch_size": 1}, {"row_batch": 1}, {"row_batch": 4, "batch_size": 5}])
def test_rows_do_not_influence_each_other(trained, toy, batches):
    whole = trained.embed(toy)
    parts = trained.embed(toy, **batches)
    close(parts.rows, whole.rows)
    close(parts.regions, whole.regions)
    close(parts.genes, whole.genes)
    alone = MuData({"atac": toy["atac"][[4, 1]].copy()})
    close(trained.embed(alone).rows, whole.rows.loc[["T4", "T1"]])
    twice = MuData({"atac": toy["atac"][[2, 1, 0]].copy()})
    twice["atac"].X = twice["atac"].X[[0, 0, 2]]
    close(trained.embed(twice).rows, whole.rows.loc[["T2", "T2", "T0"]])


def test_depth_alone_changes_nothing(trained, toy):
    deeper = toy.copy()
    deeper["atac"].X = deeper["atac"].X * 7
    close(trained.embed(deeper).rows, trained.embed(toy).rows)


def test_embeddings_survive_a_file_and_another_model_takes_them_away(trained, pretrained, toy, tmp_path):
    scget.tl.embed(toy, trained)
    toy.write_h5mu(tmp_path / "x.h5mu")
    back = mudata.read_h5mu(tmp_path / "x.h5mu")
    for name, attribute in (("atac", "obsm"), ("atac", "varm"), ("rna", "varm")):
        np.testing.assert_array_equal(getattr(back[name], attribute)["X_get"], getattr(toy[name], attribute)["X_get"])
    changed = scget.tl.embed(toy, pretrained, key_added="mine", copy=True)
    assert changed["atac"].obsm["X_mine"].shape == (6, 8) and "X_mine" not in toy["atac"].obsm
    toy.uns["get"]["model"] = "of another"
    scget.tl.predict(toy, trained)
    assert "X_get" not in toy["atac"].obsm and "X_get" not in toy["atac"].varm and "X_get" not in toy["rna"].varm


def test_what_cannot_be_embedded(trained, toy):
    with pytest.raises(InputError, match=r"each of the 1 members.*model.members\[0\]"):
        scget.tl.embed(toy, scget.model.Ensemble([trained], {"chr1": 0}))
    with pytest.raises(InputError, match="no row 'T9'"):
        scget.tl.embed(toy, trained, rows=["T9"])
    with pytest.raises(InputError, match="row_batch=0: a whole number of at least 1"):
        scget.tl.embed(toy, trained, row_batch=0)
    with pytest.raises(InputError, match=r"rows=\[\] names no row"):
        scget.tl.embed(toy, trained, rows=[])
    assert not toy["atac"].obsm and "get" not in toy.uns
    scget.model.GET.setup_mudata(toy)
    new = scget.model.GET(toy, width=8, n_layers=1, n_heads=2, window=16)
    with pytest.raises(RuntimeError, match="has not learnt anything yet"):
        new.embed()
    blind = scget.model.GET(toy, width=8, n_layers=1, n_heads=2, window=16, task="accessibility")
    blind.train(1, enable_progress_bar=False, accelerator="cpu")
    with pytest.raises(InputError, match="never sees accessibility"):
        blind.embed()


@pytest.fixture
def placed(toy, rng):
    """Six rows at places of the plane with labels, and five without."""
    toy["atac"].obsm["X_get"] = rng.normal(size=(6, 2))
    toy["atac"].obs["cell_type"] = ["B", "T", "B", "NK", "T", "T"]
    toy.uns["get"] = {"scget_version": "0", "model": "m"}
    new = MuData({"atac": toy["atac"][:5].copy()})
    new["atac"].obsm["X_get"] = rng.normal(size=(5, 2))
    new["atac"].obsm["X_get"][3] = toy["atac"].obsm["X_get"][3]  # at the very place of an NK
    new.uns["get"] = {"scget_version": "0", "model": "m"}
    del new["atac"].obs["cell_type"]
    return new, toy


@pytest.mark.parametrize("n_neighbors", [1, 4, 99])
def test_votes_counted_by_hand(placed, rng, n_neighbors):
    new, reference = placed
    del reference["rna"].obs["cell_type"]
    reference = MuData({"atac": reference["atac"][rng.permutation(6)].copy(), "rna": reference["rna"]})
    reference.uns["get"] = new.uns["get"]
    scget.tl.transfer_labels(new, reference, "cell_type", n_neighbors=n_neighbors)
    places, labels = reference["atac"].obsm["X_get"], reference["atac"].obs["cell_type"].astype(str).to_numpy()
    for own, (_, line) in zip(new["atac"].obsm["X_get"], new["atac"].obs.iloc[:3].iterrows(), strict=False):
        votes = {}
        distance = np.hypot(*(places - own).T)
        for i in np.argsort(distance)[:n_neighbors]:
            votes[labels[i]] = votes.get(labels[i], 0) + 1 / distance[i]
        best = max(votes, key=votes.get)
        assert line["get_cell_type"] == best
        assert line["get_cell_type_confidence"] == pytest.approx(votes[best] / sum(votes.values()))
    assert new["atac"].obs["get_cell_type"].iloc[3] == "NK"
    assert new["atac"].obs["get_cell_type_confidence"].iloc[3] == 1


def test_labels_that_cannot_be_transferred(placed):
    new, reference = placed
    with pytest.raises(InputError, match="no column 'leiden' in obs"):
        scget.tl.transfer_labels(new, reference, "leiden")
    with pytest.raises(InputError, match="n_neighbors=0: a whole number"):
        scget.tl.transfer_labels(new, reference, "cell_type", n_neighbors=0)
    with pytest.raises(InputError, match=r"no embedding 'X_mine' in the obsm of mdata\['atac'\]; run scget.tl.embed"):
        scget.tl.transfer_labels(new, reference, "cell_type", key_added="mine")
    new.uns["get"]["model"] = "other"
    with pytest.raises(InputError, match=r"embedded by model 'other' \(2 dimensions\), the reference by 'm'"):
        scget.tl.transfer_labels(new, reference, "cell_type")
    assert "get_cell_type" not in new["atac"].obs


def metacells(cells, n, rng):
    """Cells of a type taken together ``n`` at a time, half of the cells for learning; names say type and half."""
    kind = cells["atac"].obs["cell_type"].astype(str)
    nth = kind.groupby(kind).cumcount()
    half = np.where(nth < nth.max() / 2, "known", "new")
    for name in ("atac", "rna"):
        cells[name].obs["half"] = pd.Series(half, kind.index).reindex(cells[name].obs_names)
        meta = kind + " " + half + " " + (nth // n).astype(str)
        cells[name].obs["metacell"] = meta.reindex(cells[name].obs_names)
    rows = scget.pp.pseudobulk(cells, "metacell")
    rows["atac"].obs["cell_type"] = rows["atac"].obs_names.str.split().str[0]
    is_new = rows["atac"].obs_names.str.contains("new")
    return rows[~is_new].copy(), MuData({"atac": rows["atac"][is_new].copy()})


@pytest.mark.slow
def test_left_out_metacells_get_their_type(tmp_path, rng):
    """Learnt on types from half of the cells; labels of metacells of the other half, by ATAC alone."""
    from sklearn.neighbors import KNeighborsClassifier

    sim = scget.datasets.simulated(tmp_path, n_cells=24, n_chroms=3, regions_per_chrom=150)
    cells = sim.mdata
    scget.pp.motif_scores(cells, sim.genome, motifs=sim.motifs)
    scget.pp.promoters(cells, sim.annotation)
    known, new = metacells(cells, 3, rng)
    pb = scget.pp.pseudobulk(cells[(cells["atac"].obs["half"] == "known").to_numpy()].copy(), "cell_type")
    scget.model.GET.setup_mudata(pb)
    model = scget.model.GET(pb, width=24, n_layers=1, n_heads=2, window=64)
    model.train(20, plan_kwargs={"lr": 5e-3}, enable_progress_bar=False, accelerator="cpu")
    for rows in (known, new):
        scget.tl.embed(rows, model)
    truth = new["atac"].obs["cell_type"].to_numpy()
    scget.tl.transfer_labels(new, known, "cell_type", n_neighbors=4)
    accuracy = np.mean(new["atac"].obs["get_cell_type"].to_numpy() == truth)
    sure = new["atac"].obs["get_cell_type_confidence"]
    open_known, open_new = (model.scaling.channels(model.table(rows))[..., 0] for rows in (known, new))
    vote = KNeighborsClassifier(4, weights="distance").fit(open_known, known["atac"].obs["cell_type"])
    print(accuracy, "by accessibility alone", np.mean(vote.predict(open_new) == truth), "confidence", sure.mean())
    assert accuracy >= 0.85  # 0.1 by chance
    known["atac"].obs["mixed"] = rng.permutation(known["atac"].obs["cell_type"])
    scget.tl.transfer_labels(new, known, "mixed", n_neighbors=4)
    assert np.mean(new["atac"].obs["get_mixed"].to_numpy() == truth) < 0.4
    assert new["atac"].obs["get_mixed_confidence"].mean() < sure.mean()
