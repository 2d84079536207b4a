"""Words that can be written into a sequence, and what each would do to motif scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from scget._errors import InputError
from scget.pp._bases import encode, reverse_complement
from scget.pp._sequence_rules import SequenceRules
from scget.pp._sequence_scores import SequenceScorer

METHODS = ("motifs", "bases")
DECIMALS = 5  # of log10(CPM + 1); less is rounding of the network, and a tie
_UNKNOWN = 4  # code of a base that is part of no hit
Weigh = Callable[[sp.csr_matrix], np.ndarray]  # changes of scores, (c, m), to objectives, (c,)


@dataclass(frozen=True)
class Placement:
    """A ``word`` written at ``at``: the best word of motif cluster ``name`` on ``strand``, or one base (``A>C``, ``.``)."""

    name: str
    at: int
    strand: str
    word: str

    @property
    def end(self) -> int:
        """Base after the last."""
        return self.at + len(self.word)

    def write(self, sequence: str) -> str:
        """The sequence with the word in it."""
        return sequence[: self.at] + self.word + sequence[self.end :]

    def __str__(self) -> str:
        return f"{self.name} {self.strand} at {self.at}"


class Proposer:
    """Placements in sequences of one length, ranked by a first-order guess.

    Parameters
    ----------
    scorer
        Of motifs.
    rules
        That each placement keeps.
    method, copies
        ``"motifs"`` or ``"bases"``, and how often each motif cluster may be placed.
    rng
        Draws the order in which places that are as good as each other are taken.
    """

    def __init__(
        self,
        scorer: SequenceScorer,
        rules: SequenceRules,
        method: str,
        copies: int,
        length: int,
        rng: np.random.Generator,
    ) -> None:
        self.scorer, self.rules, self.method, self.copies = scorer, rules, method, copies
        self.order_x = rng.permutation(length)
        words = {base: base for base in "ACGT"} if method == "bases" else scorer.best_words()
        self.words = {name: word for name, word in words.items() if len(word) <= length}
        if not self.words:
            raise InputError(f"none of {len(words)} motif clusters has a word of at most {length} bases")
        self._alone_wm = scorer.scores(list(self.words.values()))

    def propose(self, sequence: str, placed: Sequence[Placement], weigh: Weigh, n: int) -> list[Placement]:
        """The ``n`` placements with the highest objective, best first; of each motif cluster the best one alone.

        Motifs are not written over those ``placed``, nor more often than allowed.
        """
        around = _Around(self.scorer, sequence)
        motifs = self.method == "motifs"
        taken = [(one.at, one.end) for one in placed] if motifs else []
        free_x = np.ones(len(sequence), dtype=bool)
        for low, end in (*taken, *self.rules.fixed):
            free_x[low:end] = False
        often = Counter(one.name for one in placed) if motifs else Counter()
        full = {name for name, n_placed in often.items() if n_placed >= self.copies}
        words = [
            (name, *strand) for name in self._promising(weigh, n, full) for strand in self._strands(name)
        ]  # name, strand, word
        if not words:  # each motif is placed as often as allowed
            return []
        places = [self._places(sequence, word, free_x) for *_, word in words]
        gain_c = np.round(weigh(around.change([word for *_, word in words], places)), DECIMALS)
        found: dict[str, list[tuple[float, int, Placement]]] = {name: [] for name, *_ in words}
        gains = np.split(gain_c, np.cumsum([len(at_c) for at_c in places])[:-1])
        for (name, strand, word), at_c, mine_c in zip(words, places, gains, strict=True):
            for i in np.lexsort([self.order_x[at_c], -mine_c])[: 1 if motifs else n]:
                at = int(at_c[i])
                called = name if motifs else f"{sequence[at]}>{word}"
                found[name].append((-float(mine_c[i]), int(self.order_x[at]), Placement(called, at, strand, word)))
        best = [min(some, key=lambda one: one[:2]) for some in found.values() if some] if motifs else []
        every = best if motifs else [one for some in found.values() for one in some]
        return [placement for *_, placement in sorted(every, key=lambda one: one[:2])[:n]]

    def _promising(self, weigh: Weigh, n: int, full: set[str]) -> list[str]:
        """Names of words but those in ``full``, by what they would do in a sequence without a hit; all bases."""
        names = list(self.words)
        order = range(len(names))
        if self.method == "motifs" and len(names) - len(full) > n:
            order = np.argsort(-np.round(weigh(self._alone_wm), DECIMALS), kind="stable").tolist()
        return [names[w] for w in order if names[w] not in full][: n if self.method == "motifs" else None]

    def _strands(self, name: str) -> list[tuple[str, str]]:
        word = self.words[name]
        if self.method == "bases":
            return [(".", word)]
        other = reverse_complement(word)
        return [("+", word)] + ([] if other == word else [("-", other)])

    def _places(self, sequence: str, word: str, free_x: np.ndarray) -> np.ndarray:
        """Where the word can be written: nothing taken, something changed, all rules kept."""
        width, letters = len(word), np.frombuffer(sequence.encode(), dtype=np.uint8)
        blocked = np.cumsum(np.append(0, ~free_x))
        is_gc = np.cumsum(np.append(0, np.isin(letters, list(b"GC"))))
        n_gc = is_gc[-1] - (is_gc[width:] - is_gc[:-width]) + word.count("G") + word.count("C")
        ok = (blocked[width:] == blocked[:-width]) & self.rules.allows_gc(n_gc, len(sequence))
        places = [x for x in np.flatnonzero(ok).tolist() if sequence[x : x + width] != word]
        return np.array([x for x in places if self.rules.clean(sequence, x, word)], dtype=np.int64)


class _Around:
    """Changes of scores from hits that a word makes and destroys: only bases within reach of it are scanned."""

    def __init__(self, scorer: SequenceScorer, sequence: str) -> None:
        self.scorer, self.flank = scorer, scorer.width - 1
        pad = np.full(self.flank, _UNKNOWN, dtype=np.uint8)
        self.codes_x = np.concatenate([pad, encode([sequence])[0], pad])

    def change(self, words: Sequence[str], places: Sequence[np.ndarray]) -> sp.csr_matrix:
        """Scores with each word at each of its places less those without, (c, m): the places of the first word first."""
        widths = sorted({len(word) for word in words})
        parts = [self._windows(width) for width in widths]  # as they are, at every place
        first_w = dict(zip(widths, np.cumsum([0, *map(len, parts)]), strict=False))
        before_c = [first_w[len(word)] + at_c for word, at_c in zip(words, places, strict=True)]
        for word, at_c in zip(words, places, strict=True):
            after_cs = self._windows(len(word))[at_c]
            after_cs[:, self.flank : self.flank + len(word)] = encode([word])[0]
            parts.append(after_cs)
        sizes = np.repeat([part.shape[1] for part in parts], [len(part) for part in parts])
        codes = np.concatenate([np.zeros(0, dtype=np.uint8), *(part.ravel() for part in parts)])
        score_cm = self.scorer.of_codes(codes, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))
        n_after = sum(map(len, places))
        return score_cm[score_cm.shape[0] - n_after :] - score_cm[np.concatenate([np.zeros(0, dtype=int), *before_c])]

    def _windows(self, width: int) -> np.ndarray:
        """Codes around each place for a word of this width, (x, width + 2 flank)."""
        return np.lib.stride_tricks.sliding_window_view(self.codes_x, width + 2 * self.flank)
