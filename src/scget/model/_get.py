"""The model a person holds: set up, (pre)train, predict, attribute, save, load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import rich.pretty  # noqa: F401  scvi 1.4's view_anndata_setup uses it without importing it
import torch
from mudata import MuData
from scvi.model.base import BaseModelClass

from scget.data import Closed, RegionTable, Rules
from scget.data._fields import default_modalities, setup_manager
from scget.module import ExpressionNet, _lora

from . import _checkpoint, _embed, _explain, _finetune, _folds, _hub, _import, _links, _train
from ._accessibility import predict_regions
from ._card import told_shortly
from ._choices import check_seed, choose_network, choose_rules
from ._expression import SlotPrediction
from ._fit import seeded
from ._infer import predict_all
from ._run import pick_device
from ._setup import check_registrable, check_setup, read_table


class GET(BaseModelClass):
    """General Expression Transformer: expression from accessibility and motifs (doi 10.1038/s41586-024-08391-z).

    Parameters
    ----------
    mdata
        Registered with :meth:`setup_mudata`; a row is a sample.
    width, n_layers, n_heads, drop_path, dropout
        Size of the network, see :class:`scget.module.GETConfig`; the defaults are the published ones, for a GPU.
    preset
        ``"default"``, or ``"compat"``: the published rules of input and label, which imported weights need. Arguments
        from here to ``accessibility`` that are None are as it says.
    baseline
        ``"training_mean"``: predict the departure from the training mean of each gene, and a level for genes without
        one. ``"gene_activity"``: of that departure up to a half is in proportion to how much more open the gene's
        surroundings are than on average, each region weighted by exp(-distance / 20 kb).
        ``"similar_rows"``: add by how much this is wrong in the training rows, weighted by how alike their
        accessibility is; the model then holds the expression of the training rows. ``"zero"`` (published): expression itself.
    distance_bias
        Let attention fall with genomic distance. Published: False.
    distance_sums
        Show each region sums over its neighbours, weighted by exp(-distance / 1, 5, 20 and 100 kb). None: where departures
        are predicted, with preset ``"default"``. Published: False.
    window
        Regions per window.
    closed
        Which regions without counts a row still shows: ``"promoters"``, ``"drop"`` (published) or ``"keep"`` (all).
    accessibility
        ``"quantitative"``, or ``"binary"``: a region is open or not.
    task
        ``"expression"``; ``"accessibility"``, from motifs alone, which needs no RNA; or ``"both"``, by two heads.
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

    best_epoch: int | None = None  # epoch (from 0) of the last training whose weights were put back, see train()

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
        preset: Literal["default", "compat"] = "default",
        baseline: Literal["similar_rows", "gene_activity", "training_mean", "zero"] | None = None,
        distance_bias: bool | None = None,
        distance_sums: bool | None = None,
        window: int | None = None,
        closed: Closed | None = None,
        accessibility: Literal["quantitative", "binary"] | None = None,
        task: Literal["expression", "accessibility", "both"] = "expression",
        seed: int = 0,
    ) -> None:
        super().__init__(mdata, registry)
        extra = self.registry["setup_args"].get("extra_keys")
        check_seed(seed)
        self.rules: Rules = choose_rules(preset, baseline, window, closed, accessibility, task, extra)
        sizes = {"width": width, "n_layers": n_layers, "n_heads": n_heads, "drop_path": drop_path, "dropout": dropout}
        by_distance = {"distance_bias": distance_bias, "distance_sums": distance_sums}
        n_motifs = self.summary_stats["n_motifs"]
        self.config = choose_network(self.rules, preset, baseline, by_distance, n_motifs=n_motifs, task=task, **sizes)
        self.seed = seed
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
        extra_keys: list[str] | None = None,
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
        extra_keys
            Further channels of each region, such as H3K27ac or CTCF: names of layers (rows x regions) or columns of
            ``var`` of the accessibility, or ``"region_length"``; each is centred and scaled over the training data.

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

    @property
    def window(self) -> int:
        """Regions per window."""
        return self.rules.window

    @property
    def closed(self) -> Closed:
        """Which regions without counts a row shows."""
        return self.rules.closed

    pretrain = _train.pretrain
    train = _train.train
    finetune = _finetune.finetune
    merge_lora = _finetune.merge_lora
    save_adapters = _finetune.save_adapters
    load_adapters = _finetune.load_adapters
    push_to_hub = _hub.push_to_hub
    from_pretrained = classmethod(_hub.from_pretrained)
    train_folds = classmethod(_folds.train_folds)
    embed = _embed.embed

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
        table = self.table(mdata)
        return table, self._predict_table(table, rows, batch_size)

    def _predict_table(self, table: RegionTable, rows: Sequence[str] | None, batch_size: int) -> SlotPrediction:
        return predict_all(self, table, rows, batch_size)

    def predict_accessibility(
        self, mdata: MuData | None = None, *, rows: Sequence[str] | None = None, batch_size: int = 64
    ) -> pd.DataFrame:
        """Predict accessibility from motifs, with a model of ``task="accessibility"`` or ``"both"``.

        Parameters
        ----------
        mdata, rows, batch_size
            As for :meth:`predict`.

        Returns
        -------
        rows x regions in the order of ``mdata``, in the unit of the model's input: 1 is a typical open region (preset
        ``"compat"``: the window's most open one). NaN for a region that is closed in the row and not shown.
        """
        return predict_regions(self, self.table(mdata), rows, batch_size)

    attribute = _explain.attribute
    links = _links.links

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
        model.to_device(pick_device(accelerator))
        return model

    def __repr__(self) -> str:
        return told_shortly(self)

    from_checkpoint = classmethod(_import.from_checkpoint)

    def table(self, mdata: MuData | None = None) -> RegionTable:
        """Data as the model reads them: regions in genome order, motifs in the model's order."""
        return read_table(self, mdata)
