"""Windows to batches of tensors: the arrays are held once, on the device, and gathered there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from scget._errors import InputError

from ._scaling import Scaling
from ._table import RegionTable
from ._windows import Windows


@dataclass(frozen=True)
class Batch:
    """What one step of the network takes.

    ``tokens_brf`` features (0 where padded), ``center_br`` region centres in bp, ``pad_br`` True where there is no
    region (None where all are), ``slot_brs`` promoter slot per region and strand (-1: none), ``row_b`` row positions.
    ``mixed``: of windows between two rows, the other row (b,) and the share of the first (b,).
    """

    tokens_brf: Tensor
    center_br: Tensor
    pad_br: Tensor | None
    slot_brs: Tensor
    row_b: Tensor
    mixed: tuple[Tensor, Tensor] | None = None


class TokenSource(nn.Module):
    """Features of all regions and rows, gathered by position; nothing of it is saved with the network.

    Motif scores stand once, with room for the channels of a row behind them; accessibility stands once for each row, and
    its fold is taken as a batch is gathered.
    """

    token_pf: Tensor
    open_kp: Tensor
    mean_p: Tensor
    extra_kpe: Tensor
    center_p: Tensor
    slot_ps: Tensor
    target_kqo: Tensor
    unit_km: Tensor
    depth_k: Tensor
    row_j: Tensor

    def __init__(
        self,
        table: RegionTable,
        scaling: Scaling,
        *,
        targets: np.ndarray | None = None,
        row_j: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        slot_ps = table.promoters.slot_of(len(table.regions))
        rules = scaling.rules
        arrays = {
            "token_pf": _tokens(table, scaling),
            "open_kp": _accessibility(table, scaling),
            "center_p": np.append(table.regions.centers, 0),
            "slot_ps": np.concatenate([slot_ps, [[-1, -1]]]),
            "row_j": np.arange(len(table.rows)) if row_j is None else row_j,  # those trained on
        }
        if rules.fold:
            arrays["mean_p"] = np.append(scaling.mean_accessibility(table), np.float32(np.nan))
        if rules.extra:
            arrays["extra_kpe"] = np.pad(scaling.extra(table), ((0, 0), (0, 1), (0, 0)))
        self.bit_m = scaling.scaled_motifs(np.ones((1, len(scaling.motif_m))))[0].astype(np.float64)
        unit_km = scaling.motif_units(table)
        self.has_units, self.per_window, self.n_motifs = unit_km is not None, rules.per_window, len(scaling.motif_m)
        if unit_km is not None:
            arrays["unit_km"] = unit_km
        if table.depth_k is not None:
            arrays["depth_k"] = table.depth_k
        if targets is not None:
            arrays["target_kqo"] = np.pad(targets, ((0, 0), (0, 1), (0, 0)), constant_values=np.nan)
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array)), persistent=False)

    def gather(self, row_b: Tensor, index_br: Tensor) -> Batch:
        """Look up a batch of windows; position -1 is the blank row at the end of every array."""
        pad_br, (n_regions, n_features) = index_br < 0, self.token_pf.shape
        at_br = index_br.remainder(n_regions)
        tokens_brf = self.token_pf.index_select(0, at_br.flatten()).view(*index_br.shape, n_features)
        if self.has_units:
            tokens_brf[..., : self.n_motifs] = self.in_units(tokens_brf[..., : self.n_motifs], row_b)
        channels_brc = self.channels(row_b[:, None], at_br)
        if self.per_window:
            channels_brc[..., 0] /= channels_brc[..., 0].amax(dim=1, keepdim=True).clamp(min=1e-12)
        tokens_brf[..., self.n_motifs :] = channels_brc
        return Batch(
            tokens_brf=tokens_brf,
            center_br=self.center_p[at_br],
            pad_br=pad_br if bool(pad_br.any()) else None,
            slot_brs=self.slot_ps[at_br],
            row_b=row_b,
        )

    def channels(self, row: Tensor, index: Tensor) -> Tensor:
        """Accessibility, its fold over the training mean (0 for a region not known) and extra ones, (..., c), of rows and regions."""
        open_n, channels = self.open_kp[row, index], []
        if "mean_p" in self._buffers:
            fold_n = open_n - self.mean_p[index]
            channels.append(torch.where(fold_n.isnan(), 0, fold_n))
        if "extra_kpe" in self._buffers:
            channels += self.extra_kpe[row, index].unbind(-1)
        return torch.stack([open_n, *channels], dim=-1)

    def channels_at(self, row: Any, region: np.ndarray | None = None) -> np.ndarray:
        """As :meth:`channels`, of positions in numpy; ``region`` None: all of them."""
        region = np.arange(len(self.center_p) - 1) if region is None else region
        return self.channels(*(torch.as_tensor(at, device=self.center_p.device) for at in (row, region))).cpu().numpy()

    def in_units(self, motif_brm: Tensor, row_b: Tensor) -> Tensor:
        """Motif features in the unit of each row, at most 1, where rows have units; else as they are."""
        return (motif_brm / self.unit_km[row_b][:, None]).clamp(max=1) if self.has_units else motif_brm

    def per_bit(self, row_k: np.ndarray) -> np.ndarray:
        """Motif feature per bit of score in rows ``row_k`` (positions), (k, m) float64; a feature may be capped at 1."""
        unit_km = self.unit_km[row_k].double().cpu().numpy() if self.has_units else np.ones((len(row_k), 1))
        return self.bit_m / unit_km

    def folds(self, row_k: np.ndarray) -> Iterator[np.ndarray]:
        """How much more open each region is than on average in the training rows, (p,) of each of ``row_k`` (positions)."""
        return (self.channels_at(k)[:, 1] for k in row_k)

    def targets(self, batch: Batch) -> Tensor:
        """Targets in the order of the network's outputs, (b, r, 4): level +, level -, deviation +, deviation -."""
        return self._at_slots(batch)[..., :2].permute(0, 1, 3, 2).flatten(2)

    def expression(self, batch: Batch) -> Tensor:
        """log10(CPM + 1) per strand, (b, r, 2), NaN where no gene starts."""
        return self._at_slots(batch)[..., 2]

    def _at_slots(self, batch: Batch) -> Tensor:
        own = self.target_kqo[batch.row_b[:, None, None], batch.slot_brs]
        if batch.mixed is None:
            return own
        other_b, share_b = batch.mixed
        share_b111 = share_b[:, None, None, None]
        return share_b111 * own + (1 - share_b111) * self.target_kqo[other_b[:, None, None], batch.slot_brs]


def _tokens(table: RegionTable, scaling: Scaling) -> np.ndarray:
    """Motif features of each region, 0 for its channels, and a blank one at the end."""
    n_motifs = len(scaling.motif_m)
    token_pf = np.zeros((len(table.regions) + 1, n_motifs + scaling.rules.n_channels), dtype=np.float32)
    scaling.motifs(table, token_pf[:-1, :n_motifs])
    return token_pf


def _accessibility(table: RegionTable, scaling: Scaling) -> np.ndarray:
    """Accessibility of each row, and a blank region at the end."""
    open_kp = np.zeros((len(table.rows), len(table.regions) + 1), dtype=np.float32)
    scaling.accessibility(table, open_kp[:, :-1])
    return open_kp


class WindowBatches(Dataset[tuple[Tensor, Tensor]]):
    """Batches of windows as (row_b, index_br), in the order given by ``rng`` or, without it, in genome order.

    Parameters
    ----------
    windows
        What is split into batches of ``batch_size`` or one fewer.
    rank, world
        This process and how many there are: each takes its part of every batch of ``batch_size * world`` windows, so
        that together they see what one process sees with that batch.
    """

    def __init__(
        self,
        windows: Windows,
        batch_size: int,
        *,
        rng: np.random.Generator | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        order = np.arange(len(windows)) if rng is None else rng.permutation(len(windows))
        if len(order) and len(order) < world:
            raise InputError(f"{len(order)} windows for {world} processes; each needs one: use fewer devices")
        self.windows = windows
        whole = np.array_split(order, max(-(-len(order) // (batch_size * world)), 1)) if len(order) else []
        self.parts = [part[rank::world] for part in whole]

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        which = self.parts[i]
        return torch.from_numpy(self.windows.row_w[which]), torch.from_numpy(self.windows.regions(which))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return (self[i] for i in range(len(self)))
