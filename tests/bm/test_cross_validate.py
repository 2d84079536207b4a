"""All splits in one call: each done once, kept whole, and never taken for another."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import scget
from scget._errors import InputError
from scget.bm import Split, compare, cross_validate, leave_one_out, summarise

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
FAST = {"predictors": ["training_mean"], "n_bootstrap": 30, "metrics": ["pearson", "delta_pearson"]}


class Fit:
    """Trains a small model, and says on what."""

    def __init__(self) -> None:
        self.done = []

    def __call__(self, mdata, split):
        scget.model.GET.setup_mudata(mdata)
        model = scget.model.GET(mdata, width=8, n_layers=1, n_heads=2, window=16)
        model.train(1, holdout_obs=split.obs, holdout_chroms=split.chroms, **QUIET)
        self.done.append(split.name)
        return model


@pytest.fixture
def splits():
    return [*leave_one_out(["T5", "T0"], ["chr10"]), Split("../chr 2/", chroms=["chr2"])]


def test_table_is_that_of_each_model(toy, splits):
    fit = Fit()
    table = cross_validate(toy, splits, fit, **FAST)
    assert fit.done == ["T5", "T0", "../chr 2/"] == table["fold"].unique().tolist()
    assert table.columns.tolist() == ["fold", "split", "row", "metric", "predictor", "value", "low", "high", "n"]
    alone = compare(Fit()(toy, splits[1]), toy, **FAST)
    mine = table[table["fold"] == "T0"].drop(columns="fold").reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, alone)
    held = table[table["split"].isin(["rows", "both"])]
    assert (held["row"] == held["fold"]).all()
    wide = summarise(table, ["pearson"])
    by_hand = table[(table["split"] == "rows") & (table["metric"] == "pearson") & (table["predictor"] == "GET")]
    assert len(by_hand) == 2 and wide.loc["GET", ("rows", "pearson")] == pytest.approx(by_hand["value"].mean())


def test_what_is_done_is_read_not_done_again(toy, splits, tmp_path):
    out, stop = tmp_path / "scores", Fit()

    def killed(mdata, split):
        if split.name == "T0":
            raise KeyboardInterrupt
        return stop(mdata, split)

    with pytest.raises(KeyboardInterrupt):
        cross_validate(toy, splits, killed, out=out, **FAST)
    assert len(list(out.iterdir())) == 1
    rest, nothing = Fit(), Fit()
    table = cross_validate(toy, splits, rest, out=out, **FAST)
    assert rest.done == ["T0", "../chr 2/"]
    again = cross_validate(toy, splits[::-1], nothing, out=out, **FAST)
    assert nothing.done == [] and again["fold"].unique().tolist() == [s.name for s in splits[::-1]]
    pd.testing.assert_frame_equal(table, cross_validate(toy, splits, Fit(), **FAST))  # the bits too
    assert sorted(p.parent for p in tmp_path.rglob("*.csv")) == [out] * 3  # no name leads elsewhere
    assert not [p for p in out.iterdir() if p.suffix != ".csv"]


def test_other_splits_predictors_settings_or_data_are_not_taken_for_done(toy, tmp_path):
    split, fit = leave_one_out(["T5"], ["chr10"]), Fit()
    cross_validate(toy, split, fit, out=tmp_path, **FAST)
    for change in (
        {"splits": [Split("T5", ["T5"], ["chr2"])]},
        {"predictors": ["best_training_row"]},
        {"settings": {"lr": 1e-3}},
        {"n_bootstrap": 31},
        {"mdata": toy[:, toy.var_names != "G3"].copy()},
    ):
        cross_validate(**{"mdata": toy, "splits": split, "fit": fit, "out": tmp_path} | FAST | change)
    assert len(fit.done) == 6 == len(list(tmp_path.iterdir()))


def test_names_stay_names_on_disk(toy, tmp_path):
    toy["rna"].obs_names = toy["atac"].obs_names = ["NA", "1", "T2", "T3", "null", "5"]
    toy.update()
    splits = leave_one_out(["NA", "5"])
    first, again = (cross_validate(toy, splits, Fit(), out=tmp_path, **FAST) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    assert again["row"].unique().tolist() == ["NA", "5"] and np.isfinite(again["value"]).any()


def test_a_damaged_table_is_named(toy, tmp_path):
    split = leave_one_out(["T5"])
    cross_validate(toy, split, Fit(), out=tmp_path, **FAST)
    path = next(tmp_path.iterdir())
    for content in (b"", b"a,b\n1,2\n", path.read_bytes().replace(b"T5,pearson,GET,", b"T5,pearson,GET,x")):
        path.write_bytes(content)
        with pytest.raises(InputError, match="T5-.*csv is not a table of scores.*delete it"):
            cross_validate(toy, split, Fit(), out=tmp_path, **FAST)


def test_nonsense_is_refused_before_training(toy):
    fit = Fit()
    for arguments, message in (
        ({"splits": leave_one_out(["T5", "T9"])}, "no row 'T9'"),
        ({"splits": [Split("a", chroms=["chr11"])]}, "no chromosome 'chr11'"),
        ({"splits": [Split("a", ["T1"]), Split("a", ["T2"])]}, "'a' names more than one split"),
        ({"splits": []}, "no split among splits"),
        ({"splits": ["T5"]}, "a str among splits; give a list of scget.bm.Split"),
        ({"predictors": ["magic"]}, "no baseline 'magic'"),
        ({"n_bootstrap": -1}, "n_bootstrap=-1"),
        ({"rows": ["T1"]}, "rows are those of each split"),
        ({"over": "cells"}, "over='cells'"),
        (
            {"atac": "peaks"},
            "no modality 'peaks'; there are 'rna', 'atac'|no modality 'peaks'; there are 'atac', 'rna'",
        ),
        ({"settings": {1, 2}, "out": "never"}, "settings or arguments cannot be told apart on disk"),
    ):
        with pytest.raises(InputError, match=message):
            cross_validate(**{"mdata": toy, "splits": leave_one_out(["T5"]), "fit": fit} | FAST | arguments)
    assert fit.done == []


def test_a_model_that_saw_what_was_to_be_left_out_is_refused(toy):
    fit = Fit()
    lazy = lambda mdata, split: fit(mdata, Split("lazy", ["T1"]))
    with pytest.raises(InputError, match="model of split 'T5' did not hold out 'row T5', 'chromosome chr10'; in fit"):
        cross_validate(toy, leave_one_out(["T5"], ["chr10"]), lazy, **FAST)
    with pytest.raises(InputError, match=r"fit\(\) gave a NoneType for split 'T5'; a trained model"):
        cross_validate(toy, leave_one_out(["T5"]), lambda mdata, split: None, **FAST)
