"""Make the answers that the gallery draws, in ``docs/gallery``: ``python docs/gallery_data.py`` (no network; two minutes).

A small model is trained on simulated data without type10 and chr4, and asked everything that has a picture, so that
building the documentation trains nothing.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import scget
from scget.tl import Change

OUT = Path(__file__).parent / "gallery"
ROW, OTHERS = "type10", ["type01", "type02"]
warnings.filterwarnings("ignore", category=FutureWarning)


def main() -> None:
    """Train, ask, write."""
    data = scget.datasets.simulated(n_chroms=4, regions_per_chrom=400, n_cells=30)
    scget.pp.motif_scores(data.mdata, data.genome, motifs=data.motifs)
    scget.pp.promoters(data.mdata, data.annotation)
    pb = scget.pp.pseudobulk(data.mdata, groupby="cell_type")
    scget.model.GET.setup_mudata(pb)
    model = scget.model.GET(pb, width=48, n_layers=2, n_heads=4, window=64, dropout=0.2)
    held = {"holdout_obs": [ROW], "holdout_chroms": ["chr4"], "validation_chroms": ["chr3"]}
    model.train(40, **held, plan_kwargs={"lr": 5e-3}, enable_progress_bar=False, accelerator="cpu")
    scget.tl.predict(pb, model)
    scget.tl.embed(pb, model)
    scget.tl.attribute(pb, model)
    scget.tl.regulators(pb)
    tables = {f"history_{name}": table.astype(np.float64) for name, table in model.history.items()}
    tables |= judged(pb, model) | what_if(pb, model, data)
    tables |= linked(pb, model, data, tables["asked"]["gene"].iloc[0])
    scget.tl.motif_network(pb, row=ROW, n_draws=20)
    scget.tl.motif_pairs(pb, model, rows=[ROW], n_genes=60)
    write(pb, tables, data)


def judged(pb, model) -> dict[str, pd.DataFrame]:
    """Scores and tables of baselines."""
    names = ["training_mean", "nearest_row_plus_accessibility", "ridge", "boosted_trees"]
    scores = scget.bm.compare(model, predictors=names, metrics=["pearson", "delta_pearson"], n_bootstrap=200)
    found = scget.bm.predictions(model, predictors=["training_mean", "ridge"])
    return {"scores": scores} | {f"baseline_{name}": table for name, table in found.items()}


def what_if(pb, model, data) -> dict[str, pd.DataFrame]:
    """Perturbations, a screen, variants and a design around the region that raises a gene most in the row."""
    openness = data.openness.loc[ROW]
    links = data.links.assign(adds=data.links["effect"] * openness.reindex(data.links["region"]).to_numpy())
    gene, region = (
        links[~links["is_promoter"] & links["region"].str.startswith("chr1:")]
        .nlargest(1, "adds")[["gene", "region"]]
        .iloc[0]
    )
    changes = {f"{name} out": Change("knockout", motifs=name) for name in ("TF11", "TF19", "TF03", "TF05")}
    found = scget.tl.perturb(pb, model, changes | {"enhancer deleted": Change("delete", region)}, rows=[ROW])
    screen = scget.tl.screen(pb, model, genes=[gene], rows=[ROW], reach=60_000)
    sites, swap = data.sites[data.sites["chrom"] == "chr1"], str.maketrans("ACGT", "CATG")
    alleles = pd.DataFrame({"chrom": sites["chrom"], "pos": sites["start"] + 1, "ref": sites["sequence"]})
    alleles = alleles.assign(alt=[s.translate(swap) for s in sites["sequence"]], id=sites["motif"])
    effects, _ = scget.tl.variants(pb, model, alleles, genome=data.genome, motifs=data.motifs, rows=[ROW], reach=30_000)
    design = scget.tl.design(
        pb, model, gene=gene, row=ROW, region=region, against=OTHERS, motifs=data.motifs, n_steps=4
    )  # fmt: skip
    text = pd.DataFrame({"gene": [gene], "region": [region]})
    shown = effects[(effects["gene"] == gene) & effects["effect"].notna()]
    return {
        "asked": text,
        "perturbed": found.to_df().rename_axis("line").assign(**found.obs),
        "screen": screen,
        "variants": shown,
        "design_sequences": design.sequences,
        "design_steps": design.steps,
        "design_predicted": design.predicted.reset_index(),
    }


def linked(pb, model, data, gene) -> dict[str, pd.DataFrame]:
    """Curves of links, the pairs that were planted taken for what an experiment found regulated."""
    scget.tl.links(pb, model, genes=sorted({*data.links["gene"].unique()[:40], gene}), rows=[ROW], max_distance=100_000)
    links = pb.uns["get"]["links"]
    links = links[links["row"] == ROW]
    adds = data.links.assign(
        adds=(data.links["effect"] * data.openness.loc[ROW].reindex(data.links["region"]).to_numpy()).abs()
    )
    planted = adds.groupby(["gene", "region"])["adds"].sum()
    tested = (
        links[["gene", "region", "distance"]]
        .astype({"gene": str, "region": str})
        .assign(distance=lambda t: t["distance"].abs())
    )
    place = (
        tested["region"]
        .str.extract(r"(?P<chrom>[^:]+):(?P<chromStart>\d+)-(?P<chromEnd>\d+)")
        .astype({"chromStart": int, "chromEnd": int})
    )
    truth = planted.reindex(pd.MultiIndex.from_frame(tested[["gene", "region"]])).fillna(0).to_numpy() > 0.1
    tested = pd.concat([place, tested], axis=1).assign(Regulated=truth)
    tested = tested.rename(columns={"gene": "measuredGeneSymbol", "distance": "distanceToTSS"}).reset_index(drop=True)
    curves = scget.bm.crispri_curves({"GET": links["score"].to_numpy()}, tested)
    return {"curves": curves[curves["bin"] == "all"]}


def write(pb, tables: dict[str, pd.DataFrame], data) -> None:
    """Only what is drawn, small."""
    rna, atac = pb["rna"], pb["atac"]
    for layer in ("get_plus", "get_minus"):
        del atac.layers[layer]
    for name in list(atac.varm):
        del atac.varm[name]
    for name in [*rna.varm]:
        if name.startswith("X_") or name.split("_")[-1] not in (ROW, *OTHERS, "type03"):
            del rna.varm[name]
        else:
            rna.varm[name] = rna.varm[name].astype(np.float32)
    del rna.obsm["get_expression"], rna.obsm["get_motif"]
    gene, links = tables["asked"]["gene"].iloc[0], pb.uns["get"]["links"]
    pb.uns["get"]["links"] = links[links["gene"] == gene]
    for key in [key for key in pb.uns if key.startswith("_scvi")]:
        del pb.uns[key]
    OUT.mkdir(exist_ok=True)
    for name, table in tables.items():
        table.to_csv(OUT / f"{name}.csv", float_format="%.7g")
    (OUT / "motifs.meme").write_bytes(data.motifs.read_bytes())
    pb.write_h5mu(OUT / "answers.h5mu", compression="gzip")
    print(f"{sum(path.stat().st_size for path in OUT.iterdir()) / 1e3:,.0f} kB")


if __name__ == "__main__":
    main()
