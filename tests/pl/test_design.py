"""The picture of a design shows its steps."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import scget
from scget._errors import InputError
from scget.tl import Designs

mpl.use("agg")


@pytest.fixture
def found():
    sequences = pd.DataFrame({"sequence": ["ACGTTTAC", "ACGAAAAC"], "objective": [0.3, 0.1]})
    steps = pd.DataFrame(
        {
            "design": [0, 0, 0, 1, 1],
            "step": [0, 1, 2, 0, 1],
            "name": ["start", "AP1/1", "GATA", "start", "A>C"],
            "start": [0, 5, 2, 0, 7],
            "strand": ["+", "+", "-", "+", "."],
            "objective": [0, 0.2, 0.3, 0, 0.1],
        }
    )
    index = pd.MultiIndex.from_frame(steps[["design", "step"]])
    values = np.array([[2.0, 1.0, 3.0], [2.25, 1.0, 3.1], [2.5, 0.5, 3.4], [2.0, 1.0, 3.0], [2.1, 1.0, 3.0]])
    predicted = pd.DataFrame(values, index=index, columns=["Mono", "B", "T"])
    yield Designs("GATA1", "Mono", "chr1:1-9", sequences, steps, predicted)
    mpl.pyplot.close("all")


def test_lines_are_changes_from_the_start(found):
    ax = scget.pl.design(found, show=False)
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_allclose(lines["Mono"], [0, 0.25, 0.5])
    np.testing.assert_allclose(lines["objective"], [0, 0.2, 0.3])
    grey = [line.get_ydata() for line in ax.lines if line.get_label() == "_"]
    np.testing.assert_allclose(grey, [[0, 0, -0.5], [0, 0.1, 0.4]])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["start", "AP1/1 +5", "GATA -2"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["2 other rows", "Mono", "objective"]
    second = scget.pl.design(found, design=1, return_fig=True)
    assert [label.get_text() for label in second.axes[0].get_xticklabels()] == ["start", "A>C .7"]
    assert ax.get_title() == "GATA1 in Mono, at chr1:1-9"


def test_a_design_that_is_not_there(found):
    with pytest.raises(InputError, match="design=2: there are 2, numbered from 0"):
        scget.pl.design(found, design=2)
