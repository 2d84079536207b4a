"""The windows that predictions of genes are read from: sums over their lines are the predictions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scget.model import GET, _gene_windows
from scget.model._gene_windows import GeneWindows
from scget.model._infer import predict_all

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


@pytest.fixture(params=["gene_activity", "training_mean", "zero"])
def model(request, toy):
    GET.setup_mudata(toy)
    GET.setup_mudata(toy)
    model = GET(toy, width=8, n_layers=1, n_heads=2, window=16, baseline=request.param)
    model.train(2, holdout_obs=["T5"], holdout_chroms=["chr10"], plan_kwargs={"lr": 1e-2}, **QUIET)
    return model


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_lines_and_activity_sum_to_the_prediction(model, batch_size):
    """Without the bound at 0, which is put aside by taking only predictions above it."""
    table, scaling = model.table(), model.scaling
    rows, genes = ["T5", "T1"], ["G7", "G0", "G48", "G3"]
    where = GeneWindows.of(model, table, genes, rows, batch_size)
    assert [*dict.fromkeys(where.jobs["row"])] == [5, 1] and [*dict.fromkeys(where.jobs["gene"])] == [7, 0, 48, 3]
    line_n, region_n, share_n = where.activity_shares(where.jobs)
    value_j = np.zeros(len(where.jobs))
    np.add.at(value_j, line_n, share_n * scaling.channels(table)[where.jobs["row"].to_numpy()[line_n], region_n, -1])
    done, sizes = 0, []
    for part in where.parts(batch_size, "read"):
        with torch.no_grad():
            value_j[done : done + len(part.jobs)] += where.read(part, part.batch.tokens_brf).double().numpy()
        assert part.jobs.index[0] == done
        done, sizes = done + len(part.jobs), [*sizes, len(part.jobs)]
    assert done == len(where.jobs) > 8 and (len(sizes) == 8 if batch_size == 1 else True)  # G0 has two promoters
    found = where.jobs.assign(value=value_j).groupby(["row", "gene"], sort=False)["value"].sum()
    mean_g = scaling.expression(table.genes)
    constant_g = np.where(np.isfinite(mean_g), mean_g, scaling.level[0]) if model.config.deviation else 0 * mean_g
    constant_g = np.nan_to_num(constant_g)  # a network that predicts expression has none
    expected = predict_all(model, table, rows, 64).genes_kg
    for (row, gene), value in found.items():
        assert max(value + constant_g[gene], 0) == pytest.approx(expected[row, gene], rel=1e-4, abs=1e-4)


def test_genes_of_a_row_are_never_split(model):
    where = GeneWindows.of(model, model.table(), None, None, 3)
    parts = [part.jobs for part in where.parts(3, "read")]
    last = [(jobs["row"].iloc[-1], jobs["gene"].iloc[-1]) for jobs in parts[:-1]]
    following = [(jobs["row"].iloc[0], jobs["gene"].iloc[0]) for jobs in parts[1:]]
    assert not set(zip(last, following, strict=True)) & {(pair, pair) for pair in last} and len(parts) > 20
    assert sum(map(len, parts)) == len(where.jobs)


@pytest.mark.parametrize("genes", [None, ["G7", "G0", "G48", "G3"]])
@pytest.mark.parametrize("n_lines", [1, 9, 1000])
def test_genes_of_a_window_share_a_pass_and_have_gradients_of_their_own(model, genes, n_lines, monkeypatch):
    """Against a pass for each line; windows hold one gene or many."""
    monkeypatch.setattr(_gene_windows, "TOGETHER", 3)
    where = GeneWindows.of(model, model.table(), genes, ["T5", "T1"], 8, by_place=True)
    assert [*dict.fromkeys(where.jobs["row"])] == [5, 1] and (np.diff(where.jobs["window"]) > 0).any()
    n_alone, alone = [], GeneWindows.slopes
    monkeypatch.setattr(GeneWindows, "slopes", lambda *args: n_alone.append(len(args[2])) or alone(*args))
    for part in where.parts(n_lines, "slopes"):
        tokens_brf = part.batch.tokens_brf * 0.7
        expected = torch.cat([alone(where, part.take(np.array([b])), tokens_brf[[b]]) for b in range(len(part.jobs))])
        torch.testing.assert_close(where.shared_slopes(part, tokens_brf), expected, rtol=1e-4, atol=1e-6)
        assert expected.abs().amax((1, 2)).min() > 0
    if n_lines == 1000 and genes is None:
        assert sum(n_alone) < len(where.jobs) / 2
