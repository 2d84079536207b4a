from __future__ import annotations

import numpy as np
import pytest

from scget._errors import InputError
from scget.pp import cluster_motifs, read_motifs
from scget.pp._motif_clusters import similarities


def naive(a, b):
    """Largest cosine over offsets and strands, by a loop over positions in float64."""
    a, best = a - 0.25, -1.0
    for other in (b - 0.25, b[::-1, ::-1] - 0.25):
        for offset in range(1 - len(other), len(a)):
            pairs = [(i, i - offset) for i in range(len(a)) if 0 <= i - offset < len(other)]
            best = max(best, sum(float(a[i] @ other[j]) for i, j in pairs))
    return best / np.sqrt((a**2).sum() * ((b - 0.25) ** 2).sum())


def test_similarity_is_that_of_a_loop(rng):
    motifs = [rng.dirichlet(np.full(4, 0.4), size=w) for w in (1, 3, 7, 7, 12, 20)]
    expected = np.array([[naive(a, b) for b in motifs] for a in motifs])
    np.testing.assert_allclose(similarities(motifs), expected, rtol=0, atol=2e-9)


def test_half_site_and_flanks():
    """A site is 0.7 like its half, fully like its reverse complement, and flanks that say nothing change nothing."""
    site = np.eye(4)[[0, 2, 2, 3, 1, 0, 1, 1]]
    flanked = np.concatenate([np.full((3, 4), 0.25), site, np.full((1, 4), 0.25)])
    found = similarities([site, site[:4], site[::-1, ::-1], flanked, np.full((5, 4), 0.25)])
    np.testing.assert_allclose(found[0], [1, np.sqrt(0.5), 1, 1, 0], atol=1e-9)


def test_planted_families_come_back(rng):
    """Noisy, shifted and turned copies of 8 motifs."""
    seeds = {f"F{i}": np.eye(4)[rng.integers(0, 4, 10)] * 0.9 + 0.025 for i in range(8)}
    motifs, family = {}, {}
    for name, seed in seeds.items():
        for i in range(5):
            p = np.array([rng.dirichlet(50 * row) for row in seed])
            flank = rng.dirichlet(np.full(4, 20.0), size=int(rng.integers(0, 4)))
            p = np.concatenate([flank, p]) if i % 2 else np.concatenate([p, flank])
            motifs[f"{name}_{i}"] = p[::-1, ::-1] if i % 3 else p
            family[f"{name}_{i}"] = name
    table = cluster_motifs(motifs)
    assert dict(zip(table["motif"], table["cluster"], strict=True)) == family
    assert set(table["tf"]) == set(seeds)


def test_order_of_motifs_plays_no_part(rng):
    motifs = {f"m{i}": rng.dirichlet(np.full(4, 0.5), size=int(rng.integers(4, 12))) for i in range(60)}
    table = cluster_motifs(motifs, similarity=0.5)
    assert 10 < table["cluster"].nunique() < 50
    for _ in range(3):
        names = rng.permutation(list(motifs)).tolist()
        assert cluster_motifs({name: motifs[name] for name in names}, similarity=0.5).equals(table)


def test_names_are_unique_sorted_and_say_the_factor():
    a, b = np.eye(4)[[0, 1, 0, 1, 0, 1]], np.eye(4)[[0, 0, 0, 3, 3, 0]]
    table = cluster_motifs({"SP1_1": a, "SP1_2": a, "SP1_3": b, "FOS::JUN_MA1": np.eye(4)[[2, 2, 0, 3, 1, 2]]})
    assert table["cluster"].tolist() == ["FOS::JUN", "SP1/1", "SP1/1", "SP1/2"]
    assert table["motif"].tolist() == ["FOS::JUN_MA1", "SP1_1", "SP1_2", "SP1_3"]
    assert list(table.columns) == ["motif", "cluster", "tf"]
    assert cluster_motifs({"A": a})["cluster"].tolist() == ["A"]


@pytest.mark.parametrize("similarity", [0, 1.1, -1, np.nan])
def test_similarity_without_meaning_is_refused(similarity):
    with pytest.raises(InputError, match="`similarity` is .*above 0 and at most 1"):
        cluster_motifs({"A": np.full((4, 4), 0.25)}, similarity=similarity)


# Families by gene symbol (all their factors in HOCOMOCO v12), the class other members of the cluster should be of, and
# how many of the family the cluster holds. A factor stands in the cluster of its first motif.
BHLH = (
    r"MYC|MYCN|MAX|MX[ID]\d|MNT|MGA|MLX.*|MITF|TFE.|USF\d|BHLH.*|CLOCK|BMAL1|ARNT.*|NPAS\d|HE[SY]\d|SREBF\d|SOHLH2|MYO.*|"
    r"MYF\d|TCF(3|4|12|21)|ASCL\d|PTF1A|LYL1|TAL1|NEURO.\d|ATOH\d|FERD3L|FIGLA|HAND\d|NHLH\d|MESP\d|OLIG\d|TFAP4|TWIST\d|MSC"
)
NR = r"NR\d..|RXR.|RAR.|PPAR.|VDR|THR.|ESR\d|ESRR.|HNF4.|ROR.|AR|PGR"
ETS = r"ETS\d|ELK\d|FLI1|ERG|FEV|ERF|EHF|GABPA|ETV\d|ELF\d|SPI.|SPDEF"
CACGTG = r"MYC|MYCN|MAX|MXI1|MNT|MLX.*|MITF|TFE3|TFE.|USF\d|BHLHE4\d|CLOCK|BMAL1|ARNT2?|HES1|HEY\d|NPAS2|SREBF\d"
CAGCTG = r"MYOD1|MYOG|MYF\d|TCF(3|4|12|21)|ASCL\d|PTF1A|LYL1|TAL1|MSC|TFAP4"
FAMILIES = {
    "GATA": (r"GATA\d", r"GATA\d|TRPS1", 6),
    "ETS": (ETS, ETS, 26),
    "KLF/SP": (r"KLF\d+|SP\d", r"KLF\d+|SP\d", 23),  # of 25: not SP7, SP9
    "CEBP": (r"CEBP[ABDEG]", r"CEBP.|DDIT3", 5),
    "CACGTG": (CACGTG, BHLH, 20),  # of 25: not ARNT, ARNT2, CLOCK, HES1, NPAS2
    "CAGCTG": (CAGCTG, BHLH, 13),  # of 15: not MSC, TAL1
    "NR": (r"RXR.|RAR.|NR2[FC].|PPAR.|VDR|THR.|NR1[HI].", NR, 14),  # of 22: not NR1H3/4, NR1I2/3, RARG, THRA/B, VDR
    "oestrogen": (r"ESR\d", NR, 2),
    "steroid": (r"AR|PGR|NR3C\d", NR, 4),
    "HNF4": (r"HNF4.", NR, 2),
}


def test_known_families_end_up_together_and_apart(shared_data):
    table = cluster_motifs(read_motifs(shared_data / "motifs" / "H12CORE.meme.gz"))
    assert table["cluster"].nunique() == 391
    first = table.sort_values("motif").groupby("tf")["cluster"].first()
    sizes = {name: first[first.index.str.fullmatch(family)].value_counts() for name, (family, *_) in FAMILIES.items()}
    assert {name: int(n.iloc[0]) for name, n in sizes.items()} == {name: n for name, (*_, n) in FAMILIES.items()}
    of = {name: int(n.sum()) for name, n in sizes.items()}
    assert of == dict(zip(FAMILIES, (6, 26, 25, 5, 25, 15, 22, 2, 4, 2), strict=True))
    main = {name: n.index[0] for name, n in sizes.items()}
    assert len(set(main.values())) == len(FAMILIES) and first["CTCF"] not in main.values()
    purity = {
        name: table.loc[table["cluster"] == main[name], "tf"].str.fullmatch(of_class).mean().round(2)
        for name, (_, of_class, _) in FAMILIES.items()
    }
    assert purity == {
        **{"GATA": 0.91, "ETS": 0.98, "KLF/SP": 0.89, "CEBP": 0.79, "CACGTG": 0.92, "CAGCTG": 0.78},
        **dict.fromkeys(("NR", "oestrogen", "steroid", "HNF4"), 1.0),
    }
