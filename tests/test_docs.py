"""What the documentation says is so: its calls fit, its new pages run, its messages and tests are those of the source."""

from __future__ import annotations

import ast
import gzip
import inspect
import re
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from mudata import MuData

import scget
from scget.model import GET, Ensemble, Reporter

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
if not (DOCS / "conf.py").is_file():
    pytest.skip("the documentation is not beside the package", allow_module_level=True)

PAGES = sorted(DOCS.glob("*.md")) + [p for p in (ROOT / "README.md", ROOT / "SECURITY.md") if p.is_file()]
RUN = {  # pages whose code is run, in order, and what must be so afterwards
    "concepts.md": "np.allclose(predicted, model.predict(pb), atol=1e-4, equal_nan=True) and departure.notna().any(axis=None)",
    "settings.md": "len(model.history['validation_delta_r']) == 1 and set(scores['row']) >= {'CD4 TCM'}",
    "troubleshooting.md": "departure.shape == pb['rna'].shape and (departure.std(axis=1) > 0.01).all()",
    "faq.md": "np.array_equal(paired['rna'][pb.obs_names].X, pb['rna'].X.toarray())"
    " and np.array_equal(pb['rna'].layers['first'], pb['rna'].layers['second'], equal_nan=True)"
    " and np.allclose(new['rna'].to_df(layer='get'), model.predict(new), equal_nan=True, atol=1e-4)",
}
BY_NAME = {"GET": GET, "model": GET, "ensemble": Ensemble, "Ensemble": Ensemble, "reporter": Reporter, "new_model": GET}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [code for kind, code in BLOCK.findall(page.read_text("utf-8")) if kind == language]


def ids(path: Path) -> str:
    return path.name


# Calls and names


def dotted(node: ast.expr) -> list[str]:
    """``a.b.c`` as its parts; nothing for what is not a plain name."""
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return [*before, node.attr] if before else []
    return [node.id] if isinstance(node, ast.Name) else []


def look_up(parts: list[str]):
    """What of scget a dotted name means; None for what is not scget's."""
    if parts[:1] == ["scget"]:
        found, rest = scget, parts[1:]
    elif parts[:1] == ["Change"]:
        found, rest = scget.tl.Change, parts[1:]
    elif len(parts) == 2 and parts[0] in BY_NAME:  # deeper down are attributes of an instance
        found, rest = BY_NAME[parts[0]], parts[1:]
    else:
        return None
    for part in rest:
        found = getattr(found, part)
    return found


def misfit(call: ast.Call) -> str:
    """Why a call does not fit the signature of what it calls; empty where it does or is not scget's."""
    parts = dotted(call.func)
    try:
        what = look_up(parts)
    except AttributeError as error:
        return str(error)
    if what is None or not callable(what):
        return ""
    signature = inspect.signature(what)
    instance = parts[0] in ("model", "ensemble", "reporter") and not inspect.ismethod(what)  # self comes first
    given = [None] * (len([a for a in call.args if not isinstance(a, ast.Starred)]) + instance)
    named = {k.arg: None for k in call.keywords if k.arg}
    whole = all(k.arg for k in call.keywords) and not any(isinstance(a, ast.Starred) for a in call.args)
    try:
        (signature.bind if whole else signature.bind_partial)(*given, **named)
    except TypeError as error:
        return f"{'.'.join(parts)}: {error}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_calls_in_the_pages_fit_their_signatures(page):
    trees = [ast.parse(code) for code in blocks(page, "python")]
    wrong = [misfit(node) for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert [text for text in wrong if text] == []


@pytest.mark.parametrize(
    "call", ["scget.tl.predict(pb)", "model.train(epochs=3, foo=1, holdouts=1)", "scget.tl.guess(pb)"]
)
def test_a_call_that_does_not_fit_is_found(call):
    node = ast.parse(call).body[0].value
    assert bool(misfit(node)) == (not call.startswith("model.train"))  # train hands the rest on to Lightning


@pytest.mark.parametrize("page", [*PAGES, DOCS / "llms.txt"], ids=ids)
def test_names_in_the_text_exist(page):
    for name in re.findall(r"scget(?:\.\w+)+", page.read_text("utf-8")):
        parts = name.split(".")
        if parts[1] in scget.__all__ and parts[-1] not in ("py", "md"):
            look_up(parts)  # AttributeError names what is missing


# The pages that are run


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with the files that the pages speak of: simulated data under the names of real ones."""
    folder = tmp_path_factory.mktemp("docs")
    data = scget.datasets.simulated(folder, n_cell_types=5, n_chroms=3, regions_per_chrom=60, n_cells=20, n_motifs=16)
    chroms = {"chr2": "chr10", "chr3": "chr11"}
    types = dict(zip([f"type{i:02d}" for i in range(1, 6)], ["B", "Mono", "NK", "CD8 TEM", "CD4 TCM"], strict=True))
    at_start = data.links.query("is_promoter and region.str.startswith('chr1:')")["gene"].unique()[:2]
    genes = dict(zip(at_start, ["GATA1", "MYC"], strict=True))

    def rename(text: str) -> str:
        for old, new in {**chroms, **genes}.items():
            text = re.sub(rf"\b{old}\b", new, text)
        return text

    (folder / "hg38.fa").write_text(rename(data.genome.read_text()))
    with gzip.open(folder / "gencode.gtf.gz", "wt") as file:
        file.write(rename(data.annotation.read_text()))
    mdata = data.mdata
    atac, rna = mdata["atac"], mdata["rna"]
    atac.var["chrom"] = [chroms.get(c, c) for c in atac.var["chrom"].astype(str)]
    atac.var_names = [rename(name) for name in atac.var_names]
    rna.var_names = [genes.get(g, g) for g in rna.var_names]
    for adata in (atac, rna):
        adata.obs["cell_type"] = [types[t] for t in adata.obs["cell_type"]]
    MuData({"rna": rna, "atac": atac}).write_h5mu(folder / "pbmc_multiome.h5mu")
    return folder


@pytest.fixture(scope="module")
def given(world):
    """What a page may use without making it: ``mdata`` (cells), ``pb`` (rows), ``model`` (trained), ``new`` (ATAC alone)."""
    mdata = mudata.read_h5mu(world / "pbmc_multiome.h5mu")
    scget.pp.motif_scores(mdata, world / "hg38.fa", motifs=scget.pp.read_motifs(world / "motifs.meme"))
    scget.pp.promoters(mdata, world / "gencode.gtf.gz")
    pb = scget.pp.pseudobulk(mdata, "cell_type")
    GET.setup_mudata(pb)
    model = GET(pb, width=16, n_layers=1, n_heads=2, window=16, drop_path=0.0)
    quiet = {"enable_progress_bar": False, "accelerator": "cpu"}
    model.train(5, holdout_obs=["CD4 TCM"], holdout_chroms=["chr11"], plan_kwargs={"lr": 1e-2}, **quiet)
    model.save(world / "my_get")
    return {"mdata": mdata, "pb": pb, "model": model, "new": MuData({"atac": pb["atac"][["CD4 TCM"]].copy()})}


def in_small(code: str) -> str:
    """The same with one epoch in place of many."""
    return re.sub(r"max_epochs=\d+", "max_epochs=1", code)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", RUN)
def test_pages_run(name, given, world, monkeypatch):
    monkeypatch.chdir(world)
    monkeypatch.setenv("MPLBACKEND", "agg")
    space = {"scget": scget, "mudata": mudata, "MuData": MuData, "sc": sc, "np": np, "pd": pd}
    space |= {key: value.copy() if isinstance(value, MuData) else value for key, value in given.items()}
    GET.setup_mudata(space["pb"])
    for i, code in enumerate(blocks(DOCS / name, "python")):
        exec(compile(in_small(code), f"{name}, block {i}", "exec"), space)
    assert eval(RUN[name], space)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_readme_leads_from_an_h5mu_to_a_plot(world, monkeypatch, tmp_path):
    import matplotlib.pyplot as plt

    for file in (path for path in world.iterdir() if path.is_file()):
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scget.datasets, "motifs", lambda name: scget.pp.read_motifs("motifs.meme"))
    code = in_small(blocks(ROOT / "README.md", "python")[0]).replace("width=64", "width=16")
    plt.switch_backend("agg")
    space: dict = {}
    exec(compile(code, "README.md", "exec"), space)
    pb, shown = space["pb"], [text.get_text() for axis in plt.gcf().axes for text in axis.get_xticklabels()]
    assert pb["rna"].to_df(layer="get")[["GATA1", "MYC"]].notna().all().all() and {"GATA1", "MYC"} <= set(shown)
    assert list(pb.uns["get"]["holdout_obs"]) == ["CD4 TCM"]
    plt.close("all")


# Messages, tests and links that are named


def templates() -> list[re.Pattern]:
    """Every formatted text of the source as a pattern: what is filled in may be anything."""
    found = []
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node] if isinstance(node, ast.Constant) else []
            texts = [p.value if isinstance(p, ast.Constant) else None for p in parts]
            if sum(len(t) for t in texts if isinstance(t, str)) > 15:
                pattern = "".join(".*" if t is None else re.escape(t) for t in texts if t is None or isinstance(t, str))
                found.append(re.compile(pattern, re.DOTALL))
    return found


def test_messages_that_are_quoted_are_those_of_the_source():
    known = templates()
    quoted = [" ".join(text.split()) for text in blocks(DOCS / "troubleshooting.md", "text")]
    assert len(quoted) > 15 and not any(p.fullmatch("the regions are painted blue. Paint them red.") for p in known)
    kinds, messages = zip(*(text.split(": ", 1) for text in quoted), strict=True)
    assert set(kinds) <= {"ImportError", *dir(scget._errors)}
    assert [text for text in messages if not any(p.fullmatch(text) for p in known)] == []


def test_tests_that_are_named_exist():
    named = []
    for page in [*PAGES, *ROOT.glob("benchmarks/README.md")]:
        text = page.read_text("utf-8")
        named += re.findall(r"(tests/[\w/]+\.py)(?: -k (\"[^\"]+\"|\w+))?", text)
    assert len(named) > 20
    for path, chosen in named:
        assert (ROOT / path).is_file(), path
        names = re.findall(r"def (test_\w+)", (ROOT / path).read_text("utf-8"))
        for word in re.split(r" or ", chosen.strip('"')) if chosen else []:
            assert any(word in name for name in names), f"{path} has no test with {word!r}"


@pytest.mark.skipif(not (ROOT / "tutorials").is_dir(), reason="the repository is not around the tests")
@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "SECURITY.md"], ids=ids)
def test_links_of_the_front_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_llms_txt_names_what_there_is():
    text = (DOCS / "llms.txt").read_text("utf-8")
    title, summary, *_ = [line for line in text.splitlines() if line]
    assert title == "# scget" and summary.startswith("> ")
    targets = re.findall(r"^- \[[^]]+\]\(([^)]+)\): \S", text, re.MULTILINE)
    assert len(targets) == len(set(targets)) > 10
    for target in targets:
        page = target.split("#")[0]
        source = "tutorials" if page.startswith("tutorials/") else "docs"
        name = page.removeprefix("tutorials/").removesuffix(".html")
        made = page == "tutorials/index.html"
        assert made or any((ROOT / source / f"{name}{end}").is_file() for end in (".md", ".ipynb")), target
    listed = set(re.findall(r"^- `scget\.(\w+\.\w+)", text, re.MULTILINE))
    public = {
        f"{folder}.{name}" for folder in ("pp", "tl") for name in getattr(scget, folder).__all__ if name.islower()
    }
    assert public <= listed
