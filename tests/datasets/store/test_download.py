import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from graphkit.datasets import MissingDataError, find_card, load, ogbn_arxiv
from graphkit.datasets.store import download, in_place
from tests.datasets.files import TINY, write_arxiv, write_tu

CARD = replace(TINY, probe="http://localhost/tiny")


@pytest.fixture
def network(root, monkeypatch):
    """Downloads allowed, every address answers."""
    monkeypatch.delenv("GRAPHKIT_OFFLINE")
    monkeypatch.setattr(download, "probe", lambda _: None)


def fake_download(self):
    """Stands in for PyG's download: puts the files into the raw folder."""
    source = write_tu(Path(self.root) / "fake")
    for path in source.iterdir():
        path.rename(Path(self.raw_dir) / path.name)


def test_missing_files_are_fetched_into_the_cache(root, cache, network, monkeypatch):
    monkeypatch.setattr(in_place.TUDataset, "download", fake_download, raising=False)
    assert len(load(CARD)) == 3
    assert list(root.iterdir()) == []
    assert sorted(p.name for p in (cache / "data" / "TUDataset").iterdir()) == ["TINY"]
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    assert len(load(CARD)) == 3


def test_an_incomplete_download_is_an_error_and_leaves_nothing(root, cache, network, monkeypatch):
    def cut(self):
        fake_download(self)
        (Path(self.raw_dir) / "TINY_graph_labels.txt").unlink()

    monkeypatch.setattr(in_place.TUDataset, "download", cut, raising=False)
    with pytest.raises(MissingDataError, match=r"TINY_graph_labels\.txt did not come"):
        load(CARD)
    assert list((cache / "data" / "TUDataset").iterdir()) == []


def test_a_download_that_fails_is_told(root, cache, network, monkeypatch):
    def fail(self):
        raise OSError("connection reset")

    monkeypatch.setattr(in_place.TUDataset, "download", fail, raising=False)
    with pytest.raises(MissingDataError, match="connection reset"):
        load(CARD)


def test_an_address_that_does_not_answer_is_given_up_soon(monkeypatch):
    release = threading.Event()

    def hang(*_, **__):
        release.wait(30)
        raise OSError("late")

    monkeypatch.setattr(download, "PROBE_SECONDS", 0.2)
    monkeypatch.setattr(download.urllib.request, "urlopen", hang)
    with pytest.raises(download.DownloadError, match="no answer"):
        download.probe("http://localhost/")
    release.set()


def test_an_address_that_refuses_is_told():
    with pytest.raises(download.DownloadError, match="http://localhost:9/"):
        download.probe("http://localhost:9/")


@pytest.mark.parametrize(
    ("error", "words"), [(OSError(), "OSError"), (OSError("no route"), "no route")]
)
def test_what_went_wrong_is_told_also_by_errors_without_words(error, words, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(download.urllib.request, "urlopen", fail)
    with pytest.raises(download.DownloadError, match=f"http://localhost/: {words}$"):
        download.probe("http://localhost/")


def test_what_another_process_fetched_stays(tmp_path):
    for name, content in (("fetched", "new"), ("target", "old")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(content)
    (tmp_path / "fetched" / "b").write_text("new")
    download.publish(tmp_path / "fetched", tmp_path / "target")
    assert (tmp_path / "target" / "a").read_text() == "old"
    assert (tmp_path / "target" / "b").read_text() == "new"


def test_arxiv_is_unpacked_from_ogbs_archive(root, cache, network, monkeypatch, tmp_path):
    write_arxiv(tmp_path / "site")

    def fetch(url, folder):
        path = Path(folder) / "arxiv.zip"
        site = tmp_path / "site" / "ogbn_arxiv"
        with zipfile.ZipFile(path, "w") as archive:
            for file in site.rglob("*.gz"):
                archive.write(file, Path("arxiv") / file.relative_to(site))
        return str(path)

    monkeypatch.setattr(ogbn_arxiv, "download_url", fetch)
    assert load("ogbn-arxiv")[0].num_nodes == 12
    assert not find_card("ogbn-arxiv").missing(cache / "data")
