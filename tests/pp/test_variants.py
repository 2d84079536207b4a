"""Variants are read from VCF and tables alike, and odd files are refused with the line."""

from __future__ import annotations

import gzip

import pandas as pd
import pytest

from scget._errors import InputError
from scget.pp._variants import read_variants

LINES = (
    "chr1\t100\trs1\tA\tG\t50\tPASS\t.",
    "chr1\t120\t.\tac\ta,ACC,<DEL>,*",
    "chr2\t7\trs2;rs3\tCA\tTG\t.\t.\tX=1",
)
NAMES = ["chr1:100:A>G", "chr1:120:AC>A", "chr1:120:AC>ACC", "chr1:120:AC><DEL>", "chr1:120:AC>*", "chr2:7:CA>TG"]


def write(tmp_path, text, name="v.vcf"):
    path = tmp_path / name
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\n" + "\n".join(LINES) + "\n",
        "\n".join(LINES),  # neither header nor last newline
        "\ufeff##fileformat=VCFv4.2\r\n" + "\r\n".join(LINES) + "\r\n\r\n",
    ],
)
@pytest.mark.parametrize("name", ["v.vcf", "v.vcf.gz"])
def test_vcf(tmp_path, text, name):
    found = read_variants(write(tmp_path, text, name))
    assert found["variant"].tolist() == NAMES
    assert found["id"].tolist() == ["rs1", "", "", "", "", "rs2;rs3"]
    assert found["pos"].tolist() == [100, 120, 120, 120, 120, 7]
    assert found["spelled"].tolist() == [True, True, True, False, False, True]


def test_a_table_is_read_as_a_vcf_is(tmp_path):
    fields = [line.split("\t")[:5] for line in LINES]
    table = pd.DataFrame(fields, columns=["#CHROM", "POS", "ID", "REF", "ALT"], index=[5, 5, 7]).astype(
        {"#CHROM": "category"}
    )
    expected = read_variants(write(tmp_path, "\n".join(LINES)))
    pd.testing.assert_frame_equal(read_variants(table), expected)
    pd.testing.assert_frame_equal(read_variants(table.astype({"POS": float})[table.columns[::-1]]), expected)
    without = read_variants(table.drop(columns="ID"))
    pd.testing.assert_frame_equal(without, expected.assign(id=""))


def test_an_allele_given_twice_is_there_once(tmp_path):
    again = "chr1\t100\trs9\tA\tG,T\nchr1\t100\trs1\ta\tg"
    found = read_variants(write(tmp_path, LINES[0] + "\n" + again))
    assert found["variant"].tolist() == ["chr1:100:A>G", "chr1:100:A>T"]
    assert found["id"].tolist() == ["rs1;rs9", "rs9"]


def test_alternatives_that_are_no_sequence(tmp_path):
    texts = ["<DUP:TANDEM>", "*", ".", "G]17:198982]", "]13:123456]T", "<*>", "T.", ".A"]
    found = read_variants(write(tmp_path, "\n".join(f"1\t{i + 1}\t.\tT\t{alt}" for i, alt in enumerate(texts))))
    assert len(found) == len(texts) and not found["spelled"].any()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr1 100 . A G", r"line 2 of 'v.vcf' has 1 columns separated by tabs: 'chr1 100 . A G'"),
        ("chr1\t0\t.\tA\tG", "1 of 2 lines of 'v.vcf' are no variants, first number 2: .*position 0: is this 0-based"),
        ("chr1\t-4\t.\tA\tG", "position is no whole number"),
        ("chr1\t1.5\t.\tA\tG", "position is no whole number"),
        ("chr1\tx\t.\tA\tG", "position is no whole number"),
        ("\t5\t.\tA\tG", "no chromosome"),
        ("chr1\t5\t.\t-\tG", "its ref is no bases.*holds the base before it"),
        ("chr1\t5\t.\tA\t-", "its alt is no bases"),
        ("chr1\t5\t.\tA\tG,,T", "its alt is no bases"),
        ("chr1\t5\t.\tA\tR", "its alt is no bases"),
        ("chr1\t5\t.\t\tR", "its ref is no bases"),
    ],
)
def test_a_line_that_is_no_variant(tmp_path, line, message):
    with pytest.raises(InputError, match=message):
        read_variants(write(tmp_path, f"{LINES[0]}\n{line}\n"))


def test_files_that_are_no_vcf(tmp_path):
    with pytest.raises(InputError, match="there are no variants"):
        read_variants(write(tmp_path, "##fileformat=VCFv4.2\n"))
    with pytest.raises(InputError, match="there are no variants"):
        read_variants(write(tmp_path, ""))
    whole = write(tmp_path, "\n".join(LINES * 50), "cut.vcf.gz").read_bytes()
    (tmp_path / "cut.vcf.gz").write_bytes(whole[:-20])
    with pytest.raises(InputError, match="'cut.vcf.gz' is not whole"):
        read_variants(tmp_path / "cut.vcf.gz")
    with pytest.raises(InputError, match="is no gzip file in spite of its name"):
        (tmp_path / "plain.vcf.gz").write_text(LINES[0])
        read_variants(tmp_path / "plain.vcf.gz")
    with pytest.raises(InputError, match="'x.bcf' is a BCF, which is binary.*bcftools view"):
        read_variants(write(tmp_path, b"BCF\x02\x02\n", "x.bcf"))
    with pytest.raises(FileNotFoundError, match="no VCF"):
        read_variants(tmp_path / "none.vcf")


def test_tables_that_are_no_variants():
    good = pd.DataFrame({"chrom": ["chr1"], "pos": [5], "ref": ["A"], "alt": ["G"]})
    for table, message in (
        (good.drop(columns="alt"), r"lacks the columns \['alt'\]"),
        (good.rename(columns={"pos": "start"}), r"lacks the columns \['pos'\].*'start' is 0-based: pos = start \+ 1"),
        (good.assign(POS=5), "has the column 'pos' twice"),
        (good.assign(pos=float("nan")), "1 of 1 rows of the table are no variants, first number 0: .*no whole number"),
        (good.assign(chrom=None), "no chromosome"),
        (good.assign(alt=None), "its alt is no bases"),
        (good.iloc[:0], "none of the rows of the table holds one"),
        ([good], "variants are a list"),
    ):
        with pytest.raises(InputError, match=message):
            read_variants(table)
