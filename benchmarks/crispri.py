"""What simple rules reach on CRISPRi-tested pairs of element and gene in K562: ``python benchmarks/crispri.py``.

    python benchmarks/crispri.py --data ../shared/data/crispri_k562 --links links.tsv --row K562

10,356 pairs, 471 of them regulated (EngreitzLab/CRISPR_comparison, training set, hg38). ``--links``: a tab-separated table
with gene, region and score, to be judged beside the rules.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pandas as pd

import scget

FILE = "EPCrisprBenchmark_combined_data.training_K562.GRCh38.tsv.gz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "crispri_k562")
    parser.add_argument("--links", type=Path, help="table of links with columns gene, region and score")
    parser.add_argument("--score", default="score", help="its column to judge by")
    parser.add_argument("--row", help="row of the links, where they are of several")
    parser.add_argument("--aggregate", default="sum", choices=["sum", "max"], help="of regions on one element")
    parser.add_argument("--draw", default="pairs", choices=["pairs", "elements", "genes", "chromosomes"])
    parser.add_argument("--draws", type=int, default=1000, help="of the bootstrap")
    parser.add_argument("--out", type=Path, help="file for the table")
    args = parser.parse_args()

    links = None if args.links is None else pd.read_csv(args.links, sep="\t")
    begin = time.perf_counter()
    table = scget.bm.crispri(
        links,
        args.data / FILE,
        score=args.score,
        row=args.row,
        aggregate=args.aggregate,
        draw=args.draw,
        n_bootstrap=args.draws,
    )
    print(table.round(3).to_string(index=False))
    print(f"{time.perf_counter() - begin:.0f} s")
    if args.out:
        table.to_csv(args.out, sep="\t", index=False)


if __name__ == "__main__":
    main()
