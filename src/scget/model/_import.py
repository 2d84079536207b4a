"""A published checkpoint to a model. This is a method of GET."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scvi.model._utils import parse_device_args

from scget._errors import CheckpointError, InputError
from scget._keys import MOTIF_NAMES
from scget.data import Rules, Scaling
from scget.data._fields import default_modalities
from scget.pp import ARCHETYPES

from . import _checkpoint
from ._holdout import HoldOut, names_of
from ._published import Weights, read_weights
from ._setup import unlike_motifs

if TYPE_CHECKING:
    from mudata import MuData

    from ._get import GET

LICENCE = "not stated in the file; assume non-commercial use only (the code it comes from is CC BY-NC 4.0)"


def from_checkpoint(
    cls: type[GET],
    path: str | Path,
    mdata: MuData | None = None,
    *,
    n_heads: int | None = None,
    motifs: Sequence[str] | None = None,
    lora_alpha: float = 1.0,
    window: int = 200,
    accessibility: Literal["quantitative", "binary"] = "quantitative",
    holdout_obs: Sequence[str] = (),
    holdout_chroms: Sequence[str] = (),
    region_width: float | None = None,
    seed: int = 0,
    accelerator: str = "auto",
) -> GET:
    """Read weights of the published GET code, of which scget ships none; no code in the file is run.

    Read are v1 ``.pth`` (pretraining and fine-tuning) and Lightning ``.ckpt``, plain or with minLoRA adapters, which are
    merged. What a file is, and the size of its network, is told by the names and shapes of its tensors. The model has
    ``preset="compat"``. After a fine-tuned file it predicts; after a pretrained one ``train`` or ``finetune`` go on. The
    head that filled in masked regions is left out: :meth:`pretrain` starts a new one each time, and that of v1
    files was probably taught features standardised within each window, another target.

    Parameters
    ----------
    path
        The file.
    mdata
        Data to attach; set up with the defaults unless :meth:`setup_mudata` was called. None: give it to ``predict``.
    n_heads
        Attention heads, which leave no trace in a file. None: width / 64, as published.
    motifs
        Names of the motif features in the order of the file. None: ``scget.pp.ARCHETYPES``, if they are 282.
    lora_alpha
        Of the adapters ``alpha / rank * B A``; the rank is that of the file.
    window, accessibility
        As for :class:`GET`, and as the weights were trained: 200 regions (900 in published pretraining).
    holdout_obs, holdout_chroms
        What you know the weights never saw, in pretraining either. The file does not say: all else is taken as perhaps
        seen, and scoring it warns.
    region_width
        Median length in bp of the regions the weights were trained on (published: 400), to be warned of others.
    seed
        Of what is not in the file: the head of a pretrained network, windows, training.
    accelerator
        As for :meth:`load`.

    Returns
    -------
    The model, on no data if ``mdata`` is None.

    Raises
    ------
    CheckpointError
        If the file is damaged, holds objects other than settings beside its tensors, or tensors other than those of a
        network for expression or accessibility, missing, unexpected or of another shape; they are named.
    InputError
        If the names of motifs are not known or not as many as features.

    Examples
    --------
    >>> model = scget.model.GET.from_checkpoint("checkpoint-best.pth")  # doctest: +SKIP
    >>> model.predict(pb)  # doctest: +SKIP
    """
    path = Path(path)
    stated = {
        "holdout_obs": names_of(holdout_obs=holdout_obs),
        "holdout_chroms": names_of(holdout_chroms=holdout_chroms),
    }
    weights = read_weights(path, n_heads=n_heads, lora_alpha=lora_alpha)
    config, names = weights.config, _motif_names(motifs, weights.config.n_motifs)
    init: dict[str, Any] = {
        "width": config.width,
        "n_layers": config.n_layers,
        "n_heads": config.n_heads,
        "task": config.task,
    }
    init |= {"preset": "compat", "window": window, "accessibility": accessibility, "seed": seed}
    model = _build(cls, mdata, init, names)
    _checkpoint.load_state(model.module, _with_own_head(model, weights))
    imported = {"file": path.name, "sha256": _sha256(path), "kind": weights.kind, "licence": LICENCE, **stated}
    model.motifs, model.region_width = names, region_width
    model.scaling = _unfitted(config.n_motifs, model.rules)
    model.holdout = HoldOut(stated["holdout_obs"], stated["holdout_chroms"], [], [], imported)
    model.is_trained_, model.history_ = not weights.pretrained, {}
    _, _, device = parse_device_args(accelerator=accelerator, devices="auto", return_device="torch")
    model.to_device(device)
    return model


def _motif_names(motifs: Sequence[str] | None, n: int) -> np.ndarray:
    if motifs is None and n != len(ARCHETYPES):
        raise InputError(
            f"the file has {n} motif features, not the {len(ARCHETYPES)} published ones: give motifs=[names]"
        )
    names = list(ARCHETYPES) if motifs is None else names_of(motifs=motifs)
    if len(names) != n or len(set(names)) != n:
        raise InputError(f"{len(names)} names of motifs ({len(set(names))} different ones), the file has {n} features")
    return np.array(names, dtype=object)


def _build(cls: type[GET], mdata: MuData | None, init: dict[str, Any], motifs: np.ndarray) -> GET:
    if mdata is None:
        setup = {"atac_layer": None, "rna_layer": None, "modalities": default_modalities(), "extra_keys": None}
        return cls(registry=_checkpoint.registry_of(cls.__name__, setup, len(motifs)), **init)
    if cls._get_most_recent_anndata_manager(mdata) is None:
        cls.setup_mudata(mdata)
    setup = cls._get_most_recent_anndata_manager(mdata, required=True).registry["setup_args"]
    if setup.get("extra_keys"):
        raise InputError("published weights know one channel, accessibility: set up the data without extra_keys")
    difference = unlike_motifs(motifs, mdata[setup["modalities"]["atac_layer"]].uns[MOTIF_NAMES])
    if difference:
        raise CheckpointError(difference)
    return cls(mdata, **init)


def _with_own_head(model: GET, weights: Weights) -> dict[str, Any]:
    """A pretrained file has no head for expression: the first weights of ``model`` stand there."""
    if not weights.pretrained:
        return weights.state
    own = {n: t for n, t in model.module.state_dict().items() if n.startswith("head_exp.")}
    return weights.state | own


def _unfitted(n_motifs: int, rules: Rules) -> Scaling:
    """Nothing was fitted: the published rules take every scale from the row itself."""
    none, names = np.zeros(0), np.array([], dtype=object)
    return Scaling(
        motif_m=np.ones(n_motifs),
        quantile_q=none,
        region_p=names,
        accessibility_p=none,
        gene_g=names,
        expression_g=none,
        spread_g=none,
        level=np.array([0.0, 1.0]),
        deviation=np.ones(1),
        activity=np.zeros(2),
        rules=rules,
    )


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
