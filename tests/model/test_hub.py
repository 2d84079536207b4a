"""Models sent to the Hub and fetched again, over a folder in its place, and the card that goes with them."""

from __future__ import annotations

import builtins
import inspect
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from scget._errors import CheckpointError, InputError
from scget.bm import evaluate
from scget.model import GET
from scget.model._card import _text

hub = pytest.importorskip("huggingface_hub")

FILES = ["README.md", "model.json", "weights.safetensors"]
ARGUMENTS = {"license": "cc-by-4.0"}


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The Hub as folders; calls are checked against the true signatures, and files are filtered as there."""
    root, calls = tmp_path / "hub", []
    real = {name: inspect.signature(getattr(hub.HfApi, name)) for name in ("create_repo", "upload_folder")}
    fetch = inspect.signature(hub.snapshot_download)

    def copy(source, target, patterns):
        names = [p.name for p in source.iterdir()]
        target.mkdir(parents=True, exist_ok=True)
        for name in hub.utils.filter_repo_objects(names, allow_patterns=patterns):
            shutil.copy(source / name, target / name)

    def create_repo(self, *args, **kwargs):
        given = real["create_repo"].bind(self, *args, **kwargs).arguments
        calls.append(("create", given))
        return SimpleNamespace(repo_id=given["repo_id"] if "/" in given["repo_id"] else f"me/{given['repo_id']}")

    def upload_folder(self, *args, **kwargs):
        given = real["upload_folder"].bind(self, *args, **kwargs).arguments
        calls.append(("upload", given, sorted(p.name for p in given["folder_path"].iterdir())))
        copy(given["folder_path"], root / given["repo_id"], given["allow_patterns"])
        return SimpleNamespace(commit_url=f"https://hub/{given['repo_id']}/commit/1")

    def snapshot_download(*args, **kwargs):
        given = fetch.bind(*args, **kwargs).arguments
        calls.append(("fetch", given))
        copy(root / given["repo_id"], tmp_path / "cache", given["allow_patterns"])
        return str(tmp_path / "cache")

    monkeypatch.setattr(hub.HfApi, "create_repo", create_repo)
    monkeypatch.setattr(hub.HfApi, "upload_folder", upload_folder)
    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    return SimpleNamespace(root=root, cache=tmp_path / "cache", calls=calls)


def card_of(model, server, **kwargs):
    model.push_to_hub("lab/blood", **ARGUMENTS | kwargs)
    return hub.ModelCard.load(server.root / "lab" / "blood" / "README.md", ignore_metadata_errors=False)


def rows_of(text):
    """First cell of each line of the card's tables, to the rest."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {line[0]: line[1:] for line in lines}


def test_what_is_fetched_gives_the_same_bits(trained, toy, server):
    assert trained.push_to_hub("blood", **ARGUMENTS) == "https://hub/me/blood/commit/1"
    assert sorted(p.name for p in (server.root / "me" / "blood").iterdir()) == FILES
    (server.root / "me" / "blood" / "evil.py").write_text("raise SystemExit")
    model = GET.from_pretrained("me/blood", toy, revision="abc", accelerator="cpu")
    pd.testing.assert_frame_equal(model.predict(), trained.predict(), check_exact=True)
    assert sorted(p.name for p in server.cache.iterdir()) == FILES
    (_, made), (_, sent, there), (_, fetched) = server.calls
    assert made["private"] is True and made["exist_ok"] is True and there == FILES
    assert sorted(sent["allow_patterns"]) == sorted(fetched["allow_patterns"]) == FILES
    assert fetched["revision"] == "abc" and "token" not in sent and not sent["folder_path"].exists()
    trained.push_to_hub("lab/open", private=False, revision="dev", **ARGUMENTS)
    assert server.calls[-2][1]["private"] is False and server.calls[-1][1]["revision"] == "dev"


def test_a_folder_needs_no_hub(saved, trained, toy, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("huggingface_hub"):
            raise ImportError("No module named 'huggingface_hub'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    model = GET.from_pretrained(saved, toy, accelerator="cpu")
    pd.testing.assert_frame_equal(model.predict(), trained.predict(), check_exact=True)
    for call in (lambda: trained.push_to_hub("lab/a", **ARGUMENTS), lambda: GET.from_pretrained("lab/a")):
        with pytest.raises(ImportError, match=r'pip install "scget\[hub\]"'):
            call()


def test_what_is_fetched_is_checked_as_any_file(trained, toy, server):
    trained.push_to_hub("lab/blood", **ARGUMENTS)
    path = server.root / "lab" / "blood" / "weights.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="sha256 of .*weights.safetensors differs"):
        GET.from_pretrained("lab/blood")
    path.write_bytes(whole)
    toy["atac"].uns["motif_names"] = np.array(["A", "B/1", "C", "D", "F"], dtype=object)
    with pytest.raises(CheckpointError, match="missing 'E', unknown 'F'"):
        GET.from_pretrained("lab/blood", toy)
    (server.root / "other" / "bert").mkdir(parents=True)
    shutil.rmtree(server.cache)
    with pytest.raises(CheckpointError, match="model.json cannot be read .*is this a folder that save"):
        GET.from_pretrained("other/bert")


@pytest.mark.parametrize("name", ["a/b/c", "../up", "lab/two words", "lab/x--y", "/nowhere/my_get", "lab/x.git"])
def test_names_are_checked_before_anything_is_sent(trained, server, name):
    for call in (lambda: trained.push_to_hub(name, **ARGUMENTS), lambda: GET.from_pretrained(name)):
        with pytest.raises(InputError, match="is neither a folder nor 'user/name' on the Hub"):
            call()
    assert server.calls == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"license": "CC BY 4.0"}, "license='CC BY 4.0': an identifier of https"),
        ({"license": None}, "license=None: an identifier of https"),
        ({"license": "mit\ntags: x"}, "an identifier of https"),
        ({"tags": "blood"}, "tags='blood': lists are needed"),
        ({"metrics": pd.DataFrame({"split": ["rows"]})}, "metrics lacks 'row', 'metric', 'predictor', ..."),
        ({"metrics": {"pearson": 1}}, "metrics lacks 'split', 'row', 'metric', ..."),
    ],
)
def test_arguments_are_checked_before_anything_is_sent(trained, server, arguments, message):
    with pytest.raises(InputError, match=message):
        trained.push_to_hub("lab/blood", **ARGUMENTS | arguments)
    assert server.calls == []


def test_a_licence_must_be_stated_and_something_learnt(trained, toy, server):
    with pytest.raises(TypeError, match="license"):
        trained.push_to_hub("lab/blood")
    GET.setup_mudata(toy)
    model = GET(toy, width=8, n_layers=1, n_heads=2, window=16)
    with pytest.raises(InputError, match="this model has not learnt yet"):
        model.push_to_hub("lab/blood", **ARGUMENTS)
    assert server.calls == []
    model.pretrain(1, holdout_obs=["T5"], accelerator="cpu", enable_progress_bar=False)
    assert "A pretrained network, which cannot predict expression before" in card_of(model, server).text


def test_the_header_is_what_the_hub_reads(trained, server):
    data = card_of(trained, server, datasets=["lab/pbmc"], tags=["blood", "atac-seq"]).data.to_dict()
    assert data["library_name"] == "scget" and data["license"] == "cc-by-4.0" and data["datasets"] == ["lab/pbmc"]
    assert "blood" in data["tags"] and data["tags"].count("atac-seq") == 1
    assert "datasets" not in card_of(trained, server).data.to_dict()


def test_the_card_says_what_the_model_learnt_from(trained, server, monkeypatch):
    table = trained.table()
    monkeypatch.setattr(trained, "motif_scan", {"genome": "hg38.fa", "p_value": 1e-4})
    monkeypatch.setattr(trained, "annotation", {"file": "gencode.v40.gtf", "flank": 500})
    text = card_of(trained, server, description="Rows of blood.").text
    told = rows_of(text)
    assert told["rows trained on"] == ["5: T0, T1, T2, T3, T4"] and told["rows"] == ["1: T5"]
    assert told["chromosomes trained on"] == ["2: chr1, chr2"] and told["chromosomes"] == ["1: chr10"]
    assert told["regions"] == ["120, median width 500 bp"] and told["motifs"] == ["5"]
    seen = {g for g, s in zip(table.promoters.gene_n, table.promoters.slot_n, strict=True)
            if table.chrom_p[table.promoters.region_q[s]] != list(table.chroms).index("chr10")}  # fmt: skip
    assert told["genes with a training mean"] == [f"{len(seen)} of 51"]
    assert told["expression of the training rows"] == ["each row's own, in the weights file"]
    assert told["genome"] == ["hg38.fa"] and told[r"p\_value"] == ["0.0001"] and told["flank"] == ["500"]
    assert told["annotation"] == ["gencode.v40.gtf"] and told["width"] == ["16"] and told["window"] == ["16"]
    assert told[r"train\_loss"][0].startswith("20 epochs, last 0.")
    assert 'from_pretrained("lab/blood")' in text and "Rows of blood." in text
    assert "## Accuracy\n\nNot given." in text and "`cc-by-4.0`" in text and "Written by scget " in text


def test_three_lines_of_the_card_run(trained, toy, server):
    code = card_of(trained, server).text.split("```python\n")[1].split("```")[0]
    assert len(code.strip().splitlines()) == 3
    space = {"mdata": toy}
    exec(code, space)
    pd.testing.assert_frame_equal(space["expression"], trained.predict(), check_exact=True)


def test_accuracy_stands_beside_the_baselines(trained, server):
    scores = evaluate(trained, baselines=["training_mean", "ridge"])
    text = card_of(trained, server, metrics=scores).text
    block = text.split("## Accuracy")[1].split("## Network")[0]
    lines = [line.strip("| ").split(" | ") for line in block.splitlines() if line.startswith("| ")]
    assert lines[0] == ["split", "metric", "GET", r"training\_mean", "ridge"]
    found = {(line[0], line[1].replace("\\", "")): line[2:] for line in lines[2:]}
    assert len(found) == len(scores.groupby(["split", "metric"]))
    for (split, metric), values in found.items():
        for predictor, value in zip(["GET", "training_mean", "ridge"], values, strict=True):
            at = (scores["split"] == split) & (scores["metric"] == metric) & (scores["predictor"] == predictor)
            expected = scores.loc[at, "value"].to_numpy()
            expected = np.nanmean(expected) if np.isfinite(expected).any() else np.nan
            assert value == f"{expected:.3f}"
    assert "held-out rows, genes of training chromosomes (1 rows)" in block and "(5 rows)" in block
    assert "were trained on" not in block


def test_rows_scored_that_were_trained_on_are_told(trained, server):
    with pytest.warns(UserWarning, match="'T0' were trained on"):
        scores = evaluate(trained, rows=["T0", "T5"], baselines=["training_mean"])
    assert "**1 rows scored as held out were trained on** (1: T0)" in card_of(trained, server, metrics=scores).text


def test_names_cannot_become_markup():
    assert _text("a|b\n<img src=x> [x](y) `z` *w* _v_ &amp; #1") == (
        r"a\|b \<img src=x\> \[x\](y) \`z\` \*w\* \_v\_ \&amp; \#1"
    )
    assert _text("CD4 T-cell (chr1:100-200)") == "CD4 T-cell (chr1:100-200)"


def test_imported_weights_are_not_said_to_hold_anything_out(trained, server, monkeypatch):
    from dataclasses import replace

    source = {"file": "best.pth", "licence": "not stated", "holdout_obs": ["Mono"]}
    held = replace(trained.holdout, obs=[], chroms=[], seen_obs=[], seen_chroms=[], imported=source)
    monkeypatch.setattr(trained, "holdout", held)
    told = rows_of(card_of(trained, server).text)
    assert "rows" not in told and told["rows trained on"] == ["not recorded"]
    assert told["before"][0].startswith("what the imported weights were trained on is not on record")
    assert told["imported weights: file"] == ["best.pth"] and told["imported weights: licence"] == ["not stated"]
    assert told[r"imported weights: holdout\_obs"] == [r"\['Mono'\]"]


def test_thousands_of_rows_are_counted_and_not_all_named(trained, server, monkeypatch):
    from dataclasses import replace

    many = [f"cell {i}" for i in range(2345)]
    monkeypatch.setattr(trained, "holdout", replace(trained.holdout, seen_obs=many))
    told = rows_of(card_of(trained, server).text)["rows trained on"][0]
    assert told.startswith("2,345: cell 0, cell 1,") and told.endswith("cell 99 and others, in model.json")


def test_a_card_says_what_the_model_predicts(toy, server):
    GET.setup_mudata(toy)
    calls = {"expression": [".predict("], "accessibility": [".predict_accessibility("]}
    for task, own in {**calls, "both": [".predict(", ".predict_accessibility("]}.items():
        model = GET(toy, width=8, n_layers=1, n_heads=2, window=16, task=task)
        model.train(1, enable_progress_bar=False, accelerator="cpu")
        card = card_of(model, server)
        assert [call for call in (".predict(", ".predict_accessibility(") if call in card.text] == own
        assert ("gene-expression" in card.data.tags) == ("gene expression" in card.text) == (task != "accessibility")
