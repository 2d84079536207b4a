"""The picture of a history shows its tables."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import scget
from scget._errors import InputError

mpl.use("agg")


@pytest.fixture
def tables():
    values = {"train_loss": [3.0, 2.0, 1.5], "validation_loss": [3.5, 2.5, 2.75], "validation_delta_r": [0.1, 0.3, 0.2]}
    yield {name: pd.DataFrame({name: v}) for name, v in values.items()}
    mpl.pyplot.close("all")


def test_losses_of_training_and_validation(tables):
    ax = scget.pl.history(tables, show=False)
    lines = {line.get_label(): line.get_xydata() for line in ax.lines}
    assert list(lines) == ["training", "validation"] and ax.get_ylabel() == "loss"
    np.testing.assert_array_equal(lines["training"], [[0, 3], [1, 2], [2, 1.5]])
    np.testing.assert_array_equal(lines["validation"][:, 1], [3.5, 2.5, 2.75])
    other = scget.pl.history(tables, ["validation_delta_r"], show=False)
    np.testing.assert_array_equal(other.lines[0].get_ydata(), [0.1, 0.3, 0.2])
    assert other.get_legend().get_texts()[0].get_text() == "validation delta r" and other.get_ylabel() == ""


def test_a_model_and_what_was_watched_later(trained, tables):
    drawn = scget.pl.history(trained, show=False).lines[0].get_ydata()
    np.testing.assert_array_equal(drawn, trained.history["train_loss"]["train_loss"].to_numpy(float))
    assert len(drawn) == 20
    later = tables | {"validation_loss": tables["validation_loss"].iloc[:1].set_axis([2])}
    (x, y), marker = (lambda line: (line.get_xydata()[0], line.get_marker()))(
        scget.pl.history(later, show=False).lines[1]
    )
    assert (x, y, marker) == (2, 3.5, "o")  # a single epoch is seen


def test_what_has_no_history(tables):
    with pytest.raises(InputError, match="no history in a dict: a model trained here"):
        scget.pl.history({})
    with pytest.raises(InputError, match="no 'x' in the history; there are 'train_loss', 'validation_loss'"):
        scget.pl.history(tables, ["x"])
    with pytest.raises(InputError, match="no loss in the history; there are 'validation_delta_r'"):
        scget.pl.history({"validation_delta_r": tables["validation_delta_r"]})
