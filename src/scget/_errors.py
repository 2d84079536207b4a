"""What scget raises and warns with: found, needed, do this."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_HERE = os.path.join(os.path.dirname(__file__), "")


class InputError(ValueError):
    """The data given would lead to wrong numbers, so nothing was done."""


class GenomeError(InputError):
    """Regions, genome or annotation do not fit each other."""


class CheckpointError(ValueError):
    """A saved model is damaged, foreign, or does not fit the data."""


class TrainingError(RuntimeError):
    """Training cannot go on: the loss is not a number."""


class ScgetWarning(UserWarning):
    """Allowed, but probably not what was meant."""


def warn(message: str) -> None:
    """Warn at the line of the user: the nearest one that is not in scget."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, ScgetWarning, stacklevel=level)


def first(values: Iterable[object], n: int = 3) -> str:
    """Quote the first ``n`` of ``values`` for a message: ``'a', 'b', 'c', ...``."""
    texts = [repr(str(v)) for v in values]
    return ", ".join(texts[:n]) + (", ..." if len(texts) > n else "")


@contextmanager
def needs_extra(name: str) -> Iterator[None]:
    """Import optional libraries inside; where one is missing, the message names the extra that brings it."""
    try:
        yield
    except ImportError as error:
        raise ImportError(f'{str(error).rstrip(".")}. Install it: pip install "scget[{name}]"') from error
