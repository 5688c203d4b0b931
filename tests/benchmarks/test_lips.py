"""The protocols of lip reading: what sentences are, who learns from what, and that they run."""

import pytest
import torch

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.sentences import glyphs, lexicon, spoken_digits, tonal_digits
from benchmarks.protocols import cascade_reading, lip_distillation
from graphkit.vision import CascadeSeq2Seq, SequenceEncoder, Stage, Taught

TRAIN = {"epochs": 1, "lr": 0.003, "monitor": None}


def test_parts_share_no_image():
    seen = {part: {x.numpy().tobytes() for x in glyphs(part)[0]} for part in ("train", "val")}
    assert not seen["train"] & seen["val"]
    assert len(seen["train"]) + len(seen["val"]) == 1078


def test_sound_and_video_show_the_digits_of_the_text():
    data = spoken_digits("train", 40, seed=0, noise=0.0)
    x, y = glyphs("train")
    lengths = (data.target >= 0).sum(1)
    assert lengths.min() == 3
    assert lengths.max() == 6
    assert torch.equal(data.sound.lengths, 3 * lengths)
    assert torch.equal(data.video.lengths, 2 * lengths)
    label = {image.flatten().numpy().tobytes(): int(c) for image, c in zip(x, y, strict=True)}
    for n in range(10):
        frames = data.sound.x[n, : data.sound.lengths[n]]
        read = [label[frame.numpy().tobytes()] for frame in frames]
        assert read[::3] == read[1::3] == read[2::3] == data.target[n, : lengths[n]].tolist()
        shown = frames.view(-1, 3, 8, 8)[:, :2]
        seen = torch.nn.functional.avg_pool2d(shown, 2).flatten(0, 1).flatten(1)
        torch.testing.assert_close(data.video.x[n, : len(seen)], seen)


def test_tones_are_movements_and_characters_words_of_the_lexicon():
    data = tonal_digits("train", 60, seed=0, noise=0.0)
    words = {(int(s), int(t)): int(c) for s, t, c in lexicon()}
    assert sorted(words.values()) == list(range(40))
    for syllable, tone, character in zip(data.digit, data.tone, data.character, strict=True):
        for s, t, c in zip(syllable.tolist(), tone.tolist(), character.tolist(), strict=True):
            assert (s < 0 and t < 0 and c < 0) or words[s, t] == c
    falls, rises, dips, stays = (data.tone == t for t in range(4))
    frames = data.video.x.view(60, -1, 3, 8, 8)
    top = (frames > -1).any(4).float().argmax(3)
    syllables = top[:, : data.tone.size(1)]
    assert (syllables[falls].diff(dim=1) == 1).all()
    assert (syllables[rises].diff(dim=1) == -1).all()
    assert (syllables[dips].diff(dim=1) == torch.tensor([2, -2])).all()
    assert not syllables[stays].diff(dim=1).any()


def test_mistaken_words_are_those_of_another_sentence():
    target = torch.tensor([[1, 2], [3, -1], [4, 5]])
    parts = torch.arange(3.0).view(3, 1), torch.rand(3, 4, 1), torch.arange(3), torch.rand(3, 2, 1)
    taught = Taught(*parts, torch.tensor([[True, True], [True, False], [False, True]]))
    other = lip_distillation.mistaken(taught, target)
    assert other.vector[:, 0].tolist() == [2, 0, 1]
    assert torch.equal(other.contexts[1], taught.contexts[0])
    # The second sentence has one step, so the second of its neighbour's is nobody's.
    assert other.matched.tolist() == [[False, True], [True, False], [True, False]]


def test_libs_runs():
    dataset = {"name": "digits", "train": 8, "heard": 8, "judged": 6}
    found = lip_distillation.run(dataset, seed=0, fit=Fitter(TRAIN, 0), channels=6)
    assert found["cer_gain"] == pytest.approx(found["cer_none"] - found["cer_all"])
    assert {"cer_teacher", "matched", "spread", "gain_shuffled", "gain_frame"} <= set(found)
    assert 0 <= found["spread"] <= 1


def test_cascade_runs():
    dataset = {"name": "tonal_digits", "train": 8, "rescore": 6, "judged": 6}
    found = cascade_reading.run(
        dataset, seed=0, fit=Fitter(TRAIN, 0), channels=6, beam=2, rescore_epochs=1
    )
    assert found["tone_gain"] == pytest.approx(found["cer_no_tone"] - found["cer_cascade"])
    assert {"cer_direct", "cer_heads", "oracle", "cer_first", "rescore_gain"} <= set(found)


def test_lattices_are_judged_by_their_candidates():
    stages = [Stage("syllable", 10), Stage("tone", 4), Stage("character", 40, ("syllable", "tone"))]
    model = CascadeSeq2Seq(SequenceEncoder(64, 6), stages, 6, max_length=4)
    data = tonal_digits("test", 3, seed=0)
    graphs = cascade_reading.lattices(model, data, beam=2)
    best = [cascade_reading.picked(g, g["character"].log_prob) for g in graphs]
    assert best == model.read(data.video)["character"].best()
    for graph, text in zip(graphs, data.character, strict=True):
        store = graph["character"]
        right = [int(text[t]) == int(s) for t, s in zip(store.time, store.symbol, strict=True)]
        assert store.y.bool().tolist() == right


@pytest.mark.parametrize("protocol", [lip_distillation, cascade_reading])
def test_other_data_are_refused(protocol):
    with pytest.raises(ValueError, match="'cora'"):
        protocol.load("cora")
