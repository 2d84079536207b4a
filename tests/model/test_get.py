"""The model a person holds: what it sees, what it never sees, what it predicts, and every trap of scvi-tools."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csc_matrix, csr_array, csr_matrix

import scget
from scget._errors import InputError, ScgetWarning, TrainingError
from scget.model import GET

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
SMALL = {"width": 8, "n_layers": 1, "n_heads": 2, "window": 16}


def build(mdata, **kwargs):
    GET.setup_mudata(mdata)
    return GET(mdata, **{**SMALL, **kwargs})


def test_learns_what_differs_in_a_row_never_seen(trained, toy):
    """By the network alone: no row of the toy data is like another."""
    observed = trained.table().expression_kg
    mean = observed[:5].mean(axis=0)
    seen = np.isfinite(trained.scaling.expression(trained.table().genes))
    alone = build(toy, width=16, baseline="training_mean")
    alone.module.load_state_dict(trained.module.state_dict())
    alone.scaling, alone.motifs, alone.is_trained_ = replace(trained.scaling, similar=None), trained.motifs, True
    predicted = alone.predict().loc["T5"].to_numpy()
    delta = np.corrcoef((predicted - mean)[seen], (observed[5] - mean)[seen])[0, 1]
    assert delta > 0.5
    assert trained.is_trained and trained.holdout.obs == ["T5"] and trained.holdout.chroms == ["chr10"]
    losses = trained.history["train_loss"]["train_loss"].astype(float)
    assert len(losses) == 20 and losses.iloc[-1] < 0.5 * losses.iloc[0]


def test_prediction_is_mean_plus_departure_plus_what_it_missed_in_similar_rows(toy):
    """One gene by hand: windows gathered with numpy, pushed through the network, rescaled; rows weighted by numpy."""
    model = build(toy)
    model.train(1, holdout_obs=["T5"], holdout_chroms=["chr10"], **QUIET)
    table, scaling = model.table(), model.scaling
    pairs = table.promoters
    open_kp = scaling.channels(table)[..., 0][:, table.on_chroms(["chr1", "chr2"])].astype(np.float64)
    departure_kp = open_kp - open_kp[:5].mean(axis=0)
    inner_kk = departure_kp @ departure_kp.T
    weight_j = np.linalg.inv(inner_kk[:5, :5] + 0.1 * np.trace(inner_kk[:5, :5]) / 5 * np.eye(5)) @ inner_kk[:5, 5]
    single = [g for g in range(48) if np.isfinite(scaling.expression_g[g]) and (pairs.gene_n == g).sum() == 1]
    gene = max(single, key=lambda g: abs(weight_j @ scaling.similar.departure_jg[:, g]))
    slot = pairs.slot_n[pairs.gene_n == gene][0]
    region, strand = pairs.region_q[slot], pairs.strand_q[slot]

    def departure(row):
        same = table.chrom_p == table.chrom_p[region]
        shown = np.flatnonzero(((table.counts_kp[row] > 0) | table.is_promoter_p) & same)
        starts = np.unique([*range(0, len(shown) - 16, 8), len(shown) - 16])
        at = np.searchsorted(shown, region)
        start = starts[np.abs(starts + 8 - at).argmin()]
        window = shown[start : start + 16]
        features = np.hstack([scaling.motifs(table)[window], scaling.channels(table)[row, window]])
        with torch.no_grad():
            out = model.module(torch.tensor(features)[None], torch.tensor(table.regions.centers[window])[None])
        around = np.flatnonzero(same & (np.abs(table.regions.centers - table.regions.centers[region]) <= 100_000))
        weight = np.exp(-np.abs(table.regions.centers[around] - table.regions.centers[region]) / 20_000)
        slope, share = scaling.activity
        activity = slope * weight @ scaling.channels(table)[row, around, 1]
        return scaling.spread_g[gene] * ((1 - share) * out[0, at - start, 2 + strand].item() + share * activity)

    observed = table.expression_kg[:5, gene].astype(np.float64)
    missed_j = observed - np.maximum(observed.mean() + np.array([departure(row) for row in range(5)]), 0)
    trust = scaling.similar.trust.item()
    assert 0 < trust < 1 and np.abs(trust * weight_j @ missed_j) > 1e-3
    expected = max(observed.mean() + departure(5) + trust * weight_j @ missed_j, 0)
    assert model.predict().iloc[5, gene] == pytest.approx(expected, rel=1e-3)  # accessibility is kept in 16 bits


def test_held_out_values_never_reach_training(toy):
    def weights(mdata):
        model = build(mdata)
        model.pretrain(1, holdout_obs=["T5"], holdout_chroms=["chr10"], **QUIET)
        model.train(2, **QUIET)  # the hold-outs of pretraining are taken over
        return model.module.state_dict()

    before = weights(toy)
    other = toy.copy()
    counts, expression = other["atac"].X.toarray(), other["rna"].X.toarray()
    counts[5], expression[5] = counts[0] * 2, expression[4] * 3
    promoters = toy["atac"].uns["peak_annotation"]
    away = promoters.loc[promoters["region"].str.startswith("chr10"), "gene"]
    single = [g for g in away if (promoters["gene"] == g).sum() == 1][:2]
    at = other["rna"].var_names.get_indexer(single)
    expression[:, at] = expression[:, at[::-1]]  # totals stay, genes of the held-out chromosome change
    other["atac"].X, other["rna"].X = csr_matrix(counts), csr_matrix(expression)
    after = weights(other)
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]), name


def test_same_seed_same_bits_and_no_global_generator_touched(toy):
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    models = [build(toy, seed=seed) for seed in (3, 3, 4)]
    for model in models:
        model.train(2, **QUIET)
    predictions = [m.predict().to_numpy() for m in models]
    np.testing.assert_array_equal(predictions[0], predictions[1])
    assert np.nanmax(np.abs(predictions[0] - predictions[2])) > 1e-3
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


def test_order_type_and_batch_size_do_not_matter(trained, toy, rng):
    plain = trained.predict()
    pd.testing.assert_frame_equal(trained.predict(batch_size=1), plain, rtol=1e-4, atol=1e-5)
    atac, rna = toy["atac"], toy["rna"]
    mixed = MuData(
        {
            "atac": atac[rng.permutation(6), rng.permutation(120)].copy(),
            "rna": rna[rng.permutation(6), rng.permutation(51)].copy(),
        }
    )
    for convert in (lambda x: x.toarray(), csc_matrix, csr_array, lambda x: x.astype(np.int64)):
        mixed["atac"].X = convert(mixed["atac"].X)
        again = trained.predict(mixed)
        pd.testing.assert_frame_equal(again.loc[plain.index, plain.columns], plain, rtol=1e-4, atol=1e-5)


def test_training_does_not_depend_on_the_order_of_regions_or_genes(toy, rng):
    first = build(toy)
    first.train(2, **QUIET)
    mixed = MuData(
        {
            "atac": toy["atac"][:, rng.permutation(120)].copy(),
            "rna": toy["rna"][:, rng.permutation(51)].copy(),
        }
    )
    second = build(mixed)
    second.train(2, **QUIET)
    pd.testing.assert_frame_equal(second.predict()[first.predict().columns], first.predict(), rtol=1e-4, atol=1e-5)


def test_atac_alone_and_genes_without_promoter(trained, toy):
    alone = trained.predict(MuData({"atac": toy["atac"].copy()}))
    both = trained.predict()
    assert both["G50"].isna().all() and "G50" not in alone
    pd.testing.assert_frame_equal(alone[both.columns[:50]], both.iloc[:, :50], check_names=False)
    pd.testing.assert_frame_equal(trained.predict(rows=["T5", "T1"]), both.loc[["T5", "T1"]], rtol=1e-4, atol=1e-5)


def test_a_pretrained_trunk_is_what_training_goes_on_from(toy):
    model = build(MuData({"atac": toy["atac"].copy()}))
    start = {k: v.clone() for k, v in model.module.state_dict().items()}
    model.pretrain(2, holdout_obs=["T5"], **QUIET)
    moved = {k for k, v in model.module.state_dict().items() if not torch.equal(v, start[k])}
    assert {"region_embed.embed.weight", "encoder.norm.weight"} <= moved
    assert not any(name.startswith("head_exp") for name in moved)
    assert not model.is_trained and model.history["train_loss"].shape == (2, 1)
    with pytest.raises(InputError, match="no RNA modality"):
        model.train(1, **QUIET)
    with pytest.raises(RuntimeError, match=r"train\(\) or load\(\) first"):
        model.predict()


def test_second_training_is_in_train_mode(toy, monkeypatch):
    """scvi-tools leaves a trained model in eval mode, where drop path would be off."""
    model = build(toy, n_layers=2, drop_path=0.5, baseline="training_mean")  # which predicts nothing in training
    seen = []
    original = type(model.module).forward

    def spy(self, *args):
        seen.append(self.training)
        return original(self, *args)

    model.train(1, **QUIET)
    assert not model.module.training
    monkeypatch.setattr(type(model.module), "forward", spy)
    model.train(1, **QUIET)
    assert seen and all(seen)


def test_watched_chromosomes_early_stopping_and_callbacks(toy):
    from lightning.pytorch.callbacks import Callback

    model, mine = build(toy), [Callback()]
    model.train(2, validation_chroms=["chr2"], callbacks=mine, **QUIET)
    assert len(mine) == 1  # Lightning appends to the list it is given
    assert model.history["validation_loss"].shape == (2, 1)
    on_chr2 = model.table().promoters
    only = np.setdiff1d(
        on_chr2.gene_n[model.table().chrom_p[on_chr2.region_q[on_chr2.slot_n]] == 1],
        on_chr2.gene_n[model.table().chrom_p[on_chr2.region_q[on_chr2.slot_n]] != 1],
    )
    assert np.isnan(model.scaling.expression(model.table().genes)[only]).all()  # watched, so not learnt from
    with pytest.raises(InputError, match="early_stopping needs validation_chroms"):
        model.train(1, early_stopping=True, **QUIET)
    model.train(3, validation_chroms=["chr2"], early_stopping=True, early_stopping_patience=1, **QUIET)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"holdout_obs": ["t5"]}, "no row 't5'; .*Did you mean 'T5'"),
        ({"holdout_chroms": ["10"]}, "no chromosome '10'"),
        ({"holdout_obs": "T5"}, r"holdout_obs='T5' is one text; a list is needed: holdout_obs=\['T5'\]"),
        ({"holdout_obs": [f"T{i}" for i in range(6)]}, "held out everything: 0 rows"),
        ({"holdout_chroms": ["chr1", "chr2", "chr10"]}, "held out everything: 6 rows and 0 regions"),
        ({"validation_chroms": ["chr1", "chr2", "chr10"]}, "0 training windows"),
    ],
)
def test_impossible_hold_outs(toy, arguments, message):
    model = build(toy)
    with pytest.raises(InputError, match=message):
        model.train(1, **arguments, **QUIET)
    assert model.holdout is None and not model.is_trained


def test_what_was_trained_on_cannot_be_held_out_later(toy):
    model = build(toy)
    model.pretrain(1, holdout_chroms=["chr10"], **QUIET)
    with pytest.raises(InputError, match=r"'T5' cannot be held out now.*\(pre\)trained"):
        model.train(1, holdout_obs=["T5"], **QUIET)
    model.train(1, holdout_chroms=[], **QUIET)
    assert model.holdout.chroms == [] and "chr10" in model.holdout.seen_chroms


def test_a_loss_that_is_no_number_stops_training(toy, capsys):
    with pytest.raises(TrainingError, match="the loss is nan in epoch"):
        build(toy).train(50, plan_kwargs={"lr": 1e30}, gradient_clip_val=None, **QUIET)


def test_published_recipe_by_argument(toy):
    model = build(toy, baseline="zero", distance_bias=False, closed="drop")
    assert model.config.n_outputs == 2 and not any("distance" in n for n in model.module.state_dict())
    model.train(30, plan_kwargs={"lr": 1e-2}, **QUIET)
    predicted = model.predict()
    able = np.isfinite(predicted.to_numpy())
    assert (predicted.to_numpy()[able] > 0).all()
    losses = model.history["train_loss"]["train_loss"].astype(float)
    assert losses.iloc[-1] < losses.iloc[0]
    closed = model.table().counts_kp[:, model.table().promoters.region_q] == 0
    single = [g for g in range(48) if (model.table().promoters.gene_n == g).sum() == 1]
    slots = [model.table().promoters.slot_n[model.table().promoters.gene_n == g][0] for g in single]
    np.testing.assert_array_equal(np.isnan(predicted.to_numpy()[:, single]), closed[:, slots])


def test_other_motifs_are_refused_and_other_order_is_mended(trained, toy):
    atac = toy["atac"]
    order = [3, 1, 0, 4, 2]
    atac.varm["motif_scores"] = atac.varm["motif_scores"][:, order]
    atac.uns["motif_names"] = atac.uns["motif_names"][order]
    pd.testing.assert_frame_equal(trained.predict(toy), trained.predict())
    atac.uns["motif_names"] = np.array(["D", "B/1", "A", "E", "new"], dtype=object)
    with pytest.raises(InputError, match="trained with 5 motifs, the data have 5: missing 'C', unknown 'new'"):
        trained.predict(toy)


def test_another_peak_set_warns(trained, toy):
    atac = toy["atac"].copy()
    atac.var["start"] += 7
    atac.var_names = [f"{c}:{s}-{e}" for c, s, e in atac.var[["chrom", "start", "end"]].itertuples(index=False)]
    moved = dict(zip(toy["atac"].var_names, atac.var_names, strict=True))
    atac.uns["peak_annotation"]["region"] = atac.uns["peak_annotation"]["region"].map(moved)
    with pytest.warns(ScgetWarning, match="only 0% of the regions are among those of training"):
        trained.predict(MuData({"atac": atac}))


def test_prediction_leaves_the_data_alone(trained, toy):
    before = toy.copy()
    trained.predict(toy)
    trained.attribute(toy, genes=["G0"])
    assert set(toy.uns) == set(before.uns) and set(toy["atac"].layers) == set()
    np.testing.assert_array_equal(toy["atac"].X.toarray(), before["atac"].X.toarray())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"closed": "open"}, "closed='open'"), ({"window": 0}, "window=0")],
)
def test_model_arguments_are_checked(toy, arguments, message):
    GET.setup_mudata(toy)
    with pytest.raises(InputError, match=message):
        GET(toy, **arguments)


def test_set_up_by_other_names(toy):
    raw = toy["rna"].X.copy()
    toy["rna"].layers["counts"] = raw
    toy["rna"].X = raw.toarray() / 3
    other = MuData({"gex": toy["rna"], "peaks": toy["atac"]})
    with pytest.raises(InputError, match="no modality 'atac'"):
        GET.setup_mudata(other)
    names = {"atac_layer": "peaks", "rna_layer": "gex"}
    with pytest.raises(InputError, match="rna_layer='counts'"):
        GET.setup_mudata(other, modalities=names)
    GET.setup_mudata(other, rna_layer="counts", modalities=names)
    model = GET(other, **SMALL)
    assert model.registry["setup_args"]["modalities"] == names
    plain = build(MuData({"rna": AnnData(raw, obs=toy["rna"].obs, var=toy["rna"].var), "atac": toy["atac"].copy()}))
    np.testing.assert_array_equal(model.table().expression_kg, plain.table().expression_kg)
    model.view_anndata_setup()  # scvi-tools 1.4 with rich 15 needs rich.pretty imported


def test_set_up_refusals(toy):
    with pytest.raises(TypeError, match="MuData with an RNA and an ATAC modality is needed, got AnnData"):
        GET.setup_mudata(toy["rna"])
    with pytest.raises(NotImplementedError, match="use setup_mudata"):
        GET.setup_anndata(toy["rna"])
    with pytest.raises(ValueError, match="Extraneous modality mapping"):
        GET.setup_mudata(toy, modalities={"protein_layer": "prot"})
    counts = toy["atac"].X.toarray()
    counts[2] = 0
    toy["atac"].X = csr_matrix(counts)
    with pytest.raises(InputError, match="1 rows of 'atac' have no counts, first 'T2'"):
        GET.setup_mudata(toy)


def test_data_can_be_exchanged(trained, toy, tmp_path):
    """scvi-tools forgets on transfer how data were set up, and then could not save and load."""
    trained.save(tmp_path / "a")
    model = GET.load(tmp_path / "a", mdata=scget.model.GET.setup_mudata(toy) or toy)
    other = MuData({"atac": toy["atac"][:4].copy(), "rna": toy["rna"][:4].copy()})
    model.adata = other
    assert model.predict().index.tolist() == ["T0", "T1", "T2", "T3"]
    assert model.adata_manager.registry["setup_method_name"] == "setup_mudata"
    model.save(tmp_path / "b")
    pd.testing.assert_frame_equal(GET.load(tmp_path / "b", mdata=other).predict(), model.predict())
    model.deregister_manager(toy)


def test_validation_loss_is_that_of_genes_never_trained_on(toy):
    """By hand: mean squared error of standardised level and deviation on the watched chromosome."""
    model = build(toy, drop_path=0.0)
    model.train(1, holdout_obs=["T5"], validation_chroms=["chr10"], batch_size=1000, **QUIET)
    table, scaling = model.table(), model.scaling
    mean = table.expression_kg[:5].mean(axis=0)
    tokens = np.flatnonzero(table.chrom_p == 2)
    errors = []
    for row in range(5):
        shown = tokens[(table.counts_kp[row, tokens] > 0) | table.is_promoter_p[tokens]]
        starts = np.unique([*range(0, len(shown) - 16, 8), len(shown) - 16])
        for window in (shown[s : s + 16] for s in starts):
            features = np.hstack([scaling.motifs(table)[window], scaling.channels(table)[row, window]])
            with torch.no_grad():
                out = model.module(torch.tensor(features)[None], torch.tensor(table.regions.centers[window])[None])[0]
            for slot, (region, strand) in enumerate(
                zip(table.promoters.region_q, table.promoters.strand_q, strict=True)
            ):
                for at in np.flatnonzero(window == region):
                    genes = table.promoters.gene_n[table.promoters.slot_n == slot]
                    level = (mean[genes].mean() - scaling.level[0]) / scaling.level[1]
                    change = ((table.expression_kg[row] - mean)[genes] / scaling.spread(table.genes)[genes]).mean()
                    errors += [(out[at, strand].item() - level) ** 2, (out[at, 2 + strand].item() - change) ** 2]
    assert float(model.history["validation_loss"].iloc[0, 0]) == pytest.approx(np.mean(errors), rel=1e-3)


def test_training_that_fails_leaves_the_model_as_it_was(toy):
    from lightning.pytorch.callbacks import Callback

    class Interrupt(Callback):
        def on_train_epoch_end(self, *args):
            raise OSError("power cut")

    model = build(toy)
    model.train(2, holdout_obs=["T5"], holdout_chroms=["chr10"], **QUIET)
    before, record = model.predict(), model.holdout
    for failing, message in (
        ({"callbacks": [Interrupt()]}, "power cut"),
        ({"plan_kwargs": {"foo": 1}}, "foo"),
        ({"plan_kwargs": {"lr": 1e30, "warmup": 0.0}, "gradient_clip_val": None}, "the loss is"),
    ):
        with pytest.raises((OSError, TypeError, TrainingError), match=message):
            model.train(3, holdout_obs=[], holdout_chroms=[], **failing, **QUIET)
        pd.testing.assert_frame_equal(model.predict(), before, check_exact=True)
        assert model.holdout == record


def test_training_does_not_depend_on_the_order_of_rows(toy):
    first = build(toy)
    first.train(2, **QUIET)
    order = [3, 1, 5, 0, 4, 2]
    second = build(MuData({"atac": toy["atac"][order].copy(), "rna": toy["rna"][order].copy()}))
    second.train(2, **QUIET)
    pd.testing.assert_frame_equal(second.predict().loc[first.predict().index], first.predict(), rtol=1e-4, atol=1e-5)


def test_other_genes_and_other_scans_are_noticed(trained, toy):
    alone = MuData({"atac": toy["atac"].copy()})
    alone["atac"].uns["peak_annotation"]["gene"] = "ENSG0000" + alone["atac"].uns["peak_annotation"]["gene"]
    with pytest.warns(ScgetWarning, match="only 0% of the genes .*here 'ENSG0000G0'.*there 'G0'"):
        trained.predict(alone)
    scan = {"scanner": "scget", "scanner_version": 1, "pvalue": 1e-4, "pseudocount": 0.01, "genome": "hg38.fa"}
    scan |= {"background": [0.3, 0.2, 0.2, 0.3], "motifs_sha256": "ab12"}
    toy["atac"].uns["motif_scan"] = scan
    model = build(toy)
    model.train(1, **QUIET)
    other = toy.copy()
    other["atac"].uns["motif_scan"] = scan | {"genome": "mm10.fa", "background": np.array([0.3, 0.2, 0.2, 0.3])}
    with pytest.warns(
        ScgetWarning, match="motif scores come from genome 'mm10.fa', those of training from 'hg38.fa': another build,"
    ):
        model.predict(other)  # allowed: another species may be what it is for
    other["atac"].uns["motif_scan"] = scan | {"genome": "hg38.fa.gz"}
    model.predict(other)
    model.annotation = {"file": "gencode.v44.gtf.gz", "flank": 300}
    other["atac"].uns["promoter_source"] = {"file": "gencode.v19.gtf", "flank": np.int64(300)}
    with pytest.warns(
        ScgetWarning, match="promoters come from file 'gencode.v19.gtf', those of training from 'gencode.v44.gtf'"
    ):
        model.predict(other)
    other["atac"].uns["promoter_source"]["file"] = "gencode.v44.gtf"
    model.predict(other)
    other["atac"].uns["motif_scan"] = scan | {"pvalue": 1e-2}
    with pytest.raises(InputError, match=r"motif scores differ from those of training in 'pvalue' \(here 0.01"):
        model.predict(other)
    others = {"scanner": "moods", "scanner_version": 2, "pseudocount": 0.1, "motifs_sha256": "cd34"}
    for key, value in (others | {"background": [0.25, 0.25, 0.25, 0.25]}).items():
        other["atac"].uns["motif_scan"] = scan | {key: value}
        with pytest.raises(InputError, match=f"differ from those of training in '{key}'"):
            model.predict(other)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.predict(rows="T5"), r"'T5' is one text; a list of rows is needed"),
        (lambda m: m.predict(rows=[0]), "no row '0'"),
        (lambda m: m.predict(rows=[]), "0 rows and batch_size=64"),
        (lambda m: m.predict(batch_size=0), "6 rows and batch_size=0"),
        (lambda m: m.attribute(genes=[]), "names no gene"),
        (lambda m: m.attribute(genes="G1"), "'G1' is one text; a list of genes"),
        (lambda m: m.train(0), "max_epochs=0"),
        (lambda m: m.train(1, batch_size=0), "batch_size=0"),
        (lambda m: m.train(1, validation_chroms=["chr10"]), "validation_chroms .*held out"),
        (lambda m: m.pretrain(1, mask_ratio=1.5), "mask_ratio=1.5"),
    ],
)
def test_calls_without_meaning(trained, call, message):
    with pytest.raises(InputError, match=message):
        call(trained)


def test_a_gene_asked_for_twice_is_explained_once(trained):
    twice = trained.attribute(genes=["G3", "G1", "G3"], rows=["T5", "T5"])
    assert twice.motifs["T5"].index.tolist() == ["G3", "G1"]


def test_records_of_others_and_missing_ones(trained, toy):
    """A user's own entry under our key is no record; a record that only training has is missed aloud."""
    model = build(toy)
    model.train(1, **QUIET)
    before = model.predict(toy)
    for foreign in ("GENCODE v44", None, ["a"], pd.DataFrame({"a": [1]})):
        toy["atac"].uns["promoter_source"] = foreign
        pd.testing.assert_frame_equal(model.predict(toy), before)
    model.annotation = {"file": "a.gtf", "flank": 300}
    with pytest.warns(ScgetWarning, match="no record of how the promoters were made"):
        model.predict(toy)
    toy["atac"].uns["promoter_source"] = {"file": "a.gtf", "flank": 0}
    with pytest.warns(ScgetWarning, match="promoters come from flank '0', those of training from '300'"):
        model.predict(toy)


def test_warnings_name_the_line_of_the_user(trained, toy, tmp_path):
    import scget

    genes = toy["atac"].uns["peak_annotation"]["gene"]
    alone = MuData({"atac": toy["atac"].copy()})
    alone["atac"].uns["peak_annotation"]["gene"] = "ENSG0000" + genes
    calls = (
        lambda: trained.predict(alone),
        lambda: trained.attribute(alone, genes=["ENSG0000G0"], rows=["T0"]),
        lambda: scget.tl.predict(alone.copy(), trained),
    )
    for call in calls:
        with pytest.warns(ScgetWarning, match="only 0% of the genes") as caught:
            call()
        assert {w.filename for w in caught if issubclass(w.category, ScgetWarning)} == {__file__}


@pytest.mark.parametrize("n_known", [0, 1, 2, 10, 60, 119])
def test_a_few_regions_in_common_are_no_worse_than_none(trained, toy, n_known):
    """Accessibility keeps its order, however few regions are those of training."""
    atac = toy["atac"]
    table = atac.var.assign(start=atac.var["start"] + np.where(np.arange(120) < n_known, 0, 3))
    table.index = [f"{c}:{s}-{e}" for c, s, e in table[["chrom", "start", "end"]].itertuples(index=False)]
    moved = MuData({"atac": AnnData(atac.X, obs=atac.obs, var=table, varm=dict(atac.varm), uns=dict(atac.uns))})
    names = dict(zip(atac.var_names, table.index, strict=True))
    promoters = atac.uns["peak_annotation"]
    moved["atac"].uns["peak_annotation"] = promoters.assign(region=promoters["region"].map(names))
    found = trained.scaling.channels(trained.table(moved))[..., 0]
    wanted = trained.scaling.channels(trained.table(toy))[..., 0]
    assert min(np.corrcoef(a, b)[0, 1] for a, b in zip(found, wanted, strict=True)) > 0.98


def test_what_came_from_zarr_is_read(trained, toy, tmp_path):
    import mudata

    toy.write_zarr(tmp_path / "toy.zarr")
    pd.testing.assert_frame_equal(trained.predict(mudata.read_zarr(tmp_path / "toy.zarr")), trained.predict(toy))


def test_another_modality_of_other_rows_and_a_view_are_refused_by_name(toy):
    protein = AnnData(np.ones((4, 2), dtype=np.float32), obs=toy["rna"].obs.iloc[:4].copy())
    with pytest.raises(InputError, match="4 of 6 rows of 'atac' and of 4 rows of 'prot' are shared|only in 'rna'"):
        GET.setup_mudata(MuData({"atac": toy["atac"], "rna": toy["rna"], "prot": protein}))
    with pytest.raises(InputError, match="mdata is a view"):
        GET.setup_mudata(toy[:4])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": True}, "window=True: a whole number of at least 1"),
        ({"width": 10, "n_heads": 3}, "width 10 is not a multiple of n_heads 3"),
        ({"dropout": 1.5}, r"must be in \[0, 1\), got 0.1 and 1.5"),
        ({"seed": -1}, "seed=-1: a whole number of at least 0"),
        ({"seed": 1.5}, "seed=1.5: a whole number of at least 0"),
    ],
)
def test_sizes_without_meaning_are_refused(toy, arguments, message):
    GET.setup_mudata(toy)
    with pytest.raises(InputError, match=message):
        GET(toy, **SMALL | arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 2.5}, "batch_size=2.5: both must be whole numbers, at least 1"),
        ({"ema": "0.9"}, "ema='0.9'; a decay between 0 and 1"),
        ({"accumulate_grad_batches": 0}, "accumulate_grad_batches=0; a whole number of at least 1"),
        ({"plan_kwargs": {"lr": -1}}, "lr=-1, weight_decay=0.05, warmup=0.1; a rate and a decay of at least 0"),
        ({"plan_kwargs": {"warmup": 3}}, "warmup=3; a rate and a decay"),
    ],
)
def test_settings_without_meaning_are_refused(toy, arguments, message):
    """Before the first step: the model is as it was."""
    GET.setup_mudata(toy)
    model = GET(toy, **SMALL)
    before = {n: t.clone() for n, t in model.module.state_dict().items()}
    with pytest.raises(InputError, match=message):
        model.train(1, enable_progress_bar=False, accelerator="cpu", **arguments)
    assert not model.is_trained and model.scaling is None
    assert all(torch.equal(t, before[n]) for n, t in model.module.state_dict().items())


def test_a_model_says_what_it_is(trained, toy):
    assert repr(trained).splitlines() == [
        "GET: 5 motif clusters; 16 wide, 1 layers, 2 heads, windows of 16 regions; task 'expression'",
        "trained on 5 rows, 2 chromosomes",
        "rows held out: T5",
        "chromosomes held out: chr10",
    ]
    GET.setup_mudata(toy)
    model = GET(toy, width=8, n_layers=1, n_heads=2)
    assert repr(model).splitlines()[-1] == "not trained yet"
    model.pretrain(1, enable_progress_bar=False)
    assert repr(model).splitlines()[1:] == [
        "pretrained on 6 rows, 3 chromosomes",
        "rows held out: none",
        "chromosomes held out: none",
    ]
