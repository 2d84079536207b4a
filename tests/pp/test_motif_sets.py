"""Sets of motifs: parts of them, matrices given as tables, and files of clusters."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from scget._errors import InputError
from scget.pp import MotifSet, cluster_motifs
from scget.pp._motif_sets import clusters_of, motif_set
from scget.pp._tf_names import tf_names

SITE = np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1], [0.0, 0.0, 1.0, 0.0]])
SET = MotifSet(
    {f"M{i}": SITE for i in range(4)},
    {f"M{i}": [f"TF{i}"] for i in range(4)},
    dict.fromkeys("M0 M1 M2 M3".split(), "X"),
)


def test_a_part_of_a_set_keeps_factors_and_clusters():
    part = SET.subset(["M3", "M1"])
    assert list(part) == ["M3", "M1"] and part.tfs == {"M3": ["TF3"], "M1": ["TF1"]}
    assert part.clusters == {"M3": "X", "M1": "X"}
    np.testing.assert_array_equal(part["M3"], SITE)
    assert MotifSet(SET, SET.tfs).subset(iter(SET)).clusters is None
    with pytest.raises(InputError, match="1 of 2 names are not in the set: 'Z'. It has 'M0', 'M1', 'M2', ..."):
        SET.subset(["M0", "Z"])
    with pytest.raises(InputError, match="names='M0' is one text"):
        SET.subset("M0")


def test_factors_and_clusters_are_of_all_motifs():
    assert MotifSet({"a": SITE}, {"a": "GATA1"}).tfs == {"a": ["GATA1"]}
    with pytest.raises(InputError, match="`tfs` lacks 1 of 2 motifs: 'b'"):
        MotifSet({"a": SITE, "b": SITE}, {"a": ["X"]})
    with pytest.raises(InputError, match="`clusters` lacks 2 of 2 motifs: 'a', 'b'"):
        MotifSet({"a": SITE, "b": SITE}, clusters={})
    with pytest.raises(TypeError, match="matrices is a list; a mapping"):
        MotifSet([SITE])
    with pytest.raises(TypeError, match="`motifs` is a list; a set, the path of one file"):
        motif_set(["a.meme", "b.meme"])
    for none in (MotifSet({}), {}):
        with pytest.raises(InputError, match="`motifs` is empty"):
            cluster_motifs(none)


def test_columns_of_a_table_are_read_by_name():
    table = pd.DataFrame(SITE, columns=list("ACGT"))
    for columns in ("ACGT", "TGCA", "GATC"):
        np.testing.assert_array_equal(MotifSet({"a": table[list(columns)]})["a"], SITE)
    np.testing.assert_array_equal(MotifSet({"a": table.rename(columns=str.lower)})["a"], SITE)
    with pytest.raises(InputError, match="'a' is a table with the columns '0', '1', '2', '3'; A, C, G, T are"):
        MotifSet({"a": pd.DataFrame(SITE)})


@pytest.mark.parametrize("name", ["MA0004.1", "M0082_1.02", "UN0123", "UN0123.2", "M00001"])
def test_a_bare_identifier_tells_no_factor(name):
    assert tf_names(name) == tf_names(name, name) == []
    assert tf_names(name, "Arnt") == ["ARNT"]


FROM = ["M0", "M1", "M2", "M3"]


@pytest.mark.parametrize(
    ("text", "clusters"),
    [
        ("# head\n\nM0\tAP1#1\nM1\tAP1#2\nM2\tX\nM3\tX\n", ["AP1#1", "AP1#2", "X", "X"]),
        ("M0\tNA\nM1\tnull\nM2\tX\nM3\tX\n", ["NA", "null", "X", "X"]),
        ('M0\t5\'"A\nM1\tB\nM2\tX"\nM3\tX\n', ["5'\"A", "B", 'X"', "X"]),
        ("M0\tA \r\nM1\tA\r\n M2\tX\r\nM3\tX\r\n", ["A", "A", "X", "X"]),
        ("\ufeffM0\tA\nM1\tA\nM2\tX\nM3\tX", ["A", "A", "X", "X"]),
        ("motif\tcluster\nM0\tA\nM1\tA\nM2\tX\nM3\tX", ["A", "A", "X", "X"]),
        ("\tcluster\tmotif\ttf\n0\tA\tM0\t\n1\tA\tM1\tq\n2\tX\tM2\t\n3\tX\tM3\t\n", ["A", "A", "X", "X"]),
    ],
)
def test_files_of_clusters(tmp_path, text, clusters):
    path = tmp_path / "clusters.tsv"
    for data in (text.encode(), gzip.compress(text.encode())):
        path.write_bytes(data)
        assert clusters_of(SET, path) == dict(zip(FROM, clusters, strict=True))


@pytest.mark.parametrize("index", [True, False])
def test_the_table_of_cluster_motifs_is_read_back(tmp_path, rng, index):
    motifs = MotifSet({f"A{i}_1": rng.dirichlet(np.ones(4), size=8) for i in range(5)})
    table = cluster_motifs(motifs)
    table.to_csv(tmp_path / "c.tsv", sep="\t", index=index)
    mapping = dict(zip(table["motif"], table["cluster"], strict=True))
    for given in (tmp_path / "c.tsv", table, table[["tf", "cluster", "motif"]], pd.Series(mapping)):
        assert clusters_of(motifs, given) == {name: mapping[name] for name in motifs}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "has no line. Motif and cluster"),
        (b"M0\tA\nM1\tA\tz\n", "has the line 'M1.tA.tz' of other columns"),
        (b"M0,A\nM1,A\n", "1 column; motif and cluster"),
        (b"M0\t\xe9\n", "cannot be read as text or gzip"),
        (gzip.compress(b"M0\tA\n", mtime=0)[:-4], "cannot be read as text or gzip"),
        (b"M0\tA\nM1\t\nM2\tA\nM3\tA\n", "1 motifs have no cluster .*: 'M1'"),
    ],
)
def test_files_of_clusters_that_are_refused(tmp_path, data, message):
    path = tmp_path / "clusters.tsv"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        clusters_of(SET, path)


def test_other_clusters_are_refused():
    with pytest.raises(FileNotFoundError, match="No file of clusters at 'nowhere.tsv'"):
        clusters_of(SET, "nowhere.tsv")
    for given in (["A", "B"], 5):
        with pytest.raises(InputError, match=f"`clusters` is a {type(given).__name__}; a mapping, a table"):
            clusters_of(SET, given)
