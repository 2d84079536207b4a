"""One token of a window in many forms: what does not hang on it is computed once, and the last block for it alone.

The same numbers as running the network on each whole window, up to rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ._get import SCALES, ExpressionNet, _closeness, _distance


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
    closeness = _closeness(center_r[None]) if net.config.distance_bias else None
    *blocks, last = net.encoder.blocks
    for block in blocks:
        h_btd = block(h_btd, closeness, None)
    return net.encoder.norm(_one_token(last, h_btd, closeness, at + 1))[:, 0]  # CLS stands in front


def _sums(part: Any, tokens_rf: Tensor, center_r: Tensor, focus_bf: Tensor, at: int) -> Tensor:
    """Sums over neighbours of each region of the window, (b, r, d): those of the window, and what the focus changes."""
    value_rv, distance_rr = part.values(tokens_rf), _distance(center_r[None])[0].to(tokens_rf.dtype)
    more_b1v = (part.values(focus_bf) - value_rv[at])[:, None]
    near = [torch.exp(-distance_rr / scale) for scale in SCALES]
    return part.of([near_rr @ value_rv + near_rr[:, at, None] * more_b1v for near_rr in near])


def _one_token(block: Any, h_btd: Tensor, closeness: Tensor | None, t: int) -> Tensor:
    """The block's output at token ``t``, (b, 1, d)."""
    attn, normed_btd, own_b1d = block.attn, block.norm1(h_btd), h_btd[:, t : t + 1]
    b, n, d = h_btd.shape
    weight_q, weight_kv = attn.qkv.weight.split([d, 2 * d])
    q_b1d = F.linear(normed_btd[:, t : t + 1], weight_q, attn.q_bias)
    kv = F.linear(normed_btd, weight_kv, torch.cat([torch.zeros_like(attn.v_bias), attn.v_bias]))
    k, v = kv.view(b, n, 2, attn.n_heads, d // attn.n_heads).permute(2, 0, 3, 1, 4)
    q = q_b1d.view(b, 1, attn.n_heads, -1).transpose(1, 2)
    mask = attn._mask(None if closeness is None else closeness[:, :, t : t + 1], None, q.dtype)
    seen_b1d = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(b, 1, d)
    own_b1d = own_b1d + block._drop(attn.proj(seen_b1d))
    hidden_b1e = F.dropout(F.gelu(block.mlp["fc1"](block.norm2(own_b1d))), block.dropout, block.training)
    return own_b1d + block._drop(block.mlp["fc2"](hidden_b1e))
