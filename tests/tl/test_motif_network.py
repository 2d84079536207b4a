"""Networks and pairs of motifs in the MuData: what they hold, resuming, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData, read_h5mu

import scget
from scget._errors import InputError, ScgetWarning
from scget.model import _motif_network

MOTIFS = ["X", "Y/1", "Z", "never", "twice", "W"]


@pytest.fixture
def attributed():
    """300 genes whose attributions follow X -> Y/1 -> Z (negative), with W apart; the last 20 have none."""
    rng = np.random.default_rng(0)
    x, e_y, e_z, w = rng.laplace(size=(4, 300))
    y = 0.8 * x + e_y
    z = -0.8 * y + e_z
    values_gm = np.column_stack([x, y, z, np.zeros(300), -2 * x, w]).astype(np.float32)
    values_gm[280:] = np.nan
    rna = AnnData(np.zeros((2, 300), dtype=np.float32))
    rna.obs_names, rna.var_names = ["T0", "T1"], [f"G{i:03d}" for i in range(300)]
    rna.varm["get_motif_T0"] = values_gm
    rna.varm["get_motif_T1"] = values_gm[:, [2, 1, 0, 3, 4, 5]]
    rna.uns["get"] = {"motif_names": np.array(MOTIFS, dtype=object)}
    atac = AnnData(np.zeros((2, 3), dtype=np.float32))
    atac.obs_names, atac.var_names = ["T0", "T1"], ["chr1:0-10", "chr1:20-30", "chr1:40-50"]
    mdata = MuData({"rna": rna, "atac": atac})
    mdata.uns["get"] = {"scget_version": "0"}
    return mdata


def edges_of(mdata, row="T0", **asked):
    scget.tl.motif_network(mdata, row=row, **{"n_draws": 6, "draw_genes": 200} | asked)
    edges = mdata.uns["get"]["motif_network"]
    return edges[edges["row"] == row].reset_index(drop=True)


def test_edges_point_from_cause_to_effect(attributed):
    edges = edges_of(attributed)
    found = edges.set_index(["source", "target"])
    assert set(found.index) == {("X", "Y/1"), ("Y/1", "Z")}
    x_g, y_g = attributed["rna"].varm["get_motif_T0"][:280, :2].astype(float).T
    np.testing.assert_allclose(found.loc[("X", "Y/1"), "weight"], np.corrcoef(x_g, y_g)[0, 1], rtol=1e-5)
    assert found["sign"].tolist() == ["+", "-"] or found.loc[("Y/1", "Z"), "sign"] == "-"
    assert (found["frequency"] >= 0.8).all() and (found["frequency"] + found["reverse"] <= 1).all()
    left_out = attributed.uns["get"]["motif_network_left_out"].set_index("motif")["why"].astype(str)
    assert left_out.to_dict() == {"never": "constant", "twice": "a sum of others"}


def test_rows_stand_beside_each_other_and_survive_the_disk(attributed, tmp_path):
    edges_of(attributed, "T0")
    edges_of(attributed, "T1", n_draws=0)
    edges_of(attributed, "T0", n_draws=0)  # in the place of its own alone
    edges = attributed.uns["get"]["motif_network"]
    assert edges["row"].astype(str).tolist() == ["T1", "T1", "T0", "T0"] and edges["frequency"].isna().all()
    assert set(zip(edges["source"][:2], edges["target"][:2], strict=True)) == {("Z", "Y/1"), ("Y/1", "X")}
    attributed.write_h5mu(tmp_path / "a.h5mu")
    again = read_h5mu(tmp_path / "a.h5mu").uns["get"]["motif_network"]
    pd.testing.assert_frame_equal(again, edges, check_dtype=False, check_categorical=False, check_index_type=False)


def test_genes_in_another_order_give_the_same(attributed, rng):
    edges = edges_of(attributed)
    order = rng.permutation(300)
    moved = MuData({"rna": attributed["rna"][:, order].copy(), "atac": attributed["atac"].copy()})
    moved.uns["get"] = {"scget_version": "0"}
    pd.testing.assert_frame_equal(edges_of(moved), edges, check_categorical=False)


def test_an_interrupted_run_goes_on_to_the_same_result(attributed, tmp_path, monkeypatch):
    whole, fit, done = edges_of(attributed, seed=3), _motif_network.lingam_weights, []

    def dies(values_gm):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(1)
        return fit(values_gm)

    monkeypatch.setattr(_motif_network, "lingam_weights", dies)
    with pytest.raises(KeyboardInterrupt):
        edges_of(attributed, seed=3, cache=tmp_path)
    assert len(list(tmp_path.glob("*.draw"))) == 4 and len(list(tmp_path.iterdir())) == 4
    monkeypatch.setattr(_motif_network, "lingam_weights", lambda values_gm: done.append(1) or fit(values_gm))
    pd.testing.assert_frame_equal(edges_of(attributed, seed=3, cache=tmp_path), whole)
    assert len(done) == 7  # 6 draws and the genes as they are, none twice
    pd.testing.assert_frame_equal(edges_of(attributed, seed=3, cache=tmp_path), whole)
    assert len(done) == 7
    edges_of(attributed, seed=4, cache=tmp_path)
    assert len(done) == 13  # other draws; the genes as they are were kept
    file = sorted(tmp_path.glob("*.draw"))[0]
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.warns(ScgetWarning, match=r"The draw kept at .* is damaged"):
        edges_of(attributed, seed=3, cache=tmp_path)
        edges_of(attributed, seed=4, cache=tmp_path)


def test_another_estimator_is_asked(attributed):
    class Reversed:
        def fit(self, values_gm):
            assert np.allclose(values_gm.mean(0), 0) and np.allclose(values_gm.std(0), 1)
            self.adjacency_matrix_ = np.zeros((4, 4))
            self.adjacency_matrix_[0, 3] = 0.5  # from W to X
            return self

    edges = edges_of(attributed, estimator=Reversed())
    assert edges[["source", "target", "weight", "frequency"]].to_numpy().tolist() == [["W", "X", 0.5, 1.0]]


def test_known_interactions_stand_beside(attributed):
    tfs = [("X", "GATA1"), ("X", "TAL1"), ("Y/1", "SPI1"), ("Z", "MYC")]
    attributed["atac"].uns["motif_tfs"] = pd.DataFrame(tfs, columns=["cluster", "tf"], index=list("0123"))
    ppi = pd.DataFrame({"tf_a": ["spi1", "TAL1", "GATA1"], "tf_b": ["GATA1", "SPI1", "MYC"], "score": [0.4, 0.9, 1.0]})
    edges = edges_of(attributed, ppi=ppi).set_index("source")
    assert edges.loc["X", "ppi"] == 0.9 and np.isnan(edges.loc["Y/1", "ppi"])
    assert edges["ppi_tfs"].to_dict() == {"X": "TAL1-SPI1", "Y/1": ""}
    with pytest.raises(InputError, match="ppi has columns 'a'; a table with the columns tf_a, tf_b"):
        edges_of(attributed, ppi=pd.DataFrame({"a": []}))


def test_what_cannot_be_fitted_is_refused(attributed):
    with pytest.raises(
        InputError, match="no attributions of row 'T9' .there are those of 'T0', 'T1'.; run scget.tl.attr"
    ):
        scget.tl.motif_network(attributed, row="T9")
    with pytest.raises(InputError, match="280 genes with attributions, 3 in a draw, and 4 motifs that vary"):
        edges_of(attributed, draw_genes=3)
    with pytest.raises(InputError, match="n_draws=-1"):
        edges_of(attributed, n_draws=-1)
    with pytest.raises(InputError, match="has no fit"):
        edges_of(attributed, estimator=3)
    attributed["rna"].varm["get_motif_T0"][5, 2] = np.inf
    with pytest.raises(InputError, match="attribution of motif 'Z' to gene 'G005' is no number"):
        edges_of(attributed)
    assert "motif_network" not in attributed.uns["get"]


def test_pairs_are_written_with_how_they_were_made(trained, toy, tmp_path):
    made = scget.tl.motif_pairs(
        toy, trained, genes=["G3", "G7"], rows=["T5"], ppi=pd.DataFrame({"tf_a": ["a"], "tf_b": ["C"]}), copy=True
    )
    assert "get" not in toy.uns
    pairs = made.uns["get"]["motif_pairs"]
    assert (
        len(pairs) == 10 and (np.diff(pairs["rms"]) <= 0).all() and (pairs["rms"] >= pairs["mean"].abs() - 1e-9).all()
    )
    known = pairs[pairs["ppi"].notna()]
    assert known[["motif_a", "motif_b", "ppi", "ppi_tfs"]].astype(str).to_numpy().tolist() == [["A", "C", "1.0", "A-C"]]
    assert made.uns["get"]["paired"]["genes"] == ["G3", "G7"] and made.uns["get"]["members"] == 1
    made.write_h5mu(tmp_path / "a.h5mu")
    again = read_h5mu(tmp_path / "a.h5mu").uns["get"]["motif_pairs"]
    np.testing.assert_allclose(again["rms"], pairs["rms"])


class Told:
    """An estimator with a large setting, of which the edge comes."""

    def __init__(self, prior):
        self.prior = prior

    def fit(self, values_gm):
        self.adjacency_matrix_ = np.zeros((4, 4))
        self.adjacency_matrix_[0, 3] = self.prior[50, 50]
        return self


def test_draws_of_estimators_that_print_alike_are_not_mixed_up(attributed, tmp_path):
    one, other = np.ones((100, 100)), np.ones((100, 100))
    other[50, 50] = 2  # numpy prints neither
    for prior in (one, other):
        edges = edges_of(attributed, estimator=Told(prior), cache=tmp_path)
        assert edges["weight"].tolist() == [prior[50, 50]]
    with pytest.raises(InputError, match=r"adjacency_matrix_ of the estimator Told is of shape \(4, 4\), and 1 of its"):
        edges_of(attributed, estimator=Told(one * np.nan))


def test_what_is_damaged_is_refused_in_words(attributed):
    with pytest.raises(InputError, match="seed=-1"):
        edges_of(attributed, seed=-1)
    with pytest.raises(InputError, match="n_draws=1.5"):
        edges_of(attributed, n_draws=1.5)
    short, bare, lost = (attributed.copy() for _ in range(3))
    short["rna"].uns["get"]["motif_names"] = np.array(MOTIFS[:3], dtype=object)
    with pytest.raises(InputError, match="are 300 x 6 for 300 genes and 3 motif names"):
        edges_of(short)
    del bare["rna"].uns["get"]
    with pytest.raises(InputError, match="no motif attributions in rna.varm"):
        edges_of(bare)
    lost.uns.pop("get")
    with pytest.raises(InputError, match=r"mdata.uns\['get'\], which scget.tl.attribute"):
        edges_of(lost)


def test_rows_whose_names_share_a_slot_are_not_mixed_up(attributed):
    attributed["rna"].obs_names = attributed["atac"].obs_names = ["T/0", "T_0"]
    attributed["rna"].varm["get_motif_T_0"] = attributed["rna"].varm["get_motif_T0"]
    for ask in (lambda: edges_of(attributed, "T/0"), lambda: scget.tl.regulators(attributed, rows=["T_0"])):
        with pytest.raises(InputError, match="rows 'T/0', 'T_0' differ only in '/' and '_'"):
            ask()
