"""A network fine-tuned on measured activity of sequences: it predicts others, and can be saved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from tqdm.auto import tqdm

from scget._errors import CheckpointError, InputError
from scget._version import scget_version
from scget.module import ExpressionNet, GETConfig
from scget.module._focus import focus_embeddings
from scget.pp._inserts import inserts
from scget.pp._motif_sets import Clusters, Motifs
from scget.pp._sequence_scores import SequenceScorer

from ._checkpoint import check_shapes
from ._files import content_of, read_sealed, replacing, sealed, write_synced
from ._fit import seeded
from ._inserted import Contexts, score_elements

FORMAT = 1
DESCRIPTION, WEIGHTS = "reporter.json", "weights.safetensors"


class Reporter:
    """A network that tells the activity of sequences, made by :func:`scget.tl.mpra_finetune`.

    Activity is a linear map of the embedding in the middle of a window, averaged over windows, see :func:`scget.tl.mpra`.

    Attributes
    ----------
    fitted
        How it was made: how, row, n_elements, n_watched, start and end (mean squared error on the elements watched,
        before and after; None if none were), kept (``"start"`` or ``"end"``).

    Examples
    --------
    >>> reporter = scget.model.Reporter.load("wtc11", motifs="H12CORE.meme.gz")  # doctest: +SKIP
    >>> reporter.predict(["ACGTGATAAG" * 20])  # doctest: +SKIP
    """

    def __init__(
        self,
        net: ExpressionNet,
        head: nn.Linear,
        contexts: Contexts,
        scorer: SequenceScorer,
        motif_scan: dict[str, Any],
        fitted: dict[str, Any],
    ) -> None:
        self.net, self.head, self.contexts = net.eval(), head, contexts
        self.scorer, self.motif_scan, self.fitted = scorer, motif_scan, fitted

    def predict(self, sequences: Sequence[str] | pd.Series, *, adaptor: int = 0, batch_size: int = 256) -> pd.Series:
        """Predict the activity of sequences, in the unit of the activity learnt from.

        Parameters
        ----------
        sequences
            DNA. A Series keeps its index.
        adaptor
            Bases at each end that are no part of the element.
        batch_size
            Sequences at a time; does not change the result.

        Raises
        ------
        InputError
            If a sequence is no DNA.
        """
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size}: at least 1 is needed")
        score_um, at_n = score_elements(self.scorer, inserts(sequences, adaptor))
        index = sequences.index if isinstance(sequences, pd.Series) else None
        embedded_ud = mean_embeddings(self.net, self.contexts, score_um, batch_size)
        with torch.inference_mode():
            value_u = self.head(embedded_ud)[:, 0].double().cpu().numpy()
        return pd.Series(value_u[at_n], index=index, name="activity")

    def save(self, dir_path: str | Path, *, overwrite: bool = False) -> None:
        """Write ``weights.safetensors`` and ``reporter.json``, whole or not at all; the motifs are not among it.

        Parameters
        ----------
        dir_path
            The folder.
        overwrite
            Replace a folder that is there.
        """
        folder = Path(dir_path)
        tensors = {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()}
        tensors |= {f"head.{name}": tensor for name, tensor in self.head.state_dict().items()}
        tensors |= {f"contexts.{name}": getattr(self.contexts, name) for name in ("tokens_wrf", "center_wr", "share_m")}
        weights = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
        description = {
            "format": FORMAT,
            "scget": scget_version(),
            "config": asdict(self.net.config),
            "contexts": {"at": self.contexts.at, "capped": self.contexts.capped},
            "motifs": [str(motif) for motif in self.scorer.names],
            "motif_scan": self.motif_scan,
            "fitted": self.fitted,
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
        }
        foreign = [p.name for p in folder.iterdir() if p.name not in (WEIGHTS, DESCRIPTION)] if folder.is_dir() else []
        with replacing(folder, foreign, "reporter", overwrite=overwrite) as fresh:
            write_synced(fresh / WEIGHTS, weights)
            write_synced(fresh / DESCRIPTION, json.dumps(sealed(description), indent=1).encode())

    @classmethod
    def load(cls, dir_path: str | Path, *, motifs: Motifs | None = None, clusters: Clusters | None = None) -> Reporter:
        """Read what :meth:`save` wrote, to the CPU; no code in it is run.

        Parameters
        ----------
        dir_path
            The folder.
        motifs, clusters
            Those that it was fine-tuned with.

        Raises
        ------
        CheckpointError
            If the folder is damaged or foreign.
        InputError
            If the motifs are others.
        """
        folder = Path(dir_path)
        said = read_sealed(folder / DESCRIPTION, "reporter", FORMAT)
        weights = content_of(folder / WEIGHTS)
        if hashlib.sha256(weights).hexdigest() != said.get("weights_sha256"):
            raise CheckpointError(f"sha256 of {folder / WEIGHTS} differs from {DESCRIPTION}: damaged, copy it again")
        try:
            parts = _by_part(load(weights))
            with seeded(0):
                net = ExpressionNet(GETConfig(**said["config"]))
                head = nn.Linear(net.config.width, 1)
            for module, state in ((net, parts["net"]), (head, parts["head"])):
                check_shapes(state, {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()})
                module.load_state_dict(state)
            contexts = Contexts(
                **parts["contexts"], at=int(said["contexts"]["at"]), capped=bool(said["contexts"]["capped"])
            )
            if not 0 <= contexts.at < contexts.tokens_wrf.shape[1]:
                raise ValueError(f"place {contexts.at} in windows of {contexts.tokens_wrf.shape[1]} regions")
            names, scan, fitted = np.array(said["motifs"], dtype=object), dict(said["motif_scan"]), dict(said["fitted"])
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{folder} is not as save() writes it ({error!r})") from error
        return cls(net, head, contexts, SequenceScorer(motifs, clusters, scan, names), scan, fitted)


def _by_part(tensors: dict[str, Tensor]) -> dict[str, dict[str, Any]]:
    """Tensors by the part that their name begins with."""
    parts: dict[str, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        part, rest = name.split(".", 1)
        parts.setdefault(part, {})[rest] = tensor
    return parts


@torch.inference_mode()
def mean_embeddings(net: ExpressionNet, contexts: Contexts, score_um: sp.csr_matrix, batch_size: int) -> Tensor:
    """Embedding of each element, mean over windows, (u, d)."""
    parts, n = [torch.zeros(0, net.config.width, device=contexts.share_m.device)], score_um.shape[0]
    with tqdm(total=-(-n // batch_size) * len(contexts), desc="sequences", leave=False, mininterval=0.5) as bar:
        for low in range(0, n, batch_size):
            motif_bm = contexts.motifs(score_um[low : low + batch_size])
            total = motif_bm.new_zeros(len(motif_bm), net.config.width)
            for w in range(len(contexts)):
                total = total + embedded(net, contexts, motif_bm, w)
                bar.update()
            parts.append(total / len(contexts))
    return torch.cat(parts)


def embedded(net: ExpressionNet, contexts: Contexts, motif_bm: Tensor, w: int) -> Tensor:
    """Embedding of sequences in the middle of window ``w``, (b, d)."""
    tokens_rf, center_r = contexts.tokens_wrf[w], contexts.center_wr[w]
    return focus_embeddings(net, tokens_rf, center_r, contexts.focus(motif_bm, w), contexts.at)
