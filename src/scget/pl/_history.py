"""How the losses fell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scget._errors import InputError, first

from ._shared import axes, documented, finish, look

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from scget.model import GET

_LOSS = "_loss"
LABELS = {"train_loss": "training", "validation_loss": "validation"}


@documented
def history(
    model: GET | Mapping[str, pd.DataFrame],
    names: Sequence[str] | None = None,
    *,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw what was watched in training, epoch by epoch.

    Parameters
    ----------
    model
        Trained or pretrained; or its ``history``.
    names
        What is drawn, such as ``["validation_delta_r"]``. None: all losses, of training and of validation.
    ax, show, return_fig
        {axes}

    Returns
    -------
    {returned} Epochs count from 0, as in ``model.best_epoch``, and go on where a trained model was trained further.

    Raises
    ------
    InputError
        If there is no history, or not what is asked for.

    Examples
    --------
    >>> scget.pl.history(model, show=False).get_ylabel()
    'loss'
    """
    tables = model if isinstance(model, Mapping) else getattr(model, "history", None)
    if not tables:
        raise InputError(
            f"no history in a {type(model).__name__}: a model trained here is needed; of an ensemble take one of its members"
        )
    chosen = [name for name in tables if name.endswith(_LOSS)] if names is None else list(names)
    missing = [name for name in chosen if name not in tables]
    if missing or not chosen:
        raise InputError(f"no {first(missing) or 'loss'} in the history; there are {first(tables, 9)}")
    losses = all(name.endswith(_LOSS) for name in chosen)
    drawn = axes(ax, (4.6, 3.2))
    for i, name in enumerate(chosen):
        table = tables[name]
        label = LABELS.get(name, name.replace("_", " ")) if losses else name.replace("_", " ")
        alone = len(table) == 1  # a line of one point is not seen
        drawn.plot(
            table.index,
            table[name].to_numpy(dtype=np.float64),
            color=look(i)["color"],
            lw=1.5,
            label=label,
            marker="o" if alone else None,
        )
    drawn.set(xlabel="epoch, from 0", ylabel="loss" if losses else "")
    drawn.locator_params(axis="x", integer=True)
    drawn.spines[["top", "right"]].set_visible(False)
    drawn.legend(frameon=False)
    return finish(drawn, ax, show, return_fig)
