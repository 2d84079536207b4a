"""Interactions of pairs of motifs: networks whose answer is known, and each gene by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from scget._errors import InputError
from scget.model._gene_windows import GeneWindows
from scget.model._motif_pairs import METHODS, motif_pair_effects

GENES = ["G0", "G3", "G7"]  # G0 has two promoters


def pairs_of(model, mdata=None, **asked):
    given = {
        "motifs": None,
        "genes": GENES,
        "rows": ["T2"],
        "method": "slopes",
        "n_genes": 200,
        "seed": 0,
        "batch_size": 8,
    }
    table = motif_pair_effects(model, model.adata if mdata is None else mdata, **given | asked)
    return table.assign(row=table["row"].astype(str)).set_index(["row", "motif_a", "motif_b"])


class Product(torch.nn.Module):
    """Every output is the sum over regions of ``0.5 * A + 3 * A * C - 2 * C * D * E``."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.cls_token = torch.nn.Parameter(torch.zeros(1))  # says where the network is

    def forward(self, tokens_brf, center_br=None, pad_br=None, at_b=None):
        a, c, d, e = (tokens_brf[..., i] for i in (0, 2, 3, 4))
        value_b = (0.5 * a + 3 * a * c - 2 * c * d * e).sum(1)
        n_read = tokens_brf.shape[1] if at_b is None else 1
        return value_b[:, None, None].expand(-1, n_read, self.config.n_outputs)


@pytest.fixture
def product(linear, monkeypatch):
    monkeypatch.setattr(linear, "module", Product(linear.config))
    return linear


@pytest.mark.parametrize("method", METHODS)
def test_a_linear_network_has_no_interaction(linear, method):
    found = pairs_of(linear, method=method)
    assert len(found) == 10 and found["rms"].max() < 1e-6
    assert found["n_genes"].max() == 3


@pytest.mark.parametrize("method", METHODS)
def test_a_planted_product_is_its_own_interaction(product, method):
    found = pairs_of(product, method=method)
    where = GeneWindows.of(product, product.table(), GENES, ["T2"], 8)
    value_gp = np.zeros((len(GENES), 3))
    for part in where.parts(8, "x"):
        a, c, d, e = (part.batch.tokens_brf[..., i].double().numpy() for i in (0, 2, 3, 4))
        weight_b = part.weight_bo.double().numpy().sum(1)
        at_b = pd.Index(where.gene_g).get_indexer(part.jobs["gene"])
        for p, product_br in enumerate((3 * a * c, -2 * c * d * e)):
            np.add.at(value_gp[:, p], at_b, product_br.sum(1) * weight_b)
    for pair, p in ((("A", "C"), 0), (("C", "D"), 1), (("C", "E"), 1), (("D", "E"), 1)):
        line = found.loc[("T2", *pair)]
        np.testing.assert_allclose(line["mean"], value_gp[:, p].mean(), rtol=1e-4)
        np.testing.assert_allclose(line["rms"], np.sqrt((value_gp[:, p] ** 2).mean()), rtol=1e-4)
    assert (
        found.drop(index=[("T2", *pair) for pair in (("A", "C"), ("C", "D"), ("C", "E"), ("D", "E"))])["rms"].max()
        < 1e-6
    )
    assert found.index[0] == ("T2", "A", "C") or found["rms"].iloc[0] >= found.loc[("T2", "A", "C"), "rms"]


def brute_force(model, method):
    """One gene, region and knock-out at a time, float64."""
    where = GeneWindows.of(model, model.table(), GENES, ["T2"], 8)
    net, total = where.net.double(), np.zeros((len(GENES), 5, 5))
    try:
        for part in where.parts(1, "x"):
            weight_bo = part.weight_bo.double()

            def value(x_rf, i, part=part, weight_bo=weight_bo):
                pad = None if part.batch.pad_br is None else part.batch.pad_br[i : i + 1]
                out_o = net(x_rf[None], part.batch.center_br[i : i + 1], pad)[0, part.token_b[i]]
                return (out_o * weight_bo[i]).sum()

            for i, gene in enumerate(pd.Index(where.gene_g).get_indexer(part.jobs["gene"])):
                x_rf = part.batch.tokens_brf[i].double()
                for a, b in itertools.permutations(range(5), 2):
                    total[gene, a, b] += INTERACTION[method](value, x_rf, a, b, i).item()
    finally:
        net.float()
    return (total + total.transpose(0, 2, 1)) / 2


def second_difference(value, x_rf, a, b, i):
    def without(*motifs):
        y_rf = x_rf.clone()
        for r in range(len(x_rf)):
            if x_rf[r, a] and x_rf[r, b]:
                y_rf[r, list(motifs)] = 0
        return value(y_rf, i)

    return without() - without(a) - without(b) + without(a, b)


def difference_of_slopes(value, x_rf, a, b, i):
    def slope_r(x_rf):
        leaf = x_rf.clone().requires_grad_()
        return torch.autograd.grad(value(leaf, i), leaf)[0][:, a]

    y_rf = x_rf.clone()
    y_rf[:, b] = 0
    return ((slope_r(x_rf) - slope_r(y_rf)) * x_rf[:, a])[x_rf[:, b] != 0].sum()


INTERACTION = {"difference": second_difference, "slopes": difference_of_slopes}


@pytest.mark.parametrize("method", METHODS)
def test_a_trained_network_as_by_brute_force(trained, method):
    effect_gmm = brute_force(trained, method)
    found = pairs_of(trained, method=method)
    motifs = list(trained.motifs)
    for (_, a, b), line in found.iterrows():
        effect_g = effect_gmm[:, motifs.index(a), motifs.index(b)]
        np.testing.assert_allclose(line["mean"], effect_g.mean(), atol=2e-6)
        np.testing.assert_allclose(line["rms"], np.sqrt((effect_g**2).mean()), atol=2e-6, rtol=1e-3)
    assert found["rms"].max() > 1e-4


@pytest.mark.parametrize("method", METHODS)
def test_batches_and_orders_change_nothing(trained, method):
    whole = pairs_of(trained, method=method, rows=["T2", "T5"])
    others = [
        pairs_of(trained, method=method, rows=["T5", "T2"], batch_size=1),
        pairs_of(trained, method=method, rows=["T2", "T5"], genes=GENES[::-1]),
    ]
    for other in others:
        pd.testing.assert_frame_equal(other.loc[whole.index], whole, atol=1e-6, check_exact=False)
    some = pairs_of(trained, method=method, motifs=["D", "A"])
    assert len(some) == 1
    np.testing.assert_allclose(some["rms"], whole.loc[[("T2", "A", "D")], "rms"], atol=1e-6)


def test_an_ensemble_averages_interactions(trained, linear):
    from scget.model import Ensemble

    alone = pairs_of(trained)
    both = pairs_of(Ensemble([trained, linear], {}), mdata=trained.adata)  # the linear member has none
    for name in ("mean", "rms"):
        np.testing.assert_allclose(both.loc[alone.index, name], alone[name] / 2, atol=1e-6)


def test_genes_drawn_do_not_hang_on_their_order(trained):
    one, same, other = (pairs_of(trained, genes=None, n_genes=5, seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(one, same)
    assert not np.allclose(one["rms"].sort_index(), other["rms"].sort_index(), atol=1e-6)


def test_what_cannot_be_measured_is_refused(trained):
    with pytest.raises(InputError, match="method='both': 'slopes' or 'difference' is needed"):
        pairs_of(trained, method="both")
    with pytest.raises(InputError, match="1 motifs: at least 2"):
        pairs_of(trained, motifs=["A"])
    with pytest.raises(InputError, match="n_genes=0"):
        pairs_of(trained, genes=None, n_genes=0)
    with pytest.raises(InputError, match="no motif 'Z'"):
        pairs_of(trained, motifs=["A", "Z"])
