"""How active sequences are, as a reporter assay would measure them."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

from scget.model._inserted import inserted_activity
from scget.model._reporter_fit import Schedule, fit_reporter
from scget.pp._motif_sets import Clusters, Motifs

if TYPE_CHECKING:
    import pandas as pd
    from mudata import MuData

    from scget.model import GET, Ensemble, Reporter


def mpra(
    mdata: MuData,
    model: GET | Ensemble,
    sequences: Sequence[str] | pd.Series,
    *,
    motifs: Motifs | None = None,
    clusters: Clusters | None = None,
    rows: Sequence[str] | None = None,
    adaptor: int = 0,
    n_windows: int = 64,
    mode: str = "replace",
    accessibility: float = 1.0,
    strands: str = "mean",
    seed: int = 0,
    batch_size: int = 256,
    cache: str | PathLike[str] | None = None,
) -> pd.DataFrame:
    """Predict the activity of sequences in a reporter assay, by putting them into chromatin of each row (zero-shot).

    Of each row ``n_windows`` windows are drawn, the same for all sequences. In the middle of each the region is given the
    motif scores of the sequence and made accessible, and expression is predicted there as for a gene never seen::

        activity = mean over windows w and strands s of level_ws + (1 - share) * spread * deviation_ws

    with the network's level in log10(CPM + 1), its departure in the spread of all genes, and the share that gene activity
    has in departures; of a model with
    ``baseline="zero"``, expression itself. Gene activity, what is missed in similar rows and the bound at 0 are left out.
    Fu et al. 2025 take 600 windows, ``mode="add"`` and ``strands="max"``, and motif scores over the greatest of the library
    in place of the unit of the model.

    Only motif scores count: order, spacing and strand of sites do not, and a sequence and its reverse complement are
    the same. Scores are sums, so that a sequence shorter than the regions has less of them; they are not stretched. Sites
    across the end of a sequence, as into a plasmid, are not seen; write more of the construct into the sequence.

    Parameters
    ----------
    mdata
        Rows x (regions, genes), or ATAC alone; it is not changed.
    model
        Trained or loaded; or an ensemble, whose members' predictions are averaged.
    sequences
        DNA: A, C, G, T and N. A Series keeps its index.
    motifs, clusters
        As given to :func:`scget.pp.motif_scores` for the regions.
    rows
        Names. None: all.
    adaptor
        Bases at each end that are no part of the element.
    n_windows
        Windows of a row; fewer where it has fewer.
    mode
        What becomes of the region in the middle: ``"replace"``, its motifs go, as a reporter holds none of them; or
        ``"add"``, they stay, as published. Its fold over the training mean, and further channels, are 0 in either case.
    accessibility
        Of the sequence; 1 is a typical open region (preset ``"compat"``: the most open one, as published).
    strands
        ``"mean"`` or ``"max"`` of the predictions for a gene on either strand.
    seed
        Of the windows.
    batch_size
        Sequences at a time; does not change the result.
    cache
        A folder in which parts of the answer are kept, so that a run that was killed goes on where it stopped.

    Returns
    -------
    A line per row and sequence, in the order given: row; activity, mean over windows, log10(CPM + 1); sd, its standard
    deviation over windows; effect, activity less that of a sequence without motifs in the same windows, and effect_sd, its
    standard deviation. The standard error of a mean over windows is ``effect_sd / sqrt(n_windows)``.

    Raises
    ------
    InputError
        If a sequence is no DNA, a row is unknown, or motifs are not those that the regions were scored with.
    ImportError
        If numba is missing.

    Examples
    --------
    >>> found = scget.tl.mpra(pb, model, ["ACGTGATAAG" * 20], motifs="H12CORE.meme.gz", rows=["Mono"])  # doctest: +SKIP
    >>> found.columns.tolist()  # doctest: +SKIP
    ['row', 'activity', 'sd', 'effect', 'effect_sd']
    """
    return inserted_activity(
        model,
        mdata,
        sequences,
        rows,
        (motifs, clusters, adaptor),
        (n_windows, seed, mode, accessibility),
        strands=strands,
        batch_size=batch_size,
        cache=cache,
    )


def mpra_finetune(
    mdata: MuData,
    model: GET,
    sequences: Sequence[str] | pd.Series,
    activity: Sequence[float] | pd.Series,
    *,
    row: str,
    motifs: Motifs | None = None,
    clusters: Clusters | None = None,
    adaptor: int = 0,
    how: str = "full",
    n_windows: int = 8,
    mode: str = "replace",
    accessibility: float = 1.0,
    max_epochs: int = 30,
    patience: int = 5,
    lr: float = 1e-3,
    watched: float = 0.1,
    rank: int = 8,
    batch_size: int = 128,
    seed: int = 0,
    cache: str | PathLike[str] | None = None,
) -> Reporter:
    """Fine-tune a copy of a model's network on measured activity of sequences.

    Sequences are put into windows as by :func:`mpra`, and activity is a linear map of the embedding there. That map is
    first set by ridge regression on the embeddings of the network as it is, averaged over windows, with the penalty chosen
    by leaving elements out one by one. From there the network learns, each batch in a window drawn at random (AdamW,
    squared error), until the elements watched get no better; of all epochs and the start, what was best on these is
    kept. First the map, then the network: Kumar et al. 2022, arXiv 2202.10054.

    A sequence and its reverse complement are one element, watched or learnt from as a whole. To judge the result, keep
    elements aside: both orientations of them, as the folds of :func:`scget.bm.mpra` do.

    Parameters
    ----------
    mdata, model
        As for :func:`mpra`; the model is not changed, and an ensemble is refused.
    sequences, activity
        DNA, each one once, and a number for each, such as log2 RNA/DNA.
    row
        Name of the row in whose chromatin the sequences are put.
    motifs, clusters, adaptor, n_windows, mode, accessibility, seed
        As for :func:`mpra`. The seed is also that of the elements watched and of training.
    how
        ``"head"``: the ridge regression alone. ``"full"``: all weights learn. ``"lora"``: low-rank adapters and the map,
        all else frozen; the adapters are folded in at the end.
    max_epochs, patience
        Passes over the elements, and how many without gain end it.
    lr
        Learning rate.
    watched
        Share of the elements watched; of no use to ``"head"``, which learns from all.
    rank
        Of the adapters.
    batch_size
        Elements per step.
    cache
        A folder in which the state of training is kept after each epoch, so that a run that was killed goes on there.

    Returns
    -------
    A :class:`scget.model.Reporter`, which predicts sequences and can be saved.

    Raises
    ------
    InputError
        As :func:`mpra`; if a sequence is there twice, an activity is missing, or there are fewer than 20 elements.

    Examples
    --------
    >>> reporter = scget.tl.mpra_finetune(pb, model, sequences, activity, row="Mono")  # doctest: +SKIP
    >>> reporter.predict(new_sequences)  # doctest: +SKIP
    """
    schedule = Schedule(max_epochs, patience, lr, batch_size, watched, rank)
    windows, scored = (n_windows, seed, mode, accessibility), (motifs, clusters, adaptor)
    return fit_reporter(model, mdata, sequences, activity, row, scored, windows, how, schedule, cache)
