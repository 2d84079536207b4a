"""Files of the published code give the published numbers, whole or not at all, and nothing in them is run.

Each kind is written here, small and with random weights, so that nothing need be at hand; the stored pairs of the
published network are used where they are.
"""

from __future__ import annotations

import argparse
import os
import sys
import types
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from mudata import MuData
from torch.nn import functional as F

import scget
from scget._errors import CheckpointError, InputError, ScgetWarning
from scget.bm import evaluate
from scget.model import GET
from scget.model._import import LICENCE
from scget.model._published import read_weights
from scget.module import ExpressionNet, GETConfig, MaskedNet

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
MOTIFS = ["A", "B/1", "C", "D", "E"]
OWN = {"n_heads": 2, "motifs": MOTIFS, "window": 16, "accelerator": "cpu"}
KINDS = ["v1_finetune.pth", "v1_pretrain.pth", "lightning.ckpt", "lightning_lora.ckpt"]
RANK = 3


@pytest.fixture
def golden(shared_data):
    folder = shared_data.parent / "reference" / "golden"
    if not folder.exists():
        pytest.skip("the published network's numbers are not beside this checkout")
    return folder


@pytest.fixture
def network():
    """No tensor is zero or like another."""
    torch.manual_seed(0)
    net = MaskedNet(ExpressionNet(GETConfig(n_motifs=5, width=8, n_layers=2, n_heads=2))).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return net


@pytest.fixture
def tensors(network):
    """By the names of the last published code: all of them, trunk, both heads and mask token."""
    return {n.removeprefix("trunk."): t.clone() for n, t in network.state_dict().items()}


def expression(tensors):
    return {n: t for n, t in tensors.items() if not n.startswith(("mask_token", "head_mask."))}


def renamed(tensors, *pairs):
    out = {}
    for name, tensor in tensors.items():
        old, new = next(((old, new) for old, new in pairs if name.startswith(old)), ("", ""))
        out[new + name.removeprefix(old)] = tensor
    return out


def v1_finetune(tensors):
    pairs = [("encoder.blocks.", "blocks."), ("encoder.norm.", "fc_norm."), ("head_exp.head.", "head.")]
    names = renamed(expression(tensors), *pairs, ("region_embed.embed.", "region_embed.proj."))
    optimizer = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": np.float64(1e-3)}]}
    return {"model": names, "optimizer": optimizer, "epoch": np.int64(31), "args": argparse.Namespace(lr=0.001)}


def v1_pretrain(tensors):
    pairs = [("head_mask.", "encoder.head."), ("cls_token", "encoder.cls_token"), ("head_exp.", "no.")]
    names = renamed(tensors, *pairs, ("region_embed.embed.", "encoder.region_embed.proj."))
    return {"model": {n: t for n, t in names.items() if not n.startswith("no.")}, "epoch": 799}


def lightning(tensors):
    state = {f"model.{n}": t for n, t in expression(tensors).items()}
    return {"state_dict": state, "epoch": 3, "hyper_parameters": {"cfg": {"lr": 1e-3}}, "global_step": 9}


def lightning_lora(tensors):
    """Adapters on all linear maps but the head."""
    generator = torch.Generator().manual_seed(1)
    state = {}
    for name, tensor in expression(tensors).items():
        layer = f"model.{name.removesuffix('.weight')}.parametrizations.weight"
        if tensor.ndim != 2 or name.startswith("head_exp"):
            state[f"model.{name}"] = tensor
            continue
        state[f"{layer}.original"] = tensor
        state[f"{layer}.0.lora_A"] = torch.randn(RANK, tensor.shape[1], generator=generator)
        state[f"{layer}.0.lora_B"] = torch.randn(tensor.shape[0], RANK, generator=generator)
        state[f"{layer}.0.lora_dropout_mask"] = torch.ones(1, tensor.shape[1])
    return {"state_dict": state, "hyper_parameters": {}}


WRITERS = dict(zip(KINDS, (v1_finetune, v1_pretrain, lightning, lightning_lora), strict=True))


@pytest.fixture
def files(tensors, tmp_path):
    for name, make in WRITERS.items():
        torch.save(make(tensors), tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("v1_finetune.pth", "finetune.npz"),
        ("lightning_finetune.ckpt", "finetune.npz"),
        ("lightning_lora_finetune.ckpt", "lora_expected.npz"),
    ],
)
def test_stored_expression_is_reproduced(golden, name, expected):
    z = np.load(golden / expected)
    model = GET.from_checkpoint(golden / name, n_heads=4, accelerator="cpu")
    assert model.is_trained and model.config == GETConfig(width=48, n_layers=3, n_heads=4)
    assert model.motifs.tolist() == list(scget.pp.ARCHETYPES)
    with torch.no_grad():
        out = model.module(torch.from_numpy(z["region_motif"]))
    np.testing.assert_allclose(out.numpy(), z["expression"], atol=1e-5)


def test_stored_filling_of_masked_regions_is_reproduced(golden):
    z = np.load(golden / "pretrain.npz")
    weights = read_weights(golden / "v1_pretrain.pth", n_heads=4, lora_alpha=1.0)
    model = GET.from_checkpoint(golden / "v1_pretrain.pth", n_heads=4, accelerator="cpu")
    net = MaskedNet(model.module).eval()
    net.load_state_dict(net.state_dict() | weights.mask)
    with torch.no_grad():
        out = net(torch.from_numpy(z["region_motif"]), torch.from_numpy(z["mask"][..., 0]))
    np.testing.assert_allclose(out.numpy(), z["masked_prediction"], atol=1e-5)
    assert not model.is_trained


@pytest.mark.parametrize("name", KINDS)
def test_every_tensor_of_a_file_arrives(files, tensors, name):
    """Bug 3: the published code loaded 5 of 163 tensors of such a file in silence."""
    os.rename(files / name, files / "renamed.bin")  # told by its keys
    weights = read_weights(files / "renamed.bin", n_heads=2, lora_alpha=1.0)
    if "lora" in name:
        state = lightning_lora(tensors)["state_dict"]
        for layer in [n.removesuffix(".original") for n in state if n.endswith(".original")]:
            a, b = (state[f"{layer}.0.lora_{part}"].double() for part in "AB")
            plain = f"{layer.removeprefix('model.').removesuffix('.parametrizations.weight')}.weight"
            tensors[plain] = (tensors[plain].double() + b @ a / RANK).float()
    wanted = (
        {n: t for n, t in tensors.items() if not n.startswith("head_exp")} if "pre" in name else expression(tensors)
    )
    found = weights.state | weights.mask
    assert found.keys() == wanted.keys()
    for key, tensor in wanted.items():
        torch.testing.assert_close(found[key], tensor, rtol=1e-6, atol=1e-6)
    model = GET.from_checkpoint(files / "renamed.bin", **OWN)
    for key, tensor in weights.state.items():
        assert torch.equal(model.module.state_dict()[key], tensor), key
    assert model.is_trained == (name != "v1_pretrain.pth")


def test_alpha_and_rank_of_adapters(files, tensors):
    one, four = (read_weights(files / "lightning_lora.ckpt", n_heads=2, lora_alpha=alpha).state for alpha in (1.0, 4.0))
    name = "encoder.blocks.1.mlp.fc2.weight"
    torch.testing.assert_close(four[name] - tensors[name], 4 * (one[name] - tensors[name]), rtol=1e-4, atol=1e-5)
    assert torch.equal(four["head_exp.head.weight"], tensors["head_exp.head.weight"])


def test_prediction_follows_the_published_rules(files, tensors, toy):
    """One gene by hand: open regions of its chromosome, motifs over the row's greatest, accessibility twice scaled."""
    model = GET.from_checkpoint(files / "v1_finetune.pth", toy, **OWN)
    table = model.table()
    gene = next(g for g in range(48) if (table.promoters.gene_n == g).sum() == 1)
    slot = table.promoters.slot_n[table.promoters.gene_n == gene][0]
    region, strand = table.promoters.region_q[slot], table.promoters.strand_q[slot]
    row = int(np.flatnonzero(table.counts_kp[:, region] > 0)[0])
    counts, motifs = table.counts_kp[row].astype(float), table.motif_pm.toarray().astype(float)
    level = np.log10(counts / counts.sum() * 1e5 + 1)
    shown = np.flatnonzero((counts > 0) & (table.chrom_p == table.chrom_p[region]))
    starts = np.unique([*range(0, len(shown) - 16, 8), len(shown) - 16])
    at = np.searchsorted(shown, region)
    start = starts[np.abs(starts + 8 - at).argmin()]
    window = shown[start : start + 16]
    unit = motifs[counts > 0].max(axis=0)
    features = np.c_[np.minimum(motifs[window] / unit, 1), level[window] / level[window].max()]
    net = ExpressionNet(GETConfig(n_motifs=5, width=8, n_layers=2, n_heads=2)).eval()
    net.load_state_dict(expression(tensors))
    with torch.no_grad():
        expected = net(torch.tensor(features, dtype=torch.float32)[None])[0, at - start, strand].item()
    assert model.predict().iloc[row, gene] == pytest.approx(expected, rel=1e-4)


def test_order_of_motifs_and_attached_data_do_not_matter(files, toy):
    path = files / "lightning.ckpt"
    plain = GET.from_checkpoint(path, **OWN).predict(toy)
    assert np.isfinite(plain.to_numpy()).sum() > 100
    pd.testing.assert_frame_equal(GET.from_checkpoint(path, toy.copy(), **OWN).predict(), plain)
    order = [3, 1, 0, 4, 2]
    toy["atac"].varm["motif_scores"] = toy["atac"].varm["motif_scores"][:, order]
    toy["atac"].uns["motif_names"] = toy["atac"].uns["motif_names"][order]
    model = GET.from_checkpoint(path, toy, **OWN)
    pd.testing.assert_frame_equal(model.predict(), plain)
    model.save(files / "saved")
    again = GET.load(files / "saved", mdata=toy, accelerator="cpu")
    pd.testing.assert_frame_equal(again.predict(), plain, check_exact=False)
    assert again.holdout == model.holdout and again.holdout.imported["licence"] == LICENCE


def test_data_with_other_motifs_or_channels_are_refused(files, toy):
    path = files / "lightning.ckpt"
    with pytest.raises(InputError, match=r"has 5 motif features, not the 282 published ones: give motifs="):
        GET.from_checkpoint(path, n_heads=2)
    with pytest.raises(InputError, match=r"4 names of motifs \(4 different ones\), the file has 5"):
        GET.from_checkpoint(path, **{**OWN, "motifs": MOTIFS[:4]})
    with pytest.raises(CheckpointError, match="missing 'Z', unknown 'E'"):
        GET.from_checkpoint(path, toy, **{**OWN, "motifs": [*MOTIFS[:4], "Z"]})
    GET.setup_mudata(toy, extra_keys=["region_length"])
    with pytest.raises(InputError, match="set up the data without extra_keys"):
        GET.from_checkpoint(path, toy, **OWN)


def test_heads_come_from_the_width_or_the_user(files, tensors, tmp_path):
    with pytest.raises(CheckpointError, match="width 8 is no multiple of 64.* give n_heads="):
        GET.from_checkpoint(files / "lightning.ckpt", motifs=MOTIFS)
    with pytest.raises(CheckpointError, match="width 8 cannot be split into n_heads=3"):
        GET.from_checkpoint(files / "lightning.ckpt", motifs=MOTIFS, n_heads=3)
    net = ExpressionNet(GETConfig(n_motifs=5, width=128, n_layers=1, n_heads=2))
    torch.save(lightning(net.state_dict()), tmp_path / "wide.ckpt")
    weights = read_weights(tmp_path / "wide.ckpt", n_heads=None, lora_alpha=1.0)
    assert weights.config == GETConfig(n_motifs=5, width=128, n_layers=1, n_heads=2)


def test_pretrained_weights_are_what_training_goes_on_from(files, tensors, toy):
    model = GET.from_checkpoint(files / "v1_pretrain.pth", toy, **OWN)
    with pytest.raises(RuntimeError, match="has not learnt expression yet"):
        model.predict()
    same = GET.from_checkpoint(files / "v1_pretrain.pth", **OWN)
    other = GET.from_checkpoint(files / "v1_pretrain.pth", **OWN, seed=1)
    head = "head_exp.head.weight"
    assert torch.equal(model.module.state_dict()[head], same.module.state_dict()[head])
    assert not torch.equal(model.module.state_dict()[head], other.module.state_dict()[head])
    model.finetune(1, how="head", holdout_obs=["T5"], **QUIET)
    for name, tensor in model.module.state_dict().items():
        assert name.startswith("head_exp.") or torch.equal(tensor.cpu(), tensors[name]), name
    assert model.is_trained and model.predict().shape == (6, 51)
    model.pretrain(1, **QUIET)  # with a mask head of its own
    assert not torch.equal(model.module.state_dict()["cls_token"].cpu(), tensors["cls_token"])


def test_a_network_for_accessibility(tensors, toy, tmp_path):
    """One output in place of two: softplus of the head on the tokens with accessibility 1 throughout."""
    tensors["head_exp.head.weight"], tensors["head_exp.head.bias"] = torch.randn(1, 8), torch.randn(1)
    torch.save(lightning(tensors), tmp_path / "atac.ckpt")
    model = GET.from_checkpoint(tmp_path / "atac.ckpt", toy, **OWN)
    tokens = torch.rand(1, 9, 6)
    with torch.no_grad():
        out = model.module.accessibility(tokens)
        tokens[..., 5] = 1
        h = model.module.encode(model.module.embed(tokens), None, None)
        expected = F.softplus(h @ tensors["head_exp.head.weight"].T + tensors["head_exp.head.bias"])[..., 0]
    torch.testing.assert_close(out, expected)
    assert model.predict_accessibility().shape == (6, 120)


def unseen(match):
    return pytest.warns(ScgetWarning, match=match)


def test_nothing_is_said_to_be_unseen_that_is_not_known_to_be(files, toy):
    path = files / "v1_finetune.pth"
    model = GET.from_checkpoint(path, toy, **OWN)
    assert model.holdout.imported["holdout_obs"] == [] and model.holdout.seen_obs == []
    with pytest.raises(InputError, match="nothing was held out"):
        evaluate(model, baselines=["training_mean"])
    with unseen("'row T5' may have been trained on before: 'v1_finetune.pth' does not say"):
        evaluate(model, baselines=["training_mean"], rows=["T5"])
    stated = GET.from_checkpoint(path, toy, **OWN, holdout_obs=["T5"], holdout_chroms=["chr10"])
    scores = evaluate(stated, baselines=["training_mean"])  # without a warning
    assert set(scores["split"]) == {"rows", "chroms", "both"}
    assert set(scores.loc[scores["split"] == "rows", "row"]) == {"T5"}
    with unseen("'row T4' may have been trained on"):
        evaluate(stated, baselines=["training_mean"], rows=["T4", "T5"])
    with pytest.raises(InputError, match="no row is left for the baselines"):
        evaluate(stated, baselines=["training_mean"], rows=[f"T{i}" for i in range(6)])
    with pytest.raises(InputError, match=r"holdout_obs='T5' is one text"):
        GET.from_checkpoint(path, **OWN, holdout_obs="T5")


def test_training_further_makes_nothing_unseen(files, toy):
    """What later training holds out may have been seen by the imported weights."""
    model = GET.from_checkpoint(files / "v1_finetune.pth", toy, **OWN, holdout_obs=["T5"])
    model.finetune(1, holdout_chroms=["chr10"], **QUIET)
    assert model.holdout.obs == ["T5"] and model.holdout.chroms == ["chr10"]
    assert model.holdout.seen_obs == ["T0", "T1", "T2", "T3", "T4"]
    with unseen("^'chromosome chr10' may have been trained on before"):
        evaluate(model, baselines=["training_mean"])
    scget.tl.predict(toy, model)
    record = toy.uns["get"]["imported"]
    assert record["holdout_obs"] == ["T5"] and "holdout_chroms" not in record and "non-commercial" in record["licence"]
    toy.write(files / "toy.h5mu")


def test_width_of_regions_is_compared_where_it_was_given(files, toy):
    with pytest.warns(ScgetWarning, match=r"500 bp long \(median\), the model was trained on 200"):
        GET.from_checkpoint(files / "lightning.ckpt", toy, **OWN, region_width=200).predict()


class Foreign:
    """Neither tensor nor setting."""

    def __init__(self) -> None:
        self.x = 1


class Attack:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def saved(content, folder):
    torch.save(content, folder / "bad.pth")
    return folder / "bad.pth"


def test_no_code_of_a_file_is_run(tensors, tmp_path):
    touched = tmp_path / "touched"
    for place in ("args", "model"):
        content = v1_finetune(tensors)
        content[place] = {"x": Attack(touched)}
        with pytest.raises(CheckpointError, match=r"holds Python objects \('\w+.system'\).*does not run code"):
            GET.from_checkpoint(saved(content, tmp_path), **OWN)
    content = v1_finetune(tensors)
    content["args"] = argparse.Namespace(hook=Attack(touched))
    with pytest.raises(CheckpointError, match=r"\('\w+.system'\)"):
        GET.from_checkpoint(saved(content, tmp_path), **OWN)
    assert not touched.exists()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda tensors: v1_finetune(tensors) | {"args": Foreign()}, r"[\w.]+\.Foreign"),
        (lambda tensors: torch.nn.Linear(2, 2), r"torch\.nn\.modules\.linear\.Linear"),
        (lambda tensors: {"model": tensors, "f": os.getcwd}, r"\w+\.getcwd"),
        (lambda tensors: {"model": tensors, "f": eval}, r"builtins\.eval"),
    ],
)
def test_foreign_classes_and_functions_are_named(tensors, tmp_path, make, name):
    with pytest.raises(CheckpointError, match=rf"holds Python objects \(.*'{name}'"):
        GET.from_checkpoint(saved(make(tensors), tmp_path), **OWN)


def test_settings_beside_the_weights_are_not_built(files, tensors, monkeypatch):
    """Neither Namespace, which is at hand, nor the classes of a library that is not installed."""

    def forbidden(*args, **kwargs):
        raise AssertionError("a setting was built")

    package = types.ModuleType("omegaconf.dictconfig")
    package.DictConfig = type("DictConfig", (), {"__module__": "omegaconf.dictconfig", "__reduce__": _reduced})
    for name, module in (("omegaconf", types.ModuleType("omegaconf")), ("omegaconf.dictconfig", package)):
        monkeypatch.setitem(sys.modules, name, module)
    content = lightning(tensors) | {"hyper_parameters": package.DictConfig()}
    path = saved(content, files)
    monkeypatch.setattr(package, "DictConfig", forbidden)
    monkeypatch.setattr(argparse, "Namespace", forbidden)
    before = set(torch.serialization.get_safe_globals())
    for file in (path, files / "v1_finetune.pth"):
        weights = read_weights(file, n_heads=2, lora_alpha=1.0)
        assert torch.equal(weights.state["cls_token"], tensors["cls_token"])
    assert set(torch.serialization.get_safe_globals()) == before


def _reduced(self):
    return sys.modules["omegaconf.dictconfig"].DictConfig, (), {"lr": 1}


def without(*names):
    return lambda state: {n: t for n, t in state.items() if not n.endswith(names)}


def beside(**more):
    return lambda state: state | {n.replace("__", "."): t for n, t in more.items()}


ONE = torch.zeros(1)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (v1_finetune, without("blocks.1.attn.q_bias"), r"1 tensors missing \('encoder.blocks.1.attn.q_bias'\), 0 unex"),
        (v1_finetune, without("bias"), r"17 tensors missing \(('[\w.]+', ){5}\.\.\.\), 0 unexpected \(\)"),
        (v1_finetune, beside(pos_embed__pe=ONE), r"0 tensors missing \(\), 1 unexpected \('pos_embed.pe'\)"),
        (v1_finetune, beside(my_blocks__0__norm1__bias=ONE), r"1 unexpected \('my_blocks.0.norm1.bias'\)"),
        (v1_finetune, beside(encoder__norm__bias=ONE), r"1 unexpected \('encoder.norm.bias'\)"),
        (v1_finetune, beside(blocks__0__extra=ONE), r"1 unexpected \('blocks.0.extra'\)"),
        (v1_finetune, beside(**{f"x{i}": ONE for i in range(7)}), r"7 unexpected \('x0', .*'x4', \.\.\.\)"),
        (v1_pretrain, beside(encoder__encoder__blocks__0=ONE), r"1 unexpected \('encoder.encoder.blocks.0'\)"),
        (v1_pretrain, without("mask_token"), r"1 tensors missing \('mask_token'\)"),
        (v1_finetune, beside(head__bias=ONE), r"1 tensors of another shape: 'head.bias \(1,\) for \(2,\)'"),
        (v1_finetune, beside(head__bias=torch.zeros(2).int()), r"'head.bias' is no tensor of floating-point"),
        (v1_finetune, beside(head__bias=torch.tensor([0.0, np.nan])), r"'head.bias' holds values that are not finite"),
        (v1_finetune, beside(head__bias=[0.0, 0.0]), r"'head.bias' is no tensor"),
        (v1_finetune, without("proj.weight"), r"holds tensors '\w.*: not a network that was published"),
        (lightning, beside(criterion__weight=ONE), r"unexpected key 'criterion.weight' in 'state_dict'"),
        (lightning, beside(model__pos_embed__pe=ONE), r"1 unexpected \('pos_embed.pe'\)"),
        (lightning, beside(model__head_mask__weight=torch.zeros(6, 8)), r"2 unexpected \('head_exp.head.bias', "),
        (lightning, without("model.cls_token"), r"1 tensors missing \('cls_token'\)"),
        (lightning_lora, without("fc1.parametrizations.weight.0.lora_B"), r"'encoder.blocks.0.mlp.fc1' without 'B'"),
        (lightning_lora, without("fc1.parametrizations.weight.original"), r"fc1' without 'original'"),
        (lightning_lora, lambda s: {n: t[:2] if "lora_A" in n else t for n, t in s.items()}, r"do not fit each other"),
        (lightning_lora, lambda s: {n: t * 0 if "mask" in n else t for n, t in s.items()}, r"is not 1 throughout"),
    ],
)  # fmt: skip
def test_names_and_shapes_are_strict_both_ways(tensors, tmp_path, kind, change, message):
    content = kind(tensors)
    key = "model" if "model" in content else "state_dict"
    content[key] = change(content[key])
    with pytest.raises(CheckpointError, match=message):
        GET.from_checkpoint(saved(content, tmp_path), **OWN)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list: not the published 'model'"),
        ({"weights": {}}, "holds 'weights': not the published"),
        ({"model": {}, "state_dict": {}}, "holds 'model', 'state_dict'"),
        ({"model": torch.zeros(3)}, "holds 'model': not"),
        ({"model": {}}, r"holds tensors : not a network"),
        ({"model": {1: torch.zeros(3)}}, "unexpected key 1 in 'model'"),
        ({"model": {"region_embed.proj.weight": torch.zeros(3)}}, r"has the shape \(3,\), not \(width, features\)"),
        ({"model": {"region_embed.proj.weight": torch.zeros(8, 6).to_sparse()}}, "is no tensor of floating"),
    ],
)
def test_other_contents_are_refused(tmp_path, content, message):
    with pytest.raises(CheckpointError, match=message):
        GET.from_checkpoint(saved(content, tmp_path), **OWN)


@pytest.mark.parametrize("content", [b"", b"<html>403</html>", b"PK\x03\x04" + bytes(50), bytes(1000)])
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match="is not a whole file of torch.save"):
        GET.from_checkpoint(tmp_path / "a.pth", **OWN)
    with pytest.raises(CheckpointError, match="cannot be read .No such file"):
        GET.from_checkpoint(tmp_path / "none.pth", **OWN)


@pytest.mark.parametrize("name", KINDS)
def test_damage_never_gives_other_weights(files, name):
    """Cut or with bytes changed: refused, or nothing that counts was hit."""
    whole, rng = (files / name).read_bytes(), np.random.default_rng(0)
    before = read_weights(files / name, n_heads=2, lora_alpha=1.0)
    refused = 0
    for turn in range(40):
        damaged = bytearray(whole)
        if turn % 4 == 0:
            del damaged[int(rng.integers(1, len(whole))) :]
        else:
            damaged[int(rng.integers(len(whole)))] ^= int(rng.integers(1, 256))
        (files / "damaged").write_bytes(damaged)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                after = read_weights(files / "damaged", n_heads=2, lora_alpha=1.0)
        except CheckpointError:
            refused += 1
            continue
        assert all(torch.equal(t, after.state[n]) for n, t in before.state.items())
    assert refused >= 10


def test_a_torch_that_is_not_safe_is_refused(files, monkeypatch):
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion("2.9.1+cpu"))
    with pytest.raises(CheckpointError, match=r"needs torch >= 2.10 \(CVE-2026-24747\), this is 2.9.1"):
        GET.from_checkpoint(files / "lightning.ckpt", **OWN)


def test_half_precision_is_widened(tensors, tmp_path):
    half = {n: t.to(torch.bfloat16) for n, t in tensors.items()}
    weights = read_weights(saved(lightning(half), tmp_path), n_heads=2, lora_alpha=1.0)
    for name, tensor in weights.state.items():
        assert tensor.dtype == torch.float32 and torch.equal(tensor, half[name].float())


def test_atac_alone_is_predicted(files, toy):
    model = GET.from_checkpoint(files / "lightning.ckpt", **OWN)
    whole = model.predict(toy)
    alone = model.predict(MuData({"atac": toy["atac"].copy()}))
    pd.testing.assert_frame_equal(alone, whole[alone.columns])
    links = model.attribute(toy, genes=["G1"], rows=["T1"]).links
    assert set(links["gene"]) <= {"G1"} and np.isfinite(links["signed"]).all()
