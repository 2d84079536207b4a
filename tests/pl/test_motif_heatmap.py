"""Heat maps of motifs hold the attributions, and logos the bits of the matrices."""

from __future__ import annotations

import builtins

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

import scget
from scget._errors import InputError

mpl.use("agg")
MOTIFS = ["AP1/1", "GATA", "CTCF", "NFY"]
PFM = np.array([[1.0, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25, 0.25, 0.25, 0.25]])


@pytest.fixture
def attributed(rng):
    """Three rows x 6 genes, of which the last was not attributed, and row c not at all."""
    rows = pd.DataFrame(index=["a", "b", "c"])
    rna = AnnData(np.ones((3, 6), dtype=np.float32), obs=rows, var=pd.DataFrame(index=[f"G{i}" for i in range(6)]))
    for row, size in (("a", 1.0), ("b", 2.0)):
        table = rng.normal(0, size, (6, 4)) * [1, 4, 2, 0.1]
        table[5] = np.nan
        rna.varm[f"get_motif_{row}"] = table.astype(np.float32)
    rna.uns["get"] = {"motif_names": np.array(MOTIFS)}
    atac = AnnData(np.ones((3, 2), dtype=np.float32), obs=rows.copy())
    factors = {
        "cluster": ["AP1/1", "AP1/1", "GATA"],
        "motif": ["JUN_1", "FOS_1", "GATA1_1"],
        "tf": ["JUN", "FOS", "GATA1"],
    }
    atac.uns["motif_tfs"] = pd.DataFrame(factors, index=["0", "1", "2"])
    yield MuData({"rna": rna, "atac": atac})
    mpl.pyplot.close("all")


def labels(ticks):
    return [tick.get_text() for tick in ticks]


def test_rows_show_the_mean_size(attributed):
    ax = scget.pl.motif_heatmap(attributed, n_motifs=3, show=False)
    means = pd.DataFrame({r: np.abs(attributed["rna"].varm[f"get_motif_{r}"][:5]).mean(0) for r in "ab"}, MOTIFS)
    means = means.loc[means.max(axis=1).sort_values(ascending=False).index[:3]]
    np.testing.assert_allclose(ax.images[0].get_array(), means)
    assert labels(ax.get_yticklabels()) == list(means.index) and labels(ax.get_xticklabels()) == ["a", "b"]
    assert ax.images[0].get_clim() == (0, pytest.approx(means.to_numpy().max()))
    assert ax.get_title() == "mean effect of motifs on 5 genes"
    one = scget.pl.motif_heatmap(attributed, rows=["b"], genes=["G3"], show=False)
    shown = dict(zip(labels(one.get_yticklabels()), one.images[0].get_array()[:, 0], strict=True))
    expected = np.abs(attributed["rna"].varm["get_motif_b"][3])
    assert shown == {name: pytest.approx(value) for name, value in zip(MOTIFS, expected, strict=True)}


def test_genes_of_a_row_show_signs(attributed):
    ax = scget.pl.motif_heatmap(attributed, "b", genes=["G4", "G0"], show=False)
    table = pd.DataFrame(attributed["rna"].varm["get_motif_b"], [f"G{i}" for i in range(6)], MOTIFS).T[["G4", "G0"]]
    table = table.loc[table.abs().max(axis=1).sort_values(ascending=False).index]
    np.testing.assert_array_equal(ax.images[0].get_array(), table)
    assert labels(ax.get_xticklabels()) == ["G4", "G0"] and labels(ax.get_yticklabels()) == list(table.index)
    most = table.abs().to_numpy().max()
    assert ax.images[0].get_clim() == pytest.approx((-most, most))
    red, blue = ax.images[0].cmap([0.95, 0.05])[:, [0, 2]]
    assert red[0] > red[1] and blue[1] > blue[0]
    chosen = labels(scget.pl.motif_heatmap(attributed, "b", n_genes=3, show=False).get_xticklabels())
    size = (attributed["rna"].varm["get_motif_b"][:5] ** 2).sum(axis=1)
    assert sorted(chosen) == sorted(f"G{i}" for i in size.argsort()[-3:])


def test_logos_have_the_bits_of_the_matrices(attributed):
    pytest.importorskip("logomaker")
    ax = scget.pl.motif_heatmap(attributed, "b", motifs={"JUN_1": PFM, "FOS_1": PFM[::-1], "CTCF": PFM[:2]}, show=False)
    ax.figure.canvas.draw()
    logos = {round(inset.get_position().y0, 6): inset for inset in ax.child_axes[:-1]}
    assert len(logos) == 2  # GATA's motif and NFY are not in the set
    order = labels(ax.get_yticklabels())
    top, below = (logos[y] for y in sorted(logos, reverse=True))
    first, second = sorted(["AP1/1", "CTCF"], key=order.index)
    for logo, name in ((top, first), (below, second)):
        tall = [patch.get_path().get_extents().height for patch in logo.patches]
        bits = {"AP1/1": [2, 0.5, 0.5], "CTCF": [2, 0.5, 0.5]}[name]  # PFM's third place says nothing
        np.testing.assert_allclose(sorted((h for h in tall if h > 1e-6), reverse=True), bits, rtol=0.02)
        where = ax.transData.inverted().transform(logo.transAxes.transform([0, 0.5]))[1]
        assert round(where) == order.index(name)  # beside its line
        assert logo.get_position().x0 > ax.get_position().x1
        assert logo.get_xlim() == (-0.5, 2.5)  # a shorter motif is not stretched


def test_without_logomaker_the_extra_is_named(attributed, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "logomaker":
            raise ImportError("No module named 'logomaker'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "scget\[logo\]"'):
        scget.pl.motif_heatmap(attributed, motifs={"CTCF": PFM})
    assert mpl.pyplot.get_fignums() == []  # said before anything is drawn
    scget.pl.motif_heatmap(attributed, show=False)


def test_what_is_not_there(attributed):
    for wrong, message in (
        ({"row": "c"}, "no attributions of row 'c'; there are 'a', 'b'"),
        ({"rows": ["c"]}, "no row with attributions 'c'"),
        ({"row": "a", "genes": ["G5"]}, "no gene attributed in a 'G5'"),
        ({"n_motifs": 0}, "n_motifs=0"),
        ({"key": "other"}, "no attributions 'other_motif_<row>'; run scget.tl.attribute"),
    ):
        with pytest.raises(InputError, match=message):
            scget.pl.motif_heatmap(attributed, **wrong)
    pytest.importorskip("logomaker")
    with pytest.raises(
        InputError, match="none of the motifs 'GATA', 'CTCF', 'AP1/1', ... is in the set, which has 'X'"
    ):
        scget.pl.motif_heatmap(attributed, motifs={"X": PFM})
