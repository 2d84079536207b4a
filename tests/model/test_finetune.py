"""Going on from a trained model: what learns, at which rate, what is kept, and what is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from mudata import MuData
from scipy.sparse import csr_matrix

from scget._errors import CheckpointError, InputError, ScgetWarning, TrainingError
from scget.data import TokenSource, WindowBatches, lay_tokens, training_windows
from scget.model import GET
from scget.model._files import sealed
from scget.module import _lora, negative_binomial_loss
from scget.train._plan import depth_from_top

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
HEAD = {"head_exp.head.weight", "head_exp.head.bias"}
LORA = {"how": "lora", "rank": 4, "alpha": 4.0}


@pytest.fixture(scope="session")
def base(make_rows, tmp_path_factory):
    """Folder of a model of two blocks, trained on the first rule without chr10; not to be changed."""
    mdata = make_rows()
    GET.setup_mudata(mdata)
    model = GET(mdata, width=16, n_layers=2, n_heads=2, window=16, drop_path=0.0)
    model.train(15, validation_chroms=["chr10"], plan_kwargs={"lr": 1e-2}, **QUIET)
    folder = tmp_path_factory.mktemp("base") / "base"
    model.save(folder)
    return folder


@pytest.fixture(scope="session")
def make_rows():
    """Rows of the toy genome; ``gain`` is how expression follows the promoter's fold where motif A is there."""
    from anndata import AnnData

    def make(gain: float = 1.0, names: str = "T", seed: int = 0) -> MuData:
        rng = np.random.default_rng(0)  # genome, motifs, promoters
        start = np.concatenate([np.sort(rng.choice(200, 40, replace=False)) * 3000 for _ in range(3)])
        var = pd.DataFrame({"chrom": np.repeat(["chr1", "chr2", "chr10"], 40), "start": start, "end": start + 500})
        var.index = [f"{c}:{s}-{e}" for c, s, e in var.itertuples(index=False)]
        motif_pm = (rng.random((120, 5)) < 0.4) * rng.gamma(9, 1, (120, 5))
        promoter_g, strand_g = rng.permutation(120)[:100], rng.choice(["+", "-"], 100)
        level_g, mean_p = rng.normal(4, 1, 100), rng.normal(3, 1, 120)
        rng = np.random.default_rng([seed, ord(names)])  # rows
        counts_kp = rng.poisson(np.exp(mean_p + rng.normal(0, 1, (8, 120))))
        fold_kp = np.log1p(counts_kp) - np.log1p(counts_kp).mean(axis=0)
        log_kg = level_g + (gain * fold_kp * (motif_pm[:, 0] > 0))[:, promoter_g]
        obs = pd.DataFrame(index=[f"{names}{i}" for i in range(8)])
        atac = AnnData(csr_matrix(counts_kp.astype(np.float32)), obs=obs.copy(), var=var)
        atac.varm["motif_scores"] = motif_pm.astype(np.float32)
        atac.uns["motif_names"] = np.array(["A", "B/1", "C", "D", "E"], dtype=object)
        genes = [f"G{i}" for i in range(100)]
        atac.uns["peak_annotation"] = pd.DataFrame(
            {"region": var.index[promoter_g], "gene": genes, "strand": strand_g, "tss": start[promoter_g] + 250}
        ).assign(distance=0)
        atac.uns["peak_annotation"].index = [str(i) for i in range(100)]
        counts_kg = rng.poisson(np.exp(log_kg)).astype(np.float32)
        return MuData({"rna": AnnData(csr_matrix(counts_kg), obs, pd.DataFrame(index=genes)), "atac": atac})

    return make


@pytest.fixture
def other(make_rows):
    """Rows N0 to N7, where expression follows the promoters of motif A the other way round."""
    return make_rows(gain=-1.0, names="N")


def tensors(model):
    return {name: tensor.clone() for name, tensor in model.module.state_dict().items()}


def changed(model, before):
    now = model.module.state_dict()
    return {name for name, tensor in before.items() if not torch.equal(tensor, now[name])}


def delta(model, row):
    """Correlation of predicted and observed departure from the training mean, over the genes of training."""
    table = model.table()
    mean_g = model.scaling.expression(table.genes)
    rows = [r for r in table.rows if r != row]
    at, seen = table.row_positions([row])[0], np.isfinite(mean_g)
    observed = (table.expression_kg[at] - table.expression_kg[table.row_positions(rows)].mean(axis=0))[seen]
    return np.corrcoef((model.predict(rows=[row]).to_numpy()[0] - mean_g)[seen], observed)[0, 1]


class Spy(Callback):
    """What the optimiser holds, and its rates at every step."""

    def on_train_start(self, trainer, pl_module):
        self.named = {id(p): n for n, p in pl_module.module.named_parameters()}
        groups = trainer.optimizers[0].param_groups
        self.names = [[self.named[id(p)] for p in group["params"]] for group in groups]
        self.n_learn = sum(p.numel() for group in groups for p in group["params"])
        self.total = int(trainer.estimated_stepping_batches)
        self.rates = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])


@pytest.mark.parametrize("how", [{"how": "full"}, {"how": "head"}, LORA])
def test_other_rows_of_another_rule_are_learnt(base, other, how):
    model = GET.load(base, mdata=other, accelerator="cpu")
    start = delta(model, "N7")
    plan = {"lr": 1e-2, "mix_rows": False, "motif_dropout": 0.0}  # the shortest way
    report = model.finetune(15, **how, holdout_obs=["N7"], validation_chroms=["chr10"], plan_kwargs=plan, **QUIET)
    assert start < -0.3  # the rule it was trained on
    assert delta(model, "N7") > (0.3 if how["how"] != "head" else start + 0.3)
    assert report == model.finetuned and report["kept"] == "end" and report["end"] < report["start"]
    assert report["how"] == how["how"]
    assert model.holdout.obs == ["N7"] and {"T0", "N0"} <= set(model.holdout.seen_obs)


def test_lora_holds_only_its_own_and_leaves_the_base_alone(base, other, tmp_path):
    model, spy = GET.load(base, mdata=other, accelerator="cpu"), Spy()
    start = tensors(model)
    model.finetune(2, **LORA, validation_chroms=["chr10"], plan_kwargs={"lr": 1e-2}, callbacks=[spy], **QUIET)
    sizes = [(7, 16), *[(16, 48), (16, 16), (16, 64), (64, 16)] * 2]
    assert spy.n_learn == 4 * sum(i + o for i, o in sizes) + 16 * 4 + 4
    for name, tensor in _lora.base_state(model.module).items():
        assert torch.equal(tensor, start[name]), name
    assert all(adapter.lora_B.abs().max() > 0 for adapter in _lora.adapters(model.module).values())
    adapted = model.predict()
    model.save(tmp_path / "whole")
    again = GET.load(tmp_path / "whole", mdata=other, accelerator="cpu")
    assert again.finetuned == model.finetuned and set(again.module.state_dict()) == set(start)
    pd.testing.assert_frame_equal(again.predict(), adapted, rtol=0, atol=1e-6)
    model.merge_lora()
    pd.testing.assert_frame_equal(model.predict(), adapted, rtol=0, atol=1e-6)
    assert not any("lora" in name for name in model.module.state_dict())
    model.train(1, **QUIET)  # all of it learns again
    assert "encoder.norm.weight" in changed(model, start)


def test_head_alone(base, other):
    model, spy = GET.load(base, mdata=other, accelerator="cpu"), Spy()
    start = tensors(model)
    model.finetune(1, how="head", callbacks=[spy], **QUIET)
    assert changed(model, start) == HEAD and {n for names in spy.names for n in names} == HEAD
    assert model.finetuned == {"how": "head", "kept": "end", "start": None, "end": None}
    model.finetune(1, **QUIET)  # nothing stays frozen
    assert len(changed(model, start)) == len(start)


def test_rates_of_layers_by_closed_form(base, other):
    model, spy = GET.load(base, mdata=other, accelerator="cpu"), Spy()
    model.finetune(4, layer_decay=0.5, plan_kwargs={"lr": 0.01, "warmup": 0.25}, batch_size=8, callbacks=[spy], **QUIET)
    depth = {"head_exp": 0, "encoder.norm": 0, "encoder.blocks.1": 1, "encoder.blocks.0": 2, "region_embed": 3}
    depth["cls_token"] = 3
    rising = round(0.25 * spy.total)
    assert len(spy.rates) == spy.total > 8
    for step, rates in enumerate(spy.rates):
        if step < rising:
            share = (step + 1) / rising
        else:
            share = (1 + math.cos(math.pi * (step - rising) / (spy.total - rising))) / 2
        for names, rate in zip(spy.names, rates, strict=True):
            (level,) = {depth[key] for name in names for key in depth if name.startswith(key)}
            assert rate == pytest.approx(0.01 * 0.5**level * share, rel=1e-9, abs=1e-15)
    names = [n for group in spy.names for n in group]
    assert sorted(names) == sorted(model.module.state_dict())


def test_depth_of_parameters_when_pretraining_or_adapting():
    names = ["mask_token", "trunk.cls_token", "trunk.region_embed.embed.bias", "trunk.encoder.blocks.0.norm1.bias"]
    names += ["trunk.encoder.blocks.10.attn.qkv.parametrizations.weight.0.lora_A", "trunk.encoder.norm.bias"]
    assert depth_from_top([*names, "head_mask.weight"]) == [12, 12, 12, 11, 1, 0, 0]


def test_a_rate_decays_for_frozen_layers_too(base, other):
    """The depth of what learns counts the layers that do not."""
    model, spy = GET.load(base, mdata=other, accelerator="cpu"), Spy()
    model.finetune(1, how="lora", layers=["embed"], layer_decay=0.5, callbacks=[spy], **QUIET)
    by_name = {n: rate for names, rate in zip(spy.names, spy.rates[0], strict=True) for n in names}
    ratio = by_name["region_embed.embed.parametrizations.weight.0.lora_A"] / by_name["head_exp.head.bias"]
    assert ratio == pytest.approx(0.5**3)


@pytest.mark.parametrize("how", [{"how": "full"}, LORA])
def test_a_ruinous_rate_leaves_the_start(base, other, how):
    model = GET.load(base, mdata=other, accelerator="cpu")
    start = tensors(model)
    with pytest.warns(ScgetWarning, match="did not help: validation loss .* before, .* after; the weights from before"):
        report = model.finetune(2, **how, validation_chroms=["chr10"], plan_kwargs={"lr": 10.0}, **QUIET)
    assert report["kept"] == "start" and report["start"] < report["end"]
    state = _lora.merged_state(model.module)
    assert all(torch.equal(tensor, state[name]) for name, tensor in start.items())
    assert model.is_trained


def test_losses_of_the_guard_are_those_of_the_history(base, other):
    """The loss at the end is the one Lightning took after the last epoch, on the same windows."""
    model = GET.load(base, mdata=other, accelerator="cpu")
    report = model.finetune(2, validation_chroms=["chr10"], batch_size=8, plan_kwargs={"lr": 1e-2}, **QUIET)
    assert report["end"] == pytest.approx(float(model.history["validation_loss"].iloc[-1, 0]), rel=1e-5)


def test_from_pretraining(other):
    GET.setup_mudata(other)
    model = GET(other, width=16, n_layers=1, n_heads=2, window=16)
    with pytest.raises(InputError, match=r"goes on from a trained or pretrained model"):
        model.finetune(1, **QUIET)
    model.pretrain(1, holdout_obs=["N7"], **QUIET)
    with pytest.raises(InputError, match="'N3' cannot be held out now"):
        model.finetune(1, holdout_obs=["N3"], **QUIET)
    with pytest.warns(ScgetWarning, match="did not help"):
        model.finetune(2, validation_chroms=["chr10"], plan_kwargs={"lr": 100.0}, **QUIET)
    assert not model.is_trained  # the head is as it was first drawn
    report = model.finetune(10, **LORA, validation_chroms=["chr10"], plan_kwargs={"lr": 1e-2}, **QUIET)
    assert report["kept"] == "end" and model.is_trained and model.holdout.obs == ["N7"]
    assert model.predict(rows=["N7"]).shape == (1, 100)


def test_adapters_alone(base, other, tmp_path):
    model = GET.load(base, mdata=other, accelerator="cpu")
    model.finetune(2, **LORA, holdout_obs=["N7"], plan_kwargs={"lr": 1e-2}, **QUIET)
    folder = tmp_path / "adapters"
    model.save_adapters(folder)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save_adapters(folder)
    assert sorted(p.name for p in folder.iterdir()) == ["model.json", "weights.safetensors"]
    from safetensors.torch import load_file

    inside = {n for n in load_file(folder / "weights.safetensors") if n.startswith("module.")}
    linear = ["region_embed.embed"] + [
        f"encoder.blocks.{i}.{n}" for i in (0, 1) for n in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    ]
    expected = {f"module.{n}.parametrizations.weight.0.lora_{x}" for n in linear for x in "AB"}
    assert inside == expected | {f"module.{n}" for n in HEAD}
    whole = sum(t.numel() for n, t in load_file(base / "weights.safetensors").items() if n.startswith("module."))
    alone = sum(t.numel() for n, t in load_file(folder / "weights.safetensors").items() if n.startswith("module."))
    assert alone == 4 * (23 + 2 * (64 + 32 + 80 + 80)) + 68 < whole / 2

    fresh = GET.load(base, accelerator="cpu")
    for _ in range(2):  # on the base, and in place of themselves
        fresh.load_adapters(folder)
        pd.testing.assert_frame_equal(fresh.predict(other), model.predict(), check_exact=True)
    assert fresh.holdout == model.holdout and fresh.finetuned == model.finetuned
    assert not any(p.requires_grad for n, p in fresh.module.named_parameters() if "lora" not in n and n not in HEAD)


def test_adapters_are_refused_elsewhere(base, other, make_rows, tmp_path):
    model = GET.load(base, mdata=other, accelerator="cpu")
    with pytest.raises(InputError, match="no LoRA adapters on this network"):
        model.save_adapters(tmp_path / "none")
    with pytest.raises(InputError, match="no LoRA adapters on this network"):
        model.merge_lora()
    model.finetune(1, **LORA, **QUIET)
    folder = tmp_path / "adapters"
    model.save_adapters(folder)
    with pytest.raises(CheckpointError, match="holds adapters alone: load their base"):
        GET.load(folder)
    with pytest.raises(CheckpointError, match=r"holds a whole model: GET.load\(\)"):
        model.load_adapters(base)
    changed_base = GET.load(base, mdata=make_rows(), accelerator="cpu")
    with torch.no_grad():
        changed_base.module.encoder.norm.bias[3] += 1e-6
    before = tensors(changed_base)
    with pytest.raises(CheckpointError, match="belong to a base whose weights have the sha256"):
        changed_base.load_adapters(folder)
    assert not changed(changed_base, before) and changed_base.finetuned == {}
    description = json.loads((folder / "model.json").read_text())
    for part, message in [
        ({"rank": 3}, "tensors of another shape"),
        ({"names": ["nowhere"]}, "is not as save_adapters"),
    ]:
        broken = {**description, "adapters": {**description["adapters"], **part}}
        (folder / "model.json").write_text(json.dumps(sealed(broken)))
        with pytest.raises(CheckpointError, match=message):
            GET.load(base, accelerator="cpu").load_adapters(folder)


def test_with_adapters_on(base, other):
    model = GET.load(base, mdata=other, accelerator="cpu")
    model.finetune(1, **LORA, **QUIET)
    first = {n: a.lora_B.clone() for n, a in _lora.adapters(model.module).items()}
    for train in (model.train, model.pretrain):
        with pytest.raises(InputError, match=r"LoRA adapters are on this network: merge_lora\(\) first"):
            train(1, **QUIET)
    with pytest.raises(InputError, match="before finetune\\(how='full'\\)"):
        model.finetune(1, **QUIET)
    with pytest.raises(InputError, match=r"other adapters are on this network \(9 of rank 4, alpha 4\)"):
        model.finetune(1, how="lora", rank=2, **QUIET)
    model.finetune(1, **LORA, **QUIET)  # the same go on
    assert all(not torch.equal(a.lora_B, first[n]) for n, a in _lora.adapters(model.module).items())


def test_a_failure_leaves_the_model_as_it_was(base, other):
    model = GET.load(base, mdata=other, accelerator="cpu")
    start = tensors(model)
    for how in (LORA, {"how": "head"}):
        with pytest.raises(TrainingError, match="the loss is nan"):
            model.finetune(50, **how, plan_kwargs={"lr": 1e30}, gradient_clip_val=None, **QUIET)
        assert set(model.module.state_dict()) == set(start) and not changed(model, start)
        assert all(p.requires_grad for p in model.module.parameters()) and model.finetuned == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"how": "all"}, "how='all': 'full', 'head' or 'lora'"),
        ({"how": "lora", "rank": 0}, "rank=0"),
        ({"how": "lora", "alpha": 0.0}, "alpha=0.0"),
        ({"how": "lora", "layers": ["head"]}, "layers=.'head'.: a list of 'embed', 'encoder', 'attention', 'mlp'"),
        ({"how": "lora", "layers": "embed"}, "layers='embed': a list"),
        ({"layer_decay": 1.5}, "layer_decay=1.5; a factor above 0"),
        ({"how": "lora", "holdout_obs": ["T0"]}, "no row 'T0'"),
    ],
)
def test_arguments_are_checked(base, other, arguments, message):
    model = GET.load(base, mdata=other, accelerator="cpu")
    start = tensors(model)
    with pytest.raises(InputError, match=message):
        model.finetune(1, **arguments, **QUIET)
    assert set(model.module.state_dict()) == set(start) and not changed(model, start)


def test_hold_outs_of_rows_that_are_not_here_are_no_obstacle(make_rows, other, tmp_path):
    first = make_rows()
    GET.setup_mudata(first)
    model = GET(first, width=8, n_layers=1, n_heads=2, window=16)
    model.train(1, holdout_obs=["T7"], holdout_chroms=["chr10"], **QUIET)
    model.save(tmp_path / "m")
    again = GET.load(tmp_path / "m", mdata=other, accelerator="cpu")
    again.finetune(1, **QUIET)
    assert again.holdout.obs == ["T7"] and again.holdout.chroms == ["chr10"]
    assert {"N0", "N7", "T0"} <= set(again.holdout.seen_obs) and "T7" not in again.holdout.seen_obs


class Dispersion(Callback):
    """The logarithm of the inverse dispersion that training ends with."""

    def on_train_end(self, trainer, pl_module):
        self.log_theta = pl_module.log_theta.detach().clone()


def test_a_dispersion_learnt_beside_counts_as_no_gain(make_rows):
    """Before and after are judged by one likelihood, that of the dispersion learnt; here recomputed for the start."""
    mdata, seen = make_rows(), Dispersion()
    GET.setup_mudata(mdata)
    model = GET(mdata, width=16, n_layers=1, n_heads=2, window=16, drop_path=0.0, baseline="zero")
    model.train(3, loss="nb", validation_chroms=["chr10"], plan_kwargs={"lr": 1e-2}, **QUIET)
    start = tensors(model)
    table = model.table()
    source = TokenSource(table, model.scaling, targets=model.scaling.targets(table))
    settings = {"loss": "nb", "validation_chroms": ["chr10"], "callbacks": [seen], "plan_kwargs": {"lr": 0.3}}
    with pytest.warns(ScgetWarning, match="did not help"):
        report = model.finetune(4, **settings, **QUIET)
    assert report["kept"] == "start" and not changed(model, start)
    assert abs(seen.log_theta.item()) > 0.1  # learnt
    windows = training_windows(
        lay_tokens(table.counts_kp, table.is_promoter_p, table.chrom_p, np.arange(8), table.on_chroms(["chr10"])), 16, 8
    )
    losses, sizes = [], []
    with torch.no_grad():
        for row_b, index_br in WindowBatches(windows, 32):
            batch = source.gather(row_b, index_br)
            out = model.module.eval()(batch.tokens_brf, batch.center_br, batch.pad_br)
            depth = source.depth_k[row_b]
            losses.append(negative_binomial_loss(out, source.expression(batch), depth, seen.log_theta).item())
            sizes.append(len(row_b))
    assert report["start"] == pytest.approx(np.average(losses, weights=sizes), rel=1e-4)


def test_loss_may_be_given_by_itself_or_with_the_plan(make_rows):
    """Either way trains the same weights; both ways at once must agree."""
    ends = []
    for given in ({"loss": "nb"}, {"plan_kwargs": {"loss": "nb"}}, {"loss": "nb", "plan_kwargs": {"loss": "nb"}}):
        mdata = make_rows()
        GET.setup_mudata(mdata)
        model = GET(mdata, width=8, n_layers=1, n_heads=2, window=16, baseline="zero")
        model.train(1, **given, **QUIET)
        model.finetune(1, **given, **QUIET)
        ends.append(tensors(model))
        assert model.history["train_loss"].iloc[0, 0] > 10  # of counts; squared errors are about 2
    assert all(torch.equal(ends[0][n], other[n]) for other in ends[1:] for n in ends[0])
    for learn in (model.train, model.finetune):
        with pytest.raises(InputError, match=r"loss='mse', but plan_kwargs has loss='nb'"):
            learn(1, loss="mse", plan_kwargs={"loss": "nb"}, **QUIET)


def test_what_is_watched_for_the_first_time_is_in_the_history(make_rows):
    mdata = make_rows()
    GET.setup_mudata(mdata)
    model = GET(mdata, width=8, n_layers=1, n_heads=2, window=16, drop_path=0.0)
    model.train(2, **QUIET)
    first = model.history["train_loss"].to_numpy()
    model.finetune(3, validation_chroms=["chr10"], restore_best="loss", plan_kwargs={"lr": 1e-4}, **QUIET)
    assert np.array_equal(model.history["train_loss"].to_numpy()[:2], first)
    watched = model.history["validation_loss"]["validation_loss"].astype(float)
    assert list(watched.index) == [2, 3, 4] == list(model.history["train_loss"].index[2:])
    assert model.best_epoch == np.argmin(watched)
    assert model.finetuned["end"] == pytest.approx(watched.min(), rel=1e-5)
