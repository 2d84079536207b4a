"""Share a model on the Hugging Face Hub, with a card that says what it learnt from. These are methods of GET."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from scget._errors import InputError, needs_extra
from scget._version import scget_version

from ._card import model_card
from ._checkpoint import WEIGHTS
from ._description import DESCRIPTION

if TYPE_CHECKING:
    import pandas as pd
    from mudata import MuData

    from ._get import GET

CARD = "README.md"
FILES = [WEIGHTS, DESCRIPTION, CARD]  # all that is ever sent or fetched


def push_to_hub(
    self: GET,
    repo_id: str,
    *,
    license: str,
    description: str = "",
    datasets: Sequence[str] = (),
    tags: Sequence[str] = (),
    metrics: pd.DataFrame | None = None,
    private: bool = True,
    token: str | None = None,
    revision: str | None = None,
) -> str:
    """Upload the model, as :meth:`save` writes it, with a model card; needs ``pip install "scget[hub]"``.

    The card lists names of rows and chromosomes, so a new repository is private unless told otherwise. One commit
    holds all three files. The card is written anew each time; what is to stay in it goes into ``description``.

    Parameters
    ----------
    repo_id
        ``"name"`` or ``"user/name"`` on the Hub; made where it does not exist.
    license
        Identifier of the weights' licence on the Hub, such as ``"cc-by-4.0"``; only you can know what the data allow.
    description
        Markdown put on top of the card: what the data are, what the model is for.
    datasets, tags
        Identifiers of data sets on the Hub, and further tags, for the header of the card.
    metrics
        From :func:`scget.bm.evaluate`. None: the card says that none are given.
    private
        Whether a new repository is private; one that exists stays as it is.
    token
        Of the Hub. None: the one of ``hf auth login``.
    revision
        Branch to commit to. None: ``main``.

    Returns
    -------
    Address of the commit.

    Raises
    ------
    InputError
        If nothing was learnt yet, or an argument has no meaning; before anything is sent.

    Examples
    --------
    >>> model.push_to_hub("lab/blood", license="cc-by-4.0", metrics=scget.bm.evaluate(model))  # doctest: +SKIP
    """
    with needs_extra("hub"):
        from huggingface_hub import HfApi
    _check_name(repo_id)
    card = model_card(
        self, repo_id, license=license, description=description, datasets=datasets, tags=tags, metrics=metrics
    )
    api = HfApi(token=token, library_name="scget", library_version=scget_version())
    with TemporaryDirectory() as parent:
        folder = Path(parent) / "model"
        self.save(folder)
        (folder / CARD).write_text(card, "utf-8")
        name = api.create_repo(repo_id, private=private, exist_ok=True).repo_id  # with the user's name in front
        message = f"Model saved by scget {scget_version()}"
        commit = api.upload_folder(
            repo_id=name, folder_path=folder, allow_patterns=FILES, commit_message=message, revision=revision
        )
    return str(commit.commit_url)


def from_pretrained(
    cls: type[GET],
    repo_id: str | Path,
    mdata: MuData | None = None,
    *,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | Path | None = None,
    accelerator: str = "auto",
) -> GET:
    """Fetch a model from the Hub, or read it from a folder, with the checks of :meth:`load`: no code in it is run.

    Parameters
    ----------
    repo_id
        A folder, if there is one of this name; otherwise ``"user/name"`` on the Hub, which needs
        ``pip install "scget[hub]"``.
    mdata, accelerator
        As for :meth:`load`.
    revision
        Branch, tag or commit; a commit always gives the same model. None: the latest.
    token
        Of the Hub, for a private repository. None: the one of ``hf auth login``.
    cache_dir
        Where fetched files are kept. None: the Hub's own folder.

    Raises
    ------
    CheckpointError
        If what was fetched is damaged, foreign, of another format, or has other motifs than ``mdata``.
    InputError
        If ``repo_id`` is neither a folder nor a name of the Hub.

    Examples
    --------
    >>> model.save("my_get")
    >>> scget.model.GET.from_pretrained("my_get", pb).predict(rows=["Mono"]).shape
    (1, 51)
    """
    if Path(repo_id).is_dir():
        return cls.load(repo_id, mdata, accelerator=accelerator)
    with needs_extra("hub"):
        from huggingface_hub import snapshot_download
    _check_name(repo_id)
    folder = snapshot_download(
        str(repo_id),
        revision=revision,
        token=token,
        cache_dir=cache_dir,
        allow_patterns=FILES,
        library_name="scget",
        library_version=scget_version(),
    )
    return cls.load(folder, mdata, accelerator=accelerator)


def _check_name(repo_id: str | Path) -> None:
    with needs_extra("hub"):
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id
    try:
        validate_repo_id(str(repo_id))
    except HFValidationError as error:
        raise InputError(f"{str(repo_id)!r} is neither a folder nor 'user/name' on the Hub: {error}") from error
