from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix

from scget._errors import InputError
from scget.datasets import Simulated, simulated
from scget.datasets._layout import write_annotation

SMALL = {"n_cell_types": 8, "n_cells": 60, "n_chroms": 2, "regions_per_chrom": 300}
TINY = {"n_cell_types": 4, "n_cells": 5, "n_chroms": 2, "regions_per_chrom": 40}
HELD_OUT = 2, 5, 7  # cell types
REACH = 30_000  # bp


@pytest.fixture(scope="module")
def sim(tmp_path_factory) -> Simulated:
    return simulated(tmp_path_factory.mktemp("simulated") / "new folder", **SMALL)


@pytest.fixture(scope="module")
def genome(sim) -> dict[str, str]:
    records = sim.genome.read_text().split(">")[1:]
    return {record.split("\n", 1)[0]: record.split("\n", 1)[1].replace("\n", "") for record in records}


@pytest.fixture(scope="module")
def tss(sim) -> pd.DataFrame:
    """Gene, chrom, strand and 0-based TSS of each transcript, from the GTF."""
    lines = [line.split("\t") for line in sim.annotation.read_text().splitlines() if not line.startswith("#")]
    rows = []
    for chrom, _, feature, start, end, _, strand, _, text in lines:
        if feature == "transcript":
            gene = re.search('gene_name "([^"]+)"', text)[1]
            rows.append((gene, chrom, strand, int(start) - 1 if strand == "+" else int(end) - 1))
    return pd.DataFrame(rows, columns=["gene", "chrom", "strand", "tss"])


def log_cpm(adata: AnnData) -> pd.DataFrame:
    """Cell types x variables, log10(CPM + 1) of summed counts."""
    sums = pd.DataFrame(adata.X.toarray().astype(float), columns=adata.var_names)
    sums = sums.groupby(adata.obs["cell_type"].to_numpy()).sum()
    return np.log10(sums.div(sums.sum(axis=1), axis=0) * 1e6 + 1)


def correlation(a, b) -> float:
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


def delta_correlation(predicted: pd.DataFrame, observed: pd.DataFrame, k: int) -> float:
    """Correlation over genes of deviations of cell type k from the mean of the others."""
    others = np.arange(len(observed)) != k
    return correlation(predicted.iloc[k] - predicted[others].mean(), observed.iloc[k] - observed[others].mean())


def effects(sim: Simulated) -> csr_matrix:
    """Genes x regions, from the links."""
    at = sim.base.index.get_indexer(sim.links["gene"]), sim.openness.columns.get_indexer(sim.links["region"])
    return csr_matrix((sim.links["effect"], at), shape=(len(sim.base), sim.openness.shape[1]))


def test_same_seed_same_bytes(tmp_path):
    a, b = simulated(tmp_path / "a", seed=3, **TINY), simulated(tmp_path / "b", seed=3, **TINY)
    c = simulated(tmp_path / "c", seed=4, **TINY)
    for name in ("genome", "annotation", "motifs"):
        assert getattr(a, name).read_bytes() == getattr(b, name).read_bytes()
        assert getattr(a, name).read_bytes() != getattr(c, name).read_bytes()
    for modality in ("rna", "atac"):
        x, y, z = (sim.mdata[modality] for sim in (a, b, c))
        assert x.X.data.tobytes() == y.X.data.tobytes()
        assert x.X.indices.tobytes() == y.X.indices.tobytes()
        assert x.X.data.tobytes() != z.X.data.tobytes()
        pd.testing.assert_frame_equal(x.obs, y.obs)
        pd.testing.assert_frame_equal(x.var, y.var)
    for name in ("links", "motif_effects", "motif_pairs", "openness", "expression", "activity", "sites"):
        pd.testing.assert_frame_equal(getattr(a, name), getattr(b, name))


def test_global_random_state_is_left_alone(tmp_path):
    before = np.random.get_state()[1].copy()
    simulated(tmp_path, **TINY)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_without_directory_each_call_has_its_own():
    a, b = simulated(**TINY), simulated(**TINY)
    assert a.genome.parent != b.genome.parent
    assert a.genome.read_bytes() == b.genome.read_bytes()


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_cell_types", 3), ("n_cells", 0), ("n_chroms", 0), ("regions_per_chrom", 19), ("n_motifs", 15)],
)
def test_too_small_is_refused_before_anything_is_written(tmp_path, name, value):
    with pytest.raises(InputError, match=f"{name} is {value}; the planted rule needs at least {value + 1}"):
        simulated(tmp_path / "none", **{name: value})
    assert not (tmp_path / "none").exists()


def test_counts_are_raw_and_modalities_match(sim):
    n_cells = SMALL["n_cell_types"] * SMALL["n_cells"]
    for adata in (sim.mdata["rna"], sim.mdata["atac"]):
        assert isinstance(adata.X, csr_matrix)
        assert adata.X.dtype == np.float32
        assert adata.n_obs == n_cells
        assert (adata.X.data > 0).all()
        np.testing.assert_array_equal(adata.X.data, np.round(adata.X.data))
        assert adata.obs["cell_type"].value_counts().eq(SMALL["n_cells"]).all()
        assert list(adata.obs["cell_type"].cat.categories) == list(sim.openness.index)
    pd.testing.assert_frame_equal(sim.mdata["rna"].obs, sim.mdata["atac"].obs)


def test_regions_are_sorted_apart_and_named_by_place(sim, genome):
    var = sim.mdata["atac"].var
    assert list(var.index) == [f"{row.chrom}:{row.start}-{row.end}" for row in var.itertuples()]
    assert list(var["chrom"].unique()) == ["chr1", "chr2"] == list(genome)
    for chrom, here in var.groupby("chrom"):
        assert (here["start"].to_numpy()[1:] - here["end"].to_numpy()[:-1] > 600).all()
        assert here["start"].min() > 0
        assert here["end"].max() < len(genome[chrom])
    assert var.eval("end - start").between(400, 500).all()


def test_sites_are_in_the_sequence_and_fit_their_motif(sim, genome):
    consensus = {}
    for block in sim.motifs.read_text().split("MOTIF ")[1:]:
        name, *lines = block.split("\n")
        pwm = np.array([line.split() for line in lines[2:] if line], dtype=float)
        np.testing.assert_allclose(pwm.sum(axis=1), 1, atol=1e-5)
        consensus[name] = "".join("ACGT"[i] for i in pwm.argmax(axis=1))
    assert list(consensus) == list(sim.motif_effects.columns)
    for site in sim.sites.itertuples():
        found = genome[site.chrom][site.start : site.end]
        assert found == site.sequence
        word = found if site.strand == "+" else found[::-1].translate(str.maketrans("ACGT", "TGCA"))
        assert sum(a != b for a, b in zip(word, consensus[site.motif], strict=True)) <= 1
    region = sim.mdata["atac"].var.loc[sim.sites["region"]]
    assert (sim.sites["start"].to_numpy() >= region["start"].to_numpy()).all()
    assert (sim.sites["end"].to_numpy() <= region["end"].to_numpy()).all()
    for _, here in sim.sites.sort_values(["chrom", "start"]).groupby("chrom"):
        assert (here["start"].to_numpy()[1:] >= here["end"].to_numpy()[:-1]).all()
    assert set(sim.sites["strand"]) == {"+", "-"}


def test_annotation_and_links_agree_on_promoters(sim, tss):
    assert list(tss["gene"].unique()) == list(sim.mdata["rna"].var_names)
    var = sim.mdata["atac"].var
    inside = [
        var.index[(var["chrom"] == row.chrom) & (var["start"] <= row.tss) & (row.tss < var["end"])].tolist()
        for row in tss.itertuples()
    ]
    held = {(gene, region) for gene, regions in zip(tss["gene"], inside, strict=True) for region in regions}
    promoters = sim.links[sim.links["is_promoter"]]
    assert set(zip(promoters["gene"], promoters["region"], strict=True)) <= held
    assert sum(gene in set(sim.base.index) for gene in tss["gene"]) == sum(map(len, inside)) == len(held)
    assert 0 < tss["gene"].nunique() - len(sim.base) < 10  # genes apart from all regions
    assert set(tss["strand"]) == {"+", "-"}
    assert tss["gene"].duplicated().any()  # a gene with two TSS
    assert len({region for _, region in held}) < len(held)  # a promoter of two genes


def test_annotation_as_written_by_hand(tmp_path):
    columns = ["gene", "chrom", "tss", "strand", "gene_id", "body"]
    rows = [("B", "chr2", 100, "-", "S2", 500), ("A", "chr1", 900, "+", "S1", 200), ("A", "chr1", 300, "+", "S1", 200)]
    write_annotation(tmp_path / "a.gtf", pd.DataFrame(rows, columns=columns), {"chr1": 1000, "chr2": 5000})
    _, *lines = (tmp_path / "a.gtf").read_text().splitlines()
    places = [line.split("\t")[0:1] + line.split("\t")[2:5] + line.split("\t")[6:7] for line in lines]
    one, two, three = ["1", "101"], ["901", "1000"], ["301", "501"]  # 1-based, closed, within the chromosome
    assert places == [
        *(["chr2", feature, *one, "-"] for feature in ("gene", "transcript", "exon")),
        ["chr1", "gene", "301", "1000", "+"],
        *(["chr1", feature, *span, "+"] for span in (two, three) for feature in ("transcript", "exon")),
    ]
    assert lines[-1].endswith('gene_name "A"; transcript_id "S1.2"; transcript_type "protein_coding"; exon_number 1;')


def test_links_are_within_reach_and_weaken_with_distance(sim, tss):
    var = sim.mdata["atac"].var
    centre = ((var["start"] + var["end"]) // 2)[sim.links["region"]].to_numpy()
    chrom = var["chrom"][sim.links["region"]].to_numpy()
    for link, here, place in zip(sim.links.itertuples(), chrom, centre, strict=True):
        own = tss[tss["gene"] == link.gene]
        assert (own["chrom"] == here).all()
        assert link.distance == (own["tss"] - place).abs().min()
    assert sim.links["distance"].max() <= REACH
    assert not sim.links.duplicated(["gene", "region"]).any()
    distal = sim.links[~sim.links["is_promoter"]].sort_values("distance")
    assert distal["weight"].is_monotonic_decreasing
    per_region = (sim.links["effect"] / sim.links["weight"]).groupby(sim.links["region"])
    assert (per_region.max() - per_region.min()).max() < 1e-12  # a region does the same to all its genes


def test_truth_tables_give_the_observed_counts(sim):
    expected = np.clip(sim.base.to_numpy() + sim.openness.to_numpy() @ effects(sim).toarray().T, 0, 3.5)
    np.testing.assert_allclose(sim.expression, expected, atol=1e-12)
    observed = log_cpm(sim.mdata["rna"])[sim.base.index]
    assert correlation(observed, expected) > 0.93
    assert np.abs(observed.to_numpy() - expected).mean() < 0.1
    assert correlation(10 ** log_cpm(sim.mdata["atac"]), sim.openness) > 0.97


def test_motif_truth_follows_from_sites_and_links(sim, tss):
    """Solve region effects for motifs and pairs, then take each motif away."""
    content = pd.crosstab(sim.sites["region"], sim.sites["motif"])
    content = content.reindex(index=sim.openness.columns, columns=sim.motif_effects.columns, fill_value=0).astype(float)
    pair = {
        (row.motif_a, row.motif_b): content[row.motif_a] * content[row.motif_b] for row in sim.motif_pairs.itertuples()
    }
    design = pd.concat([content, pd.DataFrame(pair)], axis=1)
    effect = (sim.links["effect"] / sim.links["weight"]).groupby(sim.links["region"]).mean()
    solved, *_ = np.linalg.lstsq(design.loc[effect.index].to_numpy(), effect.to_numpy(), rcond=None)
    np.testing.assert_allclose(design.loc[effect.index] @ solved, effect, atol=1e-9)
    np.testing.assert_allclose(solved[content.shape[1] :], sim.motif_pairs["effect"], atol=1e-9)

    reach = pd.Series(0.0, index=sim.openness.columns)
    var = sim.mdata["atac"].var
    for _, own in tss[tss["gene"].isin(sim.base.index)].groupby("gene"):
        start, end = var["start"].to_numpy()[:, None], var["end"].to_numpy()[:, None]
        distance = np.abs(own["tss"].to_numpy() - (start + end) // 2).min(axis=1)
        promoter = ((start <= own["tss"].to_numpy()) & (own["tss"].to_numpy() < end)).any(axis=1)
        weight = np.where(promoter, 1, np.exp(-distance / 10_000)) * (distance <= REACH)
        reach += weight * (var["chrom"] == own["chrom"].iloc[0])
    deviation = (sim.openness - sim.openness.mean()) * reach
    for m, motif in enumerate(content.columns):
        less = content[motif] * solved[m]
        for n, pair_name in enumerate(pair):
            less += pair[pair_name] * solved[content.shape[1] + n] * (motif in pair_name)
        np.testing.assert_allclose(sim.motif_effects[motif], deviation @ less / len(sim.base), atol=1e-9)


def test_pairs_do_what_their_kind_says(sim):
    effect = (sim.links["effect"] / sim.links["weight"]).groupby(sim.links["region"]).mean()
    content = sim.sites[sim.sites["motif"].isin(sim.activity.columns[sim.activity.any()])]
    acting = content.groupby("region")["motif"].agg(frozenset)
    by_content = effect.groupby(acting).mean()
    assert set(sim.motif_pairs["kind"]) == {"cooperating", "repressing"}
    for row in sim.motif_pairs.itertuples():
        a, b, both = (
            by_content[frozenset(motifs)] for motifs in ([row.motif_a], [row.motif_b], [row.motif_a, row.motif_b])
        )
        if row.kind == "cooperating":
            assert both > 5 * max(abs(a), abs(b))
        else:
            assert both < 0 < min(a, b)


def test_decoys_are_as_frequent_but_do_nothing(sim):
    acting = sim.activity.columns[sim.activity.any()]
    decoys = sim.activity.columns.difference(acting)
    assert len(acting) == len(decoys) == 12
    assert (sim.motif_effects[decoys] == 0).all(axis=None)
    counts = sim.sites["motif"].value_counts()
    assert 0.6 < counts[decoys].mean() / counts[acting].mean() < 1.6


def test_each_cell_type_is_a_new_combination_of_known_tfs(sim):
    dynamic = sim.activity.loc[:, sim.activity.std() > 0]
    assert ((dynamic > 0).sum() >= 2).all()
    deviation = sim.expression - sim.expression.mean()
    alike = np.corrcoef(deviation)[np.triu_indices(len(deviation), 1)]
    assert alike.max() < 0.6


@pytest.mark.parametrize("k", HELD_OUT)
def test_no_one_feature_gives_the_rule_away(sim, tss, k):
    rna, atac = log_cpm(sim.mdata["rna"])[sim.base.index], log_cpm(sim.mdata["atac"])
    others = np.arange(len(rna)) != k
    mean = rna[others].mean()
    assert 0.5 < correlation(mean, rna.iloc[k]) < 0.92
    assert max(correlation(row - mean, rna.iloc[k] - mean) for _, row in rna[others].iterrows()) < 0.65

    at = sim.base.index.get_indexer(sim.links["gene"]), atac.columns.get_indexer(sim.links["region"])
    for weight, limit in ((sim.links["is_promoter"].astype(float), 0.4), (sim.links["weight"], 0.5)):
        near = csr_matrix((weight, at), shape=(len(sim.base), atac.shape[1]))
        activity = pd.DataFrame(np.log10((near @ (10 ** atac.to_numpy().T - 1)).T + 1), columns=sim.base.index)
        assert abs(delta_correlation(activity, rna, k)) < limit

    counts = sim.mdata["atac"].to_df().groupby(sim.mdata["atac"].obs["cell_type"].to_numpy()).sum().to_numpy()
    opened = counts / counts.sum() * sim.openness.to_numpy().sum()
    true_rule = pd.DataFrame(np.clip(sim.base.to_numpy() + (effects(sim) @ opened.T).T, 0, 3.5), columns=sim.base.index)
    assert delta_correlation(true_rule, rna, k) > 0.9
