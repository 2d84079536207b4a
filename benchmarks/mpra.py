"""lentiMPRA activity of sequences in WTC11: what the assay, simple fits and a small model reach.

    python benchmarks/mpra.py --data ../shared/data
    python benchmarks/mpra.py --get
    python benchmarks/mpra.py --scores mine.tsv --column score

4,617 sequences of 230 bases with 15 of adaptor at each end (Agarwal et al. 2023). ``--get``: a model of human blood
(2,660 regions x 11 types) says their activity as it is, and fine-tuned on four fifths of the elements. ``--scores``: a
tab-separated table in the order of the data, to be judged beside them.
"""

from __future__ import annotations

import argparse
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csr_matrix
from sklearn.model_selection import GroupKFold

import scget
from scget.pp._inserts import element_keys, inserts
from scget.pp._sequence_scores import SequenceScorer

ADAPTOR = 15  # bases at each end
ROW = "HSC"  # the least differentiated of the types; WTC11 are stem cells
START = time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--scores", type=Path, help="table of predictions, a line per sequence")
    parser.add_argument("--column", default="score", help="its column")
    parser.add_argument("--get", action="store_true", help="train a model and judge what it says")
    parser.add_argument("--chance", action="store_true", help="with --get: put weights of chance into the network")
    parser.add_argument("--windows", type=int, default=32, help="per sequence, of the model as it is")
    parser.add_argument("--how", nargs="*", default=["head", "lora", "full"], help="ways of fine-tuning")
    parser.add_argument("--kmer", type=int, default=5, help="length of the words counted")
    parser.add_argument("--no-motifs", action="store_true", help="leave out the scan")
    parser.add_argument("--draws", type=int, default=1000, help="of the bootstrap")
    parser.add_argument("--out", type=Path, help="file for the table")
    args = parser.parse_args()

    measured = pd.read_csv(args.data / "mpra_wtc11" / "WTC11_valid.tsv.gz", sep="\t")
    motifs = args.data / "motifs" / "H12CORE.meme.gz"
    scores: dict[str, Any] = {}
    if args.scores is not None:
        scores["scores"] = pd.read_csv(args.scores, sep="\t")[args.column].to_numpy()
    if args.get:
        scores |= ask_model(args, measured, scget.pp.read_motifs(motifs))
    say("judge")
    table = scget.bm.mpra(
        scores or None,
        measured["mean_value"],
        sequences=measured["seq"],
        adaptor=ADAPTOR,
        motifs=None if args.no_motifs else motifs,
        kmer=args.kmer,
        n_bootstrap=args.draws,
    )
    print(table.round(3).to_string(index=False))
    say("done")
    if args.out:
        table.to_csv(args.out, sep="\t", index=False)


def say(text: str) -> None:
    print(f"[{time.perf_counter() - START:4.0f} s] {text}", flush=True)


def ask_model(args: argparse.Namespace, measured: pd.DataFrame, motifs: Any) -> dict[str, np.ndarray]:
    """Scores of all sequences by name."""
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, python "
          f"{platform.python_version()}, torch {torch.__version__}, scget {scget.__version__}")  # fmt: skip
    say("score the regions of blood, and train")
    blood = read_blood(args.data, motifs)
    scget.model.GET.setup_mudata(blood)
    model = scget.model.GET(blood, width=32, n_layers=2, n_heads=4, window=32, dropout=0.2)
    quiet = {"enable_progress_bar": False, "accelerator": "cpu"}
    model.pretrain(5, **quiet)
    model.train(20, plan_kwargs={"lr": 3e-3}, **quiet)
    if args.chance:
        torch.manual_seed(0)
        model.module = type(model.module)(model.config).eval()
    uns = blood["atac"].uns
    cut = inserts(measured["seq"], ADAPTOR)
    hits = SequenceScorer(motifs, None, uns["motif_scan"], uns["motif_names"]).scores(list(cut))
    scores = {"motif_count": np.diff(hits.indptr).astype(float), "motif_bits": np.asarray(hits.sum(axis=1)).ravel()}
    known: dict[str, Any] = {"motifs": motifs, "adaptor": ADAPTOR}
    if not args.chance:
        spread(blood, model, measured["seq"], known)
    for mode, strands in (("replace", "mean"), ("add", "max")):
        say(f"as it is, {mode} and {strands}, {args.windows} windows")
        found = scget.tl.mpra(
            blood, model, measured["seq"], rows=[ROW], n_windows=args.windows, mode=mode, strands=strands, **known
        )
        scores[f"get_{mode}_{strands}"] = found["activity"].to_numpy()
        print(found.drop(columns="row").describe().round(3).to_string())
    for how in args.how:
        scores[f"get_{how}"] = out_of_fold(blood, model, measured, cut, how, known)
    return scores


def spread(blood: MuData, model: scget.model.GET, sequences: pd.Series, known: dict[str, Any]) -> None:
    """How far the mean over windows hangs on which windows were drawn: two seeds, every 23rd sequence."""
    some = sequences.iloc[::23]
    for n in (4, 16, 64):
        one, other = (
            scget.tl.mpra(blood, model, some, rows=[ROW], n_windows=n, seed=seed, **known)["effect"] for seed in (0, 1)
        )
        difference = (one - other).std() / np.sqrt(2)
        say(f"{n} windows, {len(some)} sequences: r of two draws {np.corrcoef(one, other)[0, 1]:.3f}, sd of effects "
            f"{one.std():.4f}, error of a mean {difference:.4f}")  # fmt: skip


def out_of_fold(
    blood: MuData, model: scget.model.GET, measured: pd.DataFrame, cut: np.ndarray, how: str, known: dict[str, Any]
) -> np.ndarray:
    """Each of five folds of elements predicted by a network fine-tuned on the others."""
    predicted = np.full(len(measured), np.nan)
    sequences, activity = measured["seq"].to_numpy(), measured["mean_value"].to_numpy()
    for fit, held in GroupKFold(5).split(cut, groups=element_keys(cut)):
        reporter = scget.tl.mpra_finetune(blood, model, sequences[fit], activity[fit], row=ROW, how=how, **known)
        predicted[held] = reporter.predict(sequences[held], adaptor=ADAPTOR)
        say(f"{how}: r {np.corrcoef(predicted[held], activity[held])[0, 1]:.3f} {reporter.fitted}")
    return predicted


def read_blood(data: Path, motifs: Any) -> MuData:
    """11 cell types, regions of 12 Mb with sequence; motif scores and promoters."""
    folder = data / "blood_hg19_sequence"
    regions = pd.read_csv(folder / "atac_counts.tsv.gz", sep="\t", index_col=0)
    genes = pd.read_csv(data / "blood_hg19" / "rna_counts.tsv.gz", sep="\t", index_col=0)
    modalities = {}
    for name, table in (("atac", regions), ("rna", genes[regions.columns])):
        obs, var = pd.DataFrame(index=table.columns), pd.DataFrame(index=table.index.astype(str))
        modalities[name] = AnnData(csr_matrix(table.to_numpy().T.astype(np.float32)), obs=obs, var=var)
    mdata = MuData(modalities)
    scget.pp.motif_scores(mdata, folder / "mini_hg19.fa.gz", motifs=motifs)
    scget.pp.promoters(mdata, folder / "genes.gtf.gz")
    return mdata


if __name__ == "__main__":
    main()
