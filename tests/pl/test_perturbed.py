"""Pictures of perturbations show the numbers they are made of."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

import scget
from scget._errors import InputError
from scget.tl import Change

mpl.use("agg")


@pytest.fixture
def found(trained, toy):
    changes = {"no A": Change("knockout", motifs="A"), "C x 2": Change("dose", motifs="C", value=2)}
    yield scget.tl.perturb(toy, trained, changes, rows=["T5", "T0"])
    mpl.pyplot.close("all")


def test_genes_changed_most(found):
    ax = scget.pl.perturbed(found, row="T5", n_genes=4, show=False)
    shown = found[["no A in T5", "C x 2 in T5"]].to_df()
    genes = shown.abs().max().sort_values(ascending=False).index[:4].tolist()
    assert [label.get_text() for label in ax.get_xticklabels()] == genes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["no A", "C x 2"]
    np.testing.assert_array_equal(ax.images[0].get_array(), shown[genes])
    assert ax.images[0].get_clim() == (-np.abs(shown[genes]).max().max(), np.abs(shown[genes]).max().max())
    assert scget.pl.perturbed(found, show=False).images[0].get_array().shape == (4, 20)


def test_a_single_perturbation_is_a_waterfall(found):
    ax = scget.pl.perturbed(found[:1], n_genes=6, show=False)
    line = found[:1].to_df().iloc[0]
    expected = line[line.abs().nlargest(6).index].sort_values(ascending=False)
    assert [label.get_text() for label in ax.get_xticklabels()] == list(expected.index)
    assert [bar.get_height() for bar in ax.patches] == pytest.approx(expected.tolist())
    assert [mpl.colors.to_hex(bar.get_facecolor()) for bar in ax.patches] == [
        "#d55e00" if value > 0 else "#0072b2" for value in expected
    ]
    assert ax.get_title() == f"{line.name}: the 6 genes changed most"


def test_regions_of_a_screen(trained, toy):
    table = scget.tl.screen(toy, trained, genes=["G3"], rows=["T5"], reach=100_000)
    ax = scget.pl.screened(table, "G3", "T5", show=False)
    seen = table[table["effect"] != 0]
    var = toy["atac"].var.loc[seen["region"].astype(str)]
    points = ax.collections[1].get_offsets()
    np.testing.assert_allclose(points[:, 0] * 1000, (var["start"] + var["end"]) // 2)
    np.testing.assert_allclose(points[:, 1], seen["effect"], rtol=1e-6)
    promoter = toy["atac"].uns["peak_annotation"].set_index("gene").loc["G3", "tss"]
    assert ax.lines[-1].get_xdata().tolist() == [promoter / 1000]
    figure = scget.pl.screened(table, "G3", "T5", return_fig=True)
    assert isinstance(figure, mpl.figure.Figure)
    with pytest.raises(InputError, match=r"no screen of 'G9' in 'T5' \(genes there: 'G3'\)"):
        scget.pl.screened(table, "G9", "T5")


def test_what_is_not_there(found):
    with pytest.raises(InputError, match="no row 'T9' among the perturbations; there are 'T5', 'T0'"):
        scget.pl.perturbed(found, row="T9")
    with pytest.raises(InputError, match="n_genes=0"):
        scget.pl.perturbed(found, n_genes=0)
