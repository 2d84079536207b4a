from __future__ import annotations

import gzip
import itertools
import sys

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from mudata import MuData
from numpy.lib.stride_tricks import sliding_window_view

from scget._errors import InputError, ScgetWarning
from scget.pp import _scan
from scget.pp._motif_sets import read_motifs
from scget.pp._motifs import BACKGROUND, motif_scores, scan_regions

B = np.array(BACKGROUND)


def random_motifs(rng, n, widths, sharpness=0.3):
    return {f"M/{i}": rng.dirichlet(np.full(4, sharpness), size=int(rng.choice(widths))) for i in range(n)}


def random_codes(rng, lengths, unknown=0.01):
    codes = rng.choice(5, p=[*(B * (1 - unknown)), unknown], size=sum(lengths)).astype(np.uint8)
    return codes, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def oracle(codes, probabilities, strand):
    """Score of each start by a float64 convolution with one-hot bases; NaN where a base is unknown."""
    p = probabilities if strand == 0 else probabilities[::-1, ::-1]
    weights = np.log2((p + 0.01 * B) / 1.01) - np.log2(B)
    if len(codes) < len(p):
        return np.empty(0)
    hot = np.eye(5)[codes]
    scores = np.einsum("xbj,jb->x", sliding_window_view(hot[:, :4], len(p), axis=0), weights)
    unknown = sliding_window_view(hot[:, 4], len(p)).any(axis=1)
    return np.where(unknown, np.nan, scores)


def limits(motifs, pvalue=1e-4):
    return np.array([_scan.threshold(_scan.log_odds(p, B, 0.01), B, pvalue) for p in motifs.values()])


def oracle_scores(codes, offsets, motifs, clusters, thresholds):
    """Regions x clusters: per position the maximum over members and strands, summed."""
    names = sorted(set(clusters.values()))
    out = np.zeros((len(offsets) - 1, len(names)))
    for i, c in np.ndindex(*out.shape):
        region = codes[offsets[i] : offsets[i + 1]]
        best = np.zeros(len(region))
        for (name, p), limit in zip(motifs.items(), thresholds, strict=True):
            for strand in (0, 1) if clusters[name] == names[c] else ():
                s = oracle(region, p, strand)
                hit = np.nan_to_num(s, nan=-1) >= limit
                best[: len(s)] = np.maximum(best[: len(s)], np.where(hit, s, 0))
        out[i, c] = best.sum()
    return out


def check_hits(codes, offsets, motifs):
    thresholds = limits(motifs)
    scanner = _scan.make_scanner([_scan.log_odds(p, B, 0.01) for p in motifs.values()], thresholds)
    at, row, score = _scan.find_hits(scanner, codes, offsets)
    found = {(a, scanner.motif[r], r % 2): s for a, r, s in zip(at, row, score, strict=True)}
    expected = {}
    for i, (m, p), strand in itertools.product(range(len(offsets) - 1), enumerate(motifs.values()), (0, 1)):
        s = oracle(codes[offsets[i] : offsets[i + 1]], p, strand)
        for x in np.flatnonzero(np.nan_to_num(s, nan=-1) >= thresholds[m]):
            expected[offsets[i] + x, m, strand] = s[x]
    assert len(found) == len(at), "a hit is told twice"
    assert found.keys() == expected.keys()
    np.testing.assert_allclose([found[k] for k in expected], list(expected.values()), rtol=0, atol=1e-9)
    return len(found)


@pytest.fixture(scope="module")
def toy():
    rng = np.random.default_rng(1)
    motifs = random_motifs(rng, 40, range(7, 32))
    codes, offsets = random_codes(rng, [*rng.integers(1, 60, 50), *rng.integers(200, 600, 150)])
    return motifs, codes, offsets


def test_hits_are_those_of_a_convolution(toy):
    motifs, codes, offsets = toy
    assert check_hits(codes, offsets, motifs) > 300


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 3), st.integers(1, 150))
def test_hits_for_any_motif(seed, sharpness, width):
    """Blunt, sharp, tiny and very wide motifs: the filter's 16 bits suffice for all."""
    rng = np.random.default_rng(seed)
    motifs = random_motifs(rng, 5, [width, 12], sharpness)
    codes, offsets = random_codes(rng, [300, 5, 400])
    site = rng.choice(2) and next(iter(motifs.values())).argmax(axis=1)  # the best word, at the very end
    if np.ndim(site) and len(site) <= 400:
        codes[-len(site) :] = site
    check_hits(codes, offsets, motifs)


def test_hits_of_hocomoco_in_real_regions(shared_data):
    mdata = blood(shared_data)
    motifs = read_motifs(shared_data / "motifs" / "H12CORE.meme.gz")
    motifs = {name: motifs[name] for name in list(motifs)[:: len(motifs) // 40][:40]}
    from scget.pp._genome import read_sequences
    from scget.pp._regions import regions_of

    codes, offsets = read_sequences(genome_of(shared_data), regions_of(mdata["atac"])[slice(0, 2600, 13)])
    assert len(offsets) == 201
    assert check_hits(codes, offsets, motifs) > 1000


def test_scores_sum_the_best_member_of_each_position(toy):
    motifs, codes, offsets = toy
    clusters = {name: f"C{i % 7}" for i, name in enumerate(motifs)}
    scores, names = scan_regions(codes, offsets, motifs, clusters)
    assert names.tolist() == [f"C{i}" for i in range(7)]
    assert scores.dtype == np.float32
    assert scores.has_canonical_format
    np.testing.assert_allclose(
        scores.toarray(), oracle_scores(codes, offsets, motifs, clusters, limits(motifs)), rtol=1e-6, atol=1e-5
    )


@pytest.mark.parametrize("width", [4, 5, 6])
@pytest.mark.parametrize("pvalue", [0.2, 0.01, 2e-3])
def test_threshold_is_that_of_all_words(rng, width, pvalue):
    for sharpness in (0.2, 1.0, 5.0):
        scores = _scan.log_odds(rng.dirichlet(np.full(4, sharpness), size=width), B, 0.01)
        words = np.array(list(itertools.product(range(4), repeat=width)))
        total, chance = scores[np.arange(width), words].sum(axis=1), B[words].prod(axis=1)
        limit = _scan.threshold(scores, B, pvalue)
        tolerance = width * _scan.GRID / 2  # what rounding can move a word by
        if np.isinf(limit):
            assert chance[total.argmax()] > pvalue
            continue
        assert chance[total >= limit + tolerance].sum() <= pvalue
        below = total[total < limit - tolerance]
        if limit > 0:
            assert chance[total >= below.max()].sum() > pvalue


def test_threshold_of_equal_scores_keeps_them_together():
    """Eight alike columns: words with one wrong base score the same up to rounding, and all count."""
    scores = _scan.log_odds(np.tile([0.7, 0.1, 0.1, 0.1], (8, 1)), np.full(4, 0.25), 0.01)
    right, wrong = scores[0, 0], scores[0, 1]
    one_wrong = 25 / 4**8  # the best word and 8 x 3 others
    assert 7 * right + wrong > _scan.threshold(scores, np.full(4, 0.25), one_wrong) > 6 * right + 2 * wrong
    assert 8 * right > _scan.threshold(scores, np.full(4, 0.25), one_wrong * 0.99) > 7 * right + wrong


def test_hit_rate_in_background_is_the_pvalue():
    rng = np.random.default_rng(3)
    motifs = random_motifs(rng, 60, range(10, 20))
    codes, offsets = random_codes(rng, [1000] * 1000, unknown=0)
    scanner = _scan.make_scanner([_scan.log_odds(p, B, 0.01) for p in motifs.values()], limits(motifs))
    places = sum(2 * 1000 * (1001 - len(p)) for p in motifs.values())
    expected = 1e-4 * places
    assert len(_scan.find_hits(scanner, codes, offsets)[0]) == pytest.approx(expected, rel=0.05)


def test_reverse_complement_scores_the_same(toy):
    motifs, codes, offsets = toy
    own = {m: m for m in motifs}
    turned = np.array([3, 2, 1, 0, 4], dtype=np.uint8)[codes][::-1].copy()
    forward, _ = scan_regions(codes, offsets, motifs, own)
    backward, _ = scan_regions(turned, offsets[-1] - offsets[::-1], motifs, own)
    np.testing.assert_allclose(backward.toarray()[::-1], forward.toarray(), rtol=1e-6)


@pytest.mark.parametrize("block", [1, 3, 1000])
def test_same_bits_whatever_the_order_and_block(toy, monkeypatch, rng, block):
    motifs, codes, offsets = toy
    clusters = {name: f"C{i % 7}" for i, name in enumerate(motifs)}
    scores, _ = scan_regions(codes, offsets, motifs, clusters)
    monkeypatch.setattr(_scan, "BLOCK", block)
    order = rng.permutation(len(offsets) - 1)
    parts = [codes[offsets[i] : offsets[i + 1]] for i in order]
    shuffled = {name: motifs[name] for name in rng.permutation(list(motifs))}
    again, _ = scan_regions(
        np.concatenate(parts), np.concatenate([[0], np.cumsum([len(p) for p in parts])]), shuffled, clusters
    )
    np.testing.assert_allclose(again.toarray(), scores.toarray()[order], rtol=1e-6)
    again, _ = scan_regions(codes, offsets, motifs, clusters)
    np.testing.assert_array_equal(again.toarray(), scores.toarray())


def test_unknown_bases_and_edges_are_no_hit():
    word = np.array([2, 0, 3, 0, 0, 2, 1, 3, 1, 0], dtype=np.uint8)
    motif = {"m": np.eye(4)[word]}
    best = _scan.log_odds(motif["m"], B, 0.01).max(axis=1).sum()
    blank = np.full(30, 1, dtype=np.uint8)

    def score(at, broken=None):
        codes = np.concatenate([blank, blank])
        codes[at : at + 10] = word
        if broken is not None:
            codes[broken] = 4
        return scan_regions(codes, np.array([0, 30, 60]), motif, {"m": "m"})[0].toarray()[:, 0]

    for at in (0, 13, 20):
        np.testing.assert_allclose(score(at), [best, 0], rtol=1e-6)
    np.testing.assert_allclose(score(30), [0, best], rtol=1e-6)
    assert not score(25).any()  # across the border of two regions
    assert not score(13, broken=17).any()
    np.testing.assert_allclose(score(13, broken=12), [best, 0], rtol=1e-6)
    np.testing.assert_allclose(score(13, broken=23), [best, 0], rtol=1e-6)


def test_palindrome_counts_once():
    word = np.array([1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2], dtype=np.uint8)
    assert (word == 3 - word[::-1]).all()
    motif = np.eye(4)[word]
    scores, _ = scan_regions(word, np.array([0, 12]), {"m": motif}, {"m": "m"})
    assert scores[0, 0] == pytest.approx(_scan.log_odds(motif, B, 0.01).max(axis=1).sum())


def test_motif_that_cannot_reach_the_pvalue_warns():
    motifs = {"short": np.eye(4)[[0, 1, 2]], "long": np.eye(4)[[0, 1, 2, 3] * 3]}
    codes = np.array([0, 1, 2, 3] * 3, dtype=np.uint8)
    with pytest.warns(ScgetWarning, match="1 of 2 motifs can never reach p = 0.0001.*'short'"):
        scores, names = scan_regions(codes, np.array([0, 12]), motifs, {m: m for m in motifs})
    assert names.tolist() == ["long", "short"]
    assert scores.toarray()[0, 1] == 0 < scores.toarray()[0, 0]


# ---- MuData


@pytest.fixture
def small(tmp_path, rng):
    """MuData of 6 unsorted regions, a genome, and motifs in 2 clusters."""
    sequences = {c: rng.choice(4, p=B, size=3000).astype(np.uint8) for c in ("chr2", "chr10")}
    genome = tmp_path / "toy.fa"
    genome.write_text("".join(f">{c}\n{''.join('ACGT'[b] for b in s)}\n" for c, s in sequences.items()))
    names = [f"{c}:{s}-{s + 700}" for s in (1500, 0, 750) for c in ("chr2", "chr10")]
    atac = AnnData(np.ones((2, 6), dtype=np.float32), var=pd.DataFrame(index=names))
    motifs = random_motifs(rng, 12, range(8, 16))
    clusters = {m: "B/2" if i % 2 else "A" for i, m in enumerate(motifs)}
    parts = [sequences[n.split(":")[0]][int(n.split(":")[1].split("-")[0]) :][:700] for n in names]
    expected = oracle_scores(np.concatenate(parts), np.arange(7) * 700, motifs, clusters, limits(motifs))
    return MuData({"atac": atac}), genome, motifs, clusters, expected


def test_writes_scores_in_the_order_of_the_regions(small, tmp_path):
    mdata, genome, motifs, clusters, expected = small
    assert motif_scores(mdata, genome, motifs=motifs, clusters=clusters) is None
    path = tmp_path / "out.h5mu"
    mdata.write(path)
    for atac in (mdata["atac"], mudata.read(path)["atac"]):
        assert atac.varm["motif_scores"].dtype == np.float32
        np.testing.assert_allclose(atac.varm["motif_scores"].toarray(), expected, rtol=1e-6, atol=1e-5)
        assert list(atac.uns["motif_names"]) == ["A", "B/2"]
        scan = atac.uns["motif_scan"]
        assert (scan["genome"], scan["pvalue"], scan["pseudocount"], scan["n_motifs"]) == ("toy.fa", 1e-4, 0.01, 12)
        assert list(scan["background"]) == list(BACKGROUND)
        assert len(scan["motifs_sha256"]) == 64
        assert (scan["scanner"], scan["scanner_version"]) == ("scget", 1)


def test_copy_leaves_the_original_alone(small):
    mdata, genome, motifs, clusters, expected = small
    copy = motif_scores(mdata, genome, motifs=motifs, clusters=clusters, copy=True)
    assert not mdata["atac"].varm and not mdata["atac"].uns
    np.testing.assert_allclose(copy["atac"].varm["motif_scores"].toarray(), expected, rtol=1e-6, atol=1e-5)


def test_motifs_and_clusters_from_files_and_tables(small, tmp_path):
    mdata, genome, motifs, clusters, _ = small
    meme = "MEME version 4\n\nALPHABET= ACGT\n\n" + "\n".join(
        f"MOTIF {name} other\nletter-probability matrix: alength= 4 w= {len(p)} nsites= 9\n"
        + "\n".join("\t".join(repr(float(v)) for v in row) for row in p)
        + "\nURL x\n"
        for name, p in motifs.items()
    )
    plain, packed, tsv = tmp_path / "m.meme", tmp_path / "m.meme.gz", tmp_path / "clusters.tsv"
    plain.write_text(meme)
    packed.write_bytes(gzip.compress(meme.encode()))
    table = pd.DataFrame({"motif": list(clusters), "cluster": list(clusters.values()), "note": 1})
    table.to_csv(tsv, sep="\t", header=False, index=False)
    for name, p in read_motifs(packed).items():
        np.testing.assert_array_equal(p, motifs[name])
    motif_scores(mdata, genome, motifs=motifs, clusters=clusters)
    scores, scan = mdata["atac"].varm["motif_scores"], mdata["atac"].uns["motif_scan"]
    for motifs_, clusters_ in ((plain, tsv), (packed, table)):
        motif_scores(mdata, genome, motifs=motifs_, clusters=clusters_)
        assert (mdata["atac"].varm["motif_scores"] != scores).nnz == 0
        assert mdata["atac"].uns["motif_scan"] == scan
    motif_scores(mdata, genome, motifs=plain)
    assert list(mdata["atac"].uns["motif_names"]) == sorted(motifs)
    assert mdata["atac"].uns["motif_scan"]["motifs_sha256"] != scan["motifs_sha256"]


GOOD = np.full((9, 4), 0.25)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"motifs": None}, "No `motifs` given.*hocomoco12.autosome.org"),
        ({"motifs": {}}, "`motifs` is empty"),
        ({"motifs": {"x": GOOD.T}}, r"'x' has shape \(4, 9\); \(width, 4\)"),
        ({"motifs": {"x": GOOD * 100}}, "'x' has 9 rows that are no probabilities, first row 0"),
        ({"motifs": {"x": np.full((9, 4), np.nan)}}, "'x' has 9 rows that are no probabilities"),
        ({"motifs": {"x": GOOD + [[0.3, -0.3, 0, 0]]}}, "no probabilities"),
        ({"clusters": {"M/0": "A"}}, "11 of 12 motifs have no cluster: 'M/1', 'M/2', 'M/3'"),
        ({"clusters": pd.DataFrame({"m": ["M/0"]})}, "1 column; motif and cluster"),
        (
            {"clusters": pd.DataFrame({"m": ["M/0", "M/0"], "c": ["A", "B"]})},
            "1 motifs stand in more than one cluster: 'M/0'",
        ),
        ({"pvalue": 0}, "`pvalue` is 0"),
        ({"pvalue": np.nan}, "`pvalue` is nan"),
        ({"pvalue": "a"}, "`pvalue` is 'a'"),
        ({"pvalue": None}, "`pvalue` is None"),
        ({"background": "uniform"}, "`background` is 'uniform'; four frequencies"),
        ({"pseudocount": "x"}, "`pseudocount` is 'x'"),
        ({"pseudocount": 0}, "`pseudocount` is 0"),
        ({"background": [0.5, 0.5, 0.5, 0.5]}, "`background` is .* sum to 1"),
    ],
)
def test_refuses_and_leaves_the_data_alone(small, arguments, message):
    mdata, genome, motifs, _, _ = small
    with pytest.raises(InputError, match=message):
        motif_scores(mdata, genome, **{"motifs": motifs, **arguments})
    assert not mdata["atac"].varm and not mdata["atac"].uns


def test_refuses_a_view_and_another_modality(small):
    mdata, genome, motifs, _, _ = small
    with pytest.raises(InputError, match="is a view"):
        motif_scores(mdata[:1], genome, motifs=motifs)
    with pytest.raises(InputError, match="no modality 'atac'"):
        motif_scores(MuData({"peaks": mdata["atac"]}), genome, motifs=motifs)
    with pytest.raises(FileNotFoundError, match="No FASTA"):
        motif_scores(mdata, "nowhere.fa", motifs=motifs)
    with pytest.raises(FileNotFoundError, match="No motif file"):
        motif_scores(mdata, genome, motifs="nowhere.meme")


HEAD = "MEME version 4\nALPHABET= ACGT\n"
ONE = "MOTIF a\nletter-probability matrix: alength= 4 w= 2\n0.5 0.5 0 0\n0 0 0.5 0.5\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no motif"),
        (HEAD + ONE + ONE, "'a' stands twice"),
        (HEAD + ONE.replace("w= 2", "w= 3"), "'a' .* has 2 rows, but says w= 3"),
        (HEAD + ONE.replace("0.5 0.5 0 0", "0.5 0.4 0 0"), "'a' has 1 rows that are no probabilities, first row 0"),
        (HEAD + ONE.replace("0.5 0.5 0 0\n", "0.5 0.5 0\n"), "'a' has shape"),
        (HEAD.replace("ACGT", "ACDEFGHIKLMNPQRSTVWY") + ONE, "motifs of DNA"),
    ],
)
def test_refuses_broken_meme_files(tmp_path, text, message):
    path = tmp_path / "m.meme"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_motifs(path)


# ---- real data


def test_missing_numba_is_named_with_its_extra(small, monkeypatch):
    mdata, genome, motifs, _, _ = small
    monkeypatch.delitem(sys.modules, "scget.pp._scan", raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(ImportError, match=r'numba.* pip install "scget\[motif\]"'):
        motif_scores(mdata, genome, motifs=motifs)
    assert not mdata["atac"].uns


def genome_of(shared_data):
    return shared_data / "blood_hg19_sequence" / "mini_hg19.fa.gz"


def blood(shared_data):
    counts = pd.read_csv(shared_data / "blood_hg19_sequence" / "atac_counts.tsv.gz", sep="\t", index_col=0)
    return MuData({"atac": AnnData(counts.T.astype(np.float32))})


def test_cut_gzip_and_odd_width_are_refused(tmp_path):
    import gzip

    text = b"MEME version 4\nALPHABET= ACGT\nMOTIF A\nletter-probability matrix: w= x\n 0.25 0.25 0.25 0.25\n"
    (tmp_path / "a.meme").write_bytes(text)
    with pytest.raises(InputError, match="Motif 'A' in '.*a.meme' says w= x; a whole number is needed"):
        read_motifs(tmp_path / "a.meme")
    (tmp_path / "a.meme.gz").write_bytes(gzip.compress(text)[:-12])
    with pytest.raises(InputError, match="a.meme.gz' is not a whole gzip file"):
        read_motifs(tmp_path / "a.meme.gz")


def test_reads_hocomoco_and_jaspar(shared_data):
    motifs = read_motifs(shared_data / "motifs" / "H12CORE.meme.gz")
    assert len(motifs) == 1443
    np.testing.assert_allclose(motifs["AHR.H12CORE.0.P.B"][0], [0.17547, 0.30608, 0.39083, 0.12762], atol=1e-5)
    assert len(read_motifs(shared_data / "motifs" / "JASPAR2024_CORE.meme.gz")) == 2346


@pytest.mark.parametrize("missing", [None, np.nan])
def test_a_motif_whose_cluster_is_missing_is_refused(missing):
    from scget.pp._motif_sets import clusters_of

    motifs = {"A": np.full((4, 4), 0.25), "B": np.full((4, 4), 0.25)}
    with pytest.raises(InputError, match="1 motifs have no cluster .None or NaN.: 'B'"):
        clusters_of(motifs, {"A": "a", "B": missing})
