"""Windows between two rows and windows without motifs, against numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from scget.data import TokenSource, build_table, drop_motifs, fit_scaling, mix_rows

SETUP = {"modalities": {"atac_layer": "atac", "rna_layer": "rna"}, "atac_layer": None, "rna_layer": None}


def make_source(toy, row_j=(0, 1, 4)):
    table = build_table(toy, SETUP)
    scaling = fit_scaling(table, np.array(row_j), np.ones(120, dtype=bool))
    return TokenSource(table, scaling, targets=scaling.targets(table), row_j=np.array(row_j))


def batch_of(source, n=400):
    index_br = torch.arange(n)[:, None] % 100 + torch.arange(16)
    return index_br, source.gather(torch.zeros(n, dtype=torch.int64), index_br)


def test_windows_between_two_rows_have_features_and_targets_between_theirs(toy):
    source = make_source(toy)
    index_br, batch = batch_of(source)
    mixed = mix_rows(batch, index_br, source, torch.Generator().manual_seed(3))
    other_b, share_b = mixed.mixed
    assert set(other_b.tolist()) == {0, 1, 4}  # rows of training alone
    channels = np.stack([source.channels_at(k) for k in range(6)])
    share = share_b.numpy()[:, None, None]
    expected = share * channels[0, index_br] + (1 - share) * channels[other_b.numpy()[:, None], index_br]
    np.testing.assert_allclose(mixed.tokens_brf[..., 5:], expected, rtol=1e-6)
    np.testing.assert_array_equal(mixed.tokens_brf[..., :5], batch.tokens_brf[..., :5])
    whole = [source.targets(replace(batch, row_b=row_b)).numpy() for row_b in (batch.row_b, other_b)]
    np.testing.assert_allclose(source.targets(mixed), share * whole[0] + (1 - share) * whole[1], rtol=1e-5, atol=1e-6)
    assert np.isfinite(source.targets(mixed).numpy()).any()


def test_shares_are_uniform_and_drawn_from_the_generator_alone(toy):
    source = make_source(toy)
    index_br, batch = batch_of(source, 4000)
    torch.manual_seed(1)
    first = mix_rows(batch, index_br, source, torch.Generator().manual_seed(3)).mixed
    torch.manual_seed(2)
    again = mix_rows(batch, index_br, source, torch.Generator().manual_seed(3)).mixed
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    counts = np.histogram(first[1].numpy(), bins=10, range=(0, 1))[0]
    assert np.abs(counts - 400).max() < 5 * np.sqrt(400)
    assert np.abs(np.bincount(first[0])[[0, 1, 4]] - 4000 / 3).max() < 5 * np.sqrt(4000 / 3)


def test_motifs_are_dropped_from_whole_windows(toy):
    source = make_source(toy)
    _, batch = batch_of(source, 2000)
    dropped = drop_motifs(batch, 5, 0.25, torch.Generator().manual_seed(0))
    kept_b = (dropped.tokens_brf[..., :5] == batch.tokens_brf[..., :5]).all(-1).all(-1)
    assert abs(kept_b.float().mean().item() - 0.75) < 5 * np.sqrt(0.25 * 0.75 / 2000)
    assert not dropped.tokens_brf[~kept_b][..., :5].any()
    assert torch.equal(dropped.tokens_brf[..., 5:], batch.tokens_brf[..., 5:])
