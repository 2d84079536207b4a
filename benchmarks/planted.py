"""What variants, designs and pairs of motifs say of a demo, beside the planted rule and what needs no model.

    python -m scget demo --out demo
    python benchmarks/planted.py demo variants            # planted sites replaced one by one; --snv: their middle base
    python benchmarks/planted.py demo design              # designs for a row never seen; --offset 7: other genes
    python benchmarks/planted.py demo pairs               # interactions of motifs; --row type02: a row trained on

Another seed: ``--seed`` in both. Printed is a table for each, with the seconds that the verb took. The folder is only read.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
import planted_design
import planted_pairs
import planted_variants
from planted_truth import Demo

import scget
from scget.datasets import _planted

MEASURES = {"variants": planted_variants, "design": planted_design, "pairs": planted_pairs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, help="folder that python -m scget demo wrote")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, measure in MEASURES.items():
        verb = verbs.add_parser(name, description=measure.__doc__, help=str(measure.__doc__).splitlines()[0])
        verb.add_argument("--seed", type=int, default=0, help="of the demo (%(default)s)")
        measure.arguments(verb)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    pd.set_option("display.width", 250, "display.max_columns", 40, "display.max_colwidth", 60)
    with tempfile.TemporaryDirectory() as folder:
        MEASURES[args.verb].measure(opened(args.demo, folder, args.seed), args)


def opened(demo: Path, folder: str, seed: int) -> Demo:
    """The demo, with its data simulated again."""
    pb = mudata.read_h5mu(demo / "demo.h5mu")
    truth = scget.datasets.simulated(folder, seed=seed)
    if list(truth.openness.columns) != list(pb["atac"].var_names):
        raise SystemExit(f"regions of {demo} are not those of --seed {seed}; give the seed that the demo was made with")
    rule = _planted.make_rule(np.random.default_rng(seed), *truth.activity.shape)  # what simulated draws first
    return Demo(pb, scget.model.GET.load(demo / "model", pb, accelerator="cpu"), truth, rule)


if __name__ == "__main__":
    main()
