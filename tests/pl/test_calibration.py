"""Errors found stand against errors expected."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

import scget
from scget._errors import InputError

mpl.use("agg")


@pytest.fixture
def answered(rng):
    """Two rows of 400 genes: the first errs as it says, the second twice as much; the last gene has no prediction."""
    counts = rng.poisson(500, (2, 400)).astype(np.float32)
    observed = np.log10(1e6 * counts / counts.sum(1, keepdims=True) + 1)
    sd = np.geomspace(0.05, 0.8, 400)
    rna = AnnData(counts, obs=pd.DataFrame(index=["a", "b"]), var=pd.DataFrame(index=[f"G{i}" for i in range(400)]))
    rna.layers["get"] = observed + np.array([[1.0], [2.0]]) * sd * rng.standard_normal((2, 400))
    rna.layers["get_std"] = np.tile(sd, (2, 1))
    rna.layers["get"][:, -1] = np.nan
    atac = AnnData(np.ones((2, 1), dtype=np.float32), obs=rna.obs.copy())
    mdata = MuData({"rna": rna, "atac": atac})
    mdata.uns["get"] = {"holdout_obs": ["b"]}
    yield mdata
    mpl.pyplot.close("all")


def test_bins_of_expected_and_found_errors(answered):
    ax = scget.pl.calibration(answered, ["a", "b"], n_bins=3, show=False)
    counts = answered["rna"].X
    observed = np.log10(1e6 * counts / counts.sum(1, keepdims=True) + 1)
    error, sd = (answered["rna"].layers["get"] - observed)[:, :399], answered["rna"].layers["get_std"][:, :399]
    parts = [slice(0, 133), slice(133, 266), slice(266, 399)]  # sd rises from gene to gene
    for k, line in enumerate(ax.lines[:2]):
        x, y = (np.array([np.sqrt((values[k, p] ** 2).mean()) for p in parts]) for values in (sd, error))
        np.testing.assert_allclose(line.get_xydata(), np.column_stack([x, y]), rtol=1e-4)
    inside = (np.abs(error) < 1.2815515655446004 * sd).mean(axis=1)  # normal quantile of 0.9
    assert inside[0] == pytest.approx(0.8, abs=0.05) and inside[1] < 0.55
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == [f"{row}: {share:.0%} inside" for row, share in zip("ab", inside, strict=True)]


def test_rows_held_out_and_genes_chosen(answered):
    ax = scget.pl.calibration(answered, genes=[f"G{i}" for i in range(50)], n_bins=2, show=False)
    assert [text.get_text()[0] for text in ax.get_legend().get_texts()] == ["b"]
    assert ax.lines[0].get_xdata().max() < answered["rna"].layers["get_std"][1, 50]


def test_what_cannot_be_judged(answered):
    with pytest.raises(InputError, match="39 genes of 'b' have an uncertainty: at least 50"):
        scget.pl.calibration(answered, genes=[f"G{i}" for i in range(361, 400)] + ["G0"], n_bins=50)
    with pytest.raises(InputError, match="no row 'c'"):
        scget.pl.calibration(answered, ["c"])
    answered.uns["get"]["holdout_obs"] = []
    with pytest.raises(InputError, match="rows=None, n_bins=10: name at least one row"):
        scget.pl.calibration(answered)
    del answered["rna"].layers["get_std"]
    with pytest.raises(InputError, match=r"no uncertainty in rna.layers\['get_std'\]"):
        scget.pl.calibration(answered)
