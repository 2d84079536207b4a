"""What the assay and simple fits reach on lentiMPRA activity of sequences in WTC11: ``python benchmarks/mpra.py``.

    python benchmarks/mpra.py --data ../shared/data --scores mine.tsv --column score

4,617 sequences of 230 bases with 15 of adaptor at each end (Agarwal et al. 2023). ``--scores``: a tab-separated table in
the order of the data, to be judged beside them.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pandas as pd

import scget

ADAPTOR = 15  # bases at each end


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--scores", type=Path, help="table of predictions, a line per sequence")
    parser.add_argument("--column", default="score", help="its column")
    parser.add_argument("--kmer", type=int, default=5, help="length of the words counted")
    parser.add_argument("--no-motifs", action="store_true", help="leave out the scan")
    parser.add_argument("--draws", type=int, default=1000, help="of the bootstrap")
    parser.add_argument("--out", type=Path, help="file for the table")
    args = parser.parse_args()

    measured = pd.read_csv(args.data / "mpra_wtc11" / "WTC11_valid.tsv.gz", sep="\t")
    scores = None if args.scores is None else pd.read_csv(args.scores, sep="\t")[args.column].to_numpy()
    motifs = None if args.no_motifs else args.data / "motifs" / "H12CORE.meme.gz"
    begin = time.perf_counter()
    table = scget.bm.mpra(
        scores,
        measured["mean_value"],
        sequences=measured["seq"],
        adaptor=ADAPTOR,
        motifs=motifs,
        kmer=args.kmer,
        n_bootstrap=args.draws,
    )
    print(table.round(3).to_string(index=False))
    print(f"{time.perf_counter() - begin:.0f} s")
    if args.out:
        table.to_csv(args.out, sep="\t", index=False)


if __name__ == "__main__":
    main()
