"""Windows drawn at random places."""

from __future__ import annotations

import numpy as np
import pytest

from scget.data import lay_tokens, sampled_windows


@pytest.fixture
def tokens():
    """Two rows of 30 regions on chromosomes of 12, 3 and 15 regions; the second row shows every other region."""
    counts_kp = np.ones((2, 30), dtype=np.float32)
    counts_kp[1, ::2] = 0
    none_p, chrom_p = np.zeros(30, dtype=bool), np.repeat([0, 1, 2], [12, 3, 15])
    return lay_tokens(counts_kp, none_p, chrom_p, np.array([0, 1]), ~none_p, closed="drop")


def test_all_places_are_each_taken_once(tokens):
    windows = sampled_windows(tokens, 5, 10_000, np.random.default_rng(0))
    expected = []
    for row, shown in enumerate((range(30), range(1, 30, 2))):
        for chrom in (range(0, 12), range(12, 15), range(15, 30)):
            here = [p for p in shown if p in chrom]
            expected += [(row, here[i : i + 5]) for i in range(len(here) - 4)]
    assert [(int(k), r.tolist()) for k, r in zip(windows.row_w, windows.regions(), strict=True)] == expected
    assert len(expected) == 8 + 11 + 2 + 4


def test_draws_are_even_and_without_repeats(tokens):
    times = np.zeros(200)
    for seed in range(600):
        windows = sampled_windows(tokens, 5, 6, np.random.default_rng(seed))
        assert len(windows) == 6 == len(np.unique(windows.start_w)) and (windows.regions() >= 0).all()
        times[windows.start_w] += 1
    seen, mean = times[times > 0], 600 * 6 / 25
    assert len(seen) == 25 and np.abs(seen - mean).max() < 5 * np.sqrt(mean)  # of a binomial count


def test_a_window_is_no_longer_than_the_longest_run(tokens):
    windows = sampled_windows(tokens, 64, 3, np.random.default_rng(0))
    assert windows.size == 15 and windows.regions().tolist() == [list(range(15, 30))]
