"""The same numbers come from every attention kernel that torch offers on this device."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from scget.module import ExpressionNet, GETConfig
from scget.module._distance import closeness

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
HEADS, WIDTH, N_REGIONS = 4, 32, 40


def make_attention(distance_bias: bool):
    torch.manual_seed(0)
    net = ExpressionNet(GETConfig(5, 2, WIDTH, 1, HEADS, distance_bias=distance_bias)).eval()
    attention = net.encoder.blocks[0].attn
    for bias in (attention.q_bias, attention.v_bias):
        torch.nn.init.normal_(bias)
    return attention.to(DEVICE)


def make_input(padded: bool):
    """Three windows; of two of them the last regions are padding, where there is any."""
    generator = torch.Generator().manual_seed(1)
    h_btd = torch.randn(3, N_REGIONS + 1, WIDTH, generator=generator)
    center_br = torch.randint(0, 2_000_000, (3, N_REGIONS), generator=generator).sort(dim=1).values
    pad_br = torch.arange(N_REGIONS)[None] >= torch.tensor([[N_REGIONS], [31], [7]])
    return h_btd.to(DEVICE), center_br.to(DEVICE), pad_br.to(DEVICE) if padded else None


def by_numpy(attention, h_btd, center_br, pad_br):
    """Softmax attention in float64, one window and head at a time; padding is left out before the softmax."""
    state = {name: tensor.detach().cpu().numpy().astype(np.float64) for name, tensor in attention.state_dict().items()}
    parts, size = np.split(state["qkv.weight"], 3), WIDTH // HEADS
    out = []
    for b, h in enumerate(h_btd.cpu().numpy().astype(np.float64)):
        q, k, v = h @ parts[0].T + state["q_bias"], h @ parts[1].T, h @ parts[2].T + state["v_bias"]
        at = np.r_[np.nan, center_br[b].cpu().numpy()]
        far = np.log1p(np.nan_to_num(np.abs(at[:, None] - at)) / 1000)  # 0 to and from CLS
        shown = np.r_[True, np.ones(N_REGIONS, bool) if pad_br is None else ~pad_br[b].cpu().numpy()]
        heads = []
        for i in range(HEADS):
            part = slice(i * size, (i + 1) * size)
            logits = q[:, part] @ k[:, part].T / np.sqrt(size)
            if "distance_slope" in state:
                logits = logits - np.log1p(np.exp(state["distance_slope"][i])) * far
            weights = np.exp(logits - logits.max(axis=1, keepdims=True)) * shown
            heads.append(weights / weights.sum(axis=1, keepdims=True) @ v[:, part])
        out.append(np.hstack(heads) @ state["proj.weight"].T + state["proj.bias"])
    return np.array(out)


@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
@pytest.mark.parametrize("distance_bias", [False, True], ids=["plain", "distance"])
@torch.no_grad()
def test_every_backend_against_float64_numpy(distance_bias, padded):
    attention = make_attention(distance_bias)
    h_btd, center_br, pad_br = make_input(padded)
    hidden = None if pad_br is None else torch.nn.functional.pad(pad_br, (1, 0))[:, None, None, :]
    near = closeness(center_br) if distance_bias else None
    found = {"torch's choice": attention(h_btd, near, hidden)}
    for name, backend in SDPBackend.__members__.items():
        try:
            with sdpa_kernel([backend]):
                found[name] = attention(h_btd, near, hidden)
        except RuntimeError as error:
            assert "No " in str(error) and name != "MATH"  # no such kernel here
    assert "MATH" in found and len(found) > 2  # beside the plain one at least one that is fused
    expected = by_numpy(attention, h_btd, center_br, pad_br)
    for name, out in found.items():
        np.testing.assert_allclose(out.cpu().numpy(), expected, atol=1e-5, err_msg=f"{name} on {DEVICE}")


@torch.no_grad()
def test_torch_does_not_take_the_slow_one_for_masks():
    """The mask of padding and distance keeps the fused kernel of this device within reach."""
    attention = make_attention(True)
    h_btd, center_br, pad_br = make_input(True)
    fused = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION]
    hidden = torch.nn.functional.pad(pad_br, (1, 0))[:, None, None, :]
    with sdpa_kernel(fused):  # refuses what none of these can do
        found = attention(h_btd, closeness(center_br), hidden)
    assert torch.isfinite(found).all()
    np.testing.assert_allclose(found.cpu().numpy(), by_numpy(attention, h_btd, center_br, pad_br), atol=1e-5)
