"""Pretraining: fill in regions that are hidden from the network."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from scget.data import Batch, TokenSource
from scget.module import MaskedNet, masked_region_loss

from ._plan import _Plan

Mask = Literal["bernoulli", "exact"]
MaskTarget = Literal["raw", "standardised"]
_EPS = 1e-6  # added to the standard deviation, as published


class MaskedPlan(_Plan):
    """Features of hidden regions.

    Parameters
    ----------
    mask_ratio
        Share of regions hidden.
    mask
        ``"bernoulli"``: each region by itself. ``"exact"``: the same share of every window, see :func:`hidden`.
    target
        ``"raw"``: features as the network reads them. ``"standardised"``: see :func:`window_standardised`.
    """

    module: MaskedNet

    def __init__(
        self,
        module: MaskedNet,
        source: TokenSource,
        *,
        mask_ratio: float = 0.5,
        mask: Mask = "bernoulli",
        target: MaskTarget = "raw",
        **kwargs: Any,
    ) -> None:
        super().__init__(module, source, **kwargs)
        self.mask_ratio, self.mask, self.target = mask_ratio, mask, target

    def loss(self, batch: Batch) -> Tensor:
        """Mean squared error over the hidden regions; masks are drawn anew in training and fixed otherwise."""
        if self.module.training:
            uniform_br = torch.rand(batch.center_br.shape, device=batch.center_br.device)
        else:
            uniform_br = fixed_uniform(batch.center_br)
        return self.loss_where(batch, hidden(uniform_br, batch.pad_br, self.mask_ratio, self.mask))

    def loss_where(self, batch: Batch, mask_br: Tensor) -> Tensor:
        """The same with the mask given, True where hidden."""
        predicted_nf = self.module(batch.tokens_brf, mask_br, batch.center_br, batch.pad_br)
        raw = self.target == "raw"
        target_brf = batch.tokens_brf if raw else window_standardised(batch.tokens_brf, batch.pad_br)
        return masked_region_loss(predicted_nf, target_brf, mask_br)


def hidden(uniform_br: Tensor, pad_br: Tensor | None, ratio: float, kind: Mask) -> Tensor:
    """Which regions are hidden, (b, r), never padding.

    Parameters
    ----------
    uniform_br
        Numbers drawn uniformly in [0, 1).
    pad_br
        True where there is no region. None: all are regions.
    ratio
        Share hidden: where the number is below it (``"bernoulli"``), or the ``int(ratio * regions)`` regions of the
        lowest numbers in each window, at least one (``"exact"``).
    kind
        One of the two.
    """
    if kind == "bernoulli":
        mask_br = uniform_br < ratio
        return mask_br if pad_br is None else mask_br & ~pad_br
    uniform_br = uniform_br if pad_br is None else uniform_br.masked_fill(pad_br, 2.0)  # ranked last
    n_b = [uniform_br.shape[1]] * len(uniform_br) if pad_br is None else (~pad_br).sum(1).tolist()
    wanted_b = torch.tensor([max(int(ratio * n), 1) for n in n_b], device=uniform_br.device)
    rank_br = uniform_br.argsort(dim=1, stable=True).argsort(dim=1)
    return rank_br < wanted_b[:, None]


def fixed_uniform(center_br: Tensor) -> Tensor:
    """Uniform numbers that hang on each window's first region alone: the same in every epoch and batch size."""
    starts, size = center_br[:, 0].tolist(), center_br.shape[1]
    drawn = [torch.rand(size, generator=torch.Generator().manual_seed(start)) for start in starts]
    return torch.stack(drawn).to(center_br.device)


def window_standardised(tokens_brf: Tensor, pad_br: Tensor | None) -> Tensor:
    """``(x - mean) / (std + 1e-6)`` of each feature over the regions of its window, padding left out; 0 there.

    The standard deviation is that of the population (divided by n), so that a window of one region has one.
    """
    shifted_brf = tokens_brf - tokens_brf[:, :1]  # changes no z-score; a constant feature becomes exactly 0
    if pad_br is None:
        std, mean = torch.std_mean(shifted_brf, dim=1, keepdim=True, correction=0)
        return (shifted_brf - mean) / (std + _EPS)
    real_br1 = (~pad_br)[..., None]
    n_b11 = real_br1.sum(1, keepdim=True)
    centred_brf = torch.where(real_br1, shifted_brf, 0.0)
    centred_brf = torch.where(real_br1, centred_brf - centred_brf.sum(1, keepdim=True) / n_b11, 0.0)
    return centred_brf / ((centred_brf.square().sum(1, keepdim=True) / n_b11).sqrt() + _EPS)
