"""Is a MuData fit to train on? All checks in one table, before any time on a GPU is spent."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from scget._errors import InputError, ScgetWarning
from scget.pp._check_data import Data, Finding
from scget.pp._checks import check_is_mudata
from scget.pp._findings import DEEP, PLAN

if TYPE_CHECKING:
    from mudata import MuData

# A full stop before a capital letter, and "..." is none, though one may follow it.
_BREAK = r"(?<=\?) |(?<!\.)\. (?=[A-Z])|(?<=\.\.\.)\. (?=[A-Z])|[:;] (?=run |use |make |scget)"
_ODD = (TypeError, ValueError, KeyError, AttributeError, IndexError)  # of data of a form that no check thought of
_ODD_DO = "Look at the names, columns and types of this part of the data; no column may be there twice."


def check(
    mdata: MuData, *, atac_layer: str | None = None, rna_layer: str | None = None, deep: bool = False
) -> pd.DataFrame:
    """Look through a MuData, cells or rows of cell types, and list what is wrong with it and what to do.

    Bad data are told of, not refused: all checks are made that can be made. Nothing in ``mdata`` is changed.

    Parameters
    ----------
    mdata
        Modality ``atac`` and, if expression is known, ``rna``; counts in memory, backed or lazy.
    atac_layer, rna_layer
        Layers with raw counts; None for ``X``.
    deep
        Also train a quick model on motif scores (under a minute in most cases) and see how well it predicts the
        accessibility of regions on chr10 and chr11, or else on the two chromosomes of middle size. A Pearson
        correlation below 0.3 (0.1 where fewer than 10,000 regions are to learn from) earns a warning. For
        whole genomes about 0.7 is known: published with GET's motifs and network, and here with TF binding in blood.

    Returns
    -------
    A table with the columns ``check``, ``verdict``, ``found`` and ``do``, errors first, then warnings. Verdicts:
    "ok"; "warning" is allowed but makes results worse or is probably not meant, such as a row with fewer than
    3,000,000 ATAC counts or fewer than 100 cells; "error" will be refused. Without ``n_cells`` in ``obs``, rows with
    fewer than 100,000 ATAC counts (median) are taken for cells, whose depth is judged once
    :func:`scget.pp.pseudobulk` has summed them.

    Raises
    ------
    TypeError
        If ``mdata`` is no MuData.

    Examples
    --------
    >>> report = scget.pp.check(pb)
    >>> report.loc[report["verdict"] != "ok", "check"].tolist()
    ['genome']
    >>> print(report.to_string())  # doctest: +SKIP
    """
    check_is_mudata(mdata)
    data = Data(mdata, atac_layer, rna_layer)
    rows: list[tuple[str, ...]] = []
    refused: set[str] = set()
    for name, needs, examine in PLAN if not deep else (*PLAN, DEEP):
        findings = _examine(examine, data) if not refused & set(needs) else None
        rows += [(name, *finding) for finding in findings or ()]
        if findings is None or any(verdict == "error" for verdict, _, _ in findings):
            refused.add(name)
    rows.sort(key=lambda row: ("error", "warning", "ok").index(row[1]))
    return pd.DataFrame(rows, columns=["check", "verdict", "found", "do"])


def _examine(examine: Callable[[Data], Finding | None], data: Data) -> list[Finding]:
    """What a check finds; its warnings and its refusal are findings too."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = examine(data)
        except InputError as error:
            found = ("error", *_split(str(error)))
        except _ODD as error:
            found = ("error", f"cannot be looked at: {type(error).__name__}: {error}", _ODD_DO)
    texts = [str(w.message) for w in caught if isinstance(w.message, ScgetWarning)]
    findings: list[Finding] = [("warning", *_split(text)) for text in texts]
    return findings + ([found] if found and not (findings and found[0] == "ok") else [])


def _split(message: str) -> tuple[str, str]:
    """Messages say what was found and what is needed, then what to do, in a sentence of its own or after a colon."""
    found, _, do = re.sub(_BREAK, "\0", message, count=1).partition("\0")
    return found if found.endswith("...") else found.rstrip("."), do or "Mend this first."
