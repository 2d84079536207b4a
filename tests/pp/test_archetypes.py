from __future__ import annotations

import hashlib
import os
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

from scget._errors import GenomeError, InputError, ScgetWarning
from scget.pp import ARCHETYPES, motif_scores_from_bed

REGIONS = ["chr10:100-200", "chr2:500-600", "chr2:0-100", "chr2:600-700", "chr10:5000-5100"]


def test_published_order():
    """282 names; the hash is that of the published list, a name on each line."""
    text = "".join(f"{name}\n" for name in ARCHETYPES)
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "1bdeb91ec6b12aabcc3258eb237bb01f23175a02d64957c9927fad7f594225b9"
    )
    assert len(set(ARCHETYPES)) == len(ARCHETYPES) == 282
    assert sorted(ARCHETYPES) == list(ARCHETYPES)
    assert (ARCHETYPES[16], ARCHETYPES[62], ARCHETYPES[281]) == ("CTCF", "HD/10", "ZSCAN4")


@pytest.fixture
def mdata():
    return MuData({"atac": AnnData(np.ones((2, 5), dtype=np.float32), var=pd.DataFrame(index=REGIONS))})


@pytest.fixture
def hits(rng):
    """Hits around the borders of the regions, sorted, as in the published file."""
    rows = [
        ("chr10", 99, 100, "GATA", 9.0),  # ends where the region begins
        ("chr10", 199, 215, "GATA", 7.25),  # one base within
        ("chr10", 200, 215, "CTCF", 8.0),  # begins where it ends
        ("chr2", 595, 610, "KLF/SP/2", 3.7536),  # in two regions
        ("chr2", 0, 12, "AP1/1", -1.5),
    ]
    for _ in range(300):
        start = int(rng.integers(0, 720))
        chrom, cluster = rng.choice(["chr2", "chr10"]), rng.choice(["AP1/1", "GATA", "HD/10", "ZSCAN4"])
        rows.append((str(chrom), start, start + int(rng.integers(5, 30)), str(cluster), round(float(rng.gamma(9)), 4)))
    table = pd.DataFrame(rows, columns=["chrom", "start", "end", "cluster", "score"])
    models = {"GATA": "GATA1_MA0035.3", "KLF/SP/2": "RREB1_MA0073.1", "AP1/1": "FOS::JUN_MA0099.3"}
    table["model"] = [models.get(c, f"{c.split('/')[0]}_X_1") for c in table["cluster"]]
    return table.sort_values(["chrom", "start", "end"])


def write(folder, table, name="hits.bed"):
    pysam = pytest.importorskip("pysam")
    columns = [table["chrom"], table["start"], table["end"], table["cluster"], table["score"]]
    lines = ["\t".join(map(str, row)) for row in zip(*columns, strict=True)]
    if "model" in table:
        lines = [f"{line}\t+\t{model}\t1" for line, model in zip(lines, table["model"], strict=True)]
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    pysam.tabix_index(str(path), preset="bed", force=True)
    return f"{path}.gz"


def naive(table):
    out = pd.DataFrame(0.0, index=REGIONS, columns=list(ARCHETYPES))
    for region in REGIONS:
        chrom, start, end = region.replace(":", "-").split("-")
        for hit in table.itertuples():
            if hit.chrom == chrom and hit.start < int(end) and hit.end > int(start):
                out.loc[region, hit.cluster] += hit.score
    return out


@pytest.mark.parametrize("suffix", ["h5mu", "zarr"])
def test_scores_are_sums_over_overlapping_hits(tmp_path, mdata, hits, suffix):
    assert motif_scores_from_bed(mdata, write(tmp_path, hits)) is None
    path = tmp_path / f"out.{suffix}"
    mdata.write(path) if suffix == "h5mu" else mdata.write_zarr(path)
    read = mudata.read(path) if suffix == "h5mu" else mudata.read_zarr(path)
    expected = naive(hits)
    assert expected.loc["chr2:500-600", "KLF/SP/2"] == expected.loc["chr2:600-700", "KLF/SP/2"] == 3.7536
    assert expected.loc["chr10:100-200", "CTCF"] == 0 and not expected.loc["chr10:5000-5100"].any()
    for atac in (mdata["atac"], read["atac"]):
        assert atac.varm["motif_scores"].dtype == np.float32
        np.testing.assert_allclose(atac.varm["motif_scores"].toarray(), expected, rtol=1e-6)
        assert list(atac.uns["motif_names"]) == list(ARCHETYPES)
        assert dict(atac.uns["motif_scan"]) == {"scanner": "bed", "genome": "hits.bed.gz", "n_clusters": 282}
        tfs = atac.uns["motif_tfs"].astype(str)
        assert tfs.loc[tfs["cluster"] == "AP1/1", "tf"].tolist() == ["FOS", "JUN"]
        assert tfs.loc[tfs["tf"] == "RREB1", "cluster"].tolist() == ["KLF/SP/2"]


def test_order_of_regions_plays_no_part(tmp_path, mdata, hits):
    bed = write(tmp_path, hits)
    turned = mdata[:, REGIONS[::-1]].copy()
    copy = motif_scores_from_bed(mdata, bed, copy=True)
    motif_scores_from_bed(turned, bed)
    assert not mdata["atac"].varm and not mdata["atac"].uns
    a, b = copy["atac"].varm["motif_scores"], turned["atac"].varm["motif_scores"]
    np.testing.assert_array_equal(a.toarray(), b.toarray()[::-1])


def test_own_clusters_in_own_order(tmp_path, mdata, hits):
    names = ["ZSCAN4", "GATA", "none", "AP1/1", "CTCF", "HD/10", "KLF/SP/2"]
    motif_scores_from_bed(mdata, write(tmp_path, hits.drop(columns="model")), names=names)
    found = pd.DataFrame(mdata["atac"].varm["motif_scores"].toarray(), index=REGIONS, columns=names)
    np.testing.assert_allclose(found, naive(hits).reindex(columns=names, fill_value=0), rtol=1e-6)
    assert mdata["atac"].uns["motif_tfs"].empty


def test_regions_on_chromosomes_without_hits_score_0(tmp_path, mdata, hits):
    bed = write(tmp_path, hits[hits["chrom"] == "chr2"])
    with pytest.warns(
        ScgetWarning, match="2 of 5 regions lie on 1 chromosomes that 'hits.bed.gz' lacks .'chr10'.: they"
    ):
        motif_scores_from_bed(mdata, bed)
    found = pd.DataFrame(mdata["atac"].varm["motif_scores"].toarray(), index=REGIONS, columns=list(ARCHETYPES))
    np.testing.assert_allclose(found, naive(hits[hits["chrom"] == "chr2"]), rtol=1e-6)


def test_refuses_and_leaves_the_data_alone(tmp_path, mdata, hits):
    bed = write(tmp_path, hits)
    with pytest.raises(InputError, match="has cluster 'AP1/1', which is not among the 2 `names`: 'GATA', 'CTCF'"):
        motif_scores_from_bed(mdata, bed, names=["GATA", "CTCF"])
    with pytest.raises(InputError, match="`names` holds 2 clusters, 1 of them different"):
        motif_scores_from_bed(mdata, bed, names=["GATA", "GATA"])
    ensembl = hits.assign(chrom=hits["chrom"].str[3:])
    with pytest.raises(GenomeError, match="No chromosome in common: regions 'chr.*'; hits '.*' '10', '2'"):
        motif_scores_from_bed(mdata, write(tmp_path, ensembl, "ensembl.bed"))
    for score in ("x", "nan"):
        bad = hits.assign(score=score)
        with pytest.raises(InputError, match="has the line 'chr2\t0.*'; a cluster and a score in columns 4 and 5"):
            motif_scores_from_bed(mdata, write(tmp_path, bad, f"{score}.bed"))
    with pytest.raises(FileNotFoundError, match="Cannot open 'nowhere.bed.gz' and its index.*bgzip hits.bed"):
        motif_scores_from_bed(mdata, "nowhere.bed.gz")
    (tmp_path / "hits.bed.gz.tbi").unlink()
    with pytest.raises(FileNotFoundError, match="hits.bed.gz' and its index"):
        motif_scores_from_bed(mdata, bed)
    assert not mdata["atac"].varm and not mdata["atac"].uns


def test_a_file_that_is_cut_or_has_an_old_index_or_is_damaged_is_refused(tmp_path, mdata, hits):
    bed = write(tmp_path, hits)
    data = Path(bed).read_bytes()
    Path(bed).write_bytes(data[:-28])
    with pytest.raises(InputError, match="hits.bed.gz' is not whole: the block that ends"):
        motif_scores_from_bed(mdata, bed)
    Path(bed).write_bytes(data)
    os.utime(bed, (2e9, 2e9))
    with pytest.raises(InputError, match="hits.bed.gz.tbi' is older than the file.* tabix -f -p bed 'hits.bed.gz'"):
        motif_scores_from_bed(mdata, bed)
    far = Path(write(tmp_path, hits, "far.bed"))
    broken = bytearray(far.read_bytes())
    broken[len(broken) // 2] ^= 255
    far.write_bytes(broken)
    os.utime(far, (0, 0))
    with pytest.raises(InputError, match="far.bed.gz' cannot be read at chr.*tabix -f -p bed 'far.bed.gz'"):
        motif_scores_from_bed(mdata, far)
    assert not mdata["atac"].varm and not mdata["atac"].uns


def test_missing_pysam_is_named_with_its_extra(mdata, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pysam", None)
    with pytest.raises(ImportError, match=r'pysam.* pip install "scget\[tabix\]"'):
        motif_scores_from_bed(mdata, "hits.bed.gz")
