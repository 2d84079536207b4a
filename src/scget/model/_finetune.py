"""Go on from a trained network: all of it, its head, or low-rank adapters beside it. These are methods of GET."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scget._errors import CheckpointError, InputError, first, warn
from scget.module import _lora
from scget.train import ExpressionPlan, KeepBetter

from . import _checkpoint
from ._fit import fit, seeded, with_loss

if TYPE_CHECKING:
    from ._get import GET


def finetune(
    self: GET,
    max_epochs: int = 20,
    *,
    how: Literal["full", "head", "lora"] = "full",
    rank: int = 8,
    alpha: float = 1.0,
    layers: Sequence[str] = ("embed", "encoder"),
    layer_decay: float | None = None,
    loss: Literal["mse", "poisson", "nb"] | None = None,
    plan_kwargs: dict[str, Any] | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """Go on from a trained or pretrained model, on the data it is attached to.

    With ``validation_chroms`` the model never ends worse than it began: the loss on these chromosomes is taken before
    and after, on the same windows, and the better weights are kept. Without, the last are. Watch chromosomes that the
    first training did not learn from either, or its weights have the advantage. With ``loss="nb"`` both are taken with
    the dispersion learnt, so that it does not count as gain.

    Parameters
    ----------
    max_epochs
        Passes over the training windows.
    how
        What learns. ``"full"``: all weights. ``"head"``: the last linear map of each task alone. ``"lora"``: low-rank adapters (Hu
        et al. 2021, arXiv 2106.09685) and the head, all else frozen; the adapters stay apart until ``merge_lora``.
    rank, alpha, layers
        Of the adapters ``alpha / rank * B A``, and where they are: ``"embed"``, ``"encoder"`` or, of the latter, only
        ``"attention"`` or ``"mlp"``. Adapters that are on already are trained further; the same must be given.
    layer_decay
        Factor on the rate per layer below the head (published: 0.75), so that lower layers change less.
    loss, plan_kwargs, **kwargs
        As for :meth:`train`: ``holdout_obs``, ``holdout_chroms``, ``validation_chroms``, ``batch_size``...

    Returns
    -------
    ``how``, ``start`` and ``end`` (validation losses, None if not watched) and ``kept`` (``"start"`` or ``"end"``), also
    kept as ``model.finetuned``. Features and means are those of the data fine-tuned on in either case.

    Raises
    ------
    InputError
        As :meth:`train`; or if the model was never trained, or other adapters are on it.

    Examples
    --------
    >>> scget.model.GET.setup_mudata(pb)
    >>> model = scget.model.GET(pb, width=16, n_layers=1, n_heads=2, window=32)
    >>> model.pretrain(1, enable_progress_bar=False)
    >>> model.finetune(1, how="lora", rank=2, enable_progress_bar=False)
    {'how': 'lora', 'kept': 'end', 'start': None, 'end': None}
    """
    net, guard, was_trained = self.module, KeepBetter(), self.is_trained_
    names = _check(self, how, rank, alpha, layers)
    kwargs["callbacks"] = [*(kwargs.get("callbacks") or []), guard]
    kwargs["plan_kwargs"] = with_loss(plan_kwargs, loss) | ({} if layer_decay is None else {"layer_decay": layer_decay})
    fresh = not _lora.adapters(net)
    if how == "head":
        _lora.freeze(net)
    elif how == "lora" and fresh:
        with seeded(self.seed):
            _lora.add(net, names, rank=rank, alpha=alpha)
    try:
        fit(self, partial(ExpressionPlan, net), max_epochs, supervised=True, adapted=True, **kwargs)
    except BaseException:
        if fresh:
            _lora.take_off(net, merge=False)
        raise
    if how == "head":
        _lora.thaw(net)
    self.finetuned = {"how": how, "kept": guard.kept, "start": guard.start, "end": guard.end}
    if guard.kept == "start":
        self.is_trained_, self.best_epoch = was_trained, None  # a head that never learnt predicts nothing
        warn(
            f"fine-tuning did not help: validation loss {guard.start:.4g} before, {guard.end:.4g} after; the weights from "
            "before are kept. Try a lower plan_kwargs={'lr': ...} or fewer epochs."
        )
    return dict(self.finetuned)


def merge_lora(self: GET) -> None:
    """Fold the adapters into the weights; predictions stay, and all weights can learn again.

    Raises
    ------
    InputError
        If no adapters are on the network.
    """
    _adapters(self)
    _lora.take_off(self.module, merge=True)


def save_adapters(self: GET, dir_path: str | Path, *, overwrite: bool = False) -> None:
    """Write the adapters and the head, with the scales of the data they learnt from, but not the base.

    Parameters
    ----------
    dir_path
        The folder.
    overwrite
        Replace a folder that is there.

    Raises
    ------
    InputError
        If no adapters are on the network.
    """
    on = _adapters(self)
    one = next(iter(on.values()))
    base = _checkpoint.digest(_lora.base_state(self.module))
    adapters = {"names": list(on), "rank": one.rank, "alpha": one.alpha, "base": base}
    description = _checkpoint.describe(self) | {"adapters": adapters}
    _checkpoint.write(Path(dir_path), _lora.learnt_state(self.module), self.scaling, description, overwrite=overwrite)


def load_adapters(self: GET, dir_path: str | Path) -> None:
    """Put on the adapters, head and scales that :meth:`save_adapters` wrote, in place of any others.

    Parameters
    ----------
    dir_path
        The folder.

    Raises
    ------
    CheckpointError
        If the folder is damaged or foreign, or its adapters were trained on other base weights.
    """
    state, scaling, description = _checkpoint.read(Path(dir_path))
    if "adapters" not in description:
        raise CheckpointError(f"{dir_path} holds a whole model: GET.load() reads it")
    given, here = description["adapters"], _checkpoint.digest(_lora.base_state(self.module))
    try:
        names, rank, alpha = list(given["names"]), int(given["rank"]), float(given["alpha"])
        if given["base"] != here:
            raise CheckpointError(
                f"these adapters belong to a base whose weights have the sha256 {given['base']}, here it is {here}; "
                "load the model that was fine-tuned"
            )
        _checkpoint.check_shapes(state, _lora.learnt_shapes(self.module, names, rank))
        _checkpoint.take_record(self, description, scaling)
    except CheckpointError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(f"{dir_path} is not as save_adapters() writes it ({error!r})") from error
    _lora.take_off(self.module, merge=False)
    _lora.add(self.module, names, rank=rank, alpha=alpha)
    self.module.load_state_dict(state, strict=False)  # names and shapes were checked


def _adapters(model: GET) -> dict[str, _lora.Adapter]:
    on = _lora.adapters(model.module)
    if not on:
        raise InputError("there are no LoRA adapters on this network; finetune(how='lora') or load_adapters() first")
    return on


def _check(model: GET, how: str, rank: int, alpha: float, layers: Sequence[str]) -> list[str]:
    """Refuse what cannot be done; names of the linear maps to adapt."""
    if how not in ("full", "head", "lora"):
        raise InputError(f"how={how!r}: 'full', 'head' or 'lora'")
    if model.scaling is None:
        raise InputError("finetune() goes on from a trained or pretrained model: pretrain(), train() or load() first")
    on = _lora.adapters(model.module)
    if how != "lora":
        if on:
            raise InputError(f"LoRA adapters are on this network: merge_lora() before finetune(how={how!r})")
        return []
    if isinstance(layers, str) or not layers or not set(layers) <= set(_lora.LAYERS):
        raise InputError(f"layers={layers!r}: a list of {first(_lora.LAYERS, 4)} is needed")
    if not isinstance(rank, int) or rank < 1 or not alpha > 0:
        raise InputError(f"rank={rank}, alpha={alpha}: a whole number of at least 1, and a number above 0")
    names = _lora.targets(model.module, layers)
    other = {(n, a.rank, a.alpha) for n, a in on.items()} ^ {(n, rank, alpha) for n in names}
    if on and other:
        one = next(iter(on.values()))
        raise InputError(
            f"other adapters are on this network ({len(on)} of rank {one.rank}, alpha {one.alpha:g}): give the same "
            "rank, alpha and layers to go on with them, or merge_lora() first"
        )
    return names
