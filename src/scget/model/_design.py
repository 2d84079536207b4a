"""Greedy and beam search for sequences that raise a gene in one row and not in others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from tqdm.auto import tqdm

from scget._errors import InputError, first, warn
from scget.pp._sequence_rules import SequenceRules, gc_share
from scget.pp._sequence_scores import SequenceScorer

from ._one_region import OneRegion
from ._placements import DECIMALS, METHODS, Placement, Proposer

OTHERS = ("mean", "max")


@dataclass(frozen=True)
class Designs:
    """Designed sequences, and how each came about; from :func:`scget.tl.design`.

    Attributes
    ----------
    gene, row, region
        What was designed for, and where the sequences are put.
    sequences
        A line per design, best first: sequence, objective, change (of the prediction in ``row``), others (what is taken off
        for the other rows), all log10(CPM + 1); gc (share of G and C), n_edits, edits.
    steps
        A line per design and step, 0 being the start: design, step, name (motif cluster, or ``A>C``), start, end (0-based
        half-open), strand, word, objective.
    predicted
        Predictions log10(CPM + 1) at each step: (design, step) x rows, the row designed for first.
    record
        Version, model and hold-outs, as beside predictions.

    Examples
    --------
    >>> found = scget.tl.design(  # doctest: +SKIP
    ...     pb, model, gene="GATA1", row="Mono", region="chr1:1000-1500", motifs="H12CORE.meme.gz", n_steps=3
    ... )
    >>> found.sequences["sequence"][0]  # doctest: +SKIP
    """

    gene: str
    row: str
    region: str
    sequences: pd.DataFrame
    steps: pd.DataFrame
    predicted: pd.DataFrame
    record: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Search:
    """How far to search; checked when made. See :func:`scget.tl.design`."""

    method: str = "motifs"
    n_steps: int = 10
    beam: int = 1
    others: str = "mean"
    n_evaluated: int = 32
    copies: int = 1

    def __post_init__(self) -> None:
        for name, known in (("method", METHODS), ("others", OTHERS)):
            if getattr(self, name) not in known:
                raise InputError(f"{name}={getattr(self, name)!r}: it is one of {first(known)}")
        for name in ("n_steps", "beam", "n_evaluated", "copies"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise InputError(f"{name}={value!r}: at least 1 is needed, as a whole number")

    def taken_off(self, change_nk: np.ndarray) -> np.ndarray:
        """What rises in other rows, all but the first, costs, (n,)."""
        rise_nk = np.maximum(change_nk[:, 1:], 0)
        if not rise_nk.shape[1]:
            return np.zeros(len(change_nk))
        return rise_nk.mean(axis=1) if self.others == "mean" else rise_nk.max(axis=1)

    def objective(self, change_nk: np.ndarray) -> np.ndarray:
        """Objective of changes from the start, (n,), rounded, so that what the network rounds makes no order."""
        change_nk = np.nan_to_num(change_nk)  # a row that shows no promoter of the gene does not change
        return np.round(change_nk[:, 0] - self.taken_off(change_nk), DECIMALS)


class Node(NamedTuple):
    """A sequence on its way: scores (1, m), predictions of members (a, k) and together (k,), objective, and what led to it."""

    sequence: str
    score_1m: sp.csr_matrix
    raw_ak: np.ndarray
    expression_k: np.ndarray
    objective: float
    placed: tuple[Placement, ...]
    before: tuple[Node, ...]

    def path(self) -> tuple[Node, ...]:
        """From the start to this node."""
        return (*self.before, self)


class Designer:
    """Searches for one gene, row and region."""

    def __init__(
        self, region: OneRegion, scorer: SequenceScorer, rules: SequenceRules, search: Search, start: str, seed: int
    ) -> None:
        self.region, self.scorer, self.search = region, scorer, search
        rng = np.random.default_rng([seed, 1])
        self.proposer = Proposer(scorer, rules, search.method, search.copies, len(start), rng)
        self.start = self._nodes([start], [()], ())[0]

    def designs(self) -> list[Node]:
        """The best nodes, none of which leads to another; of a search without a gain the start alone."""
        found, lead = [self.start], self.start
        beam, known = [self.start], {self._key(self.start)}
        greedy = True
        with tqdm(total=self.search.n_steps, desc="design", leave=False, mininterval=0.5) as bar:
            for _ in range(self.search.n_steps):
                children = {id(node): self._children(node) for node in beam}
                mine = children[id(lead)] if greedy else []
                greedy = bool(mine) and mine[0].objective > lead.objective
                lead = mine[0] if greedy else lead
                beam = self._kept([node for some in children.values() for node in some], [lead] * greedy, known)
                found += beam
                bar.update()
                if not beam:
                    break
        best = [lead] if self.search.beam == 1 else self._best(found)
        if best[0] is self.start:
            warn("no edit tried raises the objective: the start is returned. Give another region, row or start")
        return best

    def _children(self, node: Node) -> list[Node]:
        """Sequences one edit further that look best by the gradient, evaluated; best first, the first proposed where equal."""
        guess = self.region.guess(node.raw_ak, node.score_1m)
        start_k = self.start_k

        def weigh(change_cm: sp.csr_matrix) -> np.ndarray:
            return self.search.objective(self.region.guessed(guess, change_cm) - start_k)

        placements = self.proposer.propose(node.sequence, node.placed, weigh, self.search.n_evaluated)
        if not placements:
            return []
        sequences = [placement.write(node.sequence) for placement in placements]
        nodes = self._nodes(sequences, [(*node.placed, placement) for placement in placements], node.path())
        return sorted(nodes, key=lambda child: -child.objective)

    def _nodes(self, sequences: list[str], placed: list[tuple[Placement, ...]], before: tuple[Node, ...]) -> list[Node]:
        score_nm = self.scorer.scores(sequences)
        raw_ank = self.region.raw(score_nm)
        expression_nk = self.region.expression(raw_ank)
        start_k = before[0].expression_k if before else expression_nk[0]
        objective_n = self.search.objective(expression_nk - start_k)
        return [
            Node(sequence, score_nm[n], raw_ank[:, n], expression_nk[n], float(objective_n[n]), placed[n], before)
            for n, sequence in enumerate(sequences)
        ]

    @property
    def start_k(self) -> np.ndarray:
        """Predictions for the start."""
        return self.start.expression_k

    def _kept(self, children: list[Node], kept: list[Node], known: set[Any]) -> list[Node]:
        """The beam: the greedy search's own node first, then the best others that are new."""
        known.update(self._key(node) for node in kept)
        if self.search.beam == 1:
            return kept
        for child in sorted(children, key=lambda child: -child.objective):
            if len(kept) == self.search.beam:
                break
            if self._key(child) not in known:
                known.add(self._key(child))
                kept.append(child)
        return kept

    def _best(self, found: list[Node]) -> list[Node]:
        best: list[Node] = []
        for node in sorted(found, key=lambda node: (-node.objective, len(node.placed))):
            if node is self.start and best:
                continue
            on_path = (any(a is b for a in one.path()) for one, b in _both_ways(node, best))
            if not any(on_path) and len(best) < self.search.beam:
                best.append(node)
        return best

    def _key(self, node: Node) -> Any:
        """What makes a node another: the motifs placed, wherever, or the sequence."""
        if self.search.method == "motifs":
            return tuple(sorted(placed.name for placed in node.placed))
        return node.sequence


def _both_ways(node: Node, others: list[Node]) -> Iterator[tuple[Node, Node]]:
    for other in others:
        yield node, other
        yield other, node


def to_designs(nodes: list[Node], search: Search, names: tuple[str, str, str], rows: list[str]) -> Designs:
    """Tables of nodes; ``names``: gene, row, region."""
    lines, steps, predicted = [], [], {}
    for design, node in enumerate(nodes):
        path = node.path()
        change_1k = np.nan_to_num(node.expression_k - path[0].expression_k)[None]
        lines.append(
            {
                "sequence": node.sequence,
                "objective": node.objective,
                "change": float(change_1k[0, 0]),
                "others": float(search.taken_off(change_1k)[0]),
                "gc": gc_share(node.sequence),
                "n_edits": len(node.placed),
                "edits": "; ".join(map(str, node.placed)),
            }
        )
        for step, at in enumerate(path):
            steps.append({"design": design, "step": step, **_said(at), "objective": at.objective})
            predicted[design, step] = at.expression_k
    index = pd.MultiIndex.from_tuples(predicted, names=["design", "step"])
    table = pd.DataFrame(np.stack(list(predicted.values())), index=index, columns=rows)
    return Designs(*names, pd.DataFrame(lines), pd.DataFrame(steps), table)


def _said(node: Node) -> dict[str, Any]:
    if not node.placed:
        return {"name": "start", "start": 0, "end": len(node.sequence), "strand": "+", "word": node.sequence}
    last = node.placed[-1]
    return {"name": last.name, "start": last.at, "end": last.end, "strand": last.strand, "word": last.word}
