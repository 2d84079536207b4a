"""Ensembles: who saw what, whose mean is taken, how large the error is said to be, and what lies on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import lightning.pytorch as lightning
import numpy as np
import pandas as pd
import pytest
import torch
from mudata import MuData

import scget
from scget._errors import CheckpointError, InputError
from scget.model import GET, Ensemble, _ensemble
from scget.model._calibration import fit_calibration
from scget.model._expression import SlotPrediction
from scget.model._files import sealed
from scget.model._folds import deal
from scget.model._holdout import HoldOut

SMALL = {"width": 8, "n_layers": 1, "n_heads": 2, "window": 16, "drop_path": 0.0}
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
CHROMS = ["chr1", "chr2", "chr3", "chr4", "chr5", "chr6"]


def six_chromosomes(mdata: MuData) -> MuData:
    """The toy data with each chromosome cut in two; the gene with two promoters keeps one."""
    atac = mdata["atac"].copy()
    old, genes = atac.var_names, atac.uns["peak_annotation"].iloc[:50].copy()
    atac.var["chrom"] = np.repeat(CHROMS, 20)
    atac.var_names = [f"{c}:{s}-{e}" for c, s, e in atac.var[["chrom", "start", "end"]].itertuples(index=False)]
    genes["region"] = genes["region"].map(dict(zip(old, atac.var_names, strict=True)))
    atac.uns["peak_annotation"] = genes
    return MuData({"rna": mdata["rna"].copy(), "atac": atac})


def chrom_of(mdata: MuData) -> pd.Series:
    genes = mdata["atac"].uns["peak_annotation"]
    return genes.set_index("gene")["region"].str.split(":").str[0].reindex(mdata["rna"].var_names)


def folds_of(mdata, **kwargs):
    GET.setup_mudata(mdata)
    settings = {"max_epochs": 2, "holdout_obs": ["T5"], "holdout_chroms": ["chr6"], "model_kwargs": SMALL, **QUIET}
    return GET.train_folds(mdata, **{"n_folds": 4, **settings, **kwargs})


@pytest.fixture
def six(toy):
    return six_chromosomes(toy)


@pytest.fixture(scope="module")
def ensemble(trained):
    """Four members on five chromosomes; not to be changed."""
    return folds_of(six_chromosomes(trained.adata))


# dealing


def table_of(counts: list[int]) -> SimpleNamespace:
    """As many promoters on chr0, chr1, ... as given."""
    n = sum(counts)
    promoters = SimpleNamespace(region_q=np.arange(n), slot_n=np.arange(n))
    chroms = np.array([f"chr{i}" for i in range(len(counts))], dtype=object)
    return SimpleNamespace(chroms=chroms, chrom_p=np.repeat(np.arange(len(counts)), counts), promoters=promoters)


def test_largest_chromosome_first_to_the_emptiest_fold():
    assert deal(table_of([7, 5, 4, 4, 0, 9]), ["chr5"], 2, 1) == {"chr0": 0, "chr1": 1, "chr2": 1, "chr3": 0, "chr4": 1}


def test_folds_cover_all_and_differ_by_at_most_one_chromosome(rng):
    for n_folds in (2, 3, 5, 8):
        counts = rng.integers(0, 100, 8).tolist()
        folds = deal(table_of(counts), [], n_folds, 1)
        load = np.bincount(list(folds.values()), weights=counts, minlength=n_folds)
        assert list(folds) == [f"chr{i}" for i in range(8)] and set(folds.values()) == set(range(n_folds))
        assert load.max() - load.min() <= max(counts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["chr0"], 3, 1), "n_folds=3 and 2 chromosomes to train on"),
        (([], 1, 1), "at least 2 folds"),
        (([], 3, 3), "left_out=3 of 3 folds: from 1 to 2"),
    ],
)
def test_impossible_folds(arguments, message):
    with pytest.raises(InputError, match=message):
        deal(table_of([1, 2, 3]), *arguments)


# calibration


def test_planted_floor_and_scale_are_found(rng):
    spread = rng.gamma(2, 0.2, 200_000)
    error = rng.normal(0, np.sqrt(0.3**2 + 1.7**2 * spread**2))
    found = fit_calibration(error, spread)
    assert (found.floor, found.scale) == pytest.approx((0.3, 1.7), rel=0.02) and found.n == 200_000
    assert np.mean((error / found(spread)) ** 2) == pytest.approx(1, abs=1e-9)
    inside = [np.mean(np.abs(error) < z * found(spread)) for z in (0.6745, 1.2816, 1.96)]
    assert inside == pytest.approx([0.5, 0.8, 0.95], abs=0.005)


def test_calibration_follows_units_and_leaves_out_what_is_not_known(rng):
    spread, error = rng.gamma(2, 0.2, 500), rng.normal(0, 1, 500)
    plain = fit_calibration(error, spread)
    scaled = fit_calibration(10 * np.append(error, np.nan), 10 * np.append(spread, 1.0))
    assert (scaled.floor, scaled.scale) == pytest.approx((10 * plain.floor, plain.scale), rel=1e-6)
    without = fit_calibration(error, np.full(500, np.nan))
    assert (without.floor, without.scale) == (pytest.approx(np.sqrt(np.mean(error**2))), 0)
    assert without(np.array([np.nan, 3.0])) == pytest.approx([without.floor] * 2)
    assert fit_calibration(np.array([1.0]), np.array([1.0])) is None


# hand-made members


@pytest.fixture
def by_hand(six, monkeypatch):
    """Make an ensemble of members that say what is planted: (m, k, g); ``seen``: chromosomes each was trained on."""
    GET.setup_mudata(six)
    table = GET(six, **SMALL).table()
    chrom_g = chrom_of(six).to_numpy()
    said = {}

    def make(values_mkg, seen):
        members = []
        for values_kg, chroms in zip(values_mkg, seen, strict=True):
            mean_g = np.where(np.isin(chrom_g, chroms), 1.0, np.nan)
            scaling = SimpleNamespace(expression=lambda genes, mean_g=mean_g: mean_g)
            holdout = HoldOut(["T5"], [c for c in CHROMS if c not in chroms], [f"T{i}" for i in range(5)], chroms)
            member = SimpleNamespace(is_trained_=True, scaling=scaling, holdout=holdout, table=lambda mdata: table)
            said[id(member)] = values_kg
            members.append(member)
        folds = {chrom: i for i, chrom in enumerate(CHROMS[:5])}
        return Ensemble(members, folds)

    def predict_all(member, table, rows, batch_size):
        genes_kg = np.where(pd.isna(chrom_g), np.nan, said[id(member)])
        return SlotPrediction(table.promoters.genes_to_slots(genes_kg), genes_kg)

    monkeypatch.setattr(_ensemble, "predict_all", predict_all)
    return make, table, chrom_g


SEEN = [["chr3", "chr4", "chr5"], ["chr1", "chr4", "chr5"], ["chr1", "chr2", "chr5"], ["chr1", "chr2", "chr3"]]


def test_whose_mean_is_taken(by_hand, rng):
    make, table, chrom_g = by_hand
    values_mkg = rng.normal(3, 1, (4, 6, 51))
    ensemble = make(values_mkg, SEEN)
    saw_mg = np.array([np.isin(chrom_g, chroms) for chroms in SEEN])
    for out_of_fold, asked_mg in ((False, np.where(saw_mg.any(axis=0), saw_mg, True)), (True, ~saw_mg)):
        mean, spread = np.full((6, 51), np.nan), np.full((6, 51), np.nan)
        for g in range(50):  # the last gene has no promoter
            if asked_mg[:, g].any():
                mean[:, g] = values_mkg[asked_mg[:, g], :, g].mean(axis=0)
            if asked_mg[:, g].sum() > 1:
                spread[:, g] = values_mkg[asked_mg[:, g], :, g].std(axis=0, ddof=1)
        np.testing.assert_allclose(ensemble.predict(out_of_fold=out_of_fold), mean, rtol=1e-12)
        found = ensemble.predict_std(out_of_fold=out_of_fold, calibrated=False)
        np.testing.assert_allclose(found, spread, rtol=1e-9)
    assert ensemble.holdout.chroms == ["chr6"] and ensemble.holdout.obs == ["T5"]
    assert ensemble.predict_std().isna().all(axis=None)  # not calibrated yet


def test_calibrated_deviation_in_closed_form(by_hand, rng):
    """Unseen members differ by the same amount everywhere, so the deviation is the root mean square of the error."""
    make, table, chrom_g = by_hand
    observed_kg = table.expression_kg.astype(np.float64)
    error_kg = rng.normal(0.5, 1, (6, 51))
    # chr1 to chr4 are each unseen by two members of unlike sign, chr5 by one member alone
    values_mkg = np.stack([observed_kg + error_kg + sign * 0.2 for sign in (1, -1, 1, -1)])
    seen = [["chr3", "chr4", "chr5"], ["chr3", "chr4", "chr5"], ["chr1", "chr2"], ["chr1", "chr2", "chr5"]]
    ensemble = make(values_mkg, seen)
    ensemble.calibrate()
    two_g = np.isin(chrom_g, ["chr1", "chr2", "chr3", "chr4"])
    errors = error_kg[:5, two_g]
    expected = np.sqrt(np.mean(errors**2))
    std = ensemble.predict_std(out_of_fold=True).to_numpy()
    np.testing.assert_allclose(std[:, two_g], expected, rtol=1e-6)
    change = errors - errors.mean(axis=0)
    known = np.sqrt(np.mean(change**2) * 5 / 4)
    np.testing.assert_allclose(ensemble.predict_std().to_numpy()[:, two_g], known, rtol=1e-6)
    ensemble.calibrate(rows=["T5"])
    asked = error_kg[5] - np.where(chrom_g == "chr5", 0.2 / 3, 0)  # members +, -, - know chr5, a pair each other
    sized = ensemble.predict_std(rows=["T5"]).to_numpy()[0]
    known_g = np.isin(chrom_g, CHROMS[:5])
    assert np.mean((asked[known_g] / sized[known_g]) ** 2) == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(ensemble.predict_std(out_of_fold=True), std)  # that of new genes stays


def test_order_of_members_does_not_matter(by_hand, rng):
    make, table, _ = by_hand
    values_mkg = rng.normal(3, 1, (4, 6, 51))
    one, other = make(values_mkg, SEEN), make(values_mkg[::-1], SEEN[::-1])
    one.calibrate()
    other.calibrate()
    for ask in (Ensemble.predict, Ensemble.predict_std):
        for out_of_fold in (False, True):
            pd.testing.assert_frame_equal(ask(one, out_of_fold=out_of_fold), ask(other, out_of_fold=out_of_fold))


def test_a_gene_on_two_chromosomes_is_out_of_fold_only_where_both_were_unseen(by_hand, rng, six):
    make, table, chrom_g = by_hand
    ensemble = make(rng.normal(3, 1, (4, 6, 51)), SEEN)
    gene = int(np.flatnonzero(chrom_g == "chr1")[0])
    slot = int(np.flatnonzero(table.chroms[table.chrom_p[table.promoters.region_q]] == "chr2")[0])
    pairs = table.promoters
    both = replace(pairs, gene_n=np.append(pairs.gene_n, gene), slot_n=np.append(pairs.slot_n, slot))
    asked = _ensemble.unseen(ensemble.members, replace(table, promoters=both))
    assert asked.gene_mg[:, gene].tolist() == [True, False, False, False]  # only the first saw neither
    assert not asked.gene_mg[:, 50].any()


# trained members


def test_no_member_sees_its_folds(ensemble, six):
    assert set(ensemble.folds) == set(CHROMS[:5]) and set(ensemble.folds.values()) == {0, 1, 2, 3}
    for i, member in enumerate(ensemble.members):
        away = {c for c, fold in ensemble.folds.items() if fold in (i, (i + 1) % 4)} | {"chr6"}
        assert set(member.holdout.chroms) == away and set(member.holdout.seen_chroms) == set(CHROMS) - away
        assert member.holdout.obs == ["T5"] and member.seed == i
    assert ensemble.holdout.chroms == ["chr6"] and sorted(ensemble.holdout.seen_chroms) == CHROMS[:5]


def test_expression_of_a_fold_does_not_reach_the_members_that_leave_it_out(ensemble, six):
    """Swap genes of one chromosome: the two members without it keep their bits, the other two do not."""
    chrom = next(c for c, fold in ensemble.folds.items() if fold == 1)
    at = np.flatnonzero(chrom_of(six) == chrom)
    counts = six["rna"].X.toarray()
    counts[:, at] = counts[:, at[::-1]]  # totals stay
    six["rna"].X = counts
    again = folds_of(six)
    same = [
        all(torch.equal(t, u) for t, u in zip(a.module.state_dict().values(), b.module.state_dict().values(), strict=1))
        for a, b in zip(ensemble.members, again.members, strict=True)
    ]
    assert same == [True, True, False, False]


def test_mean_of_the_members_own_answers(ensemble, six):
    """Predictions and attributions against those of each member asked by itself."""
    chrom_g = chrom_of(six)
    single = np.stack([member.predict().to_numpy() for member in ensemble.members])
    predicted, std = ensemble.predict(), ensemble.predict_std()
    for chrom in CHROMS:
        knows = [chrom in m.holdout.seen_chroms for m in ensemble.members]
        who = [i for i in range(4) if knows[i] or not any(knows)]
        genes = np.flatnonzero(chrom_g == chrom)
        np.testing.assert_allclose(predicted.iloc[:, genes], single[who][:, :, genes].mean(axis=0), rtol=1e-12)
        spread = single[who][:, :, genes].std(axis=0, ddof=1)
        kind = ensemble.calibration["known_genes" if any(knows) else "new_genes"]
        expected = np.sqrt(kind.floor**2 + kind.scale**2 * spread**2)
        np.testing.assert_allclose(std.iloc[:, genes], expected, rtol=1e-6)
        name = chrom_g.index[genes[0]]
        ask = {"genes": [name], "rows": ["T5", "T0"]}
        parts = [ensemble.members[i].attribute(**ask, top=1000) for i in who]
        found = ensemble.attribute(**ask, top=5)
        for row in ("T5", "T0"):
            motifs = np.mean([part.motifs[row].to_numpy() for part in parts], axis=0)
            np.testing.assert_allclose(found.motifs[row], motifs, rtol=1e-5, atol=1e-7)
        links = pd.concat([part.links for part in parts]).groupby(["row", "region"])["signed"].sum() / len(who)
        share = links.abs() / links.abs().groupby("row").transform("sum")
        assert list(found.links["row"]) == ["T5"] * 5 + ["T0"] * 5
        for row, table in found.links.groupby("row"):
            best = share.loc[row].nlargest(5)
            np.testing.assert_allclose(table["score"], best, rtol=1e-5)
            np.testing.assert_allclose(table["signed"], links.loc[row].loc[table["region"]], rtol=1e-5)


def test_tl_and_bm_take_an_ensemble(ensemble, trained, six, tmp_path):
    scget.tl.predict(six, ensemble)
    std = six["rna"].to_df(layer="get_std")
    np.testing.assert_allclose(std, ensemble.predict_std(), rtol=1e-5)
    assert std.iloc[:, :50].gt(0).all(axis=None) and std["G50"].isna().all()
    assert six.uns["get"]["members"] == 4 and six.uns["get"]["holdout_chroms"] == ["chr6"]
    scget.tl.attribute(six, ensemble, genes=["G3"], rows=["T5"], top=3)
    assert len(six.uns["get"]["links"]) == 3
    scores = scget.bm.evaluate(ensemble, baselines=["training_mean"]).set_index(["split", "row", "metric", "predictor"])
    table, predicted = ensemble.table(), ensemble.predict().loc["T5"].to_numpy()
    known = np.isfinite(ensemble.scaling.expression(table.genes))
    assert known.sum() == (chrom_of(six).isin(CHROMS[:5])).sum()
    r = np.corrcoef(predicted[known], table.expression_kg[5][known])[0, 1]
    assert scores.loc[("rows", "T5", "pearson", "GET"), "value"] == pytest.approx(r)
    assert six["rna"].obs["get_ood"].idxmax() == "T5"
    scget.model.GET.setup_mudata(six)
    alone = scget.model.GET(six, width=8, n_layers=1, n_heads=2, window=16, baseline="training_mean")
    alone.train(1, enable_progress_bar=False, accelerator="cpu")
    scget.tl.predict(six, alone)
    assert "get_std" not in six["rna"].layers and "get_ood" not in six["rna"].obs and six.uns["get"]["members"] == 1


def test_only_rows_never_seen_calibrate(ensemble):
    with pytest.raises(InputError, match="'T1': rows that no member was trained on are needed"):
        Ensemble(ensemble.members, ensemble.folds).calibrate(rows=["T5", "T1"])
    with pytest.raises(InputError, match="0 members"):
        Ensemble([], {})
    with pytest.raises(InputError, match="model_kwargs holds a seed"):
        folds_of(ensemble.members[0].adata, model_kwargs={**SMALL, "seed": 1})


# on disk


def test_saved_and_loaded(ensemble, tmp_path, six):
    ensemble.save(tmp_path / "e")
    again = Ensemble.load(tmp_path / "e", six, accelerator="cpu")
    pd.testing.assert_frame_equal(again.predict(), ensemble.predict())
    pd.testing.assert_frame_equal(again.predict_std(), ensemble.predict_std())
    assert again.folds == ensemble.folds and again.digest() == ensemble.digest()
    with pytest.raises(FileExistsError, match="pass overwrite=True"):
        ensemble.save(tmp_path / "e")
    ensemble.save(tmp_path / "e", overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not a saved ensemble .it holds 'notes.txt'"):
        ensemble.save(tmp_path / "mine", overwrite=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("folds"), "not as save"),
        (lambda d: d.update(format=99), "of format 99, this scget reads 1: upgrade"),
        (lambda d: d.update(format="x"), "does not describe a scget ensemble"),
        (lambda d: d["members"].reverse(), "member_0 is not the member"),
        (lambda d: d["members"].append("x"), "member_4.model.json cannot be read"),
        (lambda d: d.update(members=[]), "0 members"),
        (lambda d: d.update(members=None), "unfinished: run train_folds"),
        (lambda d: d["calibration"]["new_genes"].update(floor=float("nan")), "not as save"),
    ],
)
def test_damaged_description(ensemble, tmp_path, change, message):
    ensemble.save(tmp_path / "e")
    description = json.loads((tmp_path / "e" / "ensemble.json").read_text())
    change(description)
    (tmp_path / "e" / "ensemble.json").write_text(json.dumps(sealed(description)))
    with pytest.raises(CheckpointError, match=message):
        Ensemble.load(tmp_path / "e")


def test_an_edited_description_is_refused(ensemble, tmp_path):
    """A calibration changed by hand would give other numbers."""
    ensemble.save(tmp_path / "e")
    path = tmp_path / "e" / "ensemble.json"
    description = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(description.items()))))
    pd.testing.assert_frame_equal(Ensemble.load(tmp_path / "e").predict(ensemble.members[0].adata), ensemble.predict())
    description["calibration"]["new_genes"]["scale"] *= 2
    path.write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match="sha256 of .*ensemble.json is not the one it names"):
        Ensemble.load(tmp_path / "e")


def test_a_run_broken_off_goes_on_where_it_was(ensemble, six, tmp_path, monkeypatch):
    trained_seeds, train = [], GET.train

    def breaks(self, *args, **kwargs):
        if len(trained_seeds) == 2:
            raise KeyboardInterrupt
        trained_seeds.append(self.seed)
        train(self, *args, **kwargs)

    monkeypatch.setattr(GET, "train", breaks)
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        folds_of(six, folder=folder)
    with pytest.raises(CheckpointError, match="unfinished"):
        Ensemble.load(folder)
    weights = folder / "member_1" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])  # damaged: trained again
    trained_seeds.clear()
    monkeypatch.setattr(GET, "train", lambda self, *a, **k: (trained_seeds.append(self.seed), train(self, *a, **k))[1])
    again = folds_of(six, folder=folder)
    assert trained_seeds == [1, 2, 3]
    pd.testing.assert_frame_equal(again.predict(), ensemble.predict())
    pd.testing.assert_frame_equal(Ensemble.load(folder, six, accelerator="cpu").predict_std(), ensemble.predict_std())
    for other, name in (({"max_epochs": 3}, "max_epochs"), ({"plan_kwargs": {"lr": 1e-4}}, "train_kwargs")):
        with pytest.raises(CheckpointError, match=f"holds another run: '{name}' differ"):
            folds_of(six, folder=folder, **other)
    six["rna"].X[0, 0] += 1
    with pytest.raises(CheckpointError, match="holds another run: 'data' differ"):
        folds_of(six, folder=folder)
    ensemble.members[0].save(tmp_path / "model")
    with pytest.raises(CheckpointError, match="is not of train_folds"):
        folds_of(six, folder=tmp_path / "model")
    assert trained_seeds == [1, 2, 3]


class _Steps(lightning.Callback):
    """Notes the step in which each training begins; breaks off the second one after two steps where asked to."""

    def __init__(self, stop: bool) -> None:
        self.stop, self.begun = stop, []

    def on_train_start(self, trainer, *args) -> None:
        self.begun.append(trainer.global_step)

    def on_train_batch_end(self, trainer, *args) -> None:
        if self.stop and (len(self.begun), trainer.global_step) == (2, 2):
            raise ValueError("broken off")


def test_a_member_goes_on_in_the_middle_of_its_training(six, tmp_path):
    before = {"batch_size": 8, "ckpt_every": 1, "ckpt_dir": str(tmp_path / "before"), **QUIET}
    both = {"batch_size": 8, "pretrain_epochs": 1, "pretrain_kwargs": before}
    whole = folds_of(six, **both)
    kept = {"folder": tmp_path / "run", "ckpt_every": 1, "ckpt_dir": tmp_path / "kept", **both}
    with pytest.raises(ValueError, match="broken off"):
        folds_of(six, **kept, callbacks=[_Steps(stop=True)])
    assert [path.name for path in (tmp_path / "run").glob("member_*")] == ["member_0"]
    steps = _Steps(stop=False)
    again = folds_of(six, **kept, callbacks=[steps])
    assert steps.begun == [1, 0, 0]  # the second member after its first step, then the others
    pd.testing.assert_frame_equal(again.predict(), whole.predict())
    assert list((tmp_path / "kept").iterdir()) == []


def test_pretraining_and_watched_chromosomes(six, tmp_path):
    """A watched chromosome is in no fold and of no member's genes; a first try that failed does not block the folder."""
    with pytest.raises(TypeError, match="nonsense"):
        folds_of(six, folder=tmp_path / "e", plan_kwargs={"nonsense": 1})
    watched = {"n_folds": 2, "left_out": 1, "pretrain_epochs": 1, "max_epochs": 1, "validation_chroms": ["chr5"]}
    ensemble = folds_of(six, folder=tmp_path / "e", **watched)
    assert set(ensemble.folds) == set(CHROMS[:4])
    assert all(len(m.history["validation_loss"]) == 1 for m in ensemble.members)
    on = (chrom_of(six) == "chr5").to_numpy()
    assert ensemble.predict(out_of_fold=True).loc[:, on].isna().all(axis=None)  # looked at
    assert ensemble.predict().loc[:, on].notna().all(axis=None)
    std = ensemble.predict_std().loc[:, ~on].iloc[:, :-1]
    assert ensemble.calibration["new_genes"].scale == 0 and std.notna().all(axis=None)  # one unseen member: no spread
    pretrained = GET(six, **SMALL)
    pretrained.pretrain(1, holdout_obs=["T5"], holdout_chroms=ensemble.members[0].holdout.chroms,
                        validation_chroms=["chr5"], **QUIET)  # fmt: skip
    pretrained.train(1, validation_chroms=["chr5"], **QUIET)
    pd.testing.assert_frame_equal(pretrained.predict(), ensemble.members[0].predict())


def test_what_has_no_expression_makes_no_ensemble(six):
    with pytest.raises(InputError, match="task='accessibility' has none to average"):
        folds_of(six, model_kwargs={**SMALL, "task": "accessibility"})
    with pytest.raises(InputError, match="the MuData has no RNA modality"):
        folds_of(MuData({"atac": six["atac"].copy()}))


def test_pretraining_leaves_out_what_only_expression_has(six):
    """The choice of a loss, wherever it is given, and delta r, in whose place it watches its own loss."""
    watched = {"n_folds": 2, "left_out": 1, "max_epochs": 1, "validation_chroms": ["chr5"], "pretrain_epochs": 2}
    small = {**SMALL, "baseline": "zero"}
    chosen = {"restore_best": "delta_r", "model_kwargs": small, "plan_kwargs": {"loss": "nb", "lr": 1e-2}}
    member = folds_of(six, **watched, **chosen).members[0]
    by_hand = GET(six, **small)
    held = {"holdout_obs": ["T5"], "holdout_chroms": member.holdout.chroms, "validation_chroms": ["chr5"], **QUIET}
    by_hand.pretrain(2, restore_best="loss", plan_kwargs={"lr": 1e-2}, **held)
    by_hand.train(1, loss="nb", restore_best="delta_r", plan_kwargs={"lr": 1e-2}, **held)
    pd.testing.assert_frame_equal(by_hand.predict(), member.predict())
