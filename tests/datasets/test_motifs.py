from __future__ import annotations

import dataclasses
import gzip
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

import scget
from scget._errors import InputError
from scget.datasets import _motifs
from scget.pp import ARCHETYPES
from scget.pp._motif_sets import sha256_of

MEME = "MEME version 4\nALPHABET= ACGT\n"


def meme(*motifs: str) -> str:
    rows = "".join(f"{' '.join(map(str, row))}\n" for row in np.eye(4)[[0, 1, 2, 3, 0]] * 0.6 + 0.1)
    return MEME + "".join(f"MOTIF {motif}\nletter-probability matrix: alength= 4 w= 5\n{rows}\n" for motif in motifs)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path):
    """A web server of a folder: its address and the folder."""
    folder = tmp_path / "web"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()


@pytest.fixture
def at(monkeypatch):
    """Point a collection elsewhere."""

    def change(name: str, **changes) -> None:
        changed = dataclasses.replace(_motifs.COLLECTIONS[name], **changes)
        monkeypatch.setitem(_motifs.COLLECTIONS, name, changed)

    return change


def test_fetched_once_and_checked(server, at, tmp_path, monkeypatch):
    address, web = server
    cache = tmp_path / "cache"
    monkeypatch.setenv("SCGET_CACHE", str(cache))
    (web / "a.meme").write_text(meme("TF65.H12CORE.0.P.B"))
    good = scget.pp.read_motifs(web / "a.meme")
    at("hocomoco_v12", urls=(f"{address}/a.meme",), sha256=sha256_of(good, {m: m for m in good}))
    assert scget.datasets.motifs("hocomoco_v12").tfs == {"TF65.H12CORE.0.P.B": ["RELA"]}
    (web / "a.meme").unlink()
    assert list(scget.datasets.motifs("hocomoco_v12")) == ["TF65.H12CORE.0.P.B"]  # from the cache
    (cache / "a.meme").write_text(meme("TF65.H12CORE.0.P.B").replace("0.7 0.1", "0.69 0.11", 1))
    with pytest.raises(InputError, match="a.meme' holds 1 motifs that are not those of hocomoco_v12. Remove it"):
        scget.datasets.motifs("hocomoco_v12")


def test_without_a_network_address_and_place_are_named(server, at, tmp_path):
    address, _ = server
    at("jaspar_2024", urls=(f"{address}/gone.txt",))
    with pytest.raises(
        ConnectionError, match=rf"Cannot fetch {address}/gone.txt into .*404.*put it at '.*my/gone.txt'"
    ):
        scget.datasets.motifs("jaspar_2024", folder=tmp_path / "my")
    at("jaspar_2024", urls=("http://127.0.0.1:9/gone.txt",))  # nothing listens there
    with pytest.raises(ConnectionError, match="Cannot fetch http://127.0.0.1:9/gone.txt"):
        scget.datasets.motifs("jaspar_2024", folder=tmp_path / "my")
    with pytest.raises(
        InputError, match="no motif collection 'jaspar'. There are hocomoco_v12, jaspar_2024, vierstra_v1"
    ):
        scget.datasets.motifs("jaspar")
    with pytest.raises(InputError, match=r"no motif collection \['jaspar_2024'\]"):
        scget.datasets.motifs(["jaspar_2024"])


@pytest.mark.parametrize(
    ("name", "file", "n"), [("hocomoco_v12", "H12CORE", 1443), ("jaspar_2024", "JASPAR2024_CORE", 2346)]
)
@pytest.mark.parametrize("packed", [True, False])
def test_the_real_files_pass_the_check(shared_data, tmp_path, name, file, n, packed):
    data = (shared_data / "motifs" / f"{file}.meme.gz").read_bytes()
    path = tmp_path / _motifs.COLLECTIONS[name].urls[0].rsplit("/", 1)[1]
    path.write_bytes(data if packed else gzip.decompress(data) + b"\n")
    assert len(scget.datasets.motifs(name, folder=tmp_path)) == n


@pytest.fixture
def vierstra(tmp_path):
    """The five files as their site describes them, with one motif for each cluster; HD/10 has two, from two databases."""
    pytest.importorskip("openpyxl")
    motifs = [f"TF{i}_X_1" for i in range(len(ARCHETYPES))]
    ids = pd.Series(range(1, len(ARCHETYPES) + 1))
    members = pd.DataFrame({"Cluster_ID": [*ids, 63, 7], "Motif": [*motifs, "RREB1_MA0073.1", "P53_MOUSE.H11MO.0.A"]})
    titles = pd.DataFrame({"Cluster_ID": ids, "Name": ARCHETYPES, "DBD": "x"})
    urls = _motifs.COLLECTIONS["vierstra_v1"].urls
    table, jaspar, jolma, human, mouse = [tmp_path / url.rsplit("/", 1)[1] for url in urls]

    def write(titles=titles, members=members):
        with pd.ExcelWriter(table, engine="openpyxl") as book:
            pd.DataFrame({"note": ["read me"]}).to_excel(book, sheet_name="About", index=False)
            titles.to_excel(book, sheet_name="Archetype clusters", index=False)
            members.to_excel(book, sheet_name="Motifs", index=False)
        return tmp_path

    jaspar.write_text(meme("MA0073.1 RREB1", "MA0001.1 LEFTOUT"))
    jolma.write_text(meme(*motifs))
    human.write_text(meme("AHR_HUMAN.H11MO.0.B"))
    mouse.write_text(meme("P53_MOUSE.H11MO.0.A"))
    return write, titles, members


def test_vierstra_has_the_published_clusters(vierstra):
    write, _, _ = vierstra
    motifs = scget.datasets.motifs("vierstra_v1", folder=write())
    assert repr(motifs) == "MotifSet of 284 motifs of 284 factors in 282 clusters"
    assert tuple(sorted(set(motifs.clusters.values()))) == ARCHETYPES
    assert [motifs.clusters[m] for m in ("TF16_X_1", "TF62_X_1", "RREB1_MA0073.1")] == ["CTCF", "HD/10", "HD/10"]
    assert motifs.tfs["RREB1_MA0073.1"] == ["RREB1"] and motifs.tfs["P53_MOUSE.H11MO.0.A"] == ["TP53"]


def test_a_scan_with_vierstra_has_the_published_columns(vierstra, tmp_path, rng):
    write, _, _ = vierstra
    genome = tmp_path / "toy.fa"
    genome.write_text(">chr1\n" + "".join(rng.choice(list("ACGT"), 800)) + "\n")
    atac = AnnData(np.ones((1, 2), dtype=np.float32), var=pd.DataFrame(index=["chr1:0-400", "chr1:400-800"]))
    mdata = MuData({"atac": atac})
    scget.pp.motif_scores(mdata, genome, motifs=scget.datasets.motifs("vierstra_v1", folder=write()), pvalue=0.01)
    assert tuple(mdata["atac"].uns["motif_names"]) == ARCHETYPES
    tfs = mdata["atac"].uns["motif_tfs"]
    assert tfs.loc[tfs["cluster"] == "HD/10", "tf"].tolist() == ["RREB1", "TF62"]


def test_vierstra_of_another_release_is_refused(vierstra):
    write, titles, members = vierstra
    folder = write(titles=titles.replace("CTCF", "CTCF/1"))
    with pytest.raises(InputError, match="282 clusters that are not the 282 published ones, first 'CTCF', 'CTCF/1'"):
        scget.datasets.motifs("vierstra_v1", folder=folder)
    folder = write(members=pd.concat([members, pd.DataFrame({"Cluster_ID": [1], "Motif": ["lost"]})]))
    with pytest.raises(InputError, match="1 of 285 motifs .* have no matrix: 'lost'"):
        scget.datasets.motifs("vierstra_v1", folder=folder)
    folder = write(titles=titles.rename(columns={"Name": "Title"}))
    with pytest.raises(InputError, match="lacks a sheet with Cluster_ID and Motif, or one with Cluster_ID and Name"):
        scget.datasets.motifs("vierstra_v1", folder=folder)
