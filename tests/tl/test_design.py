"""Designed sequences against brute force, against predictions from changed data, and against rules written anew."""

from __future__ import annotations

import copy
import re

import numpy as np
import pandas as pd
import pytest
import torch
from mudata import MuData
from scipy.sparse import csr_matrix

import scget
from scget._errors import InputError, ScgetWarning
from scget.model import GET, Ensemble
from scget.model._one_region import OneRegion
from scget.model._placements import Placement, Proposer, _Around
from scget.pp._sequence_rules import SequenceRules
from scget.pp._sequence_scores import SequenceScorer

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
OTHER = str.maketrans("ACGT", "TGCA")


class Planted(torch.nn.Module):
    """Every output: sum over the regions shown of accessibility x (weights of motifs + one pair of motifs)."""

    def __init__(self, config, weight_m, pair=None):
        super().__init__()
        self.config, self.pair = config, pair
        self.weight_m = torch.nn.Parameter(torch.tensor(weight_m, dtype=torch.float32))
        self.cls_token = torch.nn.Parameter(torch.zeros(1))

    def forward(self, tokens_brf, center_br=None, pad_br=None, at_b=None):
        n = len(self.weight_m)
        does_br = tokens_brf[..., :n] @ self.weight_m
        if self.pair is not None:
            a, b, together = self.pair
            does_br = does_br + together * tokens_brf[..., a] * tokens_brf[..., b]
        value_br = tokens_brf[..., n] * does_br
        value_b = (value_br if pad_br is None else value_br.masked_fill(pad_br, 0)).sum(1)
        n_read = tokens_brf.shape[1] if at_b is None else 1
        return value_b[:, None, None].expand(-1, n_read, self.config.n_outputs)


class Case:
    """Simulated data, models on them, and the question asked of all: a gene, its region and a row in which that is open."""

    def __init__(self, folder):
        self.truth = scget.datasets.simulated(
            folder, n_chroms=1, regions_per_chrom=40, n_cells=10, n_cell_types=4, n_motifs=16
        )
        scget.pp.motif_scores(self.truth.mdata, self.truth.genome, motifs=self.truth.motifs)
        scget.pp.promoters(self.truth.mdata, self.truth.annotation)
        self.mdata = scget.pp.pseudobulk(self.truth.mdata, "cell_type")
        GET.setup_mudata(self.mdata)
        self.own = GET(self.mdata, width=8, n_layers=1, n_heads=2, window=64, closed="keep", baseline="training_mean")
        self.own.train(2, **QUIET)
        atac = self.mdata["atac"]
        self.row = str(atac.obs_names[0])
        counts = atac.to_df()
        share = counts.div(counts.sum(axis=1), axis=0)
        gap = (share.loc[self.row] - share.drop(index=self.row).mean()).to_numpy()
        self.region = str(atac.var_names[int(np.argmax(gap))])
        high = self.own.predict(self.mdata)
        self.gene = str(high.min().dropna().idxmax())
        self.ask = {"gene": self.gene, "row": self.row, "region": self.region, "motifs": self.truth.motifs}
        self.scorer = SequenceScorer(
            self.truth.motifs, None, atac.uns["motif_scan"], [str(name) for name in atac.uns["motif_names"]]
        )

    def planted(self, weight_m, pair=None):
        model = copy.copy(self.own)
        model.module = Planted(self.own.config, weight_m, pair).eval()
        return model

    def predict(self, model, scores):
        """Predictions of the gene from data in which the region has these scores, by row."""
        new = MuData({name: self.mdata[name].copy() for name in ("atac", "rna")})
        score_pm = new["atac"].varm["motif_scores"].toarray()
        score_pm[new["atac"].var_names.get_loc(self.region)] = np.asarray(scores).ravel()
        new["atac"].varm["motif_scores"] = score_pm
        return model.predict(new)[self.gene]

    def of(self, model, sequence):
        return self.predict(model, self.scorer.scores([sequence]).toarray())

    def objective(self, change, others="mean"):
        rise = change.drop(index=self.row).clip(lower=0)
        return change[self.row] - (rise.mean() if others == "mean" else rise.max())


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return Case(tmp_path_factory.mktemp("design"))


@pytest.fixture(scope="module")
def linear_case(case):
    """A network linear in motif scores, with a weight of its own for each motif."""
    return case.planted(np.random.default_rng(3).normal(0, 0.02, 16))


def every_word(case, sequence):
    """All motif clusters' best words at all places on both strands, written by slicing."""
    matrices = scget.pp.read_motifs(case.truth.motifs)
    for name in matrices:
        word = "".join(
            "ACGT"[b] for b in matrices[name].argmax(axis=1)
        )  # as the background is even for A and T, C and G
        for strand, text in (("+", word), ("-", word[::-1].translate(OTHER))):
            for at in range(len(sequence) - len(text) + 1):
                yield (name, at, strand), sequence[:at] + text + sequence[at + len(text) :]


def every_base(case, sequence):
    for at, old in enumerate(sequence):
        for base in set("ACGT") - {old}:
            yield (f"{old}>{base}", at, "."), sequence[:at] + base + sequence[at + 1 :]


@pytest.mark.parametrize(("method", "every"), [("motifs", every_word), ("bases", every_base)])
def test_first_step_is_the_best_of_all_where_the_network_is_linear(case, linear_case, method, every):
    found = scget.tl.design(case.mdata, linear_case, **case.ask, method=method, length=120, n_steps=1, gc=(0, 1))
    start = found.steps["word"][0]
    names, sequences = zip(*every(case, start), strict=True)
    score_nm = case.scorer.scores(list(sequences)).toarray().astype(np.float64)
    at_start = case.scorer.scores([start]).toarray().astype(np.float64)
    before = case.predict(linear_case, at_start)
    slope_mk = np.stack([case.predict(linear_case, at_start + 20 * one) - before for one in np.eye(16)]) / 20
    change_nk = (score_nm - at_start) @ slope_mk
    others = [k for k, row in enumerate(before.index) if row != case.row]
    objective_n = change_nk[:, before.index.get_loc(case.row)] - change_nk[:, others].clip(min=0).mean(axis=1)
    step = found.steps.iloc[1]
    assert step["objective"] == pytest.approx(objective_n.max(), abs=3e-5) and step["objective"] > 5e-4
    chosen = objective_n[names.index((step["name"], step["start"], step["strand"]))]
    assert chosen == pytest.approx(objective_n.max(), abs=3e-5)


@pytest.mark.parametrize("method", ["motifs", "bases"])
def test_numbers_are_those_of_predictions_from_changed_data(case, method):
    """The trained network, three designs; objective, change and predictions by way of a MuData with other scores."""
    for others in ("mean", "max"):
        found = scget.tl.design(
            case.mdata, case.own, **case.ask, method=method, others=others, length=80, n_steps=3, beam=3
        )
        start = case.of(case.own, found.steps["word"][0])
        for design, line in found.sequences.iterrows():
            now = case.of(case.own, line["sequence"])
            shown = found.predicted.loc[design].iloc[-1]
            np.testing.assert_allclose(shown, now[shown.index], atol=2e-5)
            np.testing.assert_allclose(found.predicted.loc[design].iloc[0], start[shown.index], atol=2e-5)
            assert line["objective"] == pytest.approx(case.objective(now - start, others), abs=5e-5)
            assert line["change"] == pytest.approx((now - start)[case.row], abs=5e-5)
            assert line["change"] - line["others"] == pytest.approx(line["objective"], abs=1e-5)
            steps = found.steps[found.steps["design"] == design]
            text = steps["word"].iloc[0]
            for step in steps.iloc[1:].itertuples():
                text = text[: step.start] + step.word + text[step.end :]
            assert text == line["sequence"] and len(text) == 80
            assert line["objective"] == steps["objective"].iloc[-1] and line["n_edits"] == len(steps) - 1
        assert found.sequences["objective"].is_monotonic_decreasing and found.sequences["sequence"].is_unique


def test_the_regions_own_sequence_is_predicted_as_the_data_are(case):
    found = scget.tl.design(case.mdata, case.own, **case.ask, genome=case.truth.genome, against=(), n_steps=1)
    assert found.predicted.columns.tolist() == [case.row] and found.sequences["others"][0] == 0
    now = case.own.predict(case.mdata)[case.gene][case.row]
    assert found.predicted.iloc[0, 0] == pytest.approx(now, abs=1e-5)


@pytest.mark.parametrize(("method", "beam"), [("motifs", 1), ("motifs", 3), ("bases", 1), ("bases", 3)])
def test_rules_hold_in_each_sequence_kept(case, linear_case, method, beam):
    """GC by counting; forbidden sites by regular expressions on both strands; fixed stretches and words placed as they were."""
    rules = {"gc": (0.45, 0.55), "forbidden": ["GAATTC", "RGATCY", "TTTTT"], "fixed": [(0, 20), (70, 80)]}
    length = 100 if method == "motifs" else 300  # one base rarely makes a hit
    ask = {**case.ask, "method": method, "length": length, "n_steps": 5, "seed": 5}
    found = scget.tl.design(case.mdata, linear_case, **ask, beam=beam, **rules)
    free = scget.tl.design(case.mdata, linear_case, **ask, gc=(0, 1))
    assert free.sequences["objective"][0] > 0 and len(found.sequences) <= beam
    start = found.steps["word"][0]
    for design, steps in found.steps.groupby("design"):
        text, placed = start, []
        for step in steps.iloc[1:].itertuples():
            text = text[: step.start] + step.word + text[step.end :]
            assert 0.45 <= sum(base in "GC" for base in text) / length <= 0.55
            for strand in (text, text[::-1].translate(OTHER)):
                assert not re.search("GAATTC|[AG]GATC[CT]|TTTTT", strand)
            assert text[:20] == start[:20] and text[70:80] == start[70:80]
            if method == "motifs":
                assert all(step.end <= low or step.start >= end for low, end in placed)
                placed.append((step.start, step.end))
                assert text[step.start : step.end] == step.word
        assert text == found.sequences["sequence"][design]
        if method == "motifs":
            assert steps["name"].is_unique
        if beam == 1:
            assert (np.diff(steps["objective"]) > 0).all()


def test_a_beam_finds_a_pair_that_greedy_search_does_not(case):
    """Two motifs harm alone and help together; all others do nothing."""
    weight_m = np.zeros(16)
    weight_m[[2, 9]] = -0.01
    pair = case.planted(weight_m, (2, 9, 0.2))
    start = "".join(np.random.default_rng(9).choice(list("ACGT"), 90))
    assert case.scorer.scores([start]).toarray()[0, [2, 9]].sum() == 0
    with pytest.warns(ScgetWarning, match="no edit tried raises the objective"):
        greedy = scget.tl.design(case.mdata, pair, **case.ask, start=start, n_steps=2)
    assert greedy.sequences["sequence"].tolist() == [start] and greedy.sequences["objective"].tolist() == [0.0]
    wide = scget.tl.design(case.mdata, pair, **case.ask, start=start, n_steps=2, beam=17)
    names = np.asarray(case.mdata["atac"].uns["motif_names"])[[2, 9]]
    assert set(wide.steps[wide.steps["design"] == 0]["name"][1:]) == set(names)
    assert wide.sequences["objective"][0] > 0.01


def test_a_wider_beam_is_never_worse_than_greedy_search(case):
    for seed in range(2):
        rng = np.random.default_rng(seed)
        a, b = rng.choice(16, 2, replace=False)
        model = case.planted(rng.normal(0, 0.01, 16), (int(a), int(b), 0.05))
        best = [
            scget.tl.design(case.mdata, model, **case.ask, length=90, n_steps=3, beam=beam, seed=seed).sequences
            for beam in (1, 2, 5)
        ]
        objective = [table["objective"][0] for table in best]
        assert objective[0] > 0 and min(objective[1:]) >= objective[0]
        assert [len(table) for table in best] <= [1, 2, 5]


def test_copies_of_a_motif(case):
    weight_m = np.full(16, -0.01)
    weight_m[5] = 0.02
    name = str(case.mdata["atac"].uns["motif_names"][5])
    for copies in (1, 3):
        found = scget.tl.design(
            case.mdata, case.planted(weight_m), **case.ask, length=60, n_steps=4, copies=copies, gc=(0, 1)
        )
        assert (found.steps["name"] == name).sum() == copies


def test_order_batch_size_and_time_change_nothing(case):
    settings = {"length": 70, "n_steps": 3, "beam": 3, "seed": 1}
    found = scget.tl.design(case.mdata, case.own, **case.ask, **settings)
    rng = np.random.default_rng(5)
    atac, rna = case.mdata["atac"], case.mdata["rna"]
    turned = MuData(
        {
            "atac": atac[rng.permutation(4), rng.permutation(40)].copy(),
            "rna": rna[rng.permutation(4), rng.permutation(rna.n_vars)].copy(),
        }
    )
    for mdata, more in ((case.mdata, {"batch_size": 3}), (turned, {}), (case.mdata, {})):
        other = scget.tl.design(mdata, case.own, **case.ask, **settings, **more)
        assert other.sequences["sequence"].tolist() == found.sequences["sequence"].tolist()
        pd.testing.assert_frame_equal(other.predicted[found.predicted.columns], found.predicted, atol=1e-5)
    seeded = scget.tl.design(case.mdata, case.own, **case.ask, **{**settings, "seed": 2})
    assert seeded.steps["word"][0] != found.steps["word"][0] and found.record["members"] == 1


def test_an_ensemble_is_the_mean_of_its_members(case, linear_case):
    both = Ensemble([case.own, linear_case], {})
    found = scget.tl.design(case.mdata, both, **case.ask, length=60, n_steps=2)
    mean = sum(case.of(model, found.sequences["sequence"][0]) for model in (case.own, linear_case)) / 2
    shown = found.predicted.iloc[-1]
    np.testing.assert_allclose(shown, mean[shown.index], atol=2e-5)
    assert found.record["members"] == 2 and found.sequences["objective"][0] > 0


def test_scores_beside_an_edit_are_those_of_the_whole(case, rng):
    """Only bases within reach of a word are scanned; the whole sequence scanned gives the same change."""
    sequence = "".join(rng.choice(list("ACGT"), 150))
    sequence = Placement("x", 60, "+", next(iter(case.scorer.best_words().values()))).write(sequence)
    before = case.scorer.scores([sequence]).toarray()
    words = ["A", "GATTACA", case.scorer.best_words()["TF03"], "C"]
    places = [np.arange(150 - len(word) + 1)[::step] for word, step in zip(words, (1, 1, 1, 3), strict=True)]
    change = _Around(case.scorer, sequence).change(words, places).toarray()
    new = [
        Placement("x", int(at), "+", word).write(sequence)
        for word, at_c in zip(words, places, strict=True)
        for at in at_c
    ]
    np.testing.assert_allclose(change, case.scorer.scores(new).toarray() - before, atol=1e-5)
    assert (change < 0).any() and (change > 0).any()
    assert _Around(case.scorer, sequence).change(words[:1], [np.zeros(0, dtype=int)]).shape == (0, 16)


@pytest.mark.parametrize("preset", ["default", "compat"])
def test_first_order_guess_is_the_slope(case, preset):
    """Central differences of a trained network's predictions; with ``"compat"`` scores are in units of each row."""
    model = case.own
    if preset == "compat":
        model = GET(case.mdata, preset="compat", width=8, n_layers=1, n_heads=2, window=32)
        model.train(2, **QUIET)
    table = model.table(case.mdata)
    at = int(np.flatnonzero(table.regions.names == case.region)[0])
    genes = case.mdata["atac"].uns["peak_annotation"]
    gene = genes["gene"].iloc[np.argmin(np.abs(pd.Index(table.regions.names).get_indexer(genes["region"]) - at))]
    one = OneRegion(model, table, gene, [case.row, *sorted(set(table.rows) - {case.row})], at, 64)
    score_1m = csr_matrix(np.linspace(1, 6, 16)[None])
    guess = one.guess(one.raw(score_1m)[:, 0], score_1m)
    moved = csr_matrix(score_1m.toarray() + 0.5 * np.concatenate([np.eye(16), -np.eye(16)]))
    raw_nk = one.raw(moved)[0]
    slope_km = (raw_nk[:16] - raw_nk[16:]).T
    np.testing.assert_allclose(guess.slope_akm[0], slope_km, atol=0.03 * np.abs(slope_km).max())
    assert np.abs(slope_km[0]).max() > 1e-4
    guessed = one.guessed(guess, moved - csr_matrix(np.repeat(score_1m.toarray(), 32, axis=0)))
    np.testing.assert_allclose(guessed, one.expression(one.raw(moved)), atol=0.1 * np.abs(slope_km).max())  # half a bit


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gene": "NOPE"}, "no gene 'NOPE'"),
        ({"row": "NOPE"}, "no row 'NOPE'"),
        ({"against": ["NOPE"]}, "no row 'NOPE'"),
        ({"against": "type02"}, "one text"),
        ({"against": ["type01"]}, "against holds 'type01'"),
        ({"region": "chr1:0-10000000"}, "overlaps 40 regions"),
        ({"region": "chr9:1-2"}, "no region is on chromosome 'chr9'"),
        ({"motifs": None}, "No `motifs` given"),
        ({"method": "dreams"}, "method='dreams': it is one of 'motifs', 'bases'"),
        ({"others": "min"}, "others='min'"),
        ({"beam": 0}, "beam=0: at least 1"),
        ({"n_steps": 0}, "n_steps=0"),
        ({"copies": 0}, "copies=0"),
        ({"n_evaluated": 0}, "n_evaluated=0"),
        ({"gc": (0.7, 0.3)}, "least and the greatest share"),
        ({"forbidden": "GAATTC"}, "one text; give a list of sites"),
        ({"forbidden": ["GAAXTC"]}, "1 of 1 forbidden sites are no IUPAC words, first 'GAAXTC'"),
        ({"forbidden": ["N"]}, "none of 1,000 random sequences of 416 bases keeps the rules"),
        ({"fixed": [(5, 5)]}, "is no stretch"),
        ({"start": "ACGT", "length": 4}, "give one of them"),
        ({"start": "ACGTN"}, "other letters than A, C, G and T: 'N'"),
        ({"start": ""}, "is empty"),
        ({"start": "AAAAAAAAAAAAAAA"}, r"share of G and C is 0.000, not within 0.3 to 0.7"),
        ({"start": "ACGTGAATTCACGT", "forbidden": ["GAATTC"]}, "holds 'GAATTC' at 4, a forbidden site"),
        ({"start": "ACGTGATTCACGT", "fixed": [(5, 50)]}, r"it has 13 bases, and \(5, 50\) is fixed"),
        ({"start": "ACGT"}, "none of 16 motif clusters has a word of at most 4 bases"),
        ({"length": 0}, "length=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"gc": 0.5}, "gc=0.5: the least and the greatest share"),
        ({"gc": ("a", "b")}, "least and the greatest share"),
        ({"fixed": (0, 10)}, "fixed: 0 is no stretch; a list of"),
        ({"fixed": [("a", 3)]}, r"fixed: \('a', 3\) is no stretch"),
        ({"forbidden": None}, "forbidden=None: a list of sites is needed"),
        ({"length": 60.5}, "length=60.5"),
        ({"seed": -1}, "seed=-1"),
        ({"n_steps": 1.5}, "n_steps=1.5: at least 1 is needed, as a whole number"),
        ({"gene": ["G1", "G2"]}, "no gene"),
    ],
)
def test_what_cannot_be_done_is_said(case, change, said):
    if change.get("forbidden") == ["N"]:
        said = said.replace("416", str(int(np.subtract(*map(int, case.region.split(":")[1].split("-")[::-1])))))
    with pytest.raises(InputError, match=said):
        scget.tl.design(case.mdata, case.own, **{**case.ask, **change})


def test_a_region_that_the_row_does_not_see_is_refused(trained, case):
    """Motifs of other data are refused too."""
    atac = trained.adata["atac"]
    with pytest.raises(InputError, match="not made by scget.pp.motif_scores"):
        scget.tl.design(trained.adata, trained, gene="G3", row="T5", region=atac.var_names[0], motifs=case.truth.motifs)
    closed = GET(case.mdata, width=8, n_layers=1, n_heads=2, window=4)
    closed.train(1, **QUIET)
    promoter = case.mdata["atac"].uns["peak_annotation"].set_index("gene").loc[[case.gene], "region"].iloc[0]
    names = case.mdata["atac"].var_names
    far = names[0] if names.get_loc(promoter) > 20 else names[-1]
    with pytest.raises(InputError, match=f"in '{case.row}' does not see '{far}'.*No sequence opens a region"):
        scget.tl.design(case.mdata, closed, **{**case.ask, "region": far})


def test_nothing_is_proposed_once_each_motif_is_placed(case):
    words = list(case.scorer.best_words().items())
    proposer = Proposer(case.scorer, SequenceRules(), "motifs", 1, 400, np.random.default_rng(0))
    placed = [Placement(name, 20 * i, "+", word) for i, (name, word) in enumerate(words)]

    def weigh(change_cm):
        return np.asarray(change_cm.sum(axis=1)).ravel()

    assert proposer.propose("ACGT" * 100, placed, weigh, 32) == []
    left = proposer.propose("ACGT" * 100, placed[1:], weigh, 32)
    assert [one.name for one in left] == [words[0][0]]


def test_a_killed_search_goes_on_and_further(case, tmp_path, goes_on):
    settings = {"length": 70, "n_steps": 3, "beam": 2, "n_evaluated": 4}

    def ask(cache):
        found = scget.tl.design(case.mdata, case.own, **case.ask, **settings, cache=cache)
        return [found.sequences, found.steps, found.predicted]

    goes_on(ask, OneRegion, "_raw", tmp_path)
    n_kept, settings["n_steps"] = len(list(tmp_path.iterdir())), 4
    further, anew = ask(tmp_path), ask(None)
    for table, other in zip(further, anew, strict=True):
        pd.testing.assert_frame_equal(table, other, check_exact=True)
    assert (
        n_kept < len(list(tmp_path.iterdir())) <= n_kept + 4
    )  # two sequences of one more step: slopes and predictions
