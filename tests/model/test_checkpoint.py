"""A saved model gives the same bits, or is refused; nothing in it is ever run."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy.sparse import hstack, vstack

from scget._errors import CheckpointError, InputError, ScgetWarning
from scget.model import GET
from scget.model._files import sealed


@pytest.fixture
def copied(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def test_the_same_bits_with_and_without_data(saved, trained, toy):
    plain = trained.predict()
    without = GET.load(saved, accelerator="cpu")
    with pytest.raises(RuntimeError, match="loaded without data; pass mdata="):
        without.predict()
    pd.testing.assert_frame_equal(without.predict(toy), plain, check_exact=True)
    attached = GET.load(saved, mdata=toy, accelerator="cpu")
    pd.testing.assert_frame_equal(attached.predict(), plain, check_exact=True)
    assert attached.is_trained and attached.holdout == trained.holdout and attached.config == trained.config
    np.testing.assert_allclose(attached.history["train_loss"], trained.history["train_loss"].astype(float))
    alone = MuData({"atac": toy["atac"].copy()})
    pd.testing.assert_frame_equal(GET.load(saved, mdata=alone).predict(), without.predict(alone), check_exact=True)


def test_training_goes_on_from_a_saved_model(saved, toy):
    model = GET.load(saved, mdata=toy, accelerator="cpu")
    units = model.scaling.motif_m.copy()
    model.train(1, enable_progress_bar=False, accelerator="cpu")
    assert model.holdout.obs == ["T5"]  # taken over
    np.testing.assert_array_equal(model.scaling.motif_m, units)
    with pytest.raises(InputError, match="'T4' cannot be held out now"):
        model.train(1, holdout_obs=["T4"], enable_progress_bar=False)


def test_only_tensors_and_text_are_written(saved):
    assert sorted(p.name for p in saved.iterdir()) == ["model.json", "weights.safetensors"]
    assert sorted(p.name for p in saved.parent.iterdir()) == ["my_get"]
    description = json.loads((saved / "model.json").read_text())
    assert description["format"] == 4 and description["holdout"]["obs"] == ["T5"] and description == sealed(description)
    assert description["weights_sha256"] == hashlib.sha256((saved / "weights.safetensors").read_bytes()).hexdigest()


def test_an_existing_folder_is_kept_unless_told(copied, trained):
    with pytest.raises(FileExistsError, match="pass overwrite=True"):
        trained.save(copied)
    (copied / "model.json").write_text("{}")
    trained.save(copied, overwrite=True)
    assert GET.load(copied).is_trained


def test_only_a_saved_model_is_ever_replaced(tmp_path, trained, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="is not a saved model .it holds 'thesis.txt'"):
        trained.save(home, overwrite=True)
    with pytest.raises(FileExistsError, match="is not a saved model"):
        trained.save(home / "thesis.txt", overwrite=True)
    assert (home / "thesis.txt").read_text() == "precious"
    trained.save(tmp_path / "target")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    trained.save(tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink() and GET.load(tmp_path / "link").is_trained
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    trained.save(tmp_path / "empty", overwrite=True)
    assert GET.load(tmp_path / "empty").is_trained


def test_a_save_that_is_killed_leaves_the_old_model(copied, trained, monkeypatch):
    import scget.model._files as files

    def killed(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(files.os, "fsync", killed)
    with pytest.raises(OSError, match="disk full"):
        trained.save(copied, overwrite=True)
    assert [p.name for p in copied.parent.iterdir()] == ["copy"] and GET.load(copied).is_trained


def test_damage_is_found(copied):
    rng = np.random.default_rng(0)
    weights = (copied / "weights.safetensors").read_bytes()
    for _ in range(60):
        broken = bytearray(weights)
        broken[rng.integers(len(broken))] ^= 1 << rng.integers(8)
        (copied / "weights.safetensors").write_bytes(bytes(broken))
        with pytest.raises(CheckpointError, match="sha256"):
            GET.load(copied)
    for content in (b"", weights[: len(weights) // 2], b"<html>404</html>"):
        (copied / "weights.safetensors").write_bytes(content)
        with pytest.raises(CheckpointError, match="sha256"):
            GET.load(copied)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not JSON"),
        ("[1, 2]", "does not describe a scget model"),
        ('{"format": 99}', "of format 99, this scget reads 4: upgrade"),
        ('{"format": 1}', "of format 1, this scget reads 4: train and save the model anew"),
        ('{"format": 4}', "sha256 of .*model.json is not the one it names"),
        ("{}", "does not describe"),
    ],
)
def test_a_wrong_description_is_refused(copied, content, message):
    (copied / "model.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        GET.load(copied)


@pytest.mark.parametrize(
    "key", ["init", "setup", "motifs", "n_motifs", "trained", "holdout", "history", "rules", "finetuned", "best_epoch"]
)
def test_a_description_that_lacks_something_is_refused(copied, key):
    description = json.loads((copied / "model.json").read_text())
    del description[key]
    (copied / "model.json").write_text(json.dumps(sealed(description)))
    with pytest.raises(CheckpointError, match=f"not as save.. writes it: {key}.* is missing or of another kind"):
        GET.load(copied)


def test_a_pickle_is_not_run(copied, tmp_path):
    class Attack:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    content = pickle.dumps(Attack())
    (copied / "weights.safetensors").write_bytes(content)
    description = json.loads((copied / "model.json").read_text())
    (copied / "model.json").write_text(
        json.dumps(sealed(description | {"weights_sha256": hashlib.sha256(content).hexdigest()}))
    )
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        GET.load(copied)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"n_layers": 2}, r"width and layers \(16, 2\) and 5 motifs, the tensors are of \(16, 1\) and 7 features"),
        ({"width": 32}, r"width and layers \(32, 1\) and 5 motifs, the tensors are of \(16, 1\)"),
        ({"distance_bias": False}, "1 unexpected .'encoder.blocks.0.attn.distance_slope'"),
        ({"baseline": "zero", "distance_sums": True}, "of another shape, first head_exp.head.weight"),
        ({"preset": "compat"}, "unexpected|another shape"),
    ],
)
def test_tensors_of_another_network_are_refused(copied, setting, message):
    description = json.loads((copied / "model.json").read_text())
    description["init"].update(setting)
    (copied / "model.json").write_text(json.dumps(sealed(description)))
    with pytest.raises(CheckpointError, match=message):
        GET.load(copied)


def widened(mdata: MuData, by: int) -> MuData:
    """All regions but the promoters' longer by ``by``; promoters' names stay."""
    mdata = mdata.copy()
    atac = mdata["atac"]
    other = ~atac.var_names.isin(atac.uns["peak_annotation"]["region"])
    assert other.mean() > 0.5  # so that they set the median
    atac.var.loc[other, "end"] += by
    atac.var_names = [f"{c}:{s}-{e}" for c, s, e in atac.var[["chrom", "start", "end"]].itertuples(index=False)]
    mdata.update()
    return mdata


@pytest.mark.filterwarnings("ignore:only 36% of the regions are among those of training")
def test_length_of_regions_is_saved_and_compared(copied, trained, toy):
    assert trained.region_width == 500  # all of the toy are
    description = json.loads((copied / "model.json").read_text())
    assert description["region_width"] == 500
    model = GET.load(copied, accelerator="cpu")
    assert model.region_width == 500
    model.predict(widened(toy, 250))  # a factor of 1.5, no more
    with pytest.warns(
        ScgetWarning, match=r"regions are 751 bp long \(median\), the model was trained on 500: .*match_regions"
    ):
        model.predict(widened(toy, 251))
    with pytest.warns(ScgetWarning, match=r"regions are 300 bp long .*trained on 500"):
        model.predict(widened(toy, -200))
    (copied / "model.json").write_text(json.dumps(sealed(description | {"region_width": None})))  # not on record
    unknown = GET.load(copied, accelerator="cpu")
    assert unknown.region_width is None
    unknown.predict(widened(toy, 5000))
    (copied / "model.json").write_text(json.dumps(sealed(description | {"region_width": "wide"})))
    with pytest.raises(CheckpointError, match="not as save.. writes it: region_width"):
        GET.load(copied)


def test_missing_folder_and_other_number_of_motifs(copied, tmp_path, toy):
    with pytest.raises(CheckpointError, match="cannot be read"):
        GET.load(tmp_path / "nothing")
    toy["atac"].varm["motif_scores"] = toy["atac"].varm["motif_scores"][:, :4]
    toy["atac"].uns["motif_names"] = toy["atac"].uns["motif_names"][:4]
    with pytest.raises(CheckpointError, match="trained with 5 motifs, the data have 4: missing 'E', unknown none"):
        GET.load(copied, mdata=toy)
    with pytest.raises(InputError, match="trained with 5 motifs, the data have 4: missing 'E', unknown none"):
        GET.load(copied).predict(toy)


# Loaded models on data that are not those of training


def atac_of(toy, regions=None, rows=None):
    """Accessibility alone, of some regions and rows."""
    atac = toy["atac"][:, slice(None) if regions is None else regions]
    atac = atac[slice(None) if rows is None else rows].copy()
    kept = atac.uns["peak_annotation"]["region"].isin(atac.var_names)
    atac.uns["peak_annotation"] = atac.uns["peak_annotation"][kept]
    return MuData({"atac": atac})


def test_regions_and_genes_in_another_order_and_fewer_rows(saved, trained, toy, rng):
    plain = trained.predict()
    genes = rng.permutation(51)
    mixed = MuData({"rna": toy["rna"][:, genes].copy(), "atac": toy["atac"][:, rng.permutation(120)].copy()})
    attached = GET.load(saved, mdata=mixed, accelerator="cpu")
    pd.testing.assert_frame_equal(attached.predict(), plain[plain.columns[genes]], check_exact=True)
    rows = ["T3", "T0"]
    few = GET.load(saved, mdata=MuData({name: toy[name][rows].copy() for name in ("rna", "atac")}), accelerator="cpu")
    np.testing.assert_allclose(few.predict(), plain.loc[rows], atol=1e-5)
    alone = GET.load(saved, mdata=atac_of(toy, rows=rows), accelerator="cpu").predict()
    np.testing.assert_allclose(alone, plain.loc[rows, alone.columns], atol=1e-5)
    assert len(alone.columns) == 50  # those with a promoter; names of others were in the RNA


def test_chromosomes_never_seen_change_nothing_elsewhere(saved, trained, toy):
    """Twice the genome: the second half has other names, so that none of its regions or genes is known."""
    first, second = atac_of(toy)["atac"], atac_of(toy)["atac"]
    second.var["chrom"] = "chr20" + second.var["chrom"].str.removeprefix("chr").astype(str)
    second.var_names = [f"{c}:{s}-{e}" for c, s, e in second.var[["chrom", "start", "end"]].itertuples(index=False)]
    renamed = dict(zip(first.var_names, second.var_names, strict=True))
    promoters = first.uns["peak_annotation"]
    new = promoters.assign(region=promoters["region"].map(renamed), gene=promoters["gene"] + "_new")
    both = AnnData(hstack([first.X, second.X]).tocsr(), obs=first.obs, var=pd.concat([first.var, second.var]))
    both.varm["motif_scores"] = vstack([first.varm["motif_scores"], second.varm["motif_scores"]]).tocsr()
    both.uns["motif_names"] = first.uns["motif_names"]
    both.uns["peak_annotation"] = pd.concat([promoters, new], ignore_index=True).rename(index=str)
    model = GET.load(saved, mdata=MuData({"atac": both}), accelerator="cpu")
    found, plain = model.predict(), trained.predict()
    np.testing.assert_allclose(found[[f"G{i}" for i in range(50)]], plain.iloc[:, :50], atol=1e-5)
    unseen = found[[f"G{i}_new" for i in range(50)]]  # a level of their own, as no training mean is known
    assert np.isfinite(unseen.to_numpy()).all() and not np.allclose(unseen, plain.iloc[:, :50], atol=0.1)


def test_some_of_the_regions_keep_what_does_not_rest_on_the_others(trained, toy, tmp_path):
    """With accessibility as open or not, a chromosome does not know of another, so leaving one out changes nothing."""
    model = GET(
        trained.adata, width=8, n_layers=1, n_heads=2, window=16, accessibility="binary", baseline="training_mean"
    )
    model.train(1, holdout_obs=["T5"], accelerator="cpu", enable_progress_bar=False)
    plain = model.predict()
    model.save(tmp_path / "binary")
    kept = (toy["atac"].var["chrom"] != "chr2").to_numpy()
    part = GET.load(tmp_path / "binary", mdata=atac_of(toy, regions=kept), accelerator="cpu").predict()
    assert 20 < len(part.columns) < 50
    on_one = [g for g in part.columns if g != "G0"]  # G0 has two promoters
    np.testing.assert_allclose(part[on_one], plain[on_one], atol=1e-5)


def test_motifs_are_matched_by_name(saved, trained, toy, rng):
    order = rng.permutation(5)
    toy["atac"].varm["motif_scores"] = toy["atac"].varm["motif_scores"][:, order]
    toy["atac"].uns["motif_names"] = toy["atac"].uns["motif_names"][order]
    loaded = GET.load(saved, mdata=toy, accelerator="cpu")
    pd.testing.assert_frame_equal(loaded.predict(), trained.predict(), check_exact=True)
    toy["atac"].uns["motif_names"] = np.array(["A", "B/1", "C", "D", "F"], dtype=object)
    with pytest.raises(CheckpointError, match="have 5: missing 'E', unknown 'F'"):
        GET.load(saved, mdata=toy)
