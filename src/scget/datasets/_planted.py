"""The rule that `simulated` plants: motifs in regions -> open regions -> expression.

Open region p of cell type k (``x``: planted motifs, 0 or 1; ``a``: TF activity, 0 to 1; ``h``: height of the region)::

    open_kp = h_p * (floor + (1 - floor) * (1 - prod_m(1 - a_km) ** x_pm))

Effect of region p when fully open, on any gene in reach (``s``: motif alone; ``J``: motif pair)::

    effect_p = sum_m s_m x_pm + sum_{m<n} J_mn x_pm x_pn
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

FLOOR = 0.02  # openness of a closed region, of an open one's
MIN_MOTIFS = 16
_PAIRS = {  # roles of motifs that act together, and what the pair adds to the two alone
    ("both1", "both2"): ("cooperating", 1.9),
    ("both3", "both4"): ("cooperating", 1.9),
    ("up1", "turn1"): ("repressing", -2.5),
    ("up2", "turn2"): ("repressing", -2.5),
}
_ALONE = {  # effect of one motif, log10(CPM + 1) before scaling; every other motif has none
    "up1": 1.0,
    "up2": 1.0,
    "up3": 1.0,
    "down1": -1.0,
    "both1": -0.2,
    "both2": -0.2,
    "both3": -0.2,
    "both4": -0.2,
    "turn1": 0.5,
    "turn2": 0.5,
    "always1": 0.5,
    "always2": -0.3,
}
_ROLES = ("up1", "up2", "up3", "down1", "both1", "both2", "both3", "both4", "turn1", "turn2", "always1", "always2")
_N_ALWAYS = 2  # the last roles: active in every cell type, so they decide the level and not the deviation
_MODULES = {  # what a responsive region holds, and how often
    ("up1",): 1.0,
    ("up2",): 1.0,
    ("up3",): 1.1,
    ("down1",): 1.7,
    ("both1", "both2"): 1.0,
    ("both1",): 1.0,
    ("both2",): 1.0,
    ("both3", "both4"): 1.0,
    ("both3",): 1.0,
    ("both4",): 1.0,
    ("up1", "turn1"): 1.2,
    ("turn1",): 1.0,
    ("up2", "turn2"): 1.2,
    ("turn2",): 1.0,
}


@dataclass(frozen=True)
class Rule:
    """The planted rule: what each motif is and does."""

    names: list[str]
    pwms: list[np.ndarray]  # m times (width, 4), probabilities of A, C, G, T
    role_index: dict[str, int]  # role -> m
    alone_m: np.ndarray
    pair_mm: np.ndarray  # symmetric, diagonal 0
    pairs: pd.DataFrame
    activity_km: np.ndarray  # 0 to 1; decoys 0


def make_rule(rng: np.random.Generator, n_types: int, n_motifs: int) -> Rule:
    """Draw motifs, give them roles in random order, and draw TF activities."""
    names = [f"TF{i + 1:02d}" for i in range(n_motifs)]
    index = dict(zip(_ROLES, rng.permutation(n_motifs)[: len(_ROLES)].tolist(), strict=True))
    alone_m = np.zeros(n_motifs)
    for role, effect in _ALONE.items():
        alone_m[index[role]] = effect
    pair_mm = np.zeros((n_motifs, n_motifs))
    rows = []
    for (a, b), (kind, added) in _PAIRS.items():
        pair_mm[index[a], index[b]] = pair_mm[index[b], index[a]] = added
        rows.append((names[index[a]], names[index[b]], kind, added))
    activity_km = np.zeros((n_types, n_motifs))
    dynamic = [index[role] for role in _ROLES[:-_N_ALWAYS]]
    module_om = _module_matrix(index, n_motifs).astype(float)
    effect_o = module_om @ alone_m + ((module_om @ pair_mm) * module_om).sum(axis=1) / 2
    loud_o = np.abs(effect_o) * np.sqrt(list(_MODULES.values()))
    activity_km[:, dynamic] = _activities(rng, n_types, module_om[:, dynamic], loud_o)
    activity_km[:, [index[role] for role in _ROLES[-_N_ALWAYS:]]] = 1.0
    pairs = pd.DataFrame(rows, columns=["motif_a", "motif_b", "kind", "effect"])
    return Rule(names, _pwms(rng, n_motifs), index, alone_m, pair_mm, pairs, activity_km)


def _module_matrix(role_index: dict[str, int], n_motifs: int) -> np.ndarray:
    """Modules x motifs, bool."""
    module_om = np.zeros((len(_MODULES), n_motifs), dtype=bool)
    for row, roles in zip(module_om, _MODULES, strict=True):
        row[[role_index[role] for role in roles]] = True
    return module_om


def _activities(rng: np.random.Generator, n_types: int, module_om: np.ndarray, loud_o: np.ndarray) -> np.ndarray:
    """Cell types x TFs, graded, so that no cell type is like another.

    Each TF is active in about a third of the cell types, so a TF of one left-out type is seen in others. Swaps of two
    cell types within one TF make the most alike cell types less alike in what their regions do.
    """
    n_tfs = module_om.shape[1]
    n_on = np.clip(np.round(n_types * rng.uniform(0.25, 0.4, n_tfs)), 2, n_types - 1)
    on_kt = rng.random((n_types, n_tfs)).argsort(axis=0).argsort(axis=0) < n_on
    best_kt = on_kt * rng.uniform(0.6, 0.95, on_kt.shape)
    best = _likeness(best_kt, module_om, loud_o)
    for _ in range(20 * best_kt.size):
        trial_kt = best_kt.copy()
        t, pair = rng.integers(n_tfs), rng.choice(n_types, 2, replace=False)
        trial_kt[pair, t] = trial_kt[pair[::-1], t]
        score = _likeness(trial_kt, module_om, loud_o)
        if score < best:
            best_kt, best = trial_kt, score
    return best_kt


def _likeness(activity_kt: np.ndarray, module_om: np.ndarray, loud_o: np.ndarray) -> float:
    """Largest correlation of two cell types' deviations over module effects, plus how uneven the cell types are."""
    open_ko = 1 - np.exp(np.log(1 - activity_kt) @ module_om.T)
    dev_ko = (open_ko - open_ko.mean(axis=0)) * loud_o
    norm_k = np.sqrt((dev_ko**2).sum(axis=1))
    alike = (dev_ko @ dev_ko.T / np.outer(norm_k, norm_k))[np.triu_indices(len(dev_ko), 1)]
    sums_k = open_ko.sum(axis=1)  # even, so that counts per million mean the same everywhere
    uneven = sums_k.std() / sums_k.mean() + 2 * norm_k.std() / norm_k.mean()
    return float(alike.max() + (np.maximum(alike, 0) ** 2).mean() + uneven)


def _pwms(rng: np.random.Generator, n_motifs: int) -> list[np.ndarray]:
    """Informative motifs, 11 or 12 wide, none like another or its own reverse complement."""
    cores: list[np.ndarray] = []
    while len(cores) < n_motifs:
        new = rng.integers(0, 4, rng.integers(11, 13))
        others = [new[::-1] ^ 3, *cores, *(core[::-1] ^ 3 for core in cores)]
        if all(_fewest_mismatches(new, other) >= 4 for other in others):
            cores.append(new)
    pwms = []
    for core in cores:
        main = rng.uniform(0.96, 0.985, len(core))
        pwm = np.repeat((1 - main)[:, None] / 3, 4, axis=1)
        pwm[np.arange(len(core)), core] = main
        pwms.append(np.round(pwm, 6) + (1 - np.round(pwm, 6).sum(axis=1, keepdims=True)) * np.eye(4)[core])
    return pwms


def _fewest_mismatches(a: np.ndarray, b: np.ndarray, min_overlap: int = 8) -> int:
    """Fewest mismatches of two words of base codes over all shifts; each base hanging over counts a half."""
    fewest = len(a)
    for shift in range(min_overlap - len(b), len(a) - min_overlap + 1):
        low, high = max(0, shift), min(len(a), shift + len(b))
        mismatches = int((a[low:high] != b[low - shift : high - shift]).sum())
        fewest = min(fewest, mismatches + (max(len(a), len(b)) - (high - low)) // 2)
    return fewest


def draw_content(rng: np.random.Generator, rule: Rule, promoter_p: np.ndarray) -> np.ndarray:
    """Which motifs are planted in which region: 0 or 1, regions x motifs.

    Decoys are drawn as often as the motifs that act.
    """
    n_regions, n_motifs = len(promoter_p), len(rule.names)
    weights = np.array(list(_MODULES.values()))
    module_om = _module_matrix(rule.role_index, n_motifs)
    content_pm = np.zeros((n_regions, n_motifs), dtype=bool)
    for chance in (0.85, 0.15):  # most regions hold one module, some two, some none
        drawn_p = rng.choice(len(weights), n_regions, p=weights / weights.sum())
        content_pm |= module_om[drawn_p] & (rng.random(n_regions) < chance)[:, None]
    acting = [rule.role_index[role] for role in _ROLES]
    decoys = np.setdiff1d(np.arange(n_motifs), acting)
    often = content_pm[:, acting[:-_N_ALWAYS]].mean()
    decoy_pd = rng.random((n_regions, len(decoys))) < often
    content_pm[:, decoys] = decoy_pd & (decoy_pd.cumsum(axis=1) <= 10)  # 10 + 6 sites fit in 400 bp
    for m in acting[-_N_ALWAYS:]:
        content_pm[:, m] = rng.random(n_regions) < np.where(promoter_p, 0.22, 0.06)
    always_p = content_pm[:, acting[-_N_ALWAYS:]].any(axis=1)
    content_pm[np.ix_(always_p, np.array(acting[:-_N_ALWAYS]))] = False
    return content_pm.astype(np.int8)


def openness(rule: Rule, content_pm: np.ndarray, height_p: np.ndarray) -> np.ndarray:
    """Openness of regions by cell type, cell types x regions (formula at the top of the file)."""
    closed_km = np.log(np.maximum(1 - rule.activity_km, 1e-9))
    return height_p * (FLOOR + (1 - FLOOR) * (1 - np.exp(closed_km @ content_pm.T)))


def region_effect(rule: Rule, content_pm: np.ndarray) -> np.ndarray:
    """Effect of each region when open, before distance and scale."""
    x_pm = content_pm.astype(float)
    return x_pm @ rule.alone_m + ((x_pm @ rule.pair_mm) * x_pm).sum(axis=1) / 2


def motif_effect(rule: Rule, content_pm: np.ndarray) -> np.ndarray:
    """Change of `region_effect` that each planted motif makes by being there, regions x motifs."""
    x_pm = content_pm.astype(float)
    return x_pm * (rule.alone_m + x_pm @ rule.pair_mm)
