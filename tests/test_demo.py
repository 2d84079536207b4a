"""The demo: the main job from files to figures learns the planted rule, and only where the rule can be read."""

from __future__ import annotations

import mudata
import numpy as np
import pandas as pd
import pytest

import scget
from scget import _demo
from scget.bm import BASELINES


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """What ``python -m scget demo`` writes, and what it prints."""
    import contextlib
    import io

    out, printed = tmp_path_factory.mktemp("demo"), io.StringIO()
    with contextlib.redirect_stdout(printed):
        _demo.main(["demo", "--out", str(out)])
    return out, printed.getvalue()


def delta_r(scores, predictor, split="rows", metric="delta_pearson"):
    rows = scores[(scores["split"] == split) & (scores["metric"] == metric)]
    return rows.set_index("predictor")["value"][predictor]


@pytest.mark.slow
def test_demo_beats_every_baseline_and_finds_the_planted_rule(output):
    out, printed = output
    scores = pd.read_csv(out / "scores.csv")
    ours = delta_r(scores, "GET")
    assert ours > 0.6
    others = {name: delta_r(scores, name) for name in BASELINES}
    assert np.isnan(others.pop("training_mean"))  # it predicts no deviation
    trees = others.pop("boosted_trees")
    assert ours > max(others.values()) + 0.1 and ours > trees - 0.05  # the number of threads moves ours by up to 0.04
    for line in ("unseen cell type", "training_mean *", "ridge", "Attributions against the planted rule"):
        assert line in printed
    truth = scget.datasets.simulated(out / "again", seed=0)
    ranks = _demo.rank_truth(mudata.read_h5mu(out / "demo.h5mu"), truth, "type10")
    assert ranks.loc["regions within 30 kb", "AUROC"] >= 0.8
    assert ranks.loc["regions within 30 kb", "AUROC"] > ranks.loc["  by nearness alone", "AUROC"]
    assert ranks.loc["regions within 30 kb", "r"] > ranks.loc["  by accessibility fold alone", "r"] + 0.1
    assert ranks.loc["motifs", "AUROC"] >= 0.8


@pytest.mark.slow
@pytest.mark.parametrize(("score", "question", "r"), [("gradient", "differs", 0.4), ("published", "acts", 0.2)])
def test_links_find_planted_enhancers_better_than_distance_does(output, score, question, r):
    """Regions within 30 kb by which the unseen type differs from the others' mean, or which act in it, by 0.05 or more."""
    out, _ = output
    pb, truth = mudata.read_h5mu(out / "demo.h5mu"), scget.datasets.simulated(out / "links", seed=0)
    model = scget.model.GET.load(out / "model", pb, accelerator="cpu")
    genes = sorted(truth.links["gene"].unique())[::5]
    links = model.links(genes=genes, rows=["type10"], score=score, max_distance=_demo.NEAR)
    openness = truth.openness.loc["type10"]
    if question == "differs":
        openness = openness - truth.openness.drop(index="type10").mean()
    planted = truth.links.assign(adds=truth.links["effect"] * openness.reindex(truth.links["region"]).to_numpy())
    adds = planted.groupby(["gene", "region"])["adds"].sum()
    adds = adds.reindex(pd.MultiIndex.from_frame(links[["gene", "region"]])).fillna(0).to_numpy()
    acts, near = np.abs(adds) > 0.05, 1 / (1000 + links["distance"].abs().to_numpy())
    ours, by_distance = (scget.bm.auprc(values, acts) for values in (links["score"].to_numpy(), near))
    print(score, question, ours, by_distance, acts.sum(), len(acts), scget.bm.pearson(links["signed"].to_numpy(), adds))
    assert ours > by_distance + 0.1
    assert scget.bm.pearson(links["signed"].to_numpy(), adds) > r


@pytest.mark.slow
def test_demo_leaves_files_that_can_be_used(output):
    out, _ = output
    for name in ("predicted.png", "attribution.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    pb = mudata.read_h5mu(out / "demo.h5mu")
    again = scget.model.GET.load(out / "model", accelerator="cpu").predict(pb)
    np.testing.assert_allclose(
        pb["rna"].to_df(layer="get").loc[again.index, again.columns], again, rtol=1e-4, atol=1e-4
    )
    assert list(pb.uns["get"]["holdout_obs"]) == ["type10"] and list(pb.uns["get"]["holdout_chroms"]) == ["chr8"]


@pytest.mark.slow
def test_shuffled_motif_scores_destroy_the_prediction(output, rng):
    """The model learns from motifs: with the same scores at other regions, what accessibility alone tells is left.

    Of genes on training chromosomes, sums of accessibility and similar rows still tell something. Genes of an unseen
    chromosome cannot have been memorised and have no similar rows: there it is left with next to nothing.
    """
    out, _ = output
    pb = mudata.read_h5mu(out / "demo.h5mu")
    pb["atac"].varm["motif_scores"] = pb["atac"].varm["motif_scores"][rng.permutation(pb["atac"].n_vars)]
    scget.model.GET.setup_mudata(pb)
    model = scget.model.GET(pb, width=64, n_layers=2, n_heads=4, window=64, dropout=0.2)
    held = {"holdout_obs": ["type10"], "holdout_chroms": ["chr8"], "enable_progress_bar": False}
    model.pretrain(5, **held, plan_kwargs={"lr": 5e-3})
    model.train(60, **held, plan_kwargs={"lr": 5e-3})
    shuffled, true = scget.bm.evaluate(model, baselines=["training_mean"]), pd.read_csv(out / "scores.csv")
    print(delta_r(shuffled, "GET"), delta_r(true, "GET"))
    print(delta_r(shuffled, "GET", "both", "change_pearson"), delta_r(true, "GET", "both", "change_pearson"))
    assert delta_r(shuffled, "GET") < 0.8 * delta_r(true, "GET")
    unseen = {"split": "both", "metric": "change_pearson"}
    assert delta_r(shuffled, "GET", **unseen) < 0.3 * delta_r(true, "GET", **unseen)


@pytest.mark.slow
def test_regulators_are_the_motifs_that_act(output):
    """By every fifth gene: motifs that act in the unseen cell type before decoys, and the motif of a planted list."""
    out, _ = output
    pb, truth = mudata.read_h5mu(out / "demo.h5mu"), scget.datasets.simulated(out / "regulators", seed=0)
    model = scget.model.GET.load(out / "model", pb, accelerator="cpu")
    genes = sorted(truth.links["gene"].unique())[::5]
    scget.tl.attribute(pb, model, genes=genes, top=1)
    scget.tl.regulators(pb, rows=["type10"])
    table = pb.uns["get"]["regulators"].astype({"motif": str}).set_index("motif")
    effect = truth.motif_effects.loc["type10"]
    table, acts = table.loc[effect.index], effect.abs().to_numpy() > 1e-9
    ranks = {name: scget.bm.auroc(table[name].abs().to_numpy(), acts) for name in ("effect", "specific", "apart")}
    print(ranks, scget.bm.pearson(table["specific"].to_numpy(), effect.to_numpy()))
    assert ranks["apart"] >= 0.8 and ranks["specific"] > 0.7
    assert scget.bm.pearson(table["specific"].to_numpy(), effect.to_numpy()) > 0.3
    alone = truth.links.merge(truth.sites[["region", "motif"]].drop_duplicates(), on="region")
    departs = truth.openness.loc["type10"] - truth.openness.mean()
    alone["adds"] = alone["effect"] * departs.reindex(alone["region"]).to_numpy()
    lists = {}
    for motif in effect.abs().nlargest(4).index:
        by_gene = alone[(alone["motif"] == motif) & alone["gene"].isin(genes)].groupby("gene")["adds"].sum()
        lists[motif] = (by_gene * np.sign(effect[motif])).nlargest(20).index.tolist()
    scget.tl.regulators(pb, gene_sets=lists, rows=["type10"])
    table = pb.uns["get"]["regulators"]
    table["place"] = table["z"].abs().groupby(table["gene_set"], observed=True).rank(ascending=False)
    own = table[table["motif"].astype(str) == table["gene_set"].astype(str)]
    print(own[["motif", "z", "fdr", "place"]])
    assert (own["place"] <= 3).sum() >= 2 and (own["place"] == 1).any()


@pytest.mark.slow
def test_pairs_of_motifs_that_act_together_are_found(output):
    """The 4 planted pairs among all 276, by interactions in the windows of 60 genes in the unseen cell type."""
    out, _ = output
    pb, truth = mudata.read_h5mu(out / "demo.h5mu"), scget.datasets.simulated(out / "pairs", seed=0)
    model = scget.model.GET.load(out / "model", pb, accelerator="cpu")
    scget.tl.motif_pairs(pb, model, rows=["type10"], n_genes=60)
    scget.tl.motif_network(pb, row="type10", n_draws=5)
    pairs, edges = (pb.uns["get"][name].astype({"row": str}) for name in ("motif_pairs", "motif_network"))
    planted = {frozenset(pair) for pair in truth.motif_pairs[["motif_a", "motif_b"]].itertuples(index=False, name=None)}
    names = [frozenset(pair) for pair in pairs[["motif_a", "motif_b"]].astype(str).itertuples(index=False, name=None)]
    acts, per_region = np.array([name in planted for name in names]), pairs["regions"].clip(lower=1e-9)
    assert acts.sum() == 4 and len(acts) == 276
    alone = pairs["rms"] / np.sqrt(per_region)  # planted pairs sit in one region more often than others: not for that
    ours, corrected = (scget.bm.auroc(score.to_numpy(), acts) for score in (pairs["rms"], alone))
    by_edge = [frozenset(edge) for edge in edges[["source", "target"]].astype(str).itertuples(index=False, name=None)]
    weight = pd.Series(edges["weight"].abs().to_numpy(), index=by_edge)
    causal = scget.bm.auroc(np.array([weight.get(name, 0.0) for name in names]), acts)
    print(ours, corrected, causal)
    assert ours >= 0.8 and corrected >= 0.7 and causal >= 0.75


@pytest.mark.slow
def test_destroying_planted_sites_does_what_the_rule_says(output):
    """Sites replaced one by one in the unseen cell type, beside weight x openness x what the motif adds to its region.

    The truth holds openness fixed, as the model does. Change of score x accessibility x nearness knows no sign.
    """
    from scget.datasets import _planted

    out, _ = output
    pb, truth = mudata.read_h5mu(out / "demo.h5mu"), scget.datasets.simulated(out / "variants", seed=0)
    model = scget.model.GET.load(out / "model", pb, accelerator="cpu")
    sites = truth.sites.sample(600, random_state=0)
    alleles = sites.rename(columns={"sequence": "ref", "motif": "id"}).assign(pos=sites["start"] + 1)
    alleles = alleles.assign(alt=alleles["ref"].str.translate(str.maketrans("ACGT", "CATG")))
    files = {"genome": truth.genome, "motifs": truth.motifs}
    found, motifs = scget.tl.variants(pb, model, alleles, **files, rows=["type10"], reach=_demo.NEAR)
    lost = motifs.groupby("variant", observed=True)["change"].min()
    assert (lost < -8).mean() > 0.95 and found["variant"].nunique() == 600
    found = found.dropna(subset="effect")
    region, motif = found["region"].astype(str), found["id"].astype(str)
    rule = _planted.make_rule(np.random.default_rng(0), len(truth.openness), truth.activity.shape[1])
    content = pd.crosstab(truth.sites["region"], truth.sites["motif"]).reindex(columns=rule.names, fill_value=0)
    adds = pd.DataFrame(_planted.motif_effect(rule, content.to_numpy()), content.index, content.columns).stack()
    weight = truth.links.groupby(["gene", "region"])["weight"].first()
    weight = weight.reindex(pd.MultiIndex.from_arrays([found["gene"].astype(str), region])).fillna(0).to_numpy()
    openness = truth.openness.loc["type10"].reindex(region).to_numpy()
    planted = -weight * openness * adds.reindex(pd.MultiIndex.from_arrays([region, motif])).to_numpy()
    accessible = pb["atac"].to_df().loc["type10"].reindex(region).to_numpy()
    simple = found["change"].fillna(0).abs() * accessible * np.exp(-found["distance"].abs() / 10_000)
    effect, unseen = found["effect"].to_numpy(), (found["chrom"] == "chr8").to_numpy()
    acting = (truth.motif_effects != 0).any().reindex(motif).to_numpy()
    sizes, ours = np.abs(effect), scget.bm.auroc(np.abs(effect), acting)
    by_simple = scget.bm.auroc(simple.to_numpy(), acting)
    print("acting against decoys", ours, by_simple, sizes[acting].mean() / sizes[~acting].mean())
    print("r", scget.bm.pearson(effect, planted), scget.bm.pearson(effect[unseen], planted[unseen]))
    print("r of the simple score, of either sign", scget.bm.pearson(simple.to_numpy(), planted))
    assert ours > 0.65 and ours > by_simple + 0.05 and sizes[acting].mean() > 2 * sizes[~acting].mean()
    assert scget.bm.pearson(effect, planted) > 0.15 + abs(scget.bm.pearson(simple.to_numpy(), planted))
    assert scget.bm.pearson(effect[unseen], planted[unseen]) > 0.35


@pytest.mark.slow
def test_reporter_activity_follows_the_planted_effect(output, rng):
    """Sites of regions of the unseen chromosome, written into random sequence: what they raise or lower is planted."""
    out, _ = output
    pb, truth = mudata.read_h5mu(out / "demo.h5mu"), scget.datasets.simulated(out / "mpra", seed=0)
    model = scget.model.GET.load(out / "model", pb, accelerator="cpu")
    links = truth.links[truth.links["region"].str.startswith("chr8:")].drop_duplicates("region")
    planted = (links["effect"] / links["weight"]).set_axis(links["region"])
    acting = truth.motif_effects.columns[truth.motif_effects.abs().sum() > 0]
    sites = truth.sites[truth.sites["chrom"] == "chr8"].groupby("region")
    decoys = sites["motif"].apply(lambda names: not names.isin(acting).any())
    planted = pd.concat([planted.iloc[::4], pd.Series(0.0, decoys.index[decoys])])
    sequences = pd.Series(
        {
            r: "".join("".join(rng.choice(list("ACGT"), 14)) + s for s in sites.get_group(r)["sequence"])
            for r in planted.index
        }
    )
    found = scget.tl.mpra(pb, model, sequences, motifs=truth.motifs, rows=["type10"], n_windows=6)["effect"]
    raised, lowered, none = (found[which].mean() for which in (planted > 0.3, planted < -0.3, planted == 0))
    r = np.corrcoef(found, planted)[0, 1]
    print(r, raised, none, lowered, len(planted))
    assert raised > none + 0.05 and lowered < none - 0.2 and r > 0.6


@pytest.mark.slow
def test_designs_for_the_unseen_type_are_made_of_motifs_that_raise_expression(output):
    """Planted effect of what three motifs add to random bases, beside three motifs drawn at random into the same bases."""
    from scget.datasets import _planted
    from scget.pp._sequence_scores import SequenceScorer

    out, _ = output
    pb, truth = mudata.read_h5mu(out / "demo.h5mu"), scget.datasets.simulated(out / "design", seed=0)
    model = scget.model.GET.load(out / "model", pb, accelerator="cpu")
    rule = _planted.make_rule(np.random.default_rng(0), 10, 24)  # what simulated(seed=0) draws first
    atac = pb["atac"]
    scorer = SequenceScorer(truth.motifs, None, atac.uns["motif_scan"], atac.uns["motif_names"])
    words, at_m = scorer.best_words(), pd.Index(scorer.names).get_indexer(rule.names)

    def planted_effect(sequences):
        return _planted.region_effect(rule, (scorer.scores(sequences).toarray() > 0)[:, at_m])

    counts = atac.to_df()
    share = counts.div(counts.sum(axis=1), axis=0)
    apart = share.loc["type10"] - share.drop(index="type10").mean()
    links = truth.links[truth.links["distance"] <= 10_000]
    asked = links.assign(apart=apart[links["region"]].to_numpy()).sort_values("apart").groupby("gene")["region"].last()
    rng, rank, roles = np.random.default_rng(0), [], []
    for gene in asked.index[50::200]:
        ask = {"gene": gene, "row": "type10", "region": asked[gene], "motifs": truth.motifs, "n_steps": 3}
        found = scget.tl.design(pb, model, **ask, against=["type02", "type05"])
        start, chance = found.steps["word"][0], []
        for _ in range(100):
            text = start
            for name, at in zip(rng.choice(list(words), 3, replace=False), (30, 130, 230), strict=True):
                text = text[:at] + words[name] + text[at + len(words[name]) :]
            chance.append(text)
        rank.append((planted_effect(chance) < planted_effect([found.sequences["sequence"][0]])).mean())
        roles += [rule.names.index(name) for name in found.steps["name"][1:]]
    acting = np.isin(roles, list(rule.role_index.values()))
    print(np.round(rank, 2), acting.mean())
    assert len(rank) >= 5 and np.mean(rank) > 0.7 and acting.mean() > 0.6
    assert rule.role_index["down1"] not in roles


@pytest.mark.slow
def test_a_screen_ranks_planted_links_above_distance_and_has_their_sign(output):
    """Deleting a region takes away its planted effect x openness; promoters, which distance finds, are left out."""
    out, _ = output
    pb, truth = mudata.read_h5mu(out / "demo.h5mu"), scget.datasets.simulated(out / "screen", seed=0)
    model = scget.model.GET.load(out / "model", pb, accelerator="cpu")
    rows, genes = ["type10", "type02", "type03"], sorted(truth.links["gene"].unique())[::8]
    found = scget.tl.screen(pb, model, genes=genes, rows=rows, reach=_demo.NEAR)
    found = found[found["distance"] != 0].astype({"region": str, "gene": str, "row": str})
    effect = truth.links.set_index(["gene", "region"])["effect"]
    effect = effect.reindex(pd.MultiIndex.from_frame(found[["gene", "region"]])).fillna(0).to_numpy()
    openness = truth.openness.stack().reindex(pd.MultiIndex.from_frame(found[["row", "region"]])).to_numpy()
    planted, nearness = -effect * openness, -found["distance"].abs().to_numpy()
    acts = np.abs(planted) > 0.05
    for row in rows:
        here = (found["row"] == row).to_numpy()
        ours = scget.bm.auprc(found["effect"].abs().to_numpy()[here], acts[here])
        print(row, ours, scget.bm.auprc(nearness[here], acts[here]))
        assert ours > scget.bm.auprc(nearness[here], acts[here]) + (0.05 if row == "type10" else 0.1)
    ours = scget.bm.spearman(found["effect"].to_numpy()[acts], planted[acts])
    by_size = -openness * np.exp(nearness / 10_000)  # near and open: says how much, and not which way
    print(ours, scget.bm.spearman(by_size[acts], planted[acts]))
    assert ours > 0.25 and ours > scget.bm.spearman(by_size[acts], planted[acts]) + 0.2
