"""The picture of variants shows the greatest effects, with their motifs."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import scget
from scget._errors import InputError
from scget.model._variants import VariantEffects

mpl.use("agg")


@pytest.fixture
def effects():
    effect = [0.1, -0.4, 0.0, np.nan, 0.2, 9.0]
    table = {
        "variant": [f"chr1:{i}:A>G" for i in range(6)],
        "id": ["rs0", "", "rs2", "rs3", "", "rs5"],
        "gene": ["G1"] * 5 + ["G2"],
        "row": "T0",
        "distance": [-1200.0, 300.0, 0.0, 0.0, 50_000.0, 1.0],
        "motif": ["AP-1", "C", None, "C", "E", "C"],
        "change": [-8.25, 3.0, np.nan, 1.0, 0.5, 1.0],
        "effect": effect,
    }
    yield pd.DataFrame(table).astype(dict.fromkeys(["variant", "id", "gene", "row", "motif"], "category"))
    mpl.pyplot.close("all")


def test_greatest_effects_with_their_motifs(effects):
    ax = scget.pl.variants(effects, "G1", "T0", show=False)
    assert [bar.get_width() for bar in ax.patches] == [-0.4, 0.2, 0.1]
    assert [bar.get_y() + bar.get_height() / 2 for bar in ax.patches] == pytest.approx([0, 1, 2])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["chr1:1:A>G", "chr1:4:A>G", "rs0"]
    said = ["C +3.0 bits, +0.3 kb", "E +0.5 bits, +50.0 kb", "AP-1 \u22128.2 bits, \u22121.2 kb"]
    assert [text.get_text() for text in ax.texts] == said
    colours = [mpl.colors.to_hex(bar.get_facecolor()) for bar in ax.patches]
    assert colours == ["#0072b2", "#d55e00", "#d55e00"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1] and ax.get_title() == "G1 in T0: 3 of 5 variants"
    two = scget.pl.variants(effects[::-1], "G1", "T0", n_variants=2, show=False)
    assert [bar.get_width() for bar in two.patches] == [-0.4, 0.2]


def test_long_names_nothing_to_draw_and_what_is_not_there(effects):
    long = effects.assign(id="", variant="chr1:1:" + "A" * 40 + ">G")
    label = scget.pl.variants(long, "G1", "T0", show=False).get_yticklabels()[0].get_text()
    assert label == "chr1:1:" + "A" * 20 + "\u2026"
    figure = scget.pl.variants(effects.assign(effect=0.0), "G1", "T0", return_fig=True)
    assert isinstance(figure, mpl.figure.Figure) and figure.axes[0].get_title() == "G1 in T0: 0 of 5 variants"
    with pytest.raises(InputError, match=r"no variant of 'G9' in 'T0' \(genes there: 'G1', 'G2'\)"):
        scget.pl.variants(effects, "G9", "T0")
    with pytest.raises(InputError, match="n_variants=0"):
        scget.pl.variants(effects, "G1", "T0", n_variants=0)


def test_as_read_from_a_file_or_as_a_pair(effects, tmp_path):
    effects.to_csv(tmp_path / "effects.csv", index=False)
    expected = [label.get_text() for label in scget.pl.variants(effects, "G1", "T0", show=False).get_yticklabels()]
    for given in (pd.read_csv(tmp_path / "effects.csv"), VariantEffects(effects, effects)):
        ax = scget.pl.variants(given, "G1", "T0", show=False)
        assert [label.get_text() for label in ax.get_yticklabels()] == expected
