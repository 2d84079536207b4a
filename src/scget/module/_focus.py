"""One token of a window in many forms: what does not hang on it is computed once, and the last block for it alone.

The same numbers as running the network on each whole window, up to rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ._distance import SCALES, closeness, distances
from ._get import ExpressionNet


def focus_outputs(net: ExpressionNet, tokens_rf: Tensor, center_r: Tensor, focus_bf: Tensor, at: int) -> Tensor:
    """Outputs, (b, o), at token ``at`` of one window, for each of the features ``focus_bf`` that it may have.

    ``tokens_rf``, ``center_r``: features and centres (bp) of a window without padding.
    """
    out_bo = net.head_exp["head"](focus_embeddings(net, tokens_rf, center_r, focus_bf, at)).float()
    return out_bo if net.config.deviation else F.softplus(out_bo)


def focus_embeddings(net: ExpressionNet, tokens_rf: Tensor, center_r: Tensor, focus_bf: Tensor, at: int) -> Tensor:
    """As :func:`focus_outputs`, what expression is read from, (b, d)."""
    at_1r1 = (torch.arange(len(tokens_rf), device=tokens_rf.device) == at)[None, :, None]
    h_brd = torch.where(at_1r1, net.embed(focus_bf)[:, None], net.embed(tokens_rf)[None])
    if net.config.distance_sums:
        h_brd = h_brd + _sums(net.region_embed["sums"], tokens_rf, center_r, focus_bf, at)
    h_btd = torch.cat([net.cls_token.expand(len(h_brd), -1, -1), h_brd], dim=1)
    near = closeness(center_r[None]).expand(len(h_btd), -1, -1, -1) if net.config.distance_bias else None
    at_b = torch.full((len(h_btd),), at + 1, device=h_btd.device)  # CLS stands in front
    return net.encoder(h_btd, near, None, at_b)[:, 0]


def _sums(part: Any, tokens_rf: Tensor, center_r: Tensor, focus_bf: Tensor, at: int) -> Tensor:
    """Sums over neighbours of each region of the window, (b, r, d): those of the window, and what the focus changes."""
    value_rv, distance_rr = part.values(tokens_rf), distances(center_r[None])[0].to(tokens_rf.dtype)
    more_b1v = (part.values(focus_bf) - value_rv[at])[:, None]
    near = [torch.exp(-distance_rr / scale) for scale in SCALES]
    return part.of([near_rr @ value_rv + near_rr[:, at, None] * more_b1v for near_rr in near])
