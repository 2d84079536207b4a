"""The model a person holds: set up, (pre)train, predict, attribute, save, load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import rich.pretty  # noqa: F401  scvi 1.4's view_anndata_setup uses it without importing it
import torch
from mudata import MuData
from scvi.model._utils import parse_device_args
from scvi.model.base import BaseModelClass

from scget.data import Closed, RegionTable, default_modalities, setup_manager
from scget.data._scaling import CHANNELS
from scget.module import ExpressionNet, GETConfig, _lora

from . import _checkpoint, _finetune, _folds, _train
from ._fit import seeded
from ._infer import Attribution, SlotPrediction, attribute_genes, predict_all
from ._setup import check_registrable, check_setup, check_windows, read_table


class GET(BaseModelClass):
    """General Expression Transformer: expression from accessibility and motifs (doi 10.1038/s41586-024-08391-z).

    Parameters
    ----------
    mdata
        Registered with :meth:`setup_mudata`; a row is a sample.
    width, n_layers, n_heads, drop_path, dropout
        Size of the network, see :class:`scget.module.GETConfig`; the defaults are the published ones, for a GPU.
    deviation
        Predict the departure from the training mean of each gene, and a level for genes without one. False: the
        published target, expression itself.
    distance_bias
        Let attention fall with genomic distance.
    window
        Regions per window.
    closed
        Which regions without counts a row still shows: ``"promoters"``, ``"drop"`` (published) or ``"keep"`` (all).
    seed
        Of the first weights, the windows and the training.

    Examples
    --------
    >>> scget.model.GET.setup_mudata(pb)
    >>> model = scget.model.GET(pb, width=16, n_layers=1, n_heads=2, window=32)
    >>> model.train(max_epochs=1, holdout_obs=["Mono"], holdout_chroms=["chr10"], enable_progress_bar=False)
    >>> model.predict(rows=["Mono"]).shape
    (1, 51)
    """

    def __init__(
        self,
        mdata: MuData | None = None,
        registry: dict[str, Any] | None = None,  # scvi-tools' own, for a model without data
        *,
        width: int = 768,
        n_layers: int = 12,
        n_heads: int = 12,
        drop_path: float = 0.1,
        dropout: float = 0.0,
        deviation: bool = True,
        distance_bias: bool = True,
        window: int = 200,
        closed: Closed = "promoters",
        seed: int = 0,
    ) -> None:
        super().__init__(mdata, registry)
        check_windows(closed, window)
        self.config = GETConfig(
            n_motifs=self.summary_stats["n_motifs"],
            n_channels=len(CHANNELS),
            width=width,
            n_layers=n_layers,
            n_heads=n_heads,
            drop_path=drop_path,
            dropout=dropout,
            deviation=deviation,
            distance_bias=distance_bias,
        )
        self.window, self.closed, self.seed = window, closed, seed
        self.scaling: Any = None  # Scaling, once trained
        self.holdout: Any = None  # HoldOut, once trained
        self.motifs: Any = None  # names, once trained
        self.motif_scan: dict[str, Any] = {}  # how they were scored
        self.annotation: dict[str, Any] = {}  # where the promoters came from
        self.region_width: float | None = None  # median of the regions trained on, bp
        self.finetuned: dict[str, Any] = {}  # what the last finetune() returned
        with seeded(seed):
            self.module = ExpressionNet(self.config).eval()
        self.init_params_ = self._get_init_params(locals())

    @classmethod
    def setup_mudata(
        cls,
        mdata: MuData,
        atac_layer: str | None = None,
        rna_layer: str | None = None,
        modalities: dict[str, str] | None = None,
    ) -> None:
        """Check a MuData and register where its counts are.

        Parameters
        ----------
        mdata
            Modality ``atac`` (rows x regions, raw counts, motif scores, promoters) and, for training, ``rna`` (rows x
            genes, raw counts). Rows are paired by name, regions may be in any order. scvi-tools keeps hold of it
            until ``model.deregister_manager(mdata)``.
        atac_layer, rna_layer
            Layers with the raw counts. None: ``X``.
        modalities
            Other modality names, as ``{"atac_layer": "peaks", "rna_layer": "gex"}``.

        Raises
        ------
        InputError
            Saying what was found, what is needed and what to do; ``mdata`` is unchanged.
        """
        args = cls._get_setup_method_args(**locals())
        modalities = default_modalities() | (modalities or {})
        cls._create_modalities_attr_dict(modalities, args)  # refuses unknown keys
        args["setup_args"]["modalities"] = modalities
        check_setup(mdata, args["setup_args"])
        check_registrable(mdata, args["setup_args"])
        cls.register_manager(setup_manager(mdata, args))

    @classmethod
    def setup_anndata(cls, *args: Any, **kwargs: Any) -> None:
        """Refuse an AnnData."""
        raise NotImplementedError("GET reads two modalities: make a MuData and use setup_mudata(mdata)")

    @property
    def device(self) -> torch.device:
        """Where the network stands."""
        return self.module.cls_token.device

    pretrain = _train.pretrain
    train = _train.train
    finetune = _finetune.finetune
    merge_lora = _finetune.merge_lora
    save_adapters = _finetune.save_adapters
    load_adapters = _finetune.load_adapters
    train_folds = classmethod(_folds.train_folds)

    def predict(
        self, mdata: MuData | None = None, *, rows: Sequence[str] | None = None, batch_size: int = 64
    ) -> pd.DataFrame:
        """Predict expression.

        Parameters
        ----------
        mdata
            Other data with the same motifs; ATAC alone will do. None: the data of the model.
        rows
            Names of rows. None: all.
        batch_size
            Windows at a time; does not change the result.

        Returns
        -------
        rows x genes, log10(CPM + 1); NaN for a gene without a promoter region.
        """
        table, prediction = self.predict_slots(mdata, rows=rows, batch_size=batch_size)
        at = table.row_positions(rows)
        return pd.DataFrame(prediction.genes_kg[at], index=table.rows[at], columns=table.genes)

    def predict_slots(
        self, mdata: MuData | None = None, *, rows: Sequence[str] | None = None, batch_size: int = 64
    ) -> tuple[RegionTable, SlotPrediction]:
        """As :meth:`predict`, per promoter slot (region and strand) beside per gene, with the table that names them."""
        return predict_all(self, self.table(mdata), rows, batch_size)

    def attribute(
        self,
        mdata: MuData | None = None,
        *,
        genes: Sequence[str] | None = None,
        rows: Sequence[str] | None = None,
        batch_size: int = 32,
        top: int = 50,
    ) -> Attribution:
        """Say which motifs and regions predictions rest on, by gradient x input; see :class:`Attribution`.

        Parameters
        ----------
        mdata, rows, batch_size
            As for :meth:`predict`.
        genes
            Names of genes. None: all that have a promoter region.
        top
            Regions kept per row and gene, the strongest.
        """
        return attribute_genes(self, self.table(mdata), genes, rows, batch_size=batch_size, top=top)

    def save(self, dir_path: str | Path, *, overwrite: bool = False) -> None:
        """Write the model, adapters folded in: ``weights.safetensors`` and ``model.json``, whole or not at all.

        Parameters
        ----------
        dir_path
            The folder.
        overwrite
            Replace a folder that is there.
        """
        state = _lora.merged_state(self.module)
        _checkpoint.write(Path(dir_path), state, self.scaling, _checkpoint.describe(self), overwrite=overwrite)

    @classmethod
    def load(cls, dir_path: str | Path, mdata: MuData | None = None, *, accelerator: str = "auto") -> GET:
        """Read a model that :meth:`save` wrote; no code in it is run.

        Parameters
        ----------
        dir_path
            The folder.
        mdata
            Data to attach, with the same motifs; set up as the training data were. None: give it to ``predict``.
        accelerator
            Where to put the network: ``"cpu"``, ``"gpu"``, ``"auto"``.

        Raises
        ------
        CheckpointError
            If the folder is damaged, foreign, or newer than this scget.
        """
        model = _checkpoint.restore(cls, Path(dir_path), mdata)
        _, _, device = parse_device_args(accelerator=accelerator, devices="auto", return_device="torch")
        model.to_device(device)
        return model

    def table(self, mdata: MuData | None = None) -> RegionTable:
        """Data as the model reads them: regions in genome order, motifs in the model's order."""
        return read_table(self, mdata)
