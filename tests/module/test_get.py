"""The network against the published one's numbers, closed forms and float64 numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scget.module import ExpressionNet, GETConfig, MaskedNet, masked_region_loss, poisson_loss, squared_loss

SMALL = GETConfig(n_motifs=5, n_channels=2, width=16, n_layers=2, n_heads=4)


@pytest.fixture
def golden(shared_data):
    folder = shared_data.parent / "reference" / "golden"
    if not folder.exists():
        pytest.skip("the published network's numbers are not beside this checkout")
    return folder


def _parameters(arrays, prefix="param/"):
    return {k.removeprefix(prefix): torch.from_numpy(arrays[k]) for k in arrays.files if k.startswith(prefix)}


def test_reproduces_published_expression_and_jacobians(golden):
    z = np.load(golden / "finetune.npz")
    net = ExpressionNet(GETConfig(width=48, n_layers=3, n_heads=4)).eval()
    net.load_state_dict(_parameters(z), strict=True)
    tokens = torch.from_numpy(z["region_motif"]).requires_grad_()
    out = net(tokens)
    np.testing.assert_allclose(out.detach().numpy(), z["expression"], atol=1e-5)
    for strand in (0, 1):
        (jacobian,) = torch.autograd.grad(out[:, 12, strand].sum(), tokens, retain_graph=True)
        np.testing.assert_allclose(jacobian.numpy(), z[f"jacobian_focus12_strand{strand}"], atol=1e-5)
    # the published code adds strand 0 into strand 1; here they must be two different things
    assert not np.allclose(z["jacobian_focus12_strand0"], z["jacobian_focus12_strand1"])


def test_reproduces_published_pretraining(golden):
    z = np.load(golden / "pretrain.npz")
    net = MaskedNet(ExpressionNet(GETConfig(width=48, n_layers=3, n_heads=4))).eval()
    own = {"mask_token", "head_mask.weight", "head_mask.bias"}
    state = {k if k in own else f"trunk.{k}": v for k, v in _parameters(z).items()}
    missing, unexpected = net.load_state_dict(state, strict=False)
    assert set(missing) == {"trunk.head_exp.head.weight", "trunk.head_exp.head.bias"} and not unexpected
    with torch.no_grad():
        out = net(torch.from_numpy(z["region_motif"]), torch.from_numpy(z["mask"][..., 0]))
    np.testing.assert_allclose(out.numpy(), z["masked_prediction"], atol=1e-5)


def test_published_parameter_counts():
    with torch.device("meta"):
        net = ExpressionNet(GETConfig())
        masked = MaskedNet(net)
    head = sum(p.numel() for p in net.head_exp.parameters())
    assert sum(p.numel() for p in net.parameters()) == 85_267_202
    assert len(net.state_dict()) == 163
    assert sum(p.numel() for p in masked.parameters()) - head == 85_484_059
    assert len(masked.state_dict()) - 2 == 164
    assert 85_267_202 - head + 768 + 1 == 85_266_433  # the accessibility task: one output in place of two


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("n_regions", [1, 7, 33])
def test_permutation_equivariant(bias, n_regions):
    torch.manual_seed(0)
    config = GETConfig(n_motifs=5, n_channels=2, width=16, n_layers=2, n_heads=4, distance_bias=bias)
    net = ExpressionNet(config).double().eval()
    tokens = torch.randn(2, n_regions, 7, dtype=torch.float64)
    center = torch.randint(0, 200_000, (2, n_regions))
    order = torch.randperm(n_regions)
    out = net(tokens, center)
    assert out.shape == (2, n_regions, 2) and (out > 0).all()
    torch.testing.assert_close(net(tokens[:, order], center[:, order]), out[:, order], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("bias", [False, True])
def test_padding_changes_nothing(bias):
    torch.manual_seed(0)
    net = ExpressionNet(GETConfig(5, 2, 16, 2, 4, deviation=True, distance_bias=bias)).eval()
    tokens, center = torch.randn(2, 9, 7), torch.arange(9).repeat(2, 1) * 3000
    padded = torch.cat([tokens, torch.zeros(2, 4, 7)], dim=1)
    pad = torch.arange(13).repeat(2, 1) >= 9
    out = net(padded, torch.nn.functional.pad(center, (0, 4)), pad)
    assert torch.isfinite(out).all()
    torch.testing.assert_close(out[:, :9], net(tokens, center), atol=1e-6, rtol=1e-5)


def test_attention_against_float64_numpy():
    torch.manual_seed(1)
    net = ExpressionNet(GETConfig(5, 2, 16, 1, 4, distance_bias=True)).double().eval()
    attn = net.encoder.blocks[0].attn
    for bias in (attn.q_bias, attn.v_bias):
        torch.nn.init.normal_(bias)
    h = torch.randn(1, 6, 16, dtype=torch.float64)
    center = torch.tensor([[1000, 2500, 9000, 40_000, 41_000]])
    from scget.module._distance import closeness

    ours = attn(h, closeness(center).double(), None)[0].detach().numpy()

    x, w = h[0].numpy(), attn.qkv.weight.detach().numpy()
    q, k, v = x @ w[:16].T + attn.q_bias.detach().numpy(), x @ w[16:32].T, x @ w[32:].T + attn.v_bias.detach().numpy()
    at = np.r_[np.nan, center[0].numpy()]
    distance = np.nan_to_num(np.abs(at[:, None] - at[None]))  # 0 to and from CLS
    slopes, heads = np.logspace(-2, 0.5, 4), []
    for i, slope in enumerate(slopes):
        part = slice(4 * i, 4 * i + 4)
        logits = q[:, part] @ k[:, part].T / 2 - slope * np.log1p(distance / 1000)
        weights = np.exp(logits - logits.max(1, keepdims=True))
        heads.append(weights / weights.sum(1, keepdims=True) @ v[:, part])
    expected = np.hstack(heads) @ attn.proj.weight.detach().numpy().T + attn.proj.bias.detach().numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_layer_norm_eps_and_start():
    net = ExpressionNet(SMALL)
    assert {m.eps for m in net.modules() if isinstance(m, torch.nn.LayerNorm)} == {1e-6}
    bound = (6 / (7 + 16)) ** 0.5  # Xavier uniform of the 7 -> 16 embedding
    weight = net.region_embed["embed"].weight
    assert bound * 0.9 < weight.abs().max() <= bound and not net.cls_token.any()


def test_drop_path_rises_linearly_and_keeps_the_mean():
    net = ExpressionNet(GETConfig(5, 2, 16, 12, 4, drop_path=0.1))
    np.testing.assert_allclose([b.drop_path for b in net.encoder.blocks], 0.1 * np.arange(12) / 11, atol=1e-8)
    block = net.encoder.blocks[-1].train()
    torch.manual_seed(0)
    kept = block._drop(torch.ones(20_000, 1, 1))
    assert set(kept.unique().tolist()) == {0.0, np.float32(1 / np.float32(0.9)).item()}
    assert abs(kept.mean().item() - 1) < 0.01
    assert (block.eval()._drop(torch.ones(5, 1, 1)) == 1).all()


def test_dropout_acts_in_training_alone_and_keeps_the_mean():
    torch.manual_seed(0)
    net = ExpressionNet(GETConfig(5, 2, 16, 1, 4, drop_path=0.0, dropout=0.3))
    tokens = torch.rand(1, 9, 7)
    with torch.no_grad():
        exact = net.eval().embed(tokens)
        drawn = torch.stack([net.train().embed(tokens) for _ in range(4000)])
        torch.testing.assert_close(drawn.mean(0), exact, atol=0.05, rtol=0)
        assert torch.equal(net.eval()(tokens), net(tokens)) and not torch.equal(net.train()(tokens), net(tokens))
    plain = ExpressionNet(GETConfig(5, 2, 16, 1, 4)).state_dict().keys()
    assert plain == net.state_dict().keys()


def test_masked_token_hides_everything_and_batch_of_one_works():
    torch.manual_seed(0)
    net = MaskedNet(ExpressionNet(SMALL)).eval()
    tokens, mask = torch.randn(1, 8, 7), torch.zeros(1, 8, dtype=torch.bool)
    mask[0, [2, 5]] = True
    changed = tokens.clone()
    changed[0, [2, 5]] += 10
    out = net(tokens, mask)
    assert out.shape == (2, 7)
    assert torch.equal(out, net(changed, mask))
    changed[0, 3] += 10
    assert not torch.allclose(out, net(changed, mask))


def test_losses_closed_form():
    rate, y = torch.tensor([0.0, 2.0]), torch.tensor([3.0, 1.0])
    expected = np.mean([0 - 3 * np.log(1e-8), 2 - np.log(2 + 1e-8)])
    assert poisson_loss(rate, y).item() == pytest.approx(expected, rel=1e-6)
    out = torch.tensor([[[1.0, 2.0]], [[3.0, 9.0]]])
    target = torch.tensor([[[0.0, float("nan")]], [[1.0, 9.0]]])
    assert squared_loss(out, target).item() == pytest.approx((1 + 4 + 0) / 3)
    assert squared_loss(out, torch.full_like(out, float("nan"))).item() == 0
    tokens = torch.arange(12.0).reshape(1, 4, 3)
    mask = torch.tensor([[True, False, True, False]])
    assert masked_region_loss(tokens[mask] + 2, tokens, mask).item() == pytest.approx(4)


@pytest.mark.parametrize(
    ("bad", "message"),
    [({"width": 10, "n_heads": 4}, "not a multiple"), ({"drop_path": 1.0}, "drop_path"), ({"n_layers": 0}, "positive")],
)
def test_config_refuses(bad, message):
    with pytest.raises(ValueError, match=message):
        GETConfig(**bad)


def test_bfloat16_close_to_float32():
    torch.manual_seed(0)
    net = ExpressionNet(SMALL).eval()
    tokens = torch.rand(4, 20, 7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = net(tokens)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, net(tokens), rtol=2e-2, atol=2e-2)


def test_sums_over_neighbours_against_numpy():
    """Channels, and channels times codes of the motifs, weighted by exp(-distance / scale), in float64."""
    net = ExpressionNet(GETConfig(4, 2, 8, 1, 2, deviation=True, distance_sums=True)).double().eval()
    sums, rng = net.region_embed["sums"], np.random.default_rng(0)
    tokens, center = rng.normal(size=(3, 7, 6)), np.sort(rng.integers(0, 200_000, (3, 7)))
    tokens[2, 5:] = 0  # padded
    code, embed = (layer.weight.detach().numpy() for layer in (sums.code, sums.embed))
    expected = np.zeros((3, 7, 8))
    for b in range(3):
        for i in range(7):
            parts = []
            for scale in (1_000, 5_000, 20_000, 100_000):
                total = np.zeros(2 + 8 * 2)
                for j in range(7):
                    channels = tokens[b, j, 4:]
                    value = [*channels, *np.outer(code @ tokens[b, j, :4], channels).ravel()]
                    total += np.exp(-abs(center[b, i] - center[b, j]) / scale) * np.array(value)
                parts.append(total)
            expected[b, i] = embed @ np.arcsinh(np.concatenate(parts))
    found = sums(torch.tensor(tokens), torch.tensor(center)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    short = sums(torch.tensor(tokens[2:, :5]), torch.tensor(center[2:, :5])).detach().numpy()
    np.testing.assert_allclose(found[2, :5], short[0], rtol=1e-12)  # padding adds nothing


def test_sums_are_no_part_of_the_published_network_or_of_accessibility():
    names = [name for name, _ in ExpressionNet(GETConfig(4, 2, 8, 1, 2)).named_parameters()]
    assert not [name for name in names if "sums" in name]
    net = ExpressionNet(GETConfig(4, 1, 8, 1, 2, distance_sums=True, task="both")).eval()
    tokens, center = torch.rand(2, 5, 5), torch.arange(10).view(2, 5) * 1000
    before = net.accessibility(tokens, center)
    with torch.no_grad():
        net.region_embed["sums"].embed.weight.add_(1.0)
    assert torch.equal(net.accessibility(tokens, center), before)
    assert not torch.equal(net(tokens, center), net(tokens))


@pytest.mark.parametrize("distance", [False, True], ids=["published", "distance"])
@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
def test_one_region_asked_is_one_of_all(distance, padded):
    """Values, and gradients of the features, of the same windows read whole."""
    torch.manual_seed(0)
    config = GETConfig(
        n_motifs=6, width=16, n_layers=2, n_heads=4, deviation=distance, distance_bias=distance, distance_sums=distance
    )
    net = ExpressionNet(config).double().eval()
    torch.nn.init.normal_(net.cls_token)
    tokens_brf = torch.rand(3, 9, 7, dtype=torch.float64, requires_grad=True)
    center_br, at_b = torch.sort(torch.randint(0, 90_000, (3, 9)))[0], torch.tensor([0, 8, 4])
    pad_br = torch.zeros(3, 9, dtype=torch.bool) if padded else None
    if padded:
        pad_br[0, 5:] = True
    whole = net.regions(tokens_brf, center_br, pad_br)[torch.arange(3), at_b]
    one = net.regions(tokens_brf, center_br, pad_br, at_b)
    assert net(tokens_brf, center_br, pad_br, at_b).shape == (3, 1, config.n_outputs)
    torch.testing.assert_close(one[:, 0], whole, rtol=1e-12, atol=1e-12)
    slopes = [torch.autograd.grad(out.sum(), tokens_brf, retain_graph=True)[0] for out in (one, whole)]
    torch.testing.assert_close(*slopes, rtol=1e-10, atol=1e-12)
    read = net.reader(tokens_brf, center_br, pad_br)
    again = read(torch.tensor([2, 0, 2]), torch.tensor([4, 0, 7]))
    every = net(tokens_brf, center_br, pad_br)[[2, 0, 2], [4, 0, 7]]
    torch.testing.assert_close(again[:, 0], every, rtol=1e-6, atol=1e-7)  # outputs are float32
    slopes = [torch.autograd.grad(out.sum(), tokens_brf, retain_graph=True)[0] for out in (again, every)]
    torch.testing.assert_close(*slopes, rtol=1e-6, atol=1e-7)
