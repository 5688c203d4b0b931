import sys

import pytest
import torch

from graphkit.datasets import DamagedDataError, GRIDClip, MissingDataError, grid, grid_alignment
from graphkit.vision import Clip


def put(root, *names):
    folder = root / "GRID/s1"
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(b"no clip")


def test_names_say_what_is_spoken(root):
    put(root, "swwp2s.mpg", "id2_vcd_bbafzn.mpg", "notes.txt")
    first, second = grid()
    assert first.text == "bin blue at f zero now"
    assert second.words == ("set", "white", "with", "p", "two", "soon")
    assert second.path.name == "swwp2s.mpg"


@pytest.mark.parametrize("name", ["xbaf2n.mpg", "bbaf2.mpg", "bbaw2n.mpg", "holiday.mpg"])
def test_other_names_are_refused(root, name):
    put(root, name)
    with pytest.raises(DamagedDataError, match=f"{name}' is no sentence of GRID"):
        grid()


def test_missing_clips_say_where_they_belong(root):
    with pytest.raises(MissingDataError, match=r"no clip '\*.mpg' of GRID in .*data/GRID"):
        grid()


def test_damaged_clips_are_named(root, monkeypatch):
    put(root, "bbaf2n.mpg")
    (clip,) = grid()
    assert isinstance(clip, GRIDClip)

    def short(frames, samples):
        frames = torch.zeros(frames, 3, 4, 4, dtype=torch.uint8)
        return lambda path: Clip(str(path), frames, 25.0, torch.zeros(samples), 16000)

    monkeypatch.setattr("graphkit.vision.read_clip", short(75, 48000))
    assert len(clip.read().frames) == 75
    for frames, samples in ((40, 48000), (75, 9000), (75, 0)):
        monkeypatch.setattr("graphkit.vision.read_clip", short(frames, samples))
        with pytest.raises(DamagedDataError, match=r"bbaf2n[.]mpg' has"):
            clip.read()


def test_what_cannot_be_decoded_is_damaged(root):
    pytest.importorskip("av", reason="the extra 'speech' is not installed")
    put(root, "bbaf2n.mpg")
    with pytest.raises(DamagedDataError, match=r"bbaf2n[.]mpg"):
        grid()[0].read()


def test_without_pyav_the_extra_is_named(root, monkeypatch):
    put(root, "bbaf2n.mpg")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r"graphkit\[speech\]"):
        grid()[0].read()


def test_alignments_are_seconds(tmp_path):
    path = tmp_path / "a.align"
    path.write_text("0 12500 sil\n12500 25000 set\n")
    assert grid_alignment(path) == [(0.0, 0.5, "sil"), (0.5, 1.0, "set")]
    for wrong in ("", "0 1\n", "a b sil\n", "5 3 sil\n"):
        path.write_text(wrong)
        with pytest.raises(DamagedDataError, match=r"a[.]align"):
            grid_alignment(path)
    with pytest.raises(DamagedDataError, match=r"gone[.]align"):
        grid_alignment(tmp_path / "gone.align")


@pytest.mark.data
def test_published_words_are_those_of_the_name(data_root):
    clips = {clip.path.stem: clip for clip in grid(data_root)}
    assert len(clips) == 11
    rows = grid_alignment(data_root / "GRID/swwp2s.align")
    said = tuple(word for _, _, word in rows if word != "sil")
    assert said == clips["id2_vcd_swwp2s"].words
    assert rows[-1][1] == pytest.approx(2.98)
