from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from Bio import bgzf
from scipy.sparse import csr_matrix

import scget
from scget._errors import InputError, ScgetWarning
from scget.pp._regions import regions_of

BED = "browser position chr1:1-9\ntrack name=x\n# a remark\nchr10\t5\t10\nchr1\t0\t7\r\n\ntrackless\t1\t2\n"


@pytest.mark.parametrize("packing", ["plain", "gzip", "bgzip", "gzip without its ending"])
def test_bed_in_any_packing(tmp_path, packing):
    path = tmp_path / ("x.bed.gz" if packing in ("gzip", "bgzip") else "x.bed")
    if packing == "bgzip":
        with bgzf.BgzfWriter(path, "wb") as file:
            for i in range(0, len(BED), 20):  # several blocks
                file.write(BED.encode()[i : i + 20])
                file.flush()
    else:
        path.write_bytes(BED.encode() if packing == "plain" else gzip.compress(BED.encode()))
    table = scget.pp.read_regions(path)
    assert table.index.tolist() == ["chr10:5-10", "chr1:0-7", "trackless:1-2"]
    assert table.columns.tolist() == ["chrom", "start", "end"]
    assert table["start"].dtype == table["end"].dtype == np.int64
    assert scget.pp.read_regions(path.rename(tmp_path / "y.bed"))["start"].tolist() == [5, 0, 1]
    atac = AnnData(csr_matrix((1, 3), dtype=np.float32), var=table)
    assert regions_of(atac).names.tolist() == table.index.tolist()


def test_the_same_as_pandas_reads(shared_data):
    path = shared_data / "blood_hg19" / "regions.bed.gz"
    expected = pd.read_csv(path, sep="\t", names=["chrom", "start", "end"])
    table = scget.pp.read_regions(path)
    pd.testing.assert_frame_equal(table.reset_index(drop=True), expected)
    assert table.index[0] == "chr1:10290-10790"


def test_further_columns_spaces_and_one_based(tmp_path):
    path = tmp_path / "x.bed"
    path.write_text("chr1 1 7 a 5 + 1 7 0\nchr1 11 12 b . - 1 7 0\n")
    table = scget.pp.read_regions(path, one_based=True)
    assert table.index.tolist() == ["chr1:0-7", "chr1:10-12"]
    assert table["name"].tolist() == ["a", "b"] and table["strand"].tolist() == ["+", "-"]
    assert table["score"].tolist() == [5, -1]
    assert table.columns.tolist() == ["chrom", "start", "end", "name", "score", "strand"]


def test_narrow_peaks_with_several_summits(tmp_path):
    lines = [
        "chr1\t100\t900\tp1a\t50\t.\t3.5\t9.25\t7.0\t40",
        "chr2\t10\t300\tp2\t10\t.\t1.5\t4.5\t-1\t-1",
        "chr1\t100\t900\tp1b\t80\t.\t6.5\t20.5\t18.0\t610",
    ]
    path = tmp_path / "x_peaks.narrowPeak.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    with pytest.warns(ScgetWarning, match="1 lines of 'x_peaks.narrowPeak.gz' repeat a region"):
        table = scget.pp.read_regions(path)
    assert table.index.tolist() == ["chr2:10-300", "chr1:100-900"]
    assert table.loc["chr1:100-900", ["name", "signal", "minus_log10_p", "summit"]].tolist() == ["p1b", 6.5, 20.5, 610]
    assert table.loc["chr2:10-300", ["signal", "minus_log10_q", "summit"]].tolist() == [1.5, -1, -1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1\t1\t2\n#\nchr1\t5\n", r"line 3 of 'x.bed' has no region: 'chr1.t5'.*begin with '#'"),
        ("chrom\tstart\tend\nchr1\t1\t2\n", r"line 1 of 'x.bed': start 'start' is not a whole number \(1 such lines\)"),
        ("track x\nchr1\t1\t2\nchr1\t5\t7.5\n", "line 3 of 'x.bed': end '7.5' is not a whole number"),
        ("chr1,1,2\n", "line 1 of 'x.bed' has no region: 'chr1,1,2'"),
        ("\t1\t2\n", "line 1 of 'x.bed' has no region"),
        ("chr1\t9\t2\n", "1 regions have no length"),
        ("chr1\t-9\t2\n", "1 regions start before 0"),
        ("chr1\t1\t1e30\n", "end '1e30' is not a whole number"),
        ("# nothing\n", "no region in '.*x.bed'"),
    ],
)
def test_malformed_lines_are_named(tmp_path, text, message):
    path = tmp_path / "x.bed"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        scget.pp.read_regions(path)


@pytest.mark.parametrize("opened", [open, gzip.open])
def test_byte_order_mark_and_blanks_are_no_part_of_a_name(tmp_path, opened):
    path = tmp_path / "x.bed"
    with opened(path, "wb") as file:
        file.write("\ufeffchr1\t1\t20\n chr2 \t3\t40\nchr3 5 60\n".encode())
    assert scget.pp.read_regions(path)["chrom"].tolist() == ["chr1", "chr2", "chr3"]
    with opened(path, "wb") as file:
        file.write("\ufeff# head\nchr A 5 60\n".encode())
    with pytest.raises(InputError, match="line 2 of 'x.bed' has no region: 'chr A 5 60'"):
        scget.pp.read_regions(path)


def test_damaged_and_missing_files(tmp_path):
    path = tmp_path / "x.bed.gz"
    path.write_bytes(gzip.compress(b"chr1\t1\t2\n" * 999)[:-12])
    with pytest.raises(InputError, match="cannot be read as text or gzip .* whole BED"):
        scget.pp.read_regions(path)
    data = gzip.compress("".join(f"chr1\t{i**2}\t{i**2 + 1}\n" for i in range(3000)).encode())
    for at in range(20, 400, 20):  # of which zlib itself notices some
        path.write_bytes(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :])
        with pytest.raises(InputError, match="cannot be read as text or gzip|has no region|not a whole number"):
            scget.pp.read_regions(path)
    path.write_bytes(bytes(range(128, 256)))
    with pytest.raises(InputError, match="cannot be read as text or gzip"):
        scget.pp.read_regions(path)
    with pytest.raises(FileNotFoundError, match="No file of regions at '.*none.bed'"):
        scget.pp.read_regions(tmp_path / "none.bed")
