"""Sequences that raise a gene in one row and not in others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from scget._errors import InputError, first
from scget.data import RegionTable
from scget.model._choices import check_seed
from scget.model._design import Designer, Designs, Search, to_designs
from scget.model._edits import regions_named
from scget.model._one_region import OneRegion
from scget.pp._alleles import region_texts
from scget.pp._motif_sets import Clusters, Motifs
from scget.pp._sequence_rules import SequenceRules, design_start
from scget.pp._sequence_scores import SequenceScorer

from ._record import provenance

if TYPE_CHECKING:
    from mudata import MuData

    from scget.model import GET, Ensemble


def design(
    mdata: MuData,
    model: GET | Ensemble,
    *,
    gene: str,
    row: str,
    region: str,
    motifs: Motifs | None = None,
    clusters: Clusters | None = None,
    against: Sequence[str] | None = None,
    others: str = "mean",
    method: str = "motifs",
    copies: int = 1,
    start: str | None = None,
    genome: object = None,
    length: int | None = None,
    n_steps: int = 10,
    beam: int = 1,
    n_evaluated: int = 32,
    gc: tuple[float, float] = (0.3, 0.7),
    forbidden: Sequence[str] = (),
    fixed: Sequence[tuple[int, int]] = (),
    seed: int = 0,
    batch_size: int = 64,
    cache: str | PathLike[str] | None = None,
) -> Designs:
    """Search for sequences that, put in place of a region, raise a gene in one row and not in others.

    With ``d_k`` the change of the gene's prediction in row k from that for the starting sequence, in log10(CPM + 1)::

        objective = d_row - mean of max(d_k, 0) over the rows k of ``against``

    (``others="max"``: less the greatest of them), so that a rise elsewhere costs and a fall earns nothing. Each step edits
    the sequence once. All edits are ranked by a first-order guess, the gradient of the predictions with respect to motif
    scores times the exact change of the scores (hits destroyed or made by chance included); the best ``n_evaluated`` are
    scanned and predicted anew. Greedy search (``beam=1``) takes the best and stops where none gains, so that its
    objective never falls. A wider beam keeps the greedy search's sequence and the best others, also such as do not gain,
    since two motifs may help only together; its best design is at least as good as the greedy one. Placing motifs and editing bases
    by a model are as in Taskiran et al. 2024 (doi 10.1038/s41586-023-06936-2) and de Almeida et al. 2024
    (doi 10.1038/s41586-023-06905-9).

    The model predicts expression from accessibility, which stays as it is in each row: no sequence opens or closes the
    region here. A row in which it is closed does not see it, and what tells rows apart is where it is open, and what
    stands around it.

    Parameters
    ----------
    mdata
        Rows x (regions, genes), or ATAC alone; it is not changed. Its motif scores are of :func:`scget.pp.motif_scores`.
    model
        Trained or loaded; or an ensemble, whose members' predictions are averaged.
    gene, row
        Names.
    region
        Name of the region whose sequence is replaced; open in ``row`` (or a promoter) and within the gene's windows.
    motifs, clusters
        As given to :func:`scget.pp.motif_scores`; other motifs are refused.
    against
        Rows in which expression is not to rise. None: all other rows; ``()``: none.
    others
        ``"mean"`` or ``"max"``, see above.
    method
        ``"motifs"``: the best word of each motif cluster is written at any place, on either strand, not over one placed
        before. ``"bases"``: one base is changed to another.
    copies
        How often the search may place a motif cluster. More than regions have is more than the model has learnt from.
    start
        Sequence to start from. None: random bases, or with ``genome`` the region's own sequence.
    genome
        Path of the FASTA file, to start from the region's own sequence.
    length
        Bases of random ones, drawn independently, G and C as often as the middle of ``gc``. None: as the region.
    n_steps
        Edits at most.
    beam
        Sequences kept at each step, no two with the same motifs placed, and designs returned at most.
    n_evaluated
        Edits predicted exactly at each step, per sequence kept; of method ``"motifs"`` one for each cluster at most.
    gc, forbidden, fixed
        What holds for each sequence kept: least and greatest share of G and C; words in IUPAC letters that occur on neither
        strand, such as ``"GAATTC"``; stretches (start, end), 0-based half-open, that are not edited. The length stays.
    seed
        Draws the start, and the order in which places that are as good as each other are taken.
    batch_size
        Windows at a time; does not change the result.
    cache
        A folder in which predictions of each step are kept, so that a search that was killed goes on where it stopped,
        and one of more steps where this one ends.

    Returns
    -------
    :class:`Designs`. Its predictions are those of :meth:`GET.predict` for data in which the region has the motif scores of
    the design. A search without a gain warns and returns the start.

    Raises
    ------
    InputError
        If a name or setting is unknown, the row does not see the region, motifs are others than those of the data, or the
        start does not keep the rules.
    ImportError
        If numba, or for ``genome`` pyfaidx, is missing.

    Examples
    --------
    >>> found = scget.tl.design(  # doctest: +SKIP
    ...     pb,
    ...     model,
    ...     gene="GATA1",
    ...     row="Mono",
    ...     region="chr1:1000-1500",
    ...     motifs="H12CORE.meme.gz",
    ...     beam=4,
    ...     forbidden=["GAATTC", "GGATCC"],
    ... )
    >>> found.sequences[["sequence", "objective", "edits"]]  # doctest: +SKIP
    """
    check_seed(seed)
    search = Search(method, n_steps, beam, others, n_evaluated, copies)
    rules = SequenceRules(gc, forbidden, fixed)
    table = model.table(mdata)
    rows = _rows(table, row, against)
    at = _region(table, region)
    sequence = _start(table, at, rules, start, genome, length, seed)
    scorer = SequenceScorer(motifs, clusters, table.motif_scan, table.motifs)
    one = OneRegion(model, table, gene, rows, at, batch_size, cache)
    nodes = Designer(one, scorer, rules, search, sequence, seed).designs()
    found = to_designs(nodes, search, (gene, row, str(table.regions.names[at])), rows)
    return replace(found, record=provenance(mdata, model))


def _rows(table: RegionTable, row: str, against: Sequence[str] | None) -> list[str]:
    """The row designed for, then the others."""
    table.row_positions([row])
    if against is None:
        return [row, *(str(name) for name in table.rows if str(name) != row)]
    if row in against and not isinstance(against, str):
        raise InputError(f"against holds {row!r}, the row in which expression is to rise")
    table.row_positions(against)
    return [row, *dict.fromkeys(str(name) for name in against)]


def _region(table: RegionTable, region: str) -> int:
    at_n = regions_named(table, [region])
    if len(at_n) != 1:
        raise InputError(
            f"{region!r} overlaps {len(at_n)} regions: {first(table.regions.names[at_n])}; name the one to be replaced"
        )
    return int(at_n[0])


def _start(
    table: RegionTable,
    at: int,
    rules: SequenceRules,
    start: str | None,
    genome: object,
    length: int | None,
    seed: int,
) -> str:
    """The sequence given, the region's own, or a random one."""
    if sum(given is not None for given in (start, genome, length)) > 1:
        raise InputError("start, genome and length each say what to start from; give one of them, or none")
    if start is not None:
        return design_start(start, rules, "start")
    if genome is not None:
        own = region_texts(genome, table.regions[np.array([at])])[0]
        return design_start(own, rules, f"the sequence of {table.regions.names[at]!r}")
    size = int(table.regions.end[at] - table.regions.start[at]) if length is None else length
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise InputError(f"length={length!r}: at least 1 base is needed, as a whole number")
    return rules.random(size, np.random.default_rng([seed, 0]))
