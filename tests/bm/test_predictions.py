"""Tables of predictions are what bm.compare scores."""

from __future__ import annotations

import numpy as np
import pytest

import scget
from scget._errors import InputError, ScgetWarning


def test_tables_have_the_scores_that_compare_tells(trained):
    names = ["training_mean", "ridge"]
    tables = scget.bm.predictions(trained, predictors=[*names, {"zero": lambda task: task.table.expression_kg * 0}])
    assert list(tables) == [*names, "zero"] and all(table.index.tolist() == ["T5"] for table in tables.values())
    rna = trained.adata["rna"]
    counts = rna.X.toarray().astype(float)
    observed = np.log10(1e6 * counts / counts.sum(1, keepdims=True) + 1)
    np.testing.assert_allclose(tables["training_mean"].loc["T5", rna.var_names], observed[:5].mean(axis=0), atol=1e-5)
    assert (tables["zero"] == 0).all(axis=None)
    scores = scget.bm.compare(trained, predictors=names, metrics=["pearson"], n_bootstrap=0)
    chroms = trained.adata["atac"].uns["peak_annotation"].assign(c=lambda t: t["region"].str.split(":").str[0])
    away = chroms.groupby("gene")["c"].agg(lambda c: set(c) == {"chr10"})
    genes = away.index[away]
    at = rna.var_names.get_indexer(genes)
    for name in names:
        value = scores.query("split == 'both' and predictor == @name")["value"].item()
        assert np.corrcoef(tables[name].loc["T5", genes], observed[5, at])[0, 1] == pytest.approx(value, abs=1e-4)


def test_rows_asked_for_and_what_is_refused(trained):
    with pytest.warns(ScgetWarning, match="'T0' were trained on"):
        table = scget.bm.predictions(trained, rows=["T5", "T0"], predictors=["training_mean"])["training_mean"]
    assert table.index.tolist() == ["T5", "T0"]
    with pytest.raises(InputError, match="no predictor is named"):
        scget.bm.predictions(trained, predictors=[])
    with pytest.raises(InputError, match="no baseline 'magic'"):
        scget.bm.predictions(trained, predictors=["magic"])
