"""Scans kept in a folder: found again by content, written whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csr_matrix

from scget._errors import InputError, ScgetWarning
from scget.pp import _kept, _scan
from scget.pp._motifs import motif_scores, scan_regions


def make(seed=0):
    """Motifs, clusters, and regions with hits."""
    rng = np.random.default_rng(seed)
    motifs = {f"m{i}": rng.dirichlet(np.full(4, 0.3), size=8) for i in range(6)}
    return rng.integers(0, 4, 9000).astype(np.uint8), np.arange(31) * 300, motifs, {m: m[:1] + m[1:2] for m in motifs}


@pytest.fixture
def no_scan(monkeypatch):
    """After a call of this, a scan fails."""

    def forbid():
        def scan(*_, **__):
            raise AssertionError("scanned")

        monkeypatch.setattr(_scan, "scan", scan)

    return forbid


def same(a, b):
    assert a.shape == b.shape and a.dtype == b.dtype == np.float32
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(a, part), getattr(b, part))


def test_found_again_without_a_scan(tmp_path, no_scan):
    data = make()
    expected, names = scan_regions(*data)
    assert expected.nnz > 5
    folder = tmp_path / "new" / "cache"
    same(scan_regions(*data, cache=folder)[0], expected)
    (file,) = folder.iterdir()
    assert file.suffix == ".scan"
    no_scan()
    found, again = scan_regions(*data, cache=str(folder))
    same(found, expected)
    assert names.tolist() == again.tolist()
    found.data[:] = 0  # it can be changed, and that changes nothing for others
    same(scan_regions(*data, cache=folder)[0], expected)


def test_anything_that_decides_the_scores_makes_another_file(tmp_path, monkeypatch):
    codes, offsets, motifs, clusters = make()
    other, moved = codes.copy(), offsets.copy()
    other[5] = (other[5] + 1) % 4
    moved[3] += 1
    sharper = motifs | {"m0": motifs["m1"]}
    calls = [
        ((codes, offsets, motifs, clusters), {}),
        ((other, offsets, motifs, clusters), {}),
        ((codes, moved, motifs, clusters), {}),
        ((codes, offsets, sharper, clusters), {}),
        ((codes, offsets, motifs, dict.fromkeys(motifs, "one")), {}),
        ((codes, offsets, motifs, clusters), {"pvalue": 1e-3}),
        ((codes, offsets, motifs, clusters), {"pseudocount": 0.02}),
        ((codes, offsets, motifs, clusters), {"background": [0.25] * 4}),
    ]
    for n, (arguments, options) in enumerate(calls, 1):
        same(scan_regions(*arguments, **options, cache=tmp_path)[0], scan_regions(*arguments, **options)[0])
        assert len(list(tmp_path.iterdir())) == n
    shuffled = dict(reversed(motifs.items()))
    scan_regions(codes, offsets, shuffled, clusters, cache=tmp_path)  # order and device decide nothing
    scan_regions(codes, offsets, motifs, clusters, cache=tmp_path, device="cpu:0")
    assert len(list(tmp_path.iterdir())) == n
    monkeypatch.setattr("scget.pp._motifs.SCANNER_VERSION", 99)
    scan_regions(codes, offsets, motifs, clusters, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == n + 1


def truncate(content):
    return content[:-10]


def flip(content):
    return content[:-30] + bytes([content[-30] ^ 1]) + content[-29:]


@pytest.mark.parametrize(
    "damage", [truncate, flip, lambda _: b"", lambda c: c[:20], lambda c: c + b"x", lambda c: c[32:]]
)
def test_a_damaged_file_is_noticed_and_replaced(tmp_path, damage, no_scan):
    data = make()
    expected, _ = scan_regions(*data, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    with pytest.warns(
        ScgetWarning, match=r"The scan kept at '.*\.scan' is damaged: its checksum is wrong. Computing it anew"
    ):
        same(scan_regions(*data, cache=tmp_path)[0], expected)
    assert file.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [file]
    no_scan()
    same(scan_regions(*data, cache=tmp_path)[0], expected)


def test_a_file_under_another_name_is_damaged(tmp_path):
    """The checksum covers the name: one scan is not taken for another."""
    scan_regions(*make(0), cache=tmp_path)
    (first,) = tmp_path.iterdir()
    expected, _ = scan_regions(*make(1), cache=tmp_path)
    (second,) = set(tmp_path.iterdir()) - {first}
    second.write_bytes(first.read_bytes())
    with pytest.warns(ScgetWarning, match="is damaged"):
        same(scan_regions(*make(1), cache=tmp_path)[0], expected)


def test_a_disk_that_refuses_costs_no_result(tmp_path, monkeypatch):
    data = make()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_kept.os, "fsync", full)
    with pytest.warns(ScgetWarning, match="Cannot keep the scan .*No space left.* It is right"):
        scores, _ = scan_regions(*data, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []
    same(scores, scan_regions(*data)[0])
    monkeypatch.undo()
    scan_regions(*data, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.unlink()
    file.mkdir()  # cannot be read, nor replaced
    with pytest.warns(ScgetWarning) as caught:
        same(scan_regions(*data, cache=tmp_path)[0], scores)
    assert [str(w.message)[:11] for w in caught] == ["Cannot read", "Cannot keep"]


WRITER = """
import os, sys, time
from pathlib import Path
import numpy as np
from scget.pp import _kept
from scget.pp._motifs import scan_regions
folder = Path(sys.argv[1])
rng = np.random.default_rng(0)
motifs = {f"m{i}": rng.dirichlet(np.full(4, 0.3), size=8) for i in range(6)}
codes = rng.integers(0, 4, 9000).astype(np.uint8)
read = _kept.read
def miss(path, what):  # so that neither goes on before both have found nothing: both scan and write
    found = read(path, what)
    (folder.parent / f"ready-{os.getpid()}").touch()
    end = time.monotonic() + 60
    while len(list(folder.parent.glob("ready-*"))) < 2 and time.monotonic() < end:
        time.sleep(0.002)
    print("missed" if found is None else "found")
    return found
_kept.read = miss
for _ in range(30):
    scores, _names = scan_regions(codes, np.arange(31) * 300, motifs, {m: m for m in motifs}, cache=folder)
print(scores.sum(dtype=np.float64).hex(), scores.nnz)
"""


def test_two_processes_at_once(tmp_path):
    """Both find nothing, both scan and write; both are right, and one file is left."""
    codes, offsets, motifs, _ = make()
    expected, _ = scan_regions(codes, offsets, motifs, {m: m for m in motifs})
    folder = tmp_path / "cache"
    command = [sys.executable, "-c", WRITER, str(folder)]
    folder.mkdir()
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    for process, (out, err) in zip(both, outputs, strict=True):
        assert process.returncode == 0 and "ScgetWarning" not in err, err
        assert out.split() == ["missed"] + ["found"] * 29 + [expected.sum(dtype=np.float64).hex(), str(expected.nnz)]
    (file,) = folder.iterdir()
    arrays = _kept.read(file, "scan")
    np.testing.assert_array_equal(arrays["data"], expected.data)


def test_file_may_be_read_by_whom_the_umask_allows(tmp_path):
    scan_regions(*make(), cache=tmp_path)
    (file,) = tmp_path.iterdir()
    umask = os.umask(0)
    os.umask(umask)
    if os.name == "posix":
        assert file.stat().st_mode & 0o777 == 0o666 & ~umask


def test_motifs_that_cannot_reach_the_pvalue_are_told_again(tmp_path):
    codes, offsets, motifs, clusters = make()
    motifs = motifs | {"m0": np.eye(4)[[0, 1, 2]]}
    for _ in range(2):
        with pytest.warns(ScgetWarning, match="1 of 6 motifs can never reach"):
            scan_regions(codes, offsets, motifs, clusters, cache=tmp_path)


@pytest.fixture
def mdata():
    return MuData({"atac": AnnData(np.ones((2, 1), dtype=np.float32), var=pd.DataFrame(index=["chr1:10-300"]))})


def test_by_the_public_call(tmp_path, mdata, no_scan):
    genome = tmp_path / "toy.fa"
    genome.write_text(">chr1\n" + "ACGTTGCATT" * 40 + "\n")
    motifs = {"m": np.eye(4)[[0, 1, 2, 3, 3, 2, 1]]}
    motif_scores(mdata, genome, motifs=motifs, cache=tmp_path / "kept")
    scores, record = mdata["atac"].varm["motif_scores"].toarray(), mdata["atac"].uns["motif_scan"]
    assert scores.sum() > 0
    no_scan()
    motif_scores(mdata, genome, motifs=motifs, cache=tmp_path / "kept")
    np.testing.assert_array_equal(mdata["atac"].varm["motif_scores"].toarray(), scores)
    assert mdata["atac"].uns["motif_scan"] == record
    assert isinstance(mdata["atac"].varm["motif_scores"], csr_matrix)


def test_the_folder_may_be_in_the_home_folder(tmp_path, mdata, monkeypatch):
    genome = tmp_path / "toy.fa"
    genome.write_text(">chr1\n" + "ACGT" * 100 + "\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    motif_scores(mdata, genome, motifs={"m": np.eye(4)[[0, 1, 2, 3] * 2]}, cache="~/scans")
    assert len(list((tmp_path / "home" / "scans").iterdir())) == 1 and not (tmp_path / "~").exists()


@pytest.mark.parametrize("cache", ["toy.fa", "toy.fa/below", True])
def test_refuses_what_is_no_folder(tmp_path, mdata, cache):
    genome = tmp_path / "toy.fa"
    genome.write_text(">chr1\n" + "ACGT" * 100 + "\n")
    motifs = {"m": np.eye(4)[[0, 1, 2, 3] * 2]}
    with pytest.raises(InputError, match="`cache` is .*, which is no folder and cannot become one .* Give a folder"):
        motif_scores(mdata, genome, motifs=motifs, cache=cache if cache is True else tmp_path / cache)
    assert not mdata["atac"].varm and not mdata["atac"].uns
