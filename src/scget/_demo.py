"""The main job, from files to figures: prepare, pretrain, train, predict, attribute, judge."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from mudata import MuData

    from scget.datasets import Simulated
    from scget.model import GET

NEAR = 30_000  # bp from a promoter within which regions are ranked: as far as the planted rule reaches


def main(arguments: list[str] | None = None) -> None:
    """Run ``python -m scget demo``."""
    parser = argparse.ArgumentParser(
        prog="python -m scget", description="Expression from open chromatin, demonstrated."
    )
    demo = parser.add_subparsers(required=True, metavar="demo").add_parser(
        "demo", help="run the main job", description=__doc__
    )
    own = demo.add_argument_group("own data, all four together; without them data with a planted rule are simulated")
    own.add_argument("--mdata", type=Path, help="h5mu of cells (raw counts in modalities rna and atac)")
    own.add_argument("--genome", type=Path, help="FASTA, plain or bgzip")
    own.add_argument("--annotation", type=Path, help="GTF or GFF3, plain or gz")
    own.add_argument("--motifs", type=Path, help="MEME, plain or gz")
    own.add_argument("--groupby", default="cell_type", help="column of obs that names the cell type (%(default)s)")
    held = demo.add_argument_group("held out, never seen in training")
    held.add_argument("--holdout-obs", nargs="+", help="cell types (the last)")
    held.add_argument("--holdout-chroms", nargs="+", help="chromosomes (the last)")
    size = demo.add_argument_group("model")
    size.add_argument("--width", type=int, default=64, help="embedding size (%(default)s)")
    size.add_argument("--layers", type=int, default=2, help="transformer blocks (%(default)s)")
    size.add_argument("--dropout", type=float, default=0.2, help="(%(default)s)")
    size.add_argument("--window", type=int, default=64, help="regions per window (%(default)s)")
    size.add_argument("--pretrain-epochs", type=int, default=5, help="(%(default)s)")
    size.add_argument("--epochs", type=int, default=60, help="(%(default)s)")
    size.add_argument("--lr", type=float, default=5e-3, help="learning rate (%(default)s)")
    size.add_argument("--seed", type=int, default=0, help="of data and training (%(default)s)")
    demo.add_argument("--genes", nargs="+", help="genes to explain (with own data: the 100 predicted to differ most)")
    demo.add_argument("--out", type=Path, default=Path("demo-output"), help="folder for results (%(default)s)")
    args = parser.parse_args(arguments)
    given = [args.mdata, args.genome, args.annotation, args.motifs]
    if any(given) and not all(given):
        demo.error("own data need all of --mdata, --genome, --annotation, --motifs")
    from scget._errors import InputError

    try:
        run(args)
    except (InputError, FileNotFoundError) as error:
        demo.exit(2, f"scget: {error}\n")


def run(args: argparse.Namespace) -> None:
    """All steps, each announced with the seconds since the start."""
    import scget
    from scget.model._gene_windows import genes_to_explain

    say = _clock()
    args.out.mkdir(parents=True, exist_ok=True)
    cells, files, truth = _data(args, say)
    say("prepare: motif scores, promoters, one row per cell type")
    scget.pp.motif_scores(cells, files["genome"], motifs=files["motifs"])
    scget.pp.promoters(cells, files["annotation"])
    pb = scget.pp.pseudobulk(cells, args.groupby)
    scget.model.GET.setup_mudata(pb)
    heads = next(h for h in range(max(args.width // 16, 1), 0, -1) if args.width % h == 0)
    size = {"width": args.width, "n_layers": args.layers, "n_heads": heads}
    model = scget.model.GET(pb, **size, dropout=args.dropout, window=args.window, seed=args.seed)
    held: dict[str, Any] = {
        "holdout_obs": args.holdout_obs or [str(pb["atac"].obs_names[-1])],
        "holdout_chroms": args.holdout_chroms or [str(model.table().chroms[-1])],
    }
    row = held["holdout_obs"][0]
    genes_to_explain(model.table(), args.genes)  # refuses unknown names before training
    say(f"pretrain and train on {pb.n_obs - len(held['holdout_obs'])} cell types; held out: {held}")
    plan: dict[str, Any] = {"plan_kwargs": {"lr": args.lr}}
    if args.pretrain_epochs:
        model.pretrain(args.pretrain_epochs, **held, **plan)
    model.train(args.epochs, **held, **plan)
    model.save(args.out / "model", overwrite=True)
    say("predict, and judge beside the baselines")
    scget.tl.predict(pb, model)
    scores = scget.bm.evaluate(model)
    scores.to_csv(args.out / "scores.csv", index=False)
    say(f"attribute in {row}")
    genes = args.genes or (None if truth else most_changed(pb, model, row))
    scget.tl.attribute(pb, model, genes=genes, rows=[row], top=args.window)
    pb.write_h5mu(args.out / "demo.h5mu")
    _draw(pb, model, row, args.out)
    report(scores, None if truth is None else rank_truth(pb, truth, row))
    say(f"results are in {args.out}/: demo.h5mu, scores.csv, model/, and the figures predicted.png, attribution.png")


def _data(args: argparse.Namespace, say: Any) -> tuple[MuData, dict[str, Path], Simulated | None]:
    if args.mdata is not None:
        import mudata

        say(f"read {args.mdata}")
        files = {"genome": args.genome, "annotation": args.annotation, "motifs": args.motifs}
        return mudata.read_h5mu(args.mdata), files, None
    import scget

    say("simulate cells under a planted rule")
    truth = scget.datasets.simulated(args.out / "simulated", seed=args.seed)
    return truth.mdata, {"genome": truth.genome, "annotation": truth.annotation, "motifs": truth.motifs}, truth


def most_changed(pb: MuData, model: GET, row: str, n: int = 100) -> list[str]:
    """Genes predicted to depart most from their training mean, or expressed most where there is none."""
    import numpy as np

    predicted = pb["rna"].to_df(layer="get").loc[row]
    mean = model.scaling.expression(predicted.index.to_numpy())
    change = (predicted - np.where(np.isfinite(mean), mean, 0)).abs()
    return change.dropna().nlargest(n).index.tolist()


def rank_truth(pb: MuData, truth: Simulated, row: str) -> pd.DataFrame:
    """Attributions against the planted rule: AUROC, and correlation r of signed effects; simpler scores beside them."""
    import numpy as np
    import pandas as pd

    from scget.bm import auroc, pearson

    links = pb.uns["get"]["links"]
    near = links[links["distance"].abs() <= NEAR]
    regions = near["region"].astype(str)
    departure = truth.openness.loc[row] - truth.openness.drop(index=row).mean()
    planted = truth.links.assign(adds=truth.links["effect"] * departure.reindex(truth.links["region"]).to_numpy())
    pairs = pd.MultiIndex.from_arrays([near["gene"].astype(str), regions])
    adds = planted.groupby(["gene", "region"])["adds"].sum().reindex(pairs).fillna(0).to_numpy()
    counts = pb["atac"].to_df()
    relative = np.log1p(counts.div(counts.mean(axis=1), axis=0))
    fold = (relative.loc[row] - relative.drop(index=row).mean()).reindex(regions).to_numpy()
    acts = np.abs(adds) > 0.05  # log10(CPM + 1): more than the noise of counting
    motifs = pd.Series(
        pb["rna"].obsm["get_motif"][pb["rna"].obs_names.get_loc(row)], pb["rna"].uns["get"]["motif_names"]
    )
    mean_effect = pd.Series(np.nanmean(pb["rna"].varm[f"get_motif_{row}"], axis=0), motifs.index)
    effect = truth.motif_effects.loc[row].reindex(motifs.index)
    lines = {f"regions within {NEAR // 1000} kb": (near["signed"].to_numpy(), adds, acts)}
    lines["  by nearness alone"] = (-near["distance"].abs().to_numpy(), adds, acts)
    lines["  by accessibility fold alone"] = (fold, adds, acts)
    table = {
        name: (auroc(s if "nearness" in name else np.abs(s), t), pearson(s, a), t.sum(), len(t))
        for name, (s, a, t) in lines.items()
    }
    active = effect.to_numpy() != 0
    table["motifs"] = (auroc(motifs.to_numpy(), active), pearson(mean_effect, effect), active.sum(), len(active))
    return pd.DataFrame(table, index=["AUROC", "r", "act", "of"]).T.astype({"act": int, "of": int})


def report(scores: pd.DataFrame, ranks: pd.DataFrame | None) -> None:
    """Print the table of accuracy and, where the truth is known, of attributions."""
    import scget

    names = {"rows": "unseen cell type", "chroms": "unseen chromosome", "both": "both unseen"}
    metrics = {"pearson": "r", "delta_pearson": "delta r", "change_pearson": "change r"}
    table = scget.bm.summarise(scores).rename(columns=names | metrics).rename_axis(columns=["", ""])
    print("\nAccuracy on what was held out (mean over rows; r across genes, log10(CPM + 1)).")
    print(
        "delta r: after subtracting the mean of the training rows. change r: each predictor less its own such mean.\n"
    )
    print(table.to_string(float_format="{:.2f}".format, na_rep="-", index_names=False))
    print("\n* knows the held-out genes in the training rows, which GET does not.")
    if ranks is not None:
        print("\nAttributions against the planted rule (which regions and motifs act in the unseen cell type):\n")
        print(ranks.to_string(float_format="{:.2f}".format))
    print()


def _draw(pb: MuData, model: GET, row: str, out: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    import scget

    figure, axes = plt.subplots(1, 2, figsize=(8.5, 4.2), layout="constrained")
    mean_g = model.scaling.expression(pb["rna"].var_names.to_numpy())
    genes = pb["rna"].var_names[mean_g == mean_g]  # on training chromosomes
    scget.pl.predicted(pb, row, genes=genes, ax=axes[0])
    scget.pl.predicted(pb, row, genes=genes, training_rows=model.holdout.seen_obs, ax=axes[1])
    figure.savefig(out / "predicted.png", dpi=120)
    links = pb.uns["get"]["links"]
    gene = str(links.groupby("gene", observed=True)["signed"].apply(lambda s: s.abs().sum()).idxmax())
    figure = scget.pl.attribution(pb, gene, row, flank=100_000, return_fig=True)
    figure.savefig(out / "attribution.png", dpi=120)
    plt.close("all")


def _clock() -> Any:
    begin = time.perf_counter()
    return lambda text: print(f"[{time.perf_counter() - begin:4.0f} s] {text}", flush=True)
