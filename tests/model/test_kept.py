"""A killed run goes on: parts kept are not computed again, and the answer is that of one run."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from mudata import MuData

from scget._errors import ScgetWarning
from scget.model import GET, Ensemble, _attribute, _embed, _gene_windows, _links, _motif_pairs, _what_if
from scget.tl import Change, perturb, predict, screen


@pytest.fixture
def data(trained):
    return MuData({name: trained.adata[name].copy() for name in ("atac", "rna")})


def ask_attribute(model, data, cache):
    found = model.attribute(data, rows=["T5", "T0"], method="integrated", steps=2, cache=cache)
    return [*found.motifs.values(), found.links, found.gap]


def ask_links(model, data, cache):
    return [model.links(data, rows=["T5", "T0"], score="published", cache=cache)]


def ask_perturb(model, data, cache):
    changes = {f"out of {region}": Change("delete", region) for region in data["atac"].var_names[:9]}
    found = perturb(data, model, {**changes, "A": Change("knockout", motifs="A")}, cache=cache)
    return [found.to_df(), found.to_df(layer="predicted"), found.obs]


def ask_screen(model, data, cache):
    return [screen(data, model, genes=["G0", "G1", "G3"], rows=["T5", "T0"], cache=cache)]


def ask_pairs(model, data, cache):
    from scget.model._motif_pairs import motif_pair_effects

    asked = {"motifs": None, "genes": None, "n_genes": 40, "method": "slopes", "seed": 0, "batch_size": 8}
    return [motif_pair_effects(model, data, rows=["T5", "T0"], cache=cache, **asked)]


def ask_predict(model, data, cache):
    found = predict(data, model, row_batch=1, cache=cache, copy=True)
    layers = [
        found["rna"].to_df(layer="get"),
        found["atac"].to_df(layer="get_plus"),
        found["rna"].to_df(layer="get_std"),
    ]
    return [*layers, found["rna"].obs]


def ask_embed(model, data, cache):
    found = model.embed(data, rows=["T5", "T0"], row_batch=1, cache=cache)
    return [found.rows, found.regions, found.genes]


ASK = {
    "predict": (ask_predict, GET, "_predict_table"),
    "embed": (ask_embed, _embed, "_sums"),
    "motif_pairs": (ask_pairs, _motif_pairs, "_block"),
    "attribute": (ask_attribute, _attribute, "_attribute_block"),
    "links": (ask_links, _links, "_link_block"),
    "perturb": (ask_perturb, _what_if.RowWhatIf, "effects"),
    "screen": (ask_screen, _what_if.RowWhatIf, "effects"),
}


@pytest.fixture
def small_blocks(monkeypatch):
    """Several parts of so small an answer."""
    monkeypatch.setattr(_gene_windows.GeneWindows.blocks, "__defaults__", (20, slice(None)))
    monkeypatch.setattr(_what_if, "EDITS", 4)
    monkeypatch.setattr(_motif_pairs, "LINES", 20)


@pytest.mark.parametrize("verb", ASK)
def test_a_killed_run_goes_on(trained, data, tmp_path, small_blocks, goes_on, verb):
    ask, owner, name = ASK[verb]
    goes_on(lambda cache: ask(trained, data, cache), owner, name, tmp_path)


@pytest.mark.parametrize("verb", ["links", "screen"])
def test_another_question_is_another_answer(trained, data, tmp_path, verb):
    """Other counts, genes, and weights: nothing kept is taken for them."""
    ask = ASK[verb][0]
    (kept,) = ask(trained, data, tmp_path)
    n_kept = len(list(tmp_path.iterdir()))
    other = MuData({name: data[name].copy() for name in ("atac", "rna")})
    other["atac"].X = other["atac"].X * 2 + other["atac"].X.multiply(np.arange(120) % 3)
    (changed,) = ask(trained, other, tmp_path)
    pd.testing.assert_frame_equal(changed, ask(trained, other, None)[0], check_exact=True)
    assert len(list(tmp_path.iterdir())) > n_kept
    column = "signed" if verb == "links" else "effect"
    assert len(changed) != len(kept) or not np.allclose(changed[column], kept[column])


def test_bfloat16_is_taken_from_around_and_kept_apart(trained, data, tmp_path):
    """Under autocast answers move by some of 256 steps a factor of 2, and are not given to who asks in float32."""
    for ask, columns in ((ask_predict, None), (ask_links, ["signed"])):
        whole = ask(trained, data, None)[0]
        with torch.autocast("cpu", torch.bfloat16):
            half = ask(trained, data, tmp_path)[0]
        pd.testing.assert_frame_equal(ask(trained, data, tmp_path)[0], whole, check_exact=True)
        if columns is not None:
            key = ["row", "gene", "region"]
            whole, half = (table.set_index(key)[columns].sort_index() for table in (whole, half))
        departs = np.abs((half - whole).to_numpy())
        spread = np.nanstd((whole - whole.mean()).to_numpy())
        assert 0 < np.nanmax(departs) and np.sqrt(np.nanmean(departs**2)) < 0.03 * spread


def test_members_of_an_ensemble_are_kept_apart(trained, data, tmp_path):
    other = copy.copy(trained)
    other.module = copy.deepcopy(trained.module)
    for weight in other.module.parameters():
        weight.data += 0.1
    both = Ensemble([trained, other], {})
    (expected,) = ask_links(both, data, None)
    for _ in range(2):
        pd.testing.assert_frame_equal(ask_links(both, data, tmp_path)[0], expected, check_exact=True)


def test_a_damaged_part_is_made_again(trained, data, tmp_path):
    (expected,) = ask_links(trained, data, tmp_path)
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:-7])
    with pytest.warns(ScgetWarning, match="part of the answer kept at .* is damaged"):
        (found,) = ask_links(trained, data, tmp_path)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
