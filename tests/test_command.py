"""``python -m scget``: own data, and errors in one line."""

from __future__ import annotations

import mudata
import pytest

import scget
from scget import _demo


def test_own_data_must_be_complete(capsys):
    with pytest.raises(SystemExit, match="2"):
        _demo.main(["demo", "--genome", "hg38.fa"])
    assert "own data need all of --mdata, --genome, --annotation, --motifs" in capsys.readouterr().err


def test_errors_are_told_in_one_line(tmp_path, capsys):
    files = [a for n in ("mdata", "genome", "annotation", "motifs") for a in (f"--{n}", str(tmp_path / "none.h5mu"))]
    with pytest.raises(SystemExit, match="2"):
        _demo.main(["demo", "--out", str(tmp_path), *files])
    shown = capsys.readouterr().err.strip()
    assert shown.startswith("scget: ") and "none.h5mu" in shown and "Traceback" not in shown


@pytest.mark.slow
def test_own_data_run_the_same_way(tmp_path, capsys):
    own = scget.datasets.simulated(tmp_path / "own", n_chroms=3, regions_per_chrom=100, n_cells=20, seed=4)
    own.mdata.write_h5mu(tmp_path / "own.h5mu")
    files = [
        "--mdata",
        tmp_path / "own.h5mu",
        "--genome",
        own.genome,
        "--annotation",
        own.annotation,
        "--motifs",
        own.motifs,
    ]
    gene = own.links["gene"].iloc[0]
    held = ["--holdout-obs", "type02", "--holdout-chroms", "chr2", "--genes", gene]
    small = ["--epochs", "1", "--pretrain-epochs", "1", "--width", "24", "--window", "32", "--out", tmp_path / "out"]
    _demo.main(["demo", *map(str, [*files, *held, *small])])
    pb = mudata.read_h5mu(tmp_path / "out" / "demo.h5mu")
    assert list(pb.uns["get"]["holdout_obs"]) == ["type02"] and list(pb.uns["get"]["holdout_chroms"]) == ["chr2"]
    assert set(pb.uns["get"]["links"]["gene"].astype(str)) == {gene}
    assert "planted" not in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        _demo.main(["demo", *map(str, [*files, "--genes", "NOPE", "--out", tmp_path / "x"])])
    assert "no gene 'NOPE'" in capsys.readouterr().err


def test_help_offers_own_data(capsys):
    with pytest.raises(SystemExit, match="0"):
        _demo.main(["demo", "--help"])
    shown = capsys.readouterr().out
    assert all(f"--{name}" in shown for name in ("mdata", "genome", "annotation", "motifs", "holdout-obs", "groupby"))
