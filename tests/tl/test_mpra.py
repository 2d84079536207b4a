"""Activity of sequences put into windows: by hand, in closed form, and what is refused."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import torch
from mudata import MuData

import scget
from scget._errors import CheckpointError, InputError
from scget.model import GET, Ensemble, Reporter, _inserted, _reporter_fit
from scget.model._files import read_sealed, sealed
from scget.pp._bases import encode
from scget.pp._inserts import inserts
from scget.pp._motif_sets import clusters_of, motif_set, sha256_of
from scget.pp._motifs import BACKGROUND, SCANNER_VERSION, scan_regions

NAMES = ["A", "B/1", "C", "D", "E"]
CORES = ["ACGTGATAAG", "TTGCGCAATA", "CCACCAGGGG", "GGAACCTTCA", "TGACTCATTG"]
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


@pytest.fixture(scope="module")
def motifs():
    """One motif for each that the toy data name."""
    found = {}
    for name, core in zip(NAMES, CORES, strict=True):
        found[name] = np.full((len(core), 4), 0.02)
        found[name][np.arange(len(core)), ["ACGT".index(base) for base in core]] = 0.94
    return found


@pytest.fixture
def scanned(toy, motifs):
    """The toy data, as if their regions had been scored with these motifs."""
    set_ = motif_set(motifs)
    record = {"scanner": "scget", "scanner_version": SCANNER_VERSION, "pvalue": 1e-4, "pseudocount": 0.01}
    record |= {"background": list(BACKGROUND), "motifs_sha256": sha256_of(set_, clusters_of(set_, None))}
    toy["atac"].uns["motif_scan"] = record
    return toy


def draw(n: int, seed: int = 0, length: int = 120) -> list[str]:
    """Random sequences that hold up to three sites each."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        bases = rng.choice(list("ACGT"), length)
        for slot, m in enumerate(rng.choice(5, rng.integers(0, 4), replace=False)):
            bases[10 + 30 * slot : 20 + 30 * slot] = list(CORES[m])
        found.append("".join(bases))
    return found


def turned(sequence: str) -> str:
    return sequence[::-1].translate(str.maketrans("ACGT", "TGCA"))


def scores(sequences, motifs) -> np.ndarray:
    set_ = motif_set(motifs)
    return scan_regions(*encode(sequences), set_, clusters_of(set_, None))[0].toarray().astype(np.float64)


def whole_windows(net, tokens_rf, center_r, focus_bf, at):
    """What focus_outputs gives, from the definition."""
    tokens_brf = tokens_rf.repeat(len(focus_bf), 1, 1)
    tokens_brf[:, at] = focus_bf
    return net(tokens_brf, center_r.expand(len(focus_bf), -1))[:, at]


def test_closed_form_of_a_linear_network(linear, scanned, motifs, monkeypatch):
    """What a sequence adds is its motif features times the slope, in every window."""
    monkeypatch.setattr("scget.model._inserted.focus_outputs", whole_windows)
    sequences = draw(6)
    found = scget.tl.mpra(scanned, linear, sequences, motifs=motifs, rows=["T5", "T0"], n_windows=7)
    net, scaling = linear.module, linear.scaling
    slope_f = (net.slope_d @ net.region_embed["embed"].weight).detach().double().numpy()
    unit = scaling.level[1] + (1 - scaling.activity[1]) * scaling.deviation[0]
    feature_nm = scores(sequences, motifs) / scaling.motif_m
    expected = unit * feature_nm @ slope_f[:5]
    assert found["row"].tolist() == ["T5"] * 6 + ["T0"] * 6 and np.abs(expected).max() > 0.05
    np.testing.assert_allclose(found["effect"], [*expected, *expected], atol=1e-5)
    np.testing.assert_allclose(found["effect_sd"], 0, atol=1e-5)
    assert (found["sd"] > 1e-3).all()
    added = scget.tl.mpra(scanned, linear, sequences, motifs=motifs, rows=["T5", "T0"], n_windows=7, mode="add")
    np.testing.assert_allclose(added["effect"], found["effect"], atol=1e-5)
    assert np.abs(added["activity"] - found["activity"]).max() > 1e-3
    opener = scget.tl.mpra(scanned, linear, sequences, motifs=motifs, rows=["T5", "T0"], n_windows=7, accessibility=3)
    np.testing.assert_allclose(opener["activity"] - found["activity"], unit * 2 * slope_f[5], atol=1e-5)


@pytest.fixture(scope="module")
def published(trained):
    """A model by the published rules."""
    mdata = MuData({name: adata.copy() for name, adata in trained.adata.mod.items()})
    GET.setup_mudata(mdata)
    model = GET(mdata, width=8, n_layers=2, n_heads=2, window=16, preset="compat")
    model.train(3, holdout_obs=["T5"], plan_kwargs={"lr": 1e-2}, **QUIET)
    return model


@pytest.mark.parametrize("strands", ["mean", "max"])
@pytest.mark.parametrize("mode", ["replace", "add"])
@pytest.mark.parametrize("preset", ["default", "compat"])
def test_every_window_by_hand_in_float64(preset, mode, strands, trained, published, scanned, motifs):
    """All windows of a row, one by one, with edited features through the whole network."""
    model = trained if preset == "default" else published
    table, scaling, row = model.table(scanned), model.scaling, 5
    net, [sequence] = deepcopy(model.module).double(), draw(1, seed=3)
    feature_m, motif_pm = scores([sequence], motifs)[0], scaling.motifs(table).astype(np.float64)
    channel_pc = scaling.channels(table)[row].astype(np.float64)
    if preset == "compat":
        unit_m = table.motif_pm[table.counts_kp[row] > 0].max(axis=0).toarray()[0].astype(np.float64)
        feature_m, motif_pm = feature_m / unit_m, np.minimum(motif_pm / unit_m, 1)
    else:
        feature_m = feature_m / scaling.motif_m
    shown_p = (table.counts_kp[row] > 0) | (table.is_promoter_p & (preset == "default"))
    values = []
    for chrom in range(3):
        here = np.flatnonzero(shown_p & (table.chrom_p == chrom))
        for start in range(len(here) - 15):
            at_r = here[start : start + 16]
            tokens = np.column_stack([motif_pm[at_r], channel_pc[at_r]])
            if preset == "compat":
                tokens[:, 5] /= tokens[:, 5].max()
            both = []
            for more_m in (feature_m, 0 * feature_m):
                tokens_rf = tokens.copy()
                kept_m = tokens[8, :5] if mode == "add" else 0
                tokens_rf[8, :5] = np.minimum(kept_m + more_m, 1) if preset == "compat" else kept_m + more_m
                tokens_rf[8, 5:] = [1, 0][: channel_pc.shape[1]]
                center_r = torch.from_numpy(table.regions.centers[at_r])[None]
                out_s = net(torch.from_numpy(tokens_rf)[None], center_r)[0, 8].double().detach().numpy()
                if preset == "default":
                    part = (1 - scaling.activity[1]) * scaling.deviation[0]
                    out_s = scaling.level[0] + scaling.level[1] * out_s[:2] + part * out_s[2:]
                both.append(out_s.mean() if strands == "mean" else out_s.max())
            values.append(both)
    value_w, empty_w = np.array(values).T
    options = {"motifs": motifs, "rows": ["T5"], "mode": mode, "strands": strands, "n_windows": 10_000}
    [found] = scget.tl.mpra(scanned, model, [sequence], **options).to_dict("records")
    assert len(value_w) > 30 and abs((value_w - empty_w).mean()) > 1e-3
    assert found["activity"] == pytest.approx(value_w.mean(), abs=1e-5)
    assert found["sd"] == pytest.approx(value_w.std(ddof=1), abs=1e-5)
    assert found["effect"] == pytest.approx((value_w - empty_w).mean(), abs=1e-5)
    assert found["effect_sd"] == pytest.approx((value_w - empty_w).std(ddof=1), abs=1e-5)


def test_orientation_adaptors_order_and_batches_do_not_count(trained, scanned, motifs):
    sequences = pd.Series(draw(9), index=[f"s{i}" for i in range(9)], name="seq")
    options = {"motifs": motifs, "rows": ["T5"], "n_windows": 5}
    found = scget.tl.mpra(scanned, trained, sequences, **options)
    assert found.index.equals(sequences.index) and found.columns.tolist()[1:] == [
        "activity", "sd", "effect", "effect_sd"
    ]  # fmt: skip
    other = scget.tl.mpra(scanned, trained, sequences.map(turned), batch_size=2, **options)
    pd.testing.assert_frame_equal(other, found, rtol=1e-4, atol=1e-6)
    whole = ("AGGACCGGATCAACT" + sequences.str.lower() + "CATTGCGTGAACCGA").iloc[::-1]
    trimmed = scget.tl.mpra(scanned, trained, whole, adaptor=15, batch_size=4, **options)
    pd.testing.assert_frame_equal(trimmed.loc[found.index], found, rtol=1e-4, atol=1e-6)
    again = scget.tl.mpra(scanned, trained, sequences, seed=1, **options)
    assert np.abs(again["activity"] - found["activity"]).max() > 1e-4
    twice = scget.tl.mpra(scanned, trained, [sequences.iloc[0]] * 2, **{**options, "n_windows": 1})
    assert twice["activity"].nunique() == 1 and twice["sd"].isna().all() and twice.index.tolist() == [0, 1]


def test_order_of_regions_does_not_count(trained, scanned, motifs, rng):
    order = rng.permutation(scanned["atac"].n_vars)
    mixed = MuData({"rna": scanned["rna"].copy(), "atac": scanned["atac"][:, order].copy()})
    options = {"motifs": motifs, "rows": ["T2"], "n_windows": 5}
    one, other = (scget.tl.mpra(m, trained, draw(4), **options) for m in (scanned, mixed))
    pd.testing.assert_frame_equal(one, other, rtol=1e-4, atol=1e-6)


def test_an_ensemble_says_the_mean_in_each_window(trained, saved, scanned, motifs):
    other = GET.load(saved, accelerator="cpu")
    other.module.head_exp["head"].weight.data *= -0.5
    options = {"motifs": motifs, "rows": ["T5"], "n_windows": 6}
    both = scget.tl.mpra(scanned, Ensemble([trained, other], {}), draw(3), **options)
    one, two = (scget.tl.mpra(scanned, model, draw(3), **options) for model in (trained, other))
    for name in ("activity", "effect"):
        np.testing.assert_allclose(both[name], (one[name] + two[name]) / 2, atol=1e-6)
    assert (both["effect_sd"] <= (one["effect_sd"] + two["effect_sd"]) / 2 + 1e-6).all()


def test_what_is_refused(trained, scanned, motifs, toy):
    good = {"motifs": motifs, "rows": ["T5"]}
    for sequences, more, message in (
        ("ACGT", {}, "sequences are one text"),
        ([], {}, "there is no sequence"),
        (["ACGT", "AXGT"], {}, "1 sequences hold other letters"),
        (["ACGT"], {"adaptor": 2}, "no base between adaptors of 2"),
        (["ACGT"], {"adaptor": -1}, "adaptor is -1"),
        (["ACGT"], {"rows": ["zz"]}, "no row 'zz'"),
        (["ACGT"], {"rows": []}, "0 rows and batch_size=256"),
        (["ACGT"], {"batch_size": 0}, "batch_size=0"),
        (["ACGT"], {"mode": "insert"}, "mode='insert': one of 'replace', 'add'"),
        (["ACGT"], {"strands": "+"}, r"strands='\+': one of 'mean', 'max'"),
        (["ACGT"], {"n_windows": 0}, "n_windows=0: a whole number"),
        (["ACGT"], {"accessibility": -1}, "accessibility=-1: a number of at least 0"),
        (["ACGT"], {"seed": -1}, "seed=-1"),
        (["ACGT"], {"motifs": dict(list(motifs.items())[1:])}, "make 4 clusters, the regions have 5"),
    ):
        with pytest.raises(InputError, match=message):
            scget.tl.mpra(scanned, trained, sequences, **{**good, **more})
    del scanned["atac"].uns["motif_scan"]
    with pytest.raises(InputError, match="not made by scget.pp.motif_scores"):
        scget.tl.mpra(scanned, trained, ["ACGT"], **good)
    GET.setup_mudata(toy)
    with pytest.raises(RuntimeError, match="not learnt expression yet"):
        scget.tl.mpra(toy, GET(toy, width=8, n_layers=1, n_heads=2), ["ACGT"], **good)


def test_a_killed_assay_goes_on(trained, scanned, motifs, tmp_path, goes_on):
    options = {"motifs": motifs, "rows": ["T5", "T0"], "n_windows": 2, "batch_size": 3}
    goes_on(
        lambda cache: [scget.tl.mpra(scanned, trained, draw(10), cache=cache, **options)],
        _inserted,
        "_over_windows",
        tmp_path,
    )
    other = scget.tl.mpra(scanned, trained, draw(10), cache=tmp_path, **{**options, "n_windows": 3})
    pd.testing.assert_frame_equal(other, scget.tl.mpra(scanned, trained, draw(10), **{**options, "n_windows": 3}))


@pytest.fixture(scope="module")
def assay(motifs):
    """240 elements, half of them in both orientations: A raises, C lowers, D and E raise together alone; some noise."""
    rng, forward = np.random.default_rng(5), draw(240, seed=5)
    has = scores(forward, motifs) > 8
    truth = has[:, 0] - 0.7 * has[:, 2] + 1.5 * has[:, 3] * has[:, 4]
    sequences = np.array(forward + [turned(s) for s in forward[:120]], dtype=object)
    activity = 3 + 2 * np.append(truth, truth[:120]) + rng.normal(0, 0.3, 360)
    element = np.append(np.arange(240), np.arange(120))
    return sequences, activity, element


def test_fine_tuning_tells_elements_never_seen(trained, scanned, motifs, assay, tmp_path):
    sequences, activity, element = assay
    fit, held = element < 180, element >= 180
    options = {"row": "T5", "motifs": motifs, "n_windows": 3, "lr": 3e-3, "max_epochs": 12}
    before = {name: tensor.clone() for name, tensor in trained.module.state_dict().items()}
    state, told = torch.get_rng_state(), {}
    for how in ("head", "lora", "full"):
        reporter = scget.tl.mpra_finetune(scanned, trained, sequences[fit], activity[fit], how=how, **options)
        told[how] = reporter.predict(sequences[held])
        r = np.corrcoef(told[how], activity[held])[0, 1]
        print(how, r, reporter.fitted)
        assert r > 0.5 and reporter.fitted["how"] == how and reporter.fitted["n_elements"] == 180
        if how != "head":
            assert reporter.fitted["n_watched"] == 18 and reporter.fitted["end"] <= reporter.fitted["start"]
        assert abs(told[how].mean() - activity[held].mean()) < 0.7  # in the unit of the activity
    assert not np.allclose(told["full"], told["head"], atol=1e-2)
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in trained.module.state_dict().items():
        assert torch.equal(tensor, before[name])
    np.testing.assert_allclose(
        reporter.predict([turned(s) for s in sequences[held]], batch_size=7), told["full"], rtol=1e-4, atol=1e-5
    )
    reporter.save(tmp_path / "reporter")
    again = Reporter.load(tmp_path / "reporter", motifs=motifs)
    np.testing.assert_array_equal(again.predict(sequences[held]), told["full"])
    assert again.fitted == reporter.fitted
    with pytest.raises(InputError, match="make 4 clusters"):
        Reporter.load(tmp_path / "reporter", motifs=dict(list(motifs.items())[1:]))
    with pytest.raises(FileExistsError, match="overwrite"):
        reporter.save(tmp_path / "reporter")
    said = read_sealed(tmp_path / "reporter" / "reporter.json", "reporter", 1)
    forged = sealed(said | {"contexts": said["contexts"] | {"at": 999}})  # whoever can compute a sha256 can do this
    shutil.copytree(tmp_path / "reporter", tmp_path / "forged")
    (tmp_path / "forged" / "reporter.json").write_text(json.dumps(forged))
    with pytest.raises(CheckpointError, match="place 999 in windows of"):
        Reporter.load(tmp_path / "forged", motifs=motifs)
    (tmp_path / "reporter" / "weights.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="damaged"):
        Reporter.load(tmp_path / "reporter", motifs=motifs)


@pytest.mark.parametrize("how", ["full", "lora"])
def test_killed_fine_tuning_goes_on(trained, scanned, motifs, assay, tmp_path, goes_on, how):
    sequences, activity, _ = (array[:60] for array in assay)
    options = {"row": "T5", "motifs": motifs, "n_windows": 2, "max_epochs": 6, "lr": 3e-3, "how": how, "batch_size": 16}

    def ask(cache):
        reporter = scget.tl.mpra_finetune(scanned, trained, sequences, activity, cache=cache, **options)
        return [pd.DataFrame({"told": reporter.predict(sequences), **reporter.fitted})]

    goes_on(ask, _reporter_fit._Course, "_one_epoch", tmp_path)
    assert len(list(tmp_path.iterdir())) == 2  # the ridge regression, and the last epoch alone


def test_the_head_is_a_ridge_regression_on_mean_embeddings(trained, scanned, motifs, assay):
    """From scikit-learn on embeddings read from whole windows; the order of sequences does not count."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    sequences, activity, element = assay
    options = {"row": "T1", "motifs": motifs, "n_windows": 2, "how": "head"}
    reporter = scget.tl.mpra_finetune(scanned, trained, sequences, activity, **options)
    contexts, unit_m = reporter.contexts, trained.scaling.motif_m
    embedded = []
    for score_m in scores(sequences[:240], motifs):
        tokens_wrf = contexts.tokens_wrf.clone()
        tokens_wrf[:, contexts.at, :5] = torch.from_numpy(score_m / unit_m)
        with torch.no_grad():
            embedded.append(trained.module.regions(tokens_wrf, contexts.center_wr)[:, contexts.at].mean(0).numpy())
    mean_u = np.array([activity[element == u].mean() for u in range(240)])
    times_u = np.bincount(element)
    fit = make_pipeline(StandardScaler(), RidgeCV(240 * 10.0 ** np.arange(-4, 2)))
    fit.fit(np.array(embedded, dtype=np.float64), mean_u, ridgecv__sample_weight=times_u)
    told = reporter.predict(sequences[:240])
    np.testing.assert_allclose(told, fit.predict(np.array(embedded, dtype=np.float64)), atol=5e-3)
    order = np.random.default_rng(0).permutation(len(sequences))
    other = scget.tl.mpra_finetune(scanned, trained, sequences[order], activity[order], **options)
    np.testing.assert_allclose(other.predict(sequences[:240]), told, rtol=1e-4, atol=1e-4)


def test_what_fine_tuning_refuses(trained, scanned, motifs, assay):
    sequences, activity, _ = assay
    good = {"row": "T5", "motifs": motifs, "how": "head"}
    nothing = np.append(np.nan, activity[1:])
    for given, measured, more, message in (
        (sequences, activity[1:], {}, r"activity is of shape \(359,\)"),
        (sequences, nothing, {}, "1 of 360 activities are missing or infinite, first that of sequence 0"),
        (sequences, activity.astype(str), {}, "activity is of shape"),
        ([sequences[0]] * 360, activity, {}, "1 sequences occur more than once"),
        (sequences[:12], activity[:12], {}, "12 elements are too few"),
        (sequences, activity, {"how": "all"}, "how='all': one of 'full', 'lora', 'head'"),
        (sequences, activity, {"row": "zz"}, "no row 'zz'"),
        (sequences, activity, {"lr": 0}, "lr=0"),
        (sequences, activity, {"watched": 0.9}, "watched=0.9"),
        (sequences, activity, {"max_epochs": 0}, "max_epochs=0"),
        (pd.Series(sequences), pd.Series(activity).iloc[::-1], {}, "different indices"),
    ):
        with pytest.raises(InputError, match=message):
            scget.tl.mpra_finetune(scanned, trained, given, measured, **{**good, **more})
    with pytest.raises(InputError, match="an ensemble has no one network"):
        scget.tl.mpra_finetune(scanned, Ensemble([trained], {}), sequences, activity, **good)
    with pytest.raises(InputError, match="batch_size=0"):
        scget.tl.mpra_finetune(scanned, trained, sequences, activity, **good).predict(["ACGT"], batch_size=0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["ACGT", float("nan")], "1 of 2 sequences are no text, first number 1: nan"),
        (pd.Series(["ACGT", None]), "1 of 2 sequences are no text, first number 1: None"),
        (5, "1 of 1 sequences are no text"),
    ],
)
def test_a_missing_sequence_is_not_the_bases_n_a_n(given, said):
    with pytest.raises(InputError, match=said):
        inserts(given, 0)
