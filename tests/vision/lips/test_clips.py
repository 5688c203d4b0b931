import math
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from graphkit.adapters import AlignmentGraphAdapter
from graphkit.datasets import grid
from graphkit.vision import (
    LIBS,
    AttentionSeq2Seq,
    Clip,
    Padded,
    SequenceEncoder,
    log_mel,
    mouth_centre,
    mouth_crops,
    pad_symbols,
    read_clip,
)
from tests.spoiled import spoiled

WITHOUT = "the extra 'speech' is not installed"


def speaking(row=46, col=50, frames=8, noise=0.0):
    """A picture in which a patch opens and shuts, hair moves above, and the rest stands still."""
    picture = torch.rand(60, 90).repeat(frames, 1, 1)
    picture = (picture + noise * torch.randn(frames, 60, 90)).clamp(0, 1)
    picture[::2, row - 3 : row + 3, col - 6 : col + 6] = 1
    picture[1::2, row - 3 : row + 3, col - 6 : col + 6] = 0
    picture[::2, 2:12, 20:60] = 1
    picture[1::2, 2:12, 20:60] = 0
    return picture


@pytest.mark.parametrize(("row", "col"), [(46, 50), (40, 20), (52, 70)])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_the_mouth_is_what_moves_below(row, col, noise):
    frames = speaking(row, col, noise=noise)
    found = mouth_centre(frames)
    assert abs(found[0] - row) <= 2
    assert abs(found[1] - col) <= 2
    crops = mouth_crops(frames, (12, 20))
    assert crops.shape == (8, 12, 20)
    assert crops[::2].mean() > crops[1::2].mean() + 0.2


def test_windows_stay_inside_the_picture():
    frames = speaking(55, 84)
    crops = mouth_crops(frames, (24, 40))
    assert torch.equal(crops, frames[:, 36:, 50:])
    assert torch.equal(mouth_crops(frames, (60, 90)), frames)


def test_colours_and_bytes_become_grey():
    frames = speaking().unsqueeze(1).repeat(1, 3, 1, 1)
    grey = mouth_crops(frames, (10, 20))
    torch.testing.assert_close(grey, mouth_crops(frames[:, 0], (10, 20)))
    exact = (frames * 255).round()
    torch.testing.assert_close(
        mouth_crops(exact.byte(), (10, 20)), mouth_crops(exact / 255, (10, 20))
    )
    frames[:, 1:] = 0
    torch.testing.assert_close(mouth_crops(frames, (10, 20)), 0.299 * grey)


def test_without_a_mouth_the_clip_is_named():
    still = torch.rand(1, 60, 90).repeat(5, 1, 1)
    for frames in (still, torch.zeros(5, 60, 90), torch.rand(5, 60, 90)):
        clip = Clip("clips/of_nobody.mpg", frames, 25.0, torch.zeros(0), 16000)
        with pytest.raises(ValueError, match=r"'clips/of_nobody[.]mpg' shows no mouth"):
            clip.mouth((10, 20))
    with pytest.raises(ValueError, match=r"'clips/of_nobody[.]mpg' must hold finite samples"):
        clip.mel()
    with pytest.raises(ValueError, match="'frames' must hold two frames or more"):
        mouth_centre(still[:1])
    with pytest.raises(ValueError, match=r"'size' \(70, 20\) does not fit"):
        mouth_crops(speaking(), (70, 20))
    with pytest.raises(ValueError, match="'frames' must be"):
        mouth_centre(torch.rand(5, 2, 60, 90))
    with pytest.raises(ValueError, match="'frames' holds NaN"):
        mouth_centre(spoiled((3, 60, 90)))


@pytest.mark.parametrize("pitch", [300.0, 1000.0, 3500.0])
def test_a_tone_is_loudest_in_its_band(pitch):
    time = torch.arange(8000) / 16000
    mel = log_mel(torch.sin(2 * math.pi * pitch * time), 16000, bins=30)

    def ear(frequency):
        return 2595 * math.log10(1 + frequency / 700)

    # Bands are evenly spaced to the ear: the middle of band b is b + 1 steps of 31.
    band = ear(pitch) / ear(8000) * 31 - 1
    assert (mel[5:-5].argmax(1) - band).abs().max() <= 0.6


def test_twice_as_loud_is_a_constant_more():
    sound = torch.randn(4000)
    mel = log_mel(sound, 16000)
    torch.testing.assert_close(log_mel(2 * sound, 16000) - mel, torch.full((26, 40), math.log(4)))
    # Behind a second of silence everything is the same a hundred frames later.
    later = log_mel(torch.cat([torch.zeros(16000), sound]), 16000)
    torch.testing.assert_close(later[102:-1], mel[2:-1], rtol=1e-3, atol=1e-3)
    assert later.isfinite().all()
    assert later[50].max() == later[50].min() == pytest.approx(-30 * math.log(2))


def test_sound_that_is_none_is_named():
    for sound in (torch.zeros(0), torch.rand(2, 100), torch.tensor([1.0, float("nan")])):
        with pytest.raises(ValueError, match="'sound' must hold finite samples"):
            log_mel(sound, 16000)
    with pytest.raises(ValueError, match="'bins', 'window' and 'step'"):
        log_mel(torch.rand(100), 16000, bins=0)


def test_without_pyav_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "clip.mpg"
    path.write_bytes(b"\0")
    with pytest.raises(ImportError, match=r"graphkit\[speech\]"):
        read_clip(path)


def write_clip(path, frames=12, sound=True, video=True, noise=False):
    """A clip of one colour per frame, or of noise, and a tone of 440 Hz."""
    av = pytest.importorskip("av", reason=WITHOUT)
    with av.open(str(path), "w", format="mpeg") as container:
        if video:
            stream = container.add_stream("mpeg1video", rate=25)
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        if sound:
            track = container.add_stream("mp2", rate=44100)
            track.layout = "stereo"
        for n in range(frames if video else 0):
            image = np.full((64, 96, 3), 20 * n, dtype=np.uint8)
            if noise:
                image = torch.randint(256, (64, 96, 3), dtype=torch.uint8).numpy()
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        if video:
            container.mux(stream.encode())
        if sound:
            time = np.arange(round(44100 * frames / 25)) / 44100
            tone = (8000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
            for start in range(0, len(tone), 1152):
                part = np.repeat(tone[start : start + 1152], 2)[None]
                frame = av.AudioFrame.from_ndarray(part, format="s16", layout="stereo")
                frame.sample_rate, frame.pts, frame.time_base = 44100, start, Fraction(1, 44100)
                container.mux(track.encode(frame))
            container.mux(track.encode())
    return path


def test_what_is_written_is_read(tmp_path):
    clip = read_clip(write_clip(tmp_path / "made.mpg"))
    assert clip.frames.shape == (12, 3, 64, 96)
    assert clip.fps == 25
    brightness = clip.frames.float().mean((1, 2, 3))
    assert (brightness - 20 * torch.arange(12)).abs().max() < 8
    assert clip.rate == 16000
    assert abs(len(clip.sound) / 16000 - 12 / 25) < 0.06
    # As loud as it was, an amplitude of 8000 of 32768, and as high.
    assert clip.sound.abs().max() == pytest.approx(8000 / 32768, rel=0.1)
    spectrum = torch.fft.rfft(clip.sound[:6400]).abs()
    assert float(spectrum.argmax()) * 16000 / 6400 == pytest.approx(440, abs=5)


def test_clips_without_sound_or_picture(tmp_path):
    silent = read_clip(write_clip(tmp_path / "silent.mpg", sound=False))
    assert len(silent.sound) == 0
    with pytest.raises(ValueError, match=r"'.*silent[.]mpg' must hold finite samples"):
        silent.mel()
    with pytest.raises(ValueError, match=r"'.*dark[.]mpg' holds no video"):
        read_clip(write_clip(tmp_path / "dark.mpg", video=False))


@pytest.mark.parametrize("content", [b"", b"no clip at all\n" * 50, bytes(range(256)) * 40])
def test_what_cannot_be_decoded_is_named(tmp_path, content):
    pytest.importorskip("av", reason=WITHOUT)
    path = tmp_path / "broken.mpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken[.]mpg"):
        read_clip(path)
    with pytest.raises(FileNotFoundError, match=r"there is no clip '.*gone[.]mpg'"):
        read_clip(tmp_path / "gone.mpg")


def test_a_clip_that_was_cut_off_is_named(tmp_path):
    """FFmpeg makes up the rest of the frame in which a file ends."""
    pytest.importorskip("av", reason=WITHOUT)
    whole = write_clip(tmp_path / "whole.mpg", sound=False, noise=True).read_bytes()
    path = tmp_path / "cut.mpg"
    path.write_bytes(whole[: 2 * len(whole) // 3])
    with pytest.raises(ValueError, match=r"cannot decode '.*cut[.]mpg': frame \d+ is damaged"):
        read_clip(path)


MOUTHS = {
    "bbaf2n": (216, 157),
    "brbk7n": (224, 170),
    "lbax4n": (201, 193),
    "lbbc2a": (231, 190),
    "lrwp9a": (216, 188),
    "lwbsza": (219, 167),
    "pwij3p": (208, 180),
    "sbia1a": (211, 177),
    "sbwe5n": (203, 185),
    "swiz3n": (211, 170),
    "id2_vcd_swwp2s": (213, 177),
}
"""Where the mouths are in the clips of GRID, by eye."""


def corner(frames, crop):
    """Where in the first frame a crop was cut out."""
    first = frames[0].float()
    grey = (0.299 * first[0] + 0.587 * first[1] + 0.114 * first[2]) / 255
    places = grey.unfold(0, 50, 1).unfold(1, 100, 1)
    apart = (places[:, :, 0, ::9] - crop[0, ::9]).abs().amax(2)
    return divmod(int(apart.argmin()), apart.size(1))


@pytest.mark.data
def test_real_clips_from_file_to_graph(data_root):
    """Mechanics from end to end: eleven sentences are far too few to learn to read lips."""
    pytest.importorskip("av", reason=WITHOUT)
    video, sound, texts = [], [], []
    for one in grid(data_root):
        clip = one.read()
        crops = clip.mouth()
        row, col = corner(clip.frames, crops[0])
        real = MOUTHS[one.path.stem]
        assert abs(row + 25 - real[0]) <= 12
        assert abs(col + 50 - real[1]) <= 12
        assert crops.shape == (75, 50, 100)
        video.append(nn.functional.avg_pool2d(crops.unsqueeze(1), 5)[:, 0])
        sound.append(clip.mel(20))
        texts.append([ord(c) - 96 if c != " " else 0 for c in one.text])
    target = pad_symbols(texts)
    seen, heard = Padded.of(video), Padded.of([(one + 8) / 4 for one in sound])
    assert seen.lengths.unique().tolist() == [75]
    assert heard.lengths.min() > 250
    student, teacher = (AttentionSeq2Seq(SequenceEncoder(width, 12), 27, 12) for width in (200, 20))
    for model, source in ((teacher, heard), (student, seen)):
        libs = LIBS(student, teacher, max_length=40) if model is student else None
        optimizer = torch.optim.Adam((libs or model).parameters(), lr=0.01)
        taught = libs.teach(heard, target) if libs else None
        losses = []
        for _ in range(6):
            optimizer.zero_grad()
            loss = libs.loss(source, target, taught) if libs else model.loss(source, target)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < losses[0]
    graph = AlignmentGraphAdapter(libs, threshold=0.0)(video[0], heard.x[0], target[0, :21])
    graph.validate()
    assert graph["audio"].num_nodes == heard.x.size(1)
    assert graph["audio", "aligns", "video"].edge_index.size(1) == heard.x.size(1) * 75
