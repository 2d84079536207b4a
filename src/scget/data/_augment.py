"""Batches made a little other than they were measured, in training alone."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ._loader import Batch, TokenSource


def mix_rows(batch: Batch, index_br: Tensor, source: TokenSource, draw: torch.Generator) -> Batch:
    """Each window, of regions ``index_br``, between its own row and another of training, and its targets likewise.

    The other row is drawn, and the share of the first, uniformly, on the CPU, so that devices do not differ.
    Accessibility and expression departures are taken to be additive, as where two cell types are mixed (mixup, Zhang et
    al. 2018). Motifs and the regions shown are those of the window's own row.
    """
    n_windows, device = len(batch.row_b), batch.row_b.device
    other_b = source.row_j[torch.randint(len(source.row_j), (n_windows,), generator=draw).to(device)]
    share_b = torch.rand(n_windows, generator=draw).to(device)
    tokens_brf, share_b11 = batch.tokens_brf.clone(), share_b[:, None, None]
    other_brc, n_motifs = source.channels(other_b[:, None], index_br), source.n_motifs
    tokens_brf[..., n_motifs:] = share_b11 * tokens_brf[..., n_motifs:] + (1 - share_b11) * other_brc
    return replace(batch, tokens_brf=tokens_brf, mixed=(other_b, share_b))


def drop_motifs(batch: Batch, n_motifs: int, rate: float, draw: torch.Generator) -> Batch:
    """No motif scores in a share ``rate`` of the windows, so that accessibility alone must tell what it can."""
    keep_b = torch.rand(len(batch.row_b), generator=draw).to(batch.row_b.device) >= rate
    tokens_brf = batch.tokens_brf.clone()
    tokens_brf[..., :n_motifs] *= keep_b[:, None, None]
    return replace(batch, tokens_brf=tokens_brf)
