"""Each picture looks as it did: drawn from numbers made by hand, without its text, beside the image in ``images``.

``SCGET_REMAKE_IMAGES=1 pytest tests/pl/test_images.py`` writes the images anew; look at each before you commit it.
"""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.ticker import NullFormatter
from mudata import MuData

import scget
from scget.tl import Designs

mpl.use("agg")
IMAGES = Path(__file__).parent / "images"
# Root mean square of what differs, as a share of all that is not white. Matplotlib 3.10 beside 3.11: at most 0.08, most 0;
# other colours: at least 0.13 (small points), most above 0.25. An absolute limit of 10 of 255 lets all lines change colour.
TOLERANCE = 0.12
ROWS, GENES, MOTIFS = ["a", "b", "c", "d"], [f"G{i}" for i in range(60)], ["AP1/1", "GATA", "CTCF", "NFY", "SPI1"]


def wave(*shape: int) -> np.ndarray:
    """Numbers from -1 to 1 in no order, the same everywhere."""
    return np.sin(np.arange(1, np.prod(shape) + 1) ** 1.7).reshape(shape)


def answered() -> MuData:
    """Four rows x (40 regions on one chromosome, 60 genes) with predictions, attributions, embeddings and links."""
    rows = pd.DataFrame({"kind": pd.Categorical(["x", "x", "y", "z"])}, index=ROWS)
    start = np.arange(40) * 2000
    var = pd.DataFrame({"chrom": "chr1", "start": start, "end": start + 500})
    var.index = [f"chr1:{s}-{s + 500}" for s in start]
    atac = AnnData((20 + 19 * wave(4, 40)).astype(np.float32), obs=rows.copy(), var=var)
    genes = pd.DataFrame({"region": var.index[[20, *range(40), *range(19)]], "gene": GENES, "strand": "+"})
    genes = genes.assign(tss=[start[20] + 100, *(start + 100), *(start[:19] + 100)], distance=0)
    atac.uns["peak_annotation"] = genes.set_index(genes.index.astype(str))
    atac.obsm["X_get"] = wave(4, 6)
    counts = np.round(10 ** (2 + wave(60)) * 2 ** wave(4, 60))
    rna = AnnData(counts.astype(np.float32), obs=rows.copy(), var=pd.DataFrame(index=GENES))
    observed = np.log10(1e6 * counts / counts.sum(1, keepdims=True) + 1)
    rna.layers["get_std"] = np.tile(0.1 + 0.3 * np.linspace(0, 1, 60) ** 2, (4, 1))
    rna.layers["get"] = observed + 2 * wave(4, 60)[::-1] * rna.layers["get_std"]
    for k, row in enumerate(ROWS):
        rna.varm[f"get_motif_{row}"] = wave(60, 5) * (1 + np.arange(5)) * (k + 1) / 10
    rna.uns["get"] = {"motif_names": np.array(MOTIFS)}
    mdata = MuData({"rna": rna, "atac": atac})
    links = pd.DataFrame({"row": "d", "gene": "G0", "region": var.index[[6, 15, 20, 22, 31, 37]]})
    links = links.assign(score=[0.2, 0.5, 1, 0.8, 0.3, 0.1], signed=[-0.1, 0.3, 0.6, -0.5, 0.2, 0.05])
    mdata.uns["get"] = {"links": links, "holdout_obs": ["d"], "holdout_chroms": []}
    return mdata


def effects() -> pd.DataFrame:
    """Eight variants of one gene."""
    table = {"variant": [f"chr1:{i}:A>G" for i in range(8)], "id": "", "gene": "G0", "row": "d", "motif": "GATA"}
    return pd.DataFrame({**table, "distance": 100.0, "change": 1.0, "effect": wave(8)})


def regulators() -> pd.DataFrame:
    """Two rows, four clusters of one factor each, the last not measured."""
    table = pd.DataFrame({"row": np.repeat(["a", "b"], 4), "gene_set": "all", "motif": MOTIFS[:4] * 2})
    table = table.assign(tf=["JUN", "GATA1", "CTCF", None] * 2, effect=wave(8), specific=wave(8)[::-1])
    table = table.assign(observed=[0, 1, 3, np.nan, 2, 1, 0.5, np.nan], predicted=np.nan)
    return table.assign(expressed=pd.array([True, True, True, None] * 2, dtype="boolean"))


def scores() -> pd.DataFrame:
    """Three predictors in two rows, one without a value."""
    table = pd.DataFrame({"split": "both", "row": np.repeat(["a", "b"], 4), "metric": "pearson"})
    table = table.assign(predictor=["GET", "ridge", "training_mean", "none"] * 2)
    table["value"] = [0.8, 0.5, 0.6, np.nan, 0.7, 0.4, -0.1, np.nan]
    return table.assign(low=table["value"] - 0.1, high=table["value"] + 0.05)


def designs() -> Designs:
    """One design of three edits in three rows."""
    steps = pd.DataFrame(
        {"design": 0, "step": range(4), "name": ["start", "GATA", "AP1/1", "CTCF"], "start": [0, 5, 20, 9]}
    )
    steps = steps.assign(strand="+", objective=[0, 0.2, 0.5, 0.6])
    index = pd.MultiIndex.from_frame(steps[["design", "step"]])
    values = np.array([[1, 1, 2], [1.3, 0.9, 2], [1.7, 0.8, 2.1], [1.9, 0.7, 2.2]])
    sequences = pd.DataFrame({"sequence": ["ACGT"], "objective": [0.6]})
    return Designs("G0", "d", "chr1:0-500", sequences, steps, pd.DataFrame(values, index, ["d", "a", "b"]))


def changes(n: int) -> AnnData:
    """What ``n`` perturbations of one row change."""
    obs = pd.DataFrame({"row": "d", "perturbation": [f"no {m}" for m in MOTIFS[:n]]})
    obs.index = obs["perturbation"] + " in d"
    return AnnData(wave(n, 12), obs=obs, var=pd.DataFrame(index=GENES[:12]))


def screen() -> pd.DataFrame:
    """Twelve regions around a gene."""
    start = np.arange(12) * 4000
    table = pd.DataFrame({"gene": "G0", "row": "d", "region": [f"chr1:{s}-{s + 500}" for s in start]})
    return table.assign(effect=wave(12), distance=start - 20_000)


def curves() -> pd.DataFrame:
    """Two predictors and two rules, of 40 pairs."""
    start = np.arange(40) * 3000
    pairs = {"chrom": "chr1", "chromStart": start, "chromEnd": start + 500, "measuredGeneSymbol": "A"}
    pairs |= {"Regulated": wave(40) > 0.3, "startTSS": 60_000, "DHS.RPM": 1 + wave(40)[::-1]}
    return scget.bm.crispri_curves({"GET": wave(40) + wave(3, 40)[2], "other": wave(2, 40)[1]}, pd.DataFrame(pairs))


def history() -> dict[str, pd.DataFrame]:
    """Twenty epochs."""
    fall = np.exp(-np.arange(20) / 5)
    return {n: pd.DataFrame({n: f * fall + b}) for n, f, b in (("train_loss", 1, 0.3), ("validation_loss", 0.8, 0.5))}


def edges(*names: str) -> pd.DataFrame:
    """Five edges between four motifs."""
    a, b = [0, 1, 2, 3, 0], [1, 2, 3, 0, 2]
    table = pd.DataFrame({"row": "d", names[0]: [MOTIFS[i] for i in a], names[1]: [MOTIFS[i] for i in b]})
    return table.assign(**{names[2]: [0.9, -0.7, 0.5, -0.3, 0.2], names[3]: [1.0, 0.9, 0.8, 0.7, 0.6]})


def with_baselines(pl, **kwargs):
    mdata = answered()
    level = np.log10(1e6 * (x := mdata["rna"].X.astype(float)) / x.sum(1, keepdims=True) + 1)
    mdata.uns["get"]["holdout_chroms"] = []
    tables = {"training_mean": level[:3].mean(0), "ridge": level[3] + 0.6 * wave(60)}
    tables = {name: pd.DataFrame([values], ["d"], GENES) for name, values in tables.items()}
    return pl.predicted(mdata, "d", baselines=tables, **kwargs)


PFMS = {
    name: np.roll(np.array([[0.9, 0.1, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1], [0.25] * 4]), i, 1)
    for i, name in enumerate(MOTIFS)
}

PICTURES = {
    "attribution": lambda pl: pl.attribution(answered(), "G0", "d", return_fig=True),
    "calibration": lambda pl: pl.calibration(answered(), ["c", "d"], n_bins=6, return_fig=True),
    "crispri": lambda pl: pl.crispri(curves(), return_fig=True),
    "design": lambda pl: pl.design(designs(), return_fig=True),
    "embedding": lambda pl: pl.embedding(answered(), "kind", return_fig=True),
    "history": lambda pl: pl.history(history(), return_fig=True),
    "links": lambda pl: pl.links(answered(), "G0", "d", rows=["d", "a"], return_fig=True),
    "motif_heatmap": lambda pl: pl.motif_heatmap(answered(), return_fig=True),
    "motif_heatmap_logos": lambda pl: pl.motif_heatmap(answered(), "d", genes=GENES[:9], motifs=PFMS, return_fig=True),
    "motif_network": lambda pl: pl.motif_network(edges("source", "target", "weight", "frequency"), return_fig=True),
    "motif_network_pairs": lambda pl: pl.motif_network(edges("motif_a", "motif_b", "mean", "rms"), return_fig=True),
    "mpra": lambda pl: pl.mpra(wave(2, 40)[0], wave(2, 40)[0] + 0.5 * wave(2, 40)[1], return_fig=True),
    "perturbed": lambda pl: pl.perturbed(changes(3), row="d", return_fig=True),
    "perturbed_alone": lambda pl: pl.perturbed(changes(1), return_fig=True),
    "predicted": lambda pl: pl.predicted(answered(), "d", return_fig=True),
    "predicted_baselines": lambda pl: with_baselines(pl, training_rows=["a", "b", "c"], return_fig=True),
    "regulators": lambda pl: pl.regulators(regulators(), return_fig=True),
    "scores": lambda pl: pl.scores(scores(), "pearson", return_fig=True),
    "screened": lambda pl: pl.screened(screen(), "G0", "d", return_fig=True),
    "variants": lambda pl: pl.variants(effects(), "G0", "d", return_fig=True),
}


def save(name: str, path: Path) -> None:
    """Draw a picture in matplotlib's own style, without what fonts decide."""
    if name.endswith("logos"):
        pytest.importorskip("logomaker")
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.use("agg")
        figure = PICTURES[name](scget.pl)
        for legend in figure.findobj(Legend):
            legend.set_visible(False)  # as wide as its text
        for text in figure.findobj(Text):
            text.set_text("")
        for ax in figure.findobj(mpl.axes.Axes):
            for axis in (ax.xaxis, ax.yaxis):
                axis.set_major_formatter(NullFormatter())
        figure.set_layout_engine("none")  # versions differ by a pixel
        for ax in figure.axes:
            if ax.child_axes:
                ax.set_position((0.1, 0.1, 0.5, 0.8))
        figure.set_size_inches(np.round(figure.get_size_inches(), 1))  # whole pixels
        figure.savefig(path, dpi=60, metadata={"Software": None})
    mpl.pyplot.close("all")


@pytest.mark.parametrize("name", PICTURES)
def test_image(name, tmp_path):
    golden, drawn = IMAGES / f"{name}.png", tmp_path / f"{name}.png"
    remake = os.environ.get("SCGET_REMAKE_IMAGES")
    save(name, golden if remake else drawn)
    if remake:
        pytest.skip(f"{golden} is made anew")
    then, now = (mpl.pyplot.imread(path)[:, :, :3] for path in (golden, drawn))
    assert then.shape == now.shape
    differs = np.sqrt(np.square(then - now).mean() / np.square(1 - then).mean())
    assert differs < TOLERANCE, f"compare {golden} with {drawn}"


def test_every_picture_has_an_image_and_none_is_large():
    drawn = {
        name for name in scget.pl.__all__ if any(image == name or image.startswith(f"{name}_") for image in PICTURES)
    }
    assert drawn == set(scget.pl.__all__)
    assert {path.stem for path in IMAGES.glob("*.png")} == set(PICTURES)
    assert max(path.stat().st_size for path in IMAGES.glob("*.png")) <= 30_000
