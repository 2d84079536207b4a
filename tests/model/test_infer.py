"""Attributions against finite differences, captum and the predictions they explain."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from scget._errors import InputError
from scget.data import lay_tokens, prediction_windows


def _window(model, row, region):
    """Regions of the window from which a promoter is predicted, and its place there."""
    table = model.table()
    tokens = lay_tokens(
        table.counts_kp, table.is_promoter_p, table.chrom_p, np.array([row]), np.ones(120, bool), closed=model.closed
    )
    windows = prediction_windows(tokens, model.window, table.is_promoter_p)
    regions = windows.regions()[windows.focus_window_n]
    at = next(i for i, (r, t) in enumerate(zip(regions, windows.focus_token_n, strict=True)) if r[t] == region)
    return regions[at], windows.focus_token_n[at]


def _gene_output(model, gene):
    """The gene's prediction as a function of its window's features in float64, and these features."""
    table, scaling, row = model.table(), model.scaling, 5
    slot = table.promoters.slot_n[table.promoters.gene_n == gene][0]
    window, at = _window(model, row, table.promoters.region_q[slot])
    strand = table.promoters.strand_q[slot]
    features = np.hstack([scaling.motifs(table)[window], scaling.channels(table)[row, window]]).astype(np.float64)
    center = torch.tensor(table.regions.centers[window])[None]
    import copy

    net = copy.deepcopy(model.module).double()
    unseen = np.isnan(scaling.expression(table.genes)[gene])

    def predict(tokens):
        out = net(tokens, center.expand(len(tokens), -1))[:, at]
        level = out[:, strand] * scaling.level[1] if unseen else 0
        return out[:, 2 + strand] * scaling.spread(table.genes)[gene] * (1 - scaling.activity[1]) + level

    return predict, torch.tensor(features)[None], window


def _by_activity(model, gene):
    """What each region adds to the gene's prediction in row T5 by accessibility around its one promoter, by name."""
    table, scaling = model.table(), model.scaling
    promoter = table.promoters.region_q[table.promoters.slot_n[table.promoters.gene_n == gene][0]]
    around = np.flatnonzero(table.chrom_p == table.chrom_p[promoter])
    distance = np.abs(table.regions.centers[around] - table.regions.centers[promoter])
    around, distance = around[distance <= 100_000], distance[distance <= 100_000]
    fold = scaling.channels(table)[5, around, 1]
    effect = scaling.spread(table.genes)[gene] * scaling.activity.prod() * np.exp(-distance / 20_000) * fold
    return pd.Series(effect, table.regions.names[around])


def _gradient(predict, features):
    leaf = features.clone().requires_grad_()
    return torch.autograd.grad(predict(leaf).sum(), leaf)[0]


def _genes_with_one_promoter(model):
    pairs, seen = model.table().promoters, np.isfinite(model.scaling.expression(model.table().genes))
    single = [g for g in range(50) if (pairs.gene_n == g).sum() == 1]
    return next(g for g in single if seen[g]), next(g for g in single if not seen[g])


def test_against_captum_and_finite_differences(trained):
    from captum.attr import InputXGradient

    table = trained.table()
    for gene in _genes_with_one_promoter(trained):
        predict, features, window = _gene_output(trained, gene)
        by_captum = InputXGradient(predict).attribute(features.clone().requires_grad_())[0].detach().numpy()
        found = trained.attribute(genes=[f"G{gene}"], rows=["T5"], top=1000)
        np.testing.assert_allclose(found.motifs["T5"].iloc[0], by_captum[:, :5].sum(0), rtol=1e-3, atol=1e-5)
        links = found.links.set_index("region")["signed"]
        reference = features.clone()  # the same regions as open as on average in the training rows
        accessibility = trained.scaling.accessibility_p[window]
        reference[0, :, 5:] = torch.tensor(np.stack([accessibility, np.zeros(len(window))], axis=1))
        expected = (_gradient(predict, (features + reference) / 2) * (features - reference))[0].sum(1)
        activity = _by_activity(trained, gene)
        expected = pd.Series(expected.numpy(), table.regions.names[window]).add(activity, fill_value=0)
        np.testing.assert_allclose(links[expected.index], expected, rtol=1e-3, atol=1e-5)
        whole = (predict(features) - predict(reference)).item() + activity.sum()
        assert links.sum() == pytest.approx(whole, rel=0.2)  # complete up to the midpoint rule

        region = int(np.abs(by_captum).sum(1).argmax())
        up, down = features.clone(), features.clone()
        up[0, region] *= 1.005  # outputs are float32: a smaller step would measure rounding
        down[0, region] *= 0.995
        slope = (predict(up) - predict(down)).item() / 0.01
        assert slope == pytest.approx(by_captum[region].sum(), rel=1e-3)


def test_without_deviation_regions_are_measured_from_0(toy):
    from scget.model import GET

    GET.setup_mudata(toy)
    model = GET(toy, width=8, n_layers=1, n_heads=2, window=16, baseline="zero")
    model.train(1, enable_progress_bar=False, accelerator="cpu")
    gene = next(g for g in range(1, 48) if model.predict(rows=["T5"]).notna().iloc[0, g])
    table = model.table()
    slot = table.promoters.slot_n[table.promoters.gene_n == gene][0]
    window, at = _window(model, 5, table.promoters.region_q[slot])
    features = np.hstack([model.scaling.motifs(table)[window], model.scaling.channels(table)[5, window]])
    center = torch.tensor(table.regions.centers[window])[None]
    strand = table.promoters.strand_q[slot]
    features = torch.tensor(features)[None]
    gradient = _gradient(lambda x: model.module(x, center)[:, at, strand], features / 2)
    links = model.attribute(genes=[f"G{gene}"], rows=["T5"], top=1000).links.set_index("region")["signed"]
    expected = (gradient * features)[0].sum(1)
    np.testing.assert_allclose(links[table.regions.names[window]], expected, rtol=1e-3, atol=1e-5)


def test_each_strand_has_its_own_gradient(trained):
    """The published code adds the + strand's gradient into the - strand's."""
    found = trained.attribute(genes=["G48", "G49"], rows=["T5"])  # one region, two strands
    plus, minus = (found.motifs["T5"].loc[g].to_numpy() for g in ("G48", "G49"))
    predict, features, _ = _gene_output(trained, 49)
    expected = (_gradient(predict, features) * features)[0, :, :5].sum(0)
    np.testing.assert_allclose(minus, expected, rtol=1e-3, atol=1e-5)
    assert np.abs(plus - minus).max() > 1e-4


def test_promoters_of_a_gene_are_averaged_as_its_prediction_is(trained):
    """Gene 0 has two promoters; leaving one out of the table must give the two parts of the mean."""
    from mudata import MuData

    mdata = trained.adata
    whole = trained.attribute(genes=["G0"], rows=["T5"], top=1000)
    parts = []
    for keep in (0, 50):
        atac = mdata["atac"].copy()
        # all other promoters stay, so that the windows stay
        table = atac.uns["peak_annotation"]
        other = table.iloc[[50 - keep]].assign(gene="G1")
        atac.uns["peak_annotation"] = pd.concat([table.drop(index=str(50 - keep)), other]).reset_index(drop=True)
        atac.uns["peak_annotation"].index = atac.uns["peak_annotation"].index.astype(str)
        parts.append(trained.attribute(MuData({"atac": atac, "rna": mdata["rna"].copy()}), genes=["G0"], rows=["T5"]))
    mean = (parts[0].motifs["T5"] + parts[1].motifs["T5"]) / 2
    pd.testing.assert_frame_equal(whole.motifs["T5"], mean, rtol=1e-3, atol=1e-5)


def test_batch_size_top_and_scores(trained):
    one = trained.attribute(genes=["G3", "G0"], batch_size=1)
    all_at_once = trained.attribute(genes=["G3", "G0"], batch_size=64)
    for row, motifs in one.motifs.items():
        assert motifs.index.tolist() == ["G3", "G0"]
        pd.testing.assert_frame_equal(motifs, all_at_once.motifs[row], rtol=1e-3, atol=1e-5)
    every = trained.attribute(genes=["G3"], rows=["T5"], top=10_000).links
    assert every["score"].sum() == pytest.approx(1) and (every["score"].diff().dropna() <= 0).all()
    np.testing.assert_allclose(every["score"], every["signed"].abs() / every["signed"].abs().sum(), rtol=1e-6)
    top = trained.attribute(genes=["G3"], rows=["T5"], top=4).links
    pd.testing.assert_frame_equal(top, every.head(4))


def test_distance_is_negative_upstream(trained):
    table = trained.table()
    links = trained.attribute(genes=[f"G{g}" for g in range(1, 48)], rows=["T5"], top=1000).links
    center = pd.Series(table.regions.centers, index=table.regions.names)
    promoter = trained.adata["atac"].uns["peak_annotation"].set_index("gene")
    single = links[~links["gene"].isin(["G0"])]
    sign = promoter.loc[single["gene"], "strand"].map({"+": 1, "-": -1}).to_numpy()
    expected = (center[single["region"]].to_numpy() - center[promoter.loc[single["gene"], "region"]].to_numpy()) * sign
    np.testing.assert_array_equal(single["distance"], expected)
    assert {1, -1} <= set(np.sign(expected)) and set(promoter["strand"]) == {"+", "-"}


def test_genes_without_promoter_or_unknown_are_refused(trained):
    with pytest.raises(InputError, match="1 genes have no promoter region, first 'G50'"):
        trained.attribute(genes=["G1", "G50"])
    with pytest.raises(InputError, match="no gene 'GATA1'"):
        trained.attribute(genes=["GATA1"])
