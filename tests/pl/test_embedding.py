"""Rows lie where the principal components of their embedding say."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

import scget
from scget._errors import InputError

mpl.use("agg")


@pytest.fixture
def embedded(trained, toy):
    scget.tl.embed(toy, trained)
    toy["atac"].obs["n"] = np.arange(6.0)
    yield toy
    mpl.pyplot.close("all")


def test_rows_by_principal_components(embedded):
    values = embedded["atac"].obsm["X_get"].astype(np.float64)
    left, sizes, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    expected = left[:, :2] * sizes[:2]
    ax = scget.pl.embedding(embedded, "n", show=False)
    points = ax.collections[0]
    np.testing.assert_allclose(np.abs(points.get_offsets()), np.abs(expected), atol=1e-6)
    np.testing.assert_array_equal(points.get_array(), np.arange(6))
    assert ax.get_xlabel() == f"PC1 ({sizes[0] ** 2 / (sizes**2).sum():.0%})"
    assert [text.get_text() for text in ax.texts] == list(embedded["atac"].obs_names)
    assert points.get_offsets()[np.abs(expected[:, 0]).argmax(), 0] > 0


def test_a_colour_per_group(embedded):
    embedded["atac"].obs["half"] = ["a", "b"] * 3
    ax = scget.pl.embedding(embedded, "half", show=False)
    assert [len(points.get_offsets()) for points in ax.collections] == [3, 3]
    assert [label.get_text() for label in ax.get_legend().get_texts()] == ["a", "b"]
    plain = scget.pl.embedding(embedded, show=False)
    np.testing.assert_allclose(plain.collections[0].get_offsets()[::2], ax.collections[0].get_offsets())


def test_what_is_missing_is_named(embedded, toy):
    with pytest.raises(InputError, match="no column 'kind' in atac.obs; there are 'cell_type'"):
        scget.pl.embedding(embedded, "kind")
    with pytest.raises(InputError, match=r"no embedding in atac.obsm\['X_other'\]; run scget.tl.embed"):
        scget.pl.embedding(embedded, key="other")
