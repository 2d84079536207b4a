"""Windows are runs of positions that leave neither their chromosome nor what may be shown."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scget.data import lay_tokens, prediction_windows, training_windows


@st.composite
def layouts(draw):
    """A random genome: regions per chromosome, which are open in which row, which are shown."""
    per_chrom = draw(st.lists(st.integers(1, 40), min_size=1, max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, n_rows = sum(per_chrom), draw(st.integers(1, 4))
    counts_kp = rng.poisson(draw(st.sampled_from([0.1, 1.0, 5.0])), (n_rows, n))
    chrom_p = np.repeat(np.arange(len(per_chrom)), per_chrom)
    promoter_p = rng.random(n) < 0.2
    held = draw(st.integers(-1, len(per_chrom) - 1))
    size, step = draw(st.integers(1, 15)), draw(st.integers(1, 10))
    closed = draw(st.sampled_from(["drop", "promoters", "keep"]))
    return counts_kp, promoter_p, chrom_p, chrom_p != held, size, step, closed, rng


@settings(max_examples=150, deadline=None)
@given(layouts())
def test_no_window_leaves_its_chromosome_or_shows_what_is_held_out(layout):
    counts_kp, promoter_p, chrom_p, shown_p, size, step, closed, rng = layout
    tokens = lay_tokens(counts_kp, promoter_p, chrom_p, np.arange(len(counts_kp)), shown_p, closed=closed)
    for windows in (training_windows(tokens, size, step), training_windows(tokens, size, step, rng=rng)):
        index_wr = windows.regions()
        real = index_wr >= 0
        for row, index_r in zip(windows.row_w, index_wr, strict=True):
            inside = index_r[index_r >= 0]
            assert len(inside) and shown_p[inside].all() and len(set(chrom_p[inside])) == 1
            is_open = counts_kp[row] > 0
            kept = {"drop": is_open, "promoters": is_open | promoter_p, "keep": np.ones_like(is_open)}[closed]
            run = np.flatnonzero(kept & shown_p & (chrom_p == chrom_p[inside[0]]))
            at = np.searchsorted(run, inside[0])
            np.testing.assert_array_equal(inside, run[at : at + size])  # consecutive, nothing left out
            assert len(inside) == min(size, len(run))
        assert (real[:, :-1] >= real[:, 1:]).all()  # padding only at the end


@settings(max_examples=100, deadline=None)
@given(layouts())
def test_every_token_is_covered_and_predicted_once(layout):
    counts_kp, promoter_p, chrom_p, shown_p, size, step, closed, _ = layout
    tokens = lay_tokens(counts_kp, promoter_p, chrom_p, np.arange(len(counts_kp)), shown_p, closed=closed)
    pairs = set()
    for u, row in enumerate(tokens.row_u):
        pairs |= {(row, p) for p in tokens.region_t[tokens.start_u[u] : tokens.stop_u[u]]}
    windows = training_windows(tokens, size, min(step, size))
    index_wr = windows.regions()
    covered = {(k, p) for k, index_r in zip(windows.row_w, index_wr, strict=True) for p in index_r if p >= 0}
    assert covered == pairs

    windows = prediction_windows(tokens, size, promoter_p)
    index_wr = windows.regions()
    w, r = windows.focus_window_n, windows.focus_token_n
    found = list(zip(windows.row_w[w], index_wr[w, r], strict=True))
    assert len(found) == len(set(found)) and set(found) == {(k, p) for k, p in pairs if promoter_p[p]}
    assert set(w) == set(range(len(windows)))  # no window is computed for nothing
    assert (np.diff(w) >= 0).all()


def test_predicted_token_stands_as_central_as_the_chromosome_allows():
    counts_kp, flags = np.ones((1, 50), dtype=int), np.ones(50, dtype=bool)
    tokens = lay_tokens(counts_kp, flags, np.zeros(50, dtype=int), np.array([0]), flags)
    windows = prediction_windows(tokens, 10, flags)
    starts = np.arange(0, 41, 5)
    best = np.abs(starts[None] + 5 - np.arange(50)[:, None]).min(axis=1)
    np.testing.assert_array_equal(np.abs(windows.focus_token_n - 5), best)


def test_jitter_depends_on_the_generator_alone():
    counts_kp, flags = np.ones((2, 300), dtype=int), np.ones(300, dtype=bool)
    tokens = lay_tokens(counts_kp, flags, np.repeat([0, 1], 150), np.arange(2), flags)
    draws = [training_windows(tokens, 20, 10, rng=np.random.default_rng([5, epoch])).start_w for epoch in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()
    shift = draws[0] - training_windows(tokens, 20, 10).start_w
    assert shift.min() >= -5 and shift.max() <= 4 and len(set(shift)) == 10


def test_windows_without_a_wanted_region_are_left_out():
    counts_kp, flags = np.ones((1, 40), dtype=int), np.ones(40, dtype=bool)
    wanted_p = np.zeros(40, dtype=bool)
    wanted_p[[3, 39]] = True
    tokens = lay_tokens(counts_kp, wanted_p, np.zeros(40, dtype=int), np.array([0]), flags)
    windows = training_windows(tokens, 10, 10, wanted_p=wanted_p)
    np.testing.assert_array_equal(windows.start_w, [0, 30])


def test_closed_regions_that_are_dropped_do_not_shift_the_rest():
    """The published code took labels for positions after dropping closed regions, and trained on held-out ones."""
    rng = np.random.default_rng(0)
    chrom_p = np.repeat(np.arange(4), 250)
    counts_kp, shown_p = rng.random((3, 1000)) < 0.2, chrom_p != 2
    tokens = lay_tokens(counts_kp, np.zeros(1000, bool), chrom_p, np.arange(3), shown_p, closed="drop")
    windows = training_windows(tokens, 20, 10, rng=rng)
    index_wr = windows.regions()
    assert len(windows) > 30 and not (chrom_p[index_wr[index_wr >= 0]] == 2).any()
    for row, index_r in zip(windows.row_w, index_wr, strict=True):
        assert counts_kp[row, index_r[index_r >= 0]].all()


@settings(max_examples=60, deadline=None)
@given(layouts())
def test_no_window_is_padded_beyond_the_longest_run(layout):
    """What a window of a million regions shows is what one as long as the longest run does."""
    counts_kp, promoter_p, chrom_p, shown_p, _, _, closed, _ = layout
    tokens = lay_tokens(counts_kp, promoter_p, chrom_p, np.arange(len(counts_kp)), shown_p, closed=closed)
    longest = int((tokens.stop_u - tokens.start_u).max(initial=0))
    for lay in (
        lambda size: training_windows(tokens, size, max(size // 2, 1), rng=np.random.default_rng(0)),
        lambda size: prediction_windows(tokens, size, np.ones_like(promoter_p)),
    ):
        wide, narrow = lay(10**6), lay(max(longest, 1))
        np.testing.assert_array_equal(wide.regions(), narrow.regions())
        np.testing.assert_array_equal(wide.row_w, narrow.row_w)
        if wide.focus_token_n is not None:
            np.testing.assert_array_equal(wide.focus_token_n, narrow.focus_token_n)
        assert wide.regions().shape[1] == max(longest, 1)
