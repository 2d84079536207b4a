"""torch.compile for the length of a training; names of weights stay, and the network is as before afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from scget._errors import InputError

DEFAULT_BACKEND = "inductor"


@contextmanager
def compiled(encoder: nn.Module, how: bool | str, device: torch.device) -> Iterator[None]:
    """Run ``encoder``, in which nearly all the time is spent, through torch.compile while training.

    Parameters
    ----------
    encoder
        Compiled in place, so that its weights keep their names.
    how
        False: not at all. True: torch's default backend. Else the name of a backend of torch.compile.
    device
        Where it will run; a first small function is compiled there to see whether that works at all.

    Raises
    ------
    InputError
        If nothing can be compiled here.
    """
    if how is False:
        yield
        return
    backend = DEFAULT_BACKEND if how is True else how
    _try(backend, device)
    encoder.compile(backend=backend)
    try:
        yield
    finally:
        encoder._compiled_call_impl = None


def _try(backend: str, device: torch.device) -> None:
    try:
        torch.compile(torch.sin, backend=backend)(torch.ones(8, device=device))
    except (RuntimeError, ImportError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"torch.compile does not work here (backend {backend!r}, device {device.type!r}): {reason}. The default backend "
            "needs a C++ compiler on a CPU and Triton on a GPU; install these, name another backend, or leave compile=False"
        ) from error
