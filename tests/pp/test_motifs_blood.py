"""The scan against biology: in human blood, regions with a lineage factor's motif are open in its lineage."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

from scget.pp import motif_scores
from scget.pp._motif_sets import read_motifs


@pytest.fixture(scope="module")
def blood(shared_data):
    """2,660 regions x 11 cell types, with the scores of every HOCOMOCO motif of CEBPA, ETS1 and SPI1."""
    folder = shared_data / "blood_hg19_sequence"
    counts = pd.read_csv(folder / "atac_counts.tsv.gz", sep="\t", index_col=0)
    mdata = MuData({"atac": AnnData(counts.T.astype(np.float32))})
    motifs = read_motifs(shared_data / "motifs" / "H12CORE.meme.gz")
    motifs = {name: p for name, p in motifs.items() if name.split(".")[0] in ("CEBPA", "ETS1", "SPI1")}
    motif_scores(mdata, folder / "mini_hg19.fa.gz", motifs=motifs)
    atac = mdata["atac"]
    names = [name.replace(".H12CORE", "") for name in atac.uns["motif_names"]]
    assert names == ["CEBPA.0.P.B", "ETS1.0.S.B", "ETS1.1.P.B", "SPI1.0.P.B", "SPI1.1.S.B"]
    scores = pd.DataFrame(atac.varm["motif_scores"].toarray().astype(np.float64), columns=names)
    return pd.DataFrame(atac.X.astype(np.float64), index=atac.obs_names), scores


def ranked(table):
    return {motif: table[motif].sort_values(ascending=False).index.tolist() for motif in table}


def test_scores_rise_with_accessibility_in_the_lineage(blood):
    """Pearson r across regions of a motif's score and log2(CPM + 1) less the region's mean over cell types."""
    counts, scores = blood
    logs = np.log2(counts.div(counts.sum(axis=1), axis=0) * 1e6 + 1)
    change = (logs - logs.mean()).T
    order = ranked(pd.DataFrame({m: change.corrwith(scores[m].set_axis(change.index)) for m in scores}))
    assert set(order["CEBPA.0.P.B"][:4]) == {"GMP-A", "GMP-B", "GMP-C", "Mono"}
    for motif in ("ETS1.0.S.B", "ETS1.1.P.B"):
        assert order[motif][:2] == ["CD8", "NK"]
    for motif in ("SPI1.0.P.B", "SPI1.1.S.B"):
        assert order[motif][0] == "GMP-C"


def test_matches_are_more_open_than_expected_in_the_lineage(blood):
    """chromVAR's raw deviation (Schep et al. 2017): counts in regions with a hit over those expected from depth, less 1.

    It sums counts, so that the most open regions weigh most. By it SPI1 is up in GMP-C, but not highest there: LMPP, Mono.
    """
    counts, scores = blood
    total = counts.to_numpy().sum()
    expected = pd.DataFrame(np.outer(counts.sum(axis=1), counts.sum()) / total, index=counts.index)
    hit = (scores > 0).astype(float)
    deviation = (counts @ hit) / (expected @ hit) - 1
    order = ranked(deviation)
    assert set(order["CEBPA.0.P.B"][:4]) == {"GMP-A", "GMP-B", "GMP-C", "Mono"}
    assert deviation.loc[order["CEBPA.0.P.B"][:4], "CEBPA.0.P.B"].min() > 0.2
    for motif in ("ETS1.0.S.B", "ETS1.1.P.B"):
        assert set(order[motif][:2]) == {"CD8", "NK"}
    for motif in ("SPI1.0.P.B", "SPI1.1.S.B"):
        assert deviation.loc["GMP-C", motif] > 0.02
        assert {"Mono", "GMP-C"} < set(deviation.index[deviation[motif] > 0])
        assert set(order[motif][-4:]) & {"CD8", "NK"} == {"CD8", "NK"}
