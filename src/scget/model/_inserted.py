"""Sequences put in the middle of windows of a row, and how active the network takes them to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch import Tensor
from tqdm.auto import tqdm

from scget._errors import InputError, first
from scget.data import RegionTable, Tokens, TokenSource, sampled_windows
from scget.module._focus import focus_outputs
from scget.pp._inserts import element_keys, inserts
from scget.pp._motif_sets import Clusters, Motifs
from scget.pp._sequence_scores import SequenceScorer

from ._averaging import members_of
from ._choices import check_seed
from ._infer import lay_rows
from ._kept import Folder, Kept
from ._running import Running

if TYPE_CHECKING:
    from mudata import MuData

    from ._ensemble import Ensemble
    from ._get import GET

MODES, STRANDS = ("replace", "add"), ("mean", "max")
COLUMNS = ("activity", "sd", "effect", "effect_sd")


@dataclass(frozen=True)
class Contexts:
    """Windows of one row, in the middle of which sequences are put.

    ``tokens_wrf``: features, those at token ``at`` being of a sequence without motifs. ``center_wr``: bp. ``share_m``:
    motif feature per bit. ``capped``: no motif feature is above 1.
    """

    tokens_wrf: Tensor
    center_wr: Tensor
    at: int
    share_m: Tensor
    capped: bool

    def __len__(self) -> int:
        return len(self.tokens_wrf)

    @classmethod
    def of(
        cls,
        model: GET,
        laid: tuple[TokenSource, Tokens],
        row: int,
        n_windows: int,
        seed: int,
        mode: str,
        openness: float,
    ) -> Contexts:
        """Windows of row ``row`` (position), ``laid`` by :func:`~scget.model._infer.lay_rows`."""
        (source, tokens), n_motifs = laid, model.config.n_motifs
        mine = tokens.row_u == row
        own = {name: getattr(tokens, name)[mine] for name in ("row_u", "chrom_u", "start_u", "stop_u")}
        windows = sampled_windows(replace(tokens, **own), model.window, n_windows, np.random.default_rng(seed))
        index_wr = torch.from_numpy(windows.regions()).to(source.center_p.device)
        batch = source.gather(torch.full_like(index_wr[:, 0], row), index_wr)
        tokens_wrf, at = batch.tokens_brf.clone(), windows.size // 2
        if mode == "replace":
            tokens_wrf[:, at, :n_motifs] = 0
        tokens_wrf[:, at, n_motifs:] = 0  # no fold over a training mean, nor other channels, are known of it
        tokens_wrf[:, at, n_motifs] = openness
        share_m = torch.from_numpy(source.per_bit(np.array([row]))[0].astype(np.float32)).to(tokens_wrf.device)
        return cls(tokens_wrf, batch.center_br, at, share_m, source.has_units)

    def motifs(self, score_nm: sp.csr_matrix) -> Tensor:
        """Motif features of scores in bits, (n, m)."""
        return torch.from_numpy(score_nm.toarray()).to(self.share_m.device) * self.share_m

    def focus(self, motif_nm: Tensor, w: int) -> Tensor:
        """Features in the middle of window ``w`` with each of the sequences there, (n, f)."""
        own_f = self.tokens_wrf[w, self.at]
        n_motifs = motif_nm.shape[1]
        motif_nm = motif_nm + own_f[:n_motifs]
        motif_nm = motif_nm.clamp(max=1) if self.capped else motif_nm
        return torch.cat([motif_nm, own_f[n_motifs:].expand(len(motif_nm), -1)], dim=1)


def read_sequences(
    table: RegionTable, sequences: Sequence[str], adaptor: int, motifs: Motifs | None, clusters: Clusters | None
) -> tuple[SequenceScorer, np.ndarray]:
    """What scores sequences as the regions of ``table`` were, and the sequences without adaptors."""
    cut = inserts(sequences, adaptor)
    if not len(cut):
        raise InputError("there is no sequence; give at least one")
    return SequenceScorer(motifs, clusters, table.motif_scan, table.motifs), cut


def score_elements(scorer: SequenceScorer, cut: np.ndarray) -> tuple[sp.csr_matrix, np.ndarray]:
    """Scores of each element, (u, m) bits, and which element each sequence is, (n,).

    A sequence and its reverse complement are one element: they have the same hits.
    """
    element_u, at_n = np.unique(element_keys(cut), return_inverse=True)
    return scorer.scores(list(element_u)), at_n


def inserted_activity(
    model: GET | Ensemble,
    mdata: MuData,
    sequences: Sequence[str] | pd.Series,
    rows: Sequence[str] | None,
    scored: tuple[Motifs | None, Clusters | None, int],
    windows: tuple[int, int, str, float],
    *,
    strands: str,
    batch_size: int,
    cache: Folder = None,
) -> pd.DataFrame:
    """Table of :func:`scget.tl.mpra`.

    ``scored``: motifs, clusters, adaptor; ``windows``: number, seed, mode, accessibility.
    """
    check_choices(*windows, strands=strands)
    members, table = members_of(model), model.table(mdata)
    row_k, (scorer, cut) = table.row_positions(rows), read_sequences(table, sequences, scored[2], *scored[:2])
    laid = [lay_rows(member, table, rows, batch_size) for member in members]
    score_um, at_n = score_elements(scorer, cut)
    index = sequences.index if isinstance(sequences, pd.Series) else pd.RangeIndex(len(cut))
    asked = {"windows": windows, "strands": strands, "scores": score_um, "batch_size": batch_size}
    blocks = [slice(low, low + batch_size) for low in range(0, score_um.shape[0], batch_size)]
    tables = []
    for k in row_k:
        contexts = [Contexts.of(m, one, int(k), *windows) for m, one in zip(members, laid, strict=True)]
        kept = Kept(cache, model, table, asked="mpra", row=int(k), **asked)
        over_windows = partial(_over_windows, members, contexts, score_um, strands)
        found = kept.joined(blocks, over_windows, f"mpra {table.rows[k]}")
        own = pd.DataFrame({name: found[name][at_n] for name in COLUMNS}, index=index)
        own.insert(0, "row", str(table.rows[k]))
        tables.append(own)
    return pd.concat(tables)


def _over_windows(
    members: Sequence[GET], contexts: Sequence[Contexts], score_um: sp.csr_matrix, strands: str, block: slice
) -> dict[str, np.ndarray]:
    """Mean and standard deviation over windows of the activity of a block, and of what motifs add to it, (b,) each."""
    none_1m = sp.csr_matrix((1, score_um.shape[1]), dtype=np.float32)
    score_bm = sp.vstack([none_1m, score_um[block]], format="csr")
    motif_mbm = [context.motifs(score_bm) for context in contexts]
    whole, effect = Running(), Running()
    for w in tqdm(range(min(map(len, contexts))), desc="windows", leave=False, delay=1):
        asked = zip(members, contexts, motif_mbm, strict=True)
        value_b = np.mean([_activity(m, c, motif_bm, w, strands) for m, c, motif_bm in asked], axis=0)
        whole.add(value_b[1:])
        effect.add(value_b[1:] - value_b[0])
    return dict(zip(COLUMNS, (whole.mean, whole.std, effect.mean, effect.std), strict=True))


@torch.inference_mode()
def _activity(model: GET, contexts: Contexts, motif_bm: Tensor, w: int, strands: str) -> np.ndarray:
    """What a gene never seen that begins in the middle of window ``w`` is predicted, (b,) log10(CPM + 1)."""
    tokens_rf, center_r = contexts.tokens_wrf[w], contexts.center_wr[w]
    out_bo = focus_outputs(model.module, tokens_rf, center_r, contexts.focus(motif_bm, w), contexts.at)
    value_bs = out_bo.double().cpu().numpy()
    if model.config.deviation:
        scaling = model.scaling
        network = (1 - scaling.activity[1]) * scaling.deviation[0]
        value_bs = scaling.level[0] + scaling.level[1] * value_bs[:, :2] + network * value_bs[:, 2:]
    return value_bs.mean(axis=1) if strands == "mean" else value_bs.max(axis=1)


def check_choices(n_windows: int, seed: int, mode: str, accessibility: float, *, strands: str = "mean") -> None:
    """Refuse what has no meaning."""
    check_seed(seed)
    for name, value, known in (("mode", mode, MODES), ("strands", strands, STRANDS)):
        if value not in known:
            raise InputError(f"{name}={value!r}: one of {first(known)} is needed")
    if type(n_windows) is not int or n_windows < 1:
        raise InputError(f"n_windows={n_windows!r}: a whole number of at least 1 is needed")
    if not (isinstance(accessibility, int | float) and 0 <= accessibility < float("inf")):
        raise InputError(
            f"accessibility={accessibility!r}: a number of at least 0 is needed; 1 is a typical open region"
        )
