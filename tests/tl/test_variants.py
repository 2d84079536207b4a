"""Effects of variants against genomes edited by hand, scanned anew and predicted."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mudata import MuData

import scget
from scget._errors import GenomeError, InputError
from scget.model import GET, Ensemble

PVALUE = 5e-3
LENGTH = 600_500
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
OUT = [
    "variant",
    "id",
    "chrom",
    "pos",
    "ref",
    "alt",
    "region",
    "gene",
    "row",
    "distance",
    "motif",
    "change",
    "effect",
    "scope",
]


@dataclass
class World:
    """Toy rows whose regions have the motif scores of a genome."""

    mdata: MuData
    model: GET
    genome: Path
    chroms: dict[str, str]
    motifs: dict[str, np.ndarray]

    def ask(self, variants, model=None, **kwargs):
        return scget.tl.variants(
            self.mdata, model or self.model, variants, genome=self.genome, motifs=self.motifs, **kwargs
        )

    def regions(self):
        return self.mdata["atac"].var


def write_fasta(path, chroms):
    path.write_text("".join(f">{name}\n{text}\n" for name, text in chroms.items()))
    return path


@pytest.fixture(scope="module")
def world(trained, tmp_path_factory):
    rng = np.random.default_rng(3)
    mdata = MuData({name: trained.adata[name].copy() for name in ("atac", "rna")})
    chroms = {name: "".join(rng.choice(list("ACGT"), LENGTH)) for name in ("chr1", "chr2", "chr10")}
    genome = write_fasta(tmp_path_factory.mktemp("genome") / "g.fa", chroms)
    motifs = {name: rng.dirichlet(np.full(4, 0.2), 6) for name in ("A", "B/1", "C", "D", "E")}
    scget.pp.motif_scores(mdata, genome, motifs=motifs, pvalue=PVALUE)
    GET.setup_mudata(mdata)
    model = GET(mdata, width=16, n_layers=1, n_heads=2, window=16)
    model.train(8, holdout_obs=["T5"], holdout_chroms=["chr10"], plan_kwargs={"lr": 1e-2}, **QUIET)
    return World(mdata, model, genome, chroms, motifs)


def open_regions(world, n, promoters=False):
    """Positions of regions open in all rows, which hold a promoter or do not."""
    atac = world.mdata["atac"]
    starts = atac.var_names.isin(atac.uns["peak_annotation"]["region"])
    return np.flatnonzero((atac.X.toarray() > 0).all(0) & (starts == promoters))[:n]


def allele(world, region, offset, length, alt=None):
    """A line that replaces bases of a region, by default each by another."""
    chrom, start, _ = world.regions().iloc[region][["chrom", "start", "end"]]
    ref = world.chroms[chrom][start + offset : start + offset + length]
    alt = ref.translate(str.maketrans("ACGT", "CGTA")) if alt is None else alt.replace("^", ref[0])
    return {"chrom": chrom, "pos": start + offset + 1, "ref": ref, "alt": alt}


def edited(world, line, tmp_path):
    """The data with motif scores of regions carried over to a genome that has the allele written in."""
    chrom, at, ref, alt = line["chrom"], line["pos"] - 1, line["ref"], line["alt"]
    text = world.chroms[chrom]
    genome = write_fasta(tmp_path / "edited.fa", {**world.chroms, chrom: text[:at] + alt + text[at + len(ref) :]})
    genome.with_name("edited.fa.fai").unlink(missing_ok=True)
    new, var = MuData({name: world.mdata[name].copy() for name in ("atac", "rna")}), world.regions().copy()
    for edge in ("start", "end"):
        x, here = var[edge].to_numpy(), (var["chrom"] == chrom).to_numpy()
        moved = np.where(x < at + len(ref), np.minimum(x, at + len(alt)), x + len(alt) - len(ref))
        var[edge] = np.where(here & (x > at), moved, x)
    var.index = [f"{c}:{s}-{e}" for c, s, e in var[["chrom", "start", "end"]].itertuples(index=False)]
    carried = MuData({"atac": world.mdata["atac"].copy()})
    carried["atac"].var = var
    carried.update()
    scget.pp.motif_scores(carried, genome, motifs=world.motifs, pvalue=PVALUE)
    new["atac"].varm["motif_scores"] = carried["atac"].varm["motif_scores"]
    return new


KINDS = {
    "one base": lambda w, p, q: allele(w, p, 200, 1),
    "bases": lambda w, p, q: allele(w, p, 100, 60),
    "insertion": lambda w, p, q: allele(w, p, 250, 1, "^" + w.chroms["chr2"][1000:1080]),
    "deletion": lambda w, p, q: allele(w, p, 150, 120, "^"),
    "other length": lambda w, p, q: allele(w, p, 150, 40, "ACGTACG" * 9),
    "left edge": lambda w, p, q: allele(w, p, -50, 200, "^"),
    "right edge": lambda w, p, q: allele(w, p, 350, 300, "^"),
    "promoter": lambda w, p, q: allele(w, q, 100, 80),
}


@pytest.mark.parametrize("kind", KINDS)
def test_as_if_the_genome_were_edited(world, kind, tmp_path):
    """All genes of the chromosome and all rows, by files, scan and prediction of the edited genome; nothing else moves."""
    line = KINDS[kind](world, open_regions(world, 2)[1], open_regions(world, 1, promoters=True)[0])
    effects, motifs = world.ask(pd.DataFrame([line]), reach=10**6)
    new = edited(world, line, tmp_path)
    before, after = world.model.predict(world.mdata), world.model.predict(new)
    expected = (after - before).dropna(axis=1)
    found = effects.astype({"row": str, "gene": str}).pivot(index="row", columns="gene", values="effect")
    np.testing.assert_allclose(found, expected.loc[found.index, found.columns], rtol=0, atol=5e-5)
    assert (expected.drop(columns=found.columns) == 0).all(axis=None) and found.shape[1] > 5
    assert found.abs().max(axis=None) > 1e-3 and set(effects["scope"]) == {"predicted"}
    change_pm = pd.DataFrame(
        (new["atac"].varm["motif_scores"] - world.mdata["atac"].varm["motif_scores"]).toarray(),
        world.regions().index,
        new["atac"].uns["motif_names"],
    )
    listed = motifs.astype({"region": str, "motif": str}).set_index(["region", "motif"])["change"]
    known = change_pm.stack()
    pd.testing.assert_series_equal(
        listed.sort_index(), known[known != 0].sort_index(), check_names=False, check_dtype=False, rtol=1e-5
    )
    most = listed.abs().idxmax()
    assert set(effects["motif"]) == {most[1]} and set(effects["change"]) == {listed[most]}


def test_the_bound_at_0_is_that_of_predictions(world, tmp_path):
    """Training means lowered by hand, so that most predictions would be below 0."""
    low = copy.copy(world.model)
    low.scaling = replace(world.model.scaling, expression_g=world.model.scaling.expression_g - 3.7)
    line = KINDS["bases"](world, open_regions(world, 2)[1], 0)
    effects, _ = world.ask(pd.DataFrame([line]), low, reach=10**6)
    before, after = low.predict(world.mdata), low.predict(edited(world, line, tmp_path))
    found = effects.astype({"row": str, "gene": str}).pivot(index="row", columns="gene", values="effect")
    was, now = (table.loc[found.index, found.columns] for table in (before, after))
    np.testing.assert_allclose(found, now - was, rtol=0, atol=5e-5)
    free = world.ask(pd.DataFrame([line]), reach=10**6).effects["effect"].to_numpy()
    assert ((free != 0) & (effects["effect"] == 0)).any() and ((free != 0) & (effects["effect"] != 0)).any()


def test_two_regions_at_once(world, tmp_path):
    """A deletion from within one region to within the next is one variant, with both changed together."""
    var = world.regions()
    apart = np.flatnonzero((var["start"].diff().to_numpy() == 3000) & (var["chrom"] == "chr1").to_numpy())
    p = int(apart[0]) - 1
    line = allele(world, p, 300, 3000, "^")
    effects, motifs = world.ask(pd.DataFrame([line]), reach=10**6)
    expected = world.model.predict(edited(world, line, tmp_path)) - world.model.predict(world.mdata)
    found = effects.astype({"row": str, "gene": str}).pivot(index="row", columns="gene", values="effect")
    np.testing.assert_allclose(found, expected.loc[found.index, found.columns], rtol=0, atol=5e-5)
    assert effects["region"].unique().tolist() == [";".join(var.index[p : p + 2])]
    assert set(motifs["region"]) == set(var.index[p : p + 2])


def by_hand(sequence, matrix):
    """Sum over positions of the better strand's log-odds, where it reaches the threshold found from all words."""
    background = np.array([0.2977, 0.2023, 0.2023, 0.2977])
    odds = np.log2((matrix + 0.01 * background) / 1.01 / background)
    words = np.array([*itertools.product(range(4), repeat=len(odds))])
    value, chance = odds[np.arange(len(odds)), words].sum(1), background[words].prod(1)
    order = np.argsort(-value)
    limit = value[order][np.flatnonzero(np.cumsum(chance[order]) <= PVALUE)[-1]]
    codes = np.array(["ACGT".index(base) for base in sequence])
    words = np.lib.stride_tricks.sliding_window_view(codes, len(odds))
    best = np.maximum(*(odds[np.arange(len(odds)), w].sum(1) for w in (words, 3 - words[:, ::-1])))
    return best[best >= limit - 1e-9].sum()


def test_motif_scores_by_hand(world):
    p = open_regions(world, 3)[2]
    chrom, start, end = world.regions().iloc[p][["chrom", "start", "end"]]
    text = world.chroms[chrom][start:end]
    lines = [allele(world, p, at, 1) for at in range(0, 500, 9)]
    _, motifs = world.ask(pd.DataFrame(lines), genes=["G3"], rows=["T0"])
    change = motifs.astype({"variant": str, "motif": str}).set_index(["variant", "motif"])
    n = 0
    for line in lines:
        at = line["pos"] - 1 - start
        new = text[:at] + line["alt"] + text[at + 1 :]
        for name, matrix in world.motifs.items():
            key = (f"{chrom}:{line['pos']}:{line['ref']}>{line['alt']}", name)
            before, after = by_hand(text, matrix), by_hand(new, matrix)
            if key in change.index:
                np.testing.assert_allclose(
                    change.loc[key, ["before", "after"]].astype(float), [before, after], rtol=1e-5
                )
                n += 1
            else:
                assert after == pytest.approx(before, abs=1e-9)
    assert n == len(change) > 5


@pytest.fixture(scope="module")
def some(world):
    """Variants of each scope."""
    q, shut = open_regions(world, 6), (world.mdata["atac"].X.toarray() == 0).any(0)
    atac = world.mdata["atac"]
    shut = np.flatnonzero(shut & ~atac.var_names.isin(atac.uns["peak_annotation"]["region"]))[0]
    lines = [allele(world, p, 40 * i + 40, 20) | {"id": f"rs{i}"} for i, p in enumerate(q)]
    lines.append(allele(world, shut, 100, 90))
    lines.append(allele(world, q[0], -1000, 1))
    lines.append(allele(world, q[0], -20, 600, "^"))
    lines.append(allele(world, q[0], 100, 1, "<DEL>,*"))
    lines.append(allele(world, q[0], -1, 1, "^AC"))  # at the edge
    return pd.DataFrame(lines).fillna({"id": "."}), shut


def test_what_is_out_of_scope_is_there_once_and_says_why(world, some):
    table, shut = some
    effects, motifs = world.ask(table, rows=["T5", "T0"], reach=30_000)
    assert effects.columns.tolist() == OUT
    names = [
        f"{c}:{p}:{r}>{a}"
        for c, p, _, r, alts in table[["chrom", "pos", "id", "ref", "alt"]].itertuples(index=False)
        for a in alts.split(",")
    ]
    assert effects["variant"].unique().tolist() == names
    alone = effects[effects["gene"].isna()].astype({"variant": str, "scope": str}).set_index("variant")
    expected = dict(
        zip(names[7:], ["no region", "region lost", "no sequence", "no sequence", "no region"], strict=True)
    )
    assert alone["scope"][names[7:]].to_dict() == expected and set(alone["scope"][:-5]) <= {"no gene"}
    assert alone["effect"].isna().all() and alone[["row", "distance"]].isna().all(axis=None)
    assert alone.loc[names[8], "region"] == world.regions().index[open_regions(world, 1)[0]]
    assert alone["region"][[names[7], *names[9:]]].isna().all()
    seen = effects[effects["gene"].notna()]
    assert np.isfinite(seen["effect"]).all() and seen["distance"].abs().max() <= 30_000
    assert set(motifs["variant"]) <= set(names[:7])


def test_a_closed_region_stays_closed(world, some):
    table, shut = some
    effects = world.ask(table.iloc[[6]], reach=10**6).effects
    assert effects["region"].unique().tolist() == [world.regions().index[shut]]
    counts = pd.Series(world.mdata["atac"].X.toarray()[:, shut], world.mdata["atac"].obs_names)
    assert ((effects["scope"] == "closed").to_numpy() == (counts[effects["row"].astype(str)] == 0).to_numpy()).all()
    assert (effects.loc[effects["scope"] == "closed", "effect"] == 0).all()
    assert (effects.loc[effects["scope"] == "predicted", "effect"] != 0).any() or (counts == 0).all()


def test_a_promoter_that_is_not_shown_is_not_predicted(world, some):
    compat = GET(world.mdata, preset="compat", width=8, n_layers=1, n_heads=2, window=16)
    compat.train(1, holdout_obs=["T5"], holdout_chroms=["chr10"], **QUIET)
    effects = world.ask(some[0], compat, reach=10**6).effects.dropna(subset="gene")
    missing = compat.predict(world.mdata).isna().stack()
    pairs = pd.MultiIndex.from_frame(effects[["row", "gene"]].astype(str))
    np.testing.assert_array_equal(effects["scope"] == "no promoter", missing[pairs])
    np.testing.assert_array_equal(effects["effect"].isna(), missing[pairs])
    assert missing[pairs].any() and not missing[pairs].all()


def keyed(effects):
    index = ["variant", "gene", "row"]
    return (
        effects.astype(dict.fromkeys([*index, "region", "motif", "scope", "id", "chrom", "ref", "alt"], object))
        .set_index(index)
        .sort_index()
    )


def test_order_batch_size_and_source_change_nothing(world, some, tmp_path):
    table, _ = some
    effects, motifs = world.ask(table, reach=200_000)
    vcf = tmp_path / "v.vcf"
    columns = table.assign(qual=".")[["chrom", "pos", "id", "ref", "alt", "qual"]]
    vcf.write_text("##fileformat=VCFv4.2\n" + columns.to_csv(sep="\t", index=False, header=False))
    again = world.ask(vcf, reach=200_000, batch_size=3)
    pd.testing.assert_frame_equal(again.effects, effects, rtol=1e-4, atol=1e-6)
    pd.testing.assert_frame_equal(again.motifs, motifs)
    genes, rows = effects["gene"].cat.categories[::-1].tolist(), world.mdata["atac"].obs_names[::-1].tolist()
    turned = world.ask(table[::-1], reach=200_000, genes=genes, rows=rows).effects
    pd.testing.assert_frame_equal(keyed(turned), keyed(effects), rtol=1e-4, atol=1e-6)
    first = turned["variant"].astype(str).iloc[-1]
    lines = turned[turned["variant"] == first]
    assert lines["gene"].unique().tolist() == [g for g in genes if g in set(lines["gene"])]
    assert lines["row"].unique().tolist() == rows
    fewer = world.ask(table, reach=200_000, genes=genes[:4], rows=rows[:1]).effects.dropna(subset="gene")
    pd.testing.assert_frame_equal(keyed(fewer), keyed(effects).loc[keyed(fewer).index], rtol=1e-4, atol=1e-6)


def test_distance_is_from_the_nearest_start_and_upstream_is_negative(world, some):
    promoters = world.mdata["atac"].uns["peak_annotation"].astype({"gene": str})
    effects = world.ask(some[0].iloc[:6], rows=["T0"], reach=50_000).effects.dropna(subset="gene")
    chrom = promoters["region"].str.split(":").str[0]
    for line in effects.itertuples():
        mine = promoters[(promoters["gene"] == line.gene) & (chrom == line.chrom)]
        by_hand = (line.pos - 1 - mine["tss"]) * np.where(mine["strand"] == "+", 1, -1)
        assert line.distance == by_hand.iloc[by_hand.abs().argmin()] and abs(line.distance) <= 50_000
    for chrom_, pos in {(line.chrom, line.pos) for line in effects.itertuples()}:
        reached = promoters[(chrom == chrom_) & ((promoters["tss"] - pos + 1).abs() <= 50_000)]["gene"]
        assert set(effects.loc[effects["pos"] == pos, "gene"]) == set(reached)
    assert (effects["distance"] < 0).any() and (effects["distance"] > 0).any()


def test_an_ensemble_is_the_mean_of_its_members(world, some):
    other = GET(world.mdata, width=8, n_layers=1, n_heads=2, window=16)
    other.train(2, holdout_obs=["T5"], holdout_chroms=["chr10"], **QUIET)
    both, *each = (
        world.ask(some[0], m, reach=200_000).effects for m in (Ensemble([world.model, other], {}), world.model, other)
    )
    np.testing.assert_allclose(both["effect"], np.mean([e["effect"] for e in each], axis=0), atol=1e-6)
    pd.testing.assert_frame_equal(both.drop(columns="effect"), each[0].drop(columns="effect"))


def test_an_allele_that_touches_no_site_does_nothing(world):
    """Exactly 0, with no motif named; the data are as they were."""
    before = MuData({name: world.mdata[name].copy() for name in ("atac", "rna")})
    p = open_regions(world, 1)[0]
    effects, motifs = world.ask(pd.DataFrame([allele(world, p, at, 1) for at in range(0, 500, 11)]), rows=["T0"])
    still = ~effects["variant"].isin(motifs["variant"])
    assert (effects.loc[still, "effect"] == 0).all() and effects.loc[still, ["motif", "change"]].isna().all(axis=None)
    silent = world.ask(effects.loc[still, ["chrom", "pos", "ref", "alt"]].iloc[:1], rows=["T0"]).motifs
    assert silent.shape == (0, 6) and silent.columns.tolist() == motifs.columns.tolist()
    assert still.any() and (effects.loc[~still, "effect"] != 0).any() and effects.loc[~still, "motif"].notna().all()
    np.testing.assert_array_equal(
        before["atac"].varm["motif_scores"].toarray(), world.mdata["atac"].varm["motif_scores"].toarray()
    )
    assert before["atac"].uns.keys() == world.mdata["atac"].uns.keys()


def test_refusals(world, some, tmp_path):
    table, p = some[0], open_regions(world, 1)[0]
    line = allele(world, p, 100, 5)
    one = pd.DataFrame([line])
    chrom, start = line["chrom"], line["pos"] - 101
    text = world.chroms[chrom]
    other = {**world.chroms, chrom: text[: start + 200] + text[start + 499 : start + 199 : -1] + text[start + 500 :]}
    world2 = World(world.mdata, world.model, write_fasta(tmp_path / "o.fa", other), other, world.motifs)
    with pytest.raises(
        GenomeError, match=r"motif scores of 1 of 1 regions .* their sequence in 'o.fa', first 'chr.*scored on 'g.fa'"
    ):
        world2.ask(one)
    bare = {name.removeprefix("chr"): text for name, text in world.chroms.items()}
    world3 = World(world.mdata, world.model, write_fasta(tmp_path / "bare.fa", bare), bare, world.motifs)
    with pytest.raises(
        GenomeError, match="no variant is on a chromosome of the regions: .* have '1', the regions 'chr1'"
    ):
        world3.ask(one.assign(chrom="1"))
    with pytest.raises(GenomeError, match="Write them with 'chr'"):
        world.ask(one.assign(chrom="1"))
    with pytest.raises(GenomeError, match="add 1 to pos"):
        world.ask(table.assign(pos=table["pos"] - 1))
    with pytest.raises(GenomeError, match="Are ref and alt exchanged"):
        world.ask(table.iloc[:7].rename(columns={"ref": "alt", "alt": "ref"}))
    unlike = World(world.mdata, world.model, world.genome, world.chroms, {n: m[::-1] for n, m in world.motifs.items()})
    with pytest.raises(InputError, match="other matrices or members"):
        unlike.ask(one)
    for wrong, message in (
        ({"genes": ["zz"]}, "no gene 'zz'"),
        ({"rows": ["zz"]}, "no row 'zz'"),
        ({"rows": []}, "0 rows and batch_size=32"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"reach": -1}, "reach=-1"),
        ({"clusters": dict.fromkeys(world.motifs, "all")}, "make 1 clusters, the regions have 5"),
    ):
        with pytest.raises(InputError, match=message):
            world.ask(one, **wrong)
