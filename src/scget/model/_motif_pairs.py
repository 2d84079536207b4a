"""How much more two motifs do together than each alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from scget._errors import InputError
from scget.data import RegionTable
from scget.data._table import positions
from scget.pp._kept import Arrays

from ._averaging import members_asked
from ._gene_windows import GeneWindows, Part, genes_to_explain
from ._kept import Folder, Kept

if TYPE_CHECKING:
    from mudata import MuData

    from ._ensemble import Ensemble
    from ._get import GET

MOST = 250_000_000  # pairs x genes held at once: 1 GB
LINES = 64  # of ``GeneWindows.jobs``, whose results are kept at once
PAIRS = ["row", "motif_a", "motif_b", "mean", "rms", "n_genes", "regions"]


def motif_pair_effects(
    model: GET | Ensemble,
    mdata: MuData,
    *,
    motifs: Sequence[str] | None,
    genes: Sequence[str] | None,
    rows: Sequence[str] | None,
    method: Any,
    n_genes: int,
    seed: int,
    batch_size: int,
    cache: Folder = None,
) -> pd.DataFrame:
    """A line per row and pair; :func:`scget.tl.motif_pairs` says what is in it."""
    if method not in METHODS:
        raise InputError(f"method={method!r}: 'slopes' or 'difference' is needed")
    table = model.table(mdata)
    motif_n = np.arange(len(table.motifs)) if motifs is None else positions(table.motifs, motifs, "motif")
    genes = _some(table, genes, n_genes, seed)
    n_pairs = len(motif_n) * (len(motif_n) - 1) // 2
    if not n_pairs:
        raise InputError(f"{len(motif_n)} motifs: at least 2 are needed")
    if n_pairs * len(genes) > MOST:
        raise InputError(
            f"{n_pairs:,} pairs of motifs x {len(genes):,} genes are more than {MOST:,} numbers; ask for fewer genes or motifs"
        )
    lines = [
        _row(model, table, str(row), genes, motif_n, method, batch_size, cache)
        for row in table.rows[table.row_positions(rows)]
    ]
    return pd.concat(lines, ignore_index=True)


def _some(table: RegionTable, genes: Sequence[str] | None, n_genes: int, seed: int) -> list[str]:
    """The genes asked, or some that have a promoter, whatever the order they come in."""
    named = table.genes[genes_to_explain(table, genes)].astype(str)
    if genes is not None:
        return list(named)
    if n_genes < 1:
        raise InputError(f"n_genes={n_genes}: at least 1 is needed")
    named = np.sort(named)
    drawn = np.random.default_rng(seed).choice(len(named), min(n_genes, len(named)), replace=False)
    return list(named[np.sort(drawn)])


def _row(
    model: GET | Ensemble,
    table: RegionTable,
    row: str,
    genes: list[str],
    motif_n: np.ndarray,
    method: str,
    batch_size: int,
    cache: Folder,
) -> pd.DataFrame:
    a_i, b_i = np.triu_indices(len(motif_n), 1)
    effect_gi = np.zeros((len(genes), len(a_i)), dtype=np.float32)
    held_gi = np.zeros_like(effect_gi)
    for member, where, share_g in members_asked(model, table, genes, [row], batch_size):
        asked = {"genes": where.gene_g, "row": row, "motifs": motif_n, "method": method}
        kept = Kept(cache, member, table, asked="motif pairs", **asked)
        make = partial(_block, where, motif_n, method, batch_size)
        found = kept.joined(where.blocks(LINES), make, f"motif pairs {row}")
        gene_j = pd.Index(where.gene_g).get_indexer(where.jobs["gene"])
        np.add.at(effect_gi, gene_j, found["effect_ji"] * share_g[gene_j, None])
        held_gi[:] = 0  # that of the last member: windows of members may differ in size
        np.add.at(held_gi, gene_j, found["held_ji"] / where.jobs["n_promoters"].to_numpy()[:, None])
    names = table.motifs[motif_n].astype(str)
    pairs = pd.DataFrame({"row": row, "motif_a": names[a_i], "motif_b": names[b_i]})
    pairs["mean"] = effect_gi.mean(axis=0, dtype=np.float64)
    pairs["rms"] = np.sqrt((effect_gi.astype(np.float64) ** 2).mean(axis=0))
    pairs["n_genes"], pairs["regions"] = (held_gi > 0).sum(axis=0), held_gi.mean(axis=0, dtype=np.float64)
    return pairs.sort_values("rms", ascending=False, kind="stable", ignore_index=True)[PAIRS]


def _block(where: GeneWindows, motif_n: np.ndarray, method: str, batch_size: int, block: slice) -> Arrays:
    """Of some lines of ``where.jobs``: interactions of pairs, and regions of the window that hold both, (j, i) each."""
    a_i, b_i = np.triu_indices(len(motif_n), 1)
    effects, held = [], []
    for part in where.parts(batch_size, "motif pairs", block):
        effects.append(METHODS[method](where, part, motif_n).cpu().numpy()[:, a_i, b_i].astype(np.float32))
        has_brm = (part.batch.tokens_brf[..., motif_n] != 0).float()
        held.append((has_brm.transpose(1, 2) @ has_brm).cpu().numpy()[:, a_i, b_i])
    return {"effect_ji": np.concatenate(effects), "held_ji": np.concatenate(held)}


@torch.inference_mode()
def _differences(where: GeneWindows, part: Part, motif_n: np.ndarray) -> Tensor:
    """Second differences in regions that hold both motifs, (b, m, m), the upper triangle."""
    tokens_brf = part.batch.tokens_brf
    value_b = where.read(part, tokens_brf).double()
    effect_bmm = value_b.new_zeros((len(value_b), len(motif_n), len(motif_n)))
    for i, a in enumerate(motif_n):
        for j, b in enumerate(motif_n[i + 1 :], start=i + 1):
            both_br = (tokens_brf[..., a] != 0) & (tokens_brf[..., b] != 0)
            at_n = np.flatnonzero(both_br.any(1).cpu().numpy())
            if len(at_n):
                at = torch.from_numpy(at_n).to(both_br.device)
                some, keep_br = part.take(at_n), ~both_br[at]
                without = [_without(where, some, keep_br, which) for which in ((a, b), (a,), (b,))]
                effect_bmm[at, i, j] = value_b[at] + without[0] - without[1] - without[2]
    return effect_bmm


def _without(where: GeneWindows, part: Part, keep_br: Tensor, motifs: tuple[int, ...]) -> Tensor:
    """Value with motifs kept only where ``keep_br``."""
    tokens_brf = part.batch.tokens_brf.clone()
    for motif in motifs:
        tokens_brf[..., motif] *= keep_br
    return where.read(part, tokens_brf).double()


def _slope_differences(where: GeneWindows, part: Part, motif_n: np.ndarray) -> Tensor:
    """By how much the effect of motif a, slope x score, differs with and without b in its regions; mean of a, b and b, a."""
    tokens_brf = part.batch.tokens_brf
    motif = torch.from_numpy(motif_n).to(tokens_brf.device)
    slopes_brf = where.slopes(part, tokens_brf)
    effect_bmm = tokens_brf.new_zeros((len(tokens_brf), len(motif_n), len(motif_n)))
    for j, b in enumerate(motif_n):
        has_br = tokens_brf[..., b] != 0
        at_n = np.flatnonzero(has_br.any(1).cpu().numpy())
        if len(at_n):
            at = torch.from_numpy(at_n).to(tokens_brf.device)
            some = part.take(at_n)
            without_brf = some.batch.tokens_brf.clone()
            without_brf[..., b] = 0
            change_brm = (slopes_brf[at] - where.slopes(some, without_brf))[..., motif]
            effect_bmm[at, :, j] = (change_brm * some.batch.tokens_brf[..., motif] * has_br[at, :, None]).sum(1)
    return (effect_bmm + effect_bmm.transpose(1, 2)) / 2


METHODS = {"slopes": _slope_differences, "difference": _differences}
