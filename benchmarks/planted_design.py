"""Sequences by tl.design for a row never seen, against the planted effect of the motifs that they hold.

Each gene's sequence is put in a region within 10 kb that is more than twice as open in the row as elsewhere. Effects are
log10(CPM + 1) per unit of openness, before scale, by the scan of the sequence. Beside it stand random bases with as many
motifs written into them: any, drawn with repeats or all different (median and 95th percentile of 200, and the share of them
below the design), those whose open sites within 30 kb correlate most with expression in the training rows and chromosomes,
and those most enriched in regions open in the row (mean of 20). "best random objective": the model's own, of 100.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from planted_truth import Demo, motif_slopes

import scget
from scget.datasets import _planted
from scget.model._design import Designs, Search
from scget.model._one_region import OneRegion
from scget.pp._bases import reverse_complement
from scget.pp._sequence_scores import SequenceScorer

NEAR = 10_000  # bp from the promoter to the region that is designed
N_RANDOM, N_CHOSEN, N_PREDICTED = 200, 20, 100


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--genes", type=int, default=12)
    parser.add_argument("--offset", type=int, default=0, help="first gene of the list, to take others (%(default)s)")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--beam", type=int, default=1)
    parser.add_argument("--copies", type=int, default=1)


class Words(NamedTuple):
    """What sequences are made of and judged by."""

    best: dict[str, str]
    scorer: SequenceScorer
    rule: _planted.Rule

    def planted(self, sequences: list[str]) -> np.ndarray:
        """Effect of the motifs that the scan finds."""
        at_m = pd.Index(self.scorer.names).get_indexer(self.rule.names)
        return _planted.region_effect(self.rule, (self.scorer.scores(sequences).toarray() > 0)[:, at_m])

    def written(self, start: str, names: Sequence[str] | np.ndarray, rng: np.random.Generator) -> str:
        """``start`` with the motifs' best words at random places, not over each other, on a random strand."""
        taken, text = np.zeros(len(start), dtype=bool), start
        for name in names:
            word = self.best[name] if rng.random() < 0.5 else reverse_complement(self.best[name])
            at = rng.integers(len(start) - len(word) + 1)
            while taken[at : at + len(word)].any():
                at = rng.integers(len(start) - len(word) + 1)
            taken[at : at + len(word)] = True
            text = text[:at] + word + text[at + len(word) :]
        return text


def measure(demo: Demo, args: argparse.Namespace) -> None:
    row, atac = demo.unseen_rows[0], demo.pb["atac"]
    scorer = SequenceScorer(demo.truth.motifs, None, atac.uns["motif_scan"], atac.uns["motif_names"])
    words, fold = Words(scorer.best_words(), scorer, demo.rule), folds(demo, row)
    has_pm = demo.has_pm
    enriched = pd.Series([np.corrcoef(has_p, fold)[0, 1] for has_p in has_pm.T], demo.motifs)
    choices = {"correlated": motif_slopes(demo), "enriched": enriched}
    named = {name: scores.nlargest(args.steps).index.tolist() for name, scores in choices.items()}
    roles = {demo.rule.names[m]: role for role, m in demo.rule.role_index.items()}
    for name, motifs in named.items():
        print(f"most {name}: {' '.join(roles.get(motif, 'decoy') for motif in motifs)}")
    rngs, lines, seconds = [np.random.default_rng(seed) for seed in (1, 2, 3)], [], 0.0
    for seed, (gene, region) in enumerate(asked(demo, fold, args)):
        begin = time.perf_counter()
        how = {"n_steps": args.steps, "beam": args.beam, "copies": args.copies, "seed": seed}
        found = scget.tl.design(demo.pb, demo.model, gene=gene, row=row, region=region, motifs=demo.truth.motifs, **how)
        seconds += time.perf_counter() - begin
        line = {"gene": gene, "fold": fold[region], **judged(words, found, named, rngs)}
        line["best random objective"] = by_model(demo, words, found, rngs[2])
        placed = found.steps[found.steps["design"] == 0]["name"][1:]
        lines.append({**line, "placed": " ".join(roles.get(name, "decoy") for name in placed)})
    report(pd.DataFrame(lines).set_index("gene"), seconds)


def report(table: pd.DataFrame, seconds: float) -> None:
    print(table.round(2).to_string())
    print(table.drop(columns=["fold", "n", "placed"]).mean().round(2).to_string())
    for kind in ("repeats", "different"):
        above = [(table["design"] > table[f"{kind} {limit}"]).sum() for limit in ("p95", "median")]
        print(f"random, {kind}: above the 95th percentile {above[0]}, above the median {above[1]} of {len(table)}")
    ahead = (table["objective"] > table["best random objective"]).sum()
    print(
        f"objective above the best of {N_PREDICTED} random ones: {ahead} of {len(table)}; {seconds:.0f} s of tl.design"
    )


def folds(demo: Demo, row: str) -> pd.Series:
    """How much more open regions are in the row than in the mean of the others, log2."""
    relative = demo.relative()
    return np.log2((relative.loc[row] + 0.1) / (relative.drop(index=row).mean() + 0.1))


def asked(demo: Demo, fold: pd.Series, args: argparse.Namespace) -> list[tuple[str, str]]:
    """Genes and the regions to design: every so many genes, those with a region that is open in the row above all."""
    promoters, relative = demo.promoters(), demo.relative().loc[demo.unseen_rows[0]]
    found = []
    for gene in promoters.index[args.offset :: max(len(promoters) // (4 * args.genes), 1)]:
        region = fold[demo.near_p(promoters.loc[gene], NEAR)].idxmax()
        if fold[region] > 1 and relative[region] > 0.5:
            found.append((str(gene), str(region)))
    return found[: args.genes]


def judged(
    words: Words, found: Designs, named: dict[str, list[str]], rngs: list[np.random.Generator]
) -> dict[str, Any]:
    start, best = found.steps["word"][0], found.sequences.iloc[0]
    n, every, (rng, other, _) = int(best["n_edits"]), list(words.best), rngs
    effect = words.planted([best["sequence"]])[0]
    line = {"n": n, "start": words.planted([start])[0], "design": effect, "objective": best["objective"]}
    draws = {
        "repeats": [words.written(start, rng.choice(every, n), rng) for _ in range(N_RANDOM)],
        "different": [words.written(start, other.choice(every, n, replace=False), other) for _ in range(N_RANDOM)],
    }
    for kind, sequences in draws.items():
        random_n = words.planted(sequences)
        line |= {f"{kind} median": np.median(random_n), f"{kind} p95": np.quantile(random_n, 0.95)}
        line[f"{kind} rank"] = (random_n < effect).mean()
    for name, motifs in named.items():
        line[name] = words.planted([words.written(start, motifs[:n], rng) for _ in range(N_CHOSEN)]).mean()
    return line


def by_model(demo: Demo, words: Words, found: Designs, rng: np.random.Generator) -> float:
    """Best objective, by the model, of random motifs, all different, written into the start."""
    table, start = demo.model.table(demo.pb), found.steps["word"][0]
    n, every = int(found.sequences["n_edits"][0]), list(words.best)
    region = int(np.flatnonzero(table.regions.names == found.region)[0])
    one = OneRegion(demo.model, table, found.gene, list(found.predicted.columns), region, 64)
    drawn = [rng.choice(every, n, replace=False) for _ in range(N_PREDICTED)]
    sequences = [start, *(words.written(start, names, rng) for names in drawn)]
    expression = one.expression(one.raw(words.scorer.scores(sequences)))
    return float(Search().objective(expression - expression[0]).max())
