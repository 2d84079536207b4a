"""The matrix product of the GPU path, on the CPU's tensors: the very hits and scores of the compiled scan."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from mudata import MuData

from scget._errors import InputError
from scget.pp import _scan, _scan_torch
from scget.pp._motifs import BACKGROUND, motif_scores, scan_regions

B = np.array(BACKGROUND)


def make(seed, n_motifs, widths, lengths, pvalue=1e-4, unknown=0.01, sharpness=0.3):
    """Scanner, motifs, and regions with unknown bases."""
    rng = np.random.default_rng(seed)
    motifs = {f"m{i}": rng.dirichlet(np.full(4, sharpness), size=int(rng.choice(widths))) for i in range(n_motifs)}
    logs = [_scan.log_odds(p, B, 0.01) for p in motifs.values()]
    limits = np.array([_scan.threshold(log, B, pvalue) for log in logs])
    codes = rng.choice(5, p=[*(B * (1 - unknown)), unknown], size=sum(lengths)).astype(np.uint8)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    for end, p in zip(offsets[offsets >= 150], motifs.values(), strict=False):  # best words, at the very end of regions
        codes[end - len(p) : end] = p.argmax(axis=1)
    return _scan.make_scanner(logs, limits), motifs, codes, offsets


def in_order(hits):
    order = np.lexsort(hits[:2])
    return [values[order] for values in hits]


def check(scanner, codes, offsets, dtype=torch.float32):
    """Bit for bit the same; how many there are."""
    found = in_order(_scan_torch.finder(scanner, "cpu", dtype)(codes, offsets))
    expected = in_order(_scan.find_hits(scanner, codes, offsets))
    for values, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(values, wanted)
    return len(found[0])


@pytest.fixture(scope="module")
def ragged():
    """200 regions x 40 motifs, some regions empty or shorter than any motif."""
    rng = np.random.default_rng(1)
    return make(2, 40, range(7, 32), [0, 0, *rng.integers(1, 60, 48), *rng.integers(200, 600, 150)])


def test_hits_are_those_of_the_compiled_scan(ragged):
    scanner, _, codes, offsets = ragged
    assert (codes == 4).sum() > 500 and np.diff(offsets).min() == 0
    assert check(scanner, codes, offsets) > 300
    assert check(scanner, codes, offsets[60:100]) > 10  # a block that does not begin at 0
    assert check(scanner, codes, offsets[:1]) == check(scanner, codes, offsets[:3]) == 0  # no regions, empty regions


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_rounding_of_the_device_changes_no_hit(ragged, dtype):
    """Coarser than TF32, and finer than float32."""
    scanner, _, codes, offsets = ragged
    assert check(scanner, codes, offsets, dtype) > 300


def test_small_tiles_and_groups_change_no_hit(ragged, monkeypatch):
    scanner, _, codes, offsets = ragged
    monkeypatch.setattr(_scan_torch, "TILE", 1000)
    monkeypatch.setattr(_scan_torch, "ROWS", 12)
    assert check(scanner, codes, offsets) > 300


@pytest.mark.parametrize(
    ("widths", "pvalue", "unknown", "sharpness"),
    [
        ([1, 2, 3], 0.2, 0.3, 1),
        ([8], 1e-3, 0.5, 0.1),
        ([60, 150], 1e-6, 0, 3),
        ([12], 0.999, 0.1, 50),
        ([3], 1e-4, 0, 1),
    ],
)
def test_odd_motifs(widths, pvalue, unknown, sharpness):
    """Tiny, blunt and very wide; thresholds of 0 and infinity; mostly unknown bases."""
    scanner, _, codes, offsets = make(3, 8, widths, [300, 5, 0, 400], pvalue, unknown, sharpness)
    n = check(scanner, codes, offsets)
    assert (n > 0) == (len(scanner.limit) > 0 and widths != [3])


def test_scores_are_those_of_the_compiled_scan(ragged, monkeypatch):
    _, motifs, codes, offsets = ragged
    clusters = {name: f"C{i % 7}" for i, name in enumerate(motifs)}
    expected, names = scan_regions(codes, offsets, motifs, clusters)

    def compiled(*_):
        raise AssertionError("the compiled scan ran")

    monkeypatch.setattr(_scan, "find_hits", compiled)
    found, again = scan_regions(codes, offsets, motifs, clusters, device="cpu:0")
    assert names.tolist() == again.tolist()
    assert expected.nnz > 300
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(found, part), getattr(expected, part))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here")
@pytest.mark.parametrize("tf32", [False, True])
def test_hits_on_a_gpu(ragged, tf32):
    scanner, _, codes, offsets = ragged
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        found = in_order(_scan_torch.finder(scanner, "cuda")(codes, offsets))
    finally:
        torch.set_float32_matmul_precision(before)
    for values, wanted in zip(found, in_order(_scan.find_hits(scanner, codes, offsets)), strict=True):
        np.testing.assert_array_equal(values, wanted)


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda:77", 3.5])
def test_refuses_a_device_that_is_not_there(tmp_path, device):
    genome = tmp_path / "toy.fa"
    genome.write_text(">chr1\n" + "ACGT" * 100 + "\n")
    mdata = MuData({"atac": AnnData(np.ones((2, 1), dtype=np.float32), var=pd.DataFrame(index=["chr1:10-300"]))})
    with pytest.raises(InputError, match=f"device='{device}' cannot be used: .* 'cpu', or a GPU"):
        motif_scores(mdata, genome, motifs={"m": np.eye(4)[[0, 1, 2, 3] * 2]}, device=device)
    assert not mdata["atac"].varm and not mdata["atac"].uns
