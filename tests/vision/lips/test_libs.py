import copy
import sys

import pytest
import torch

from graphkit.metrics import lcs_pairs
from graphkit.testing.asserts import assert_no_trace
from graphkit.vision import (
    LIBS,
    AttentionSeq2Seq,
    Hearing,
    Padded,
    SequenceEncoder,
    Taught,
    pad_symbols,
)

ROWS = [[1, 0, 2], [], [2]]


def reader(width, channels=4, **options):
    return AttentionSeq2Seq(SequenceEncoder(width, channels, **options), 3, 5)


def make(**options):
    return LIBS(reader(2), reader(3, 6), max_length=5, **options)


def example():
    video = Padded.of([torch.randn(n, 2) for n in (4, 2, 3)])
    sound = Padded.of([torch.randn(n, 3) for n in (7, 1, 5)])
    return video, sound, pad_symbols(ROWS)


def by_hand(libs, video, sound, target, n):
    """The three parts for one sentence, frame by frame and step by step."""
    length, heard = int(video.lengths[n]), int(sound.lengths[n])
    row = [s for s in target[n].tolist() if s >= 0]
    eye = Padded(video.x[n : n + 1, :length], video.lengths[n : n + 1])
    ear = Padded(sound.x[n : n + 1, :heard], sound.lengths[n : n + 1])
    libs.teacher.eval()
    own = libs.teacher.read(ear, max_length=5).best()[0]
    theirs = libs.teacher(ear, pad_symbols([own]))
    ours = libs.student(eye, pad_symbols([row]))
    sequence = (theirs.sources[0].vector - libs.maps["sequence"](ours.sources[0].vector))[0]
    contexts = []
    for i, k in lcs_pairs(own, row):
        gap = theirs.contexts[0][0, i] - libs.maps["context"](ours.contexts[0][0, k])
        contexts.append(gap.square().mean())
    h, v = theirs.sources[0].states[0], ours.sources[0].states[0]
    frames = []
    for one in h:
        beta = torch.stack([one @ (libs.match.weight @ other) for other in v]).softmax(0)
        mixed = sum(b * other for b, other in zip(beta, v, strict=True))
        frames.append((one - libs.maps["frame"](mixed)).square().mean())
    zero = torch.zeros(())
    return {
        "sequence": sequence.square().mean(),
        "context": torch.stack(contexts).mean() if contexts else zero,
        "frame": torch.stack(frames).mean(),
    }


@pytest.mark.parametrize("seed", range(4))
def test_parts_are_those_of_the_formula(seed):
    torch.manual_seed(seed)
    libs, (video, sound, _) = make(), example()
    read = libs.teacher.read(sound, max_length=5).best()
    target = pad_symbols([[2, *read[0]], [], [*read[2], 0]])
    taught = libs.teach(sound, target)
    parts = libs.terms(libs(video, target), taught)
    alone = [by_hand(libs, video, sound, target, n) for n in range(3)]
    assert taught.matched.sum() >= len(read[0]) + len(read[2])
    for term, part in parts.items():
        torch.testing.assert_close(part, torch.stack([one[term] for one in alone]).mean())


def test_contexts_stand_at_the_steps_of_the_student():
    libs, (_, sound, _) = make(), example()
    read = libs.teacher.read(sound, max_length=5).best()
    truth = [[(row[0] + 1) % 3, *row] if row else [0] for row in read]
    # One wrong symbol in front moves every right one by a step.
    taught = libs.teach(sound, pad_symbols(truth))
    heard = libs.hear(sound, pad_symbols(truth))
    assert isinstance(heard, Hearing)
    assert heard.symbols.tolist() == pad_symbols(read).tolist()
    for n, pairs in enumerate(heard.pairs):
        assert len(pairs) == len(read[n])
        for i, k in pairs:
            assert truth[n][k] == read[n][i]
            assert torch.equal(taught.contexts[n, k], heard.out.contexts[0][n, i])
        others = [k for k in range(len(taught.matched[n])) if k not in dict(map(reversed, pairs))]
        assert not taught.matched[n, others].any()


@pytest.mark.parametrize("direction", ["audio", "video"])
def test_padding_and_neighbours_change_nothing(direction):
    libs, (video, sound, target) = make(direction=direction), example()
    taught = libs.teach(sound, target)
    whole = libs.terms(libs(video, target), taught)
    pad = torch.nn.functional.pad
    wide = Padded(pad(video.x, (0, 0, 0, 3), value=7.0), video.lengths)
    longer = Padded(pad(sound.x, (0, 0, 0, 5), value=7.0), sound.lengths)
    further = pad(target, (0, 2), value=-1)
    again = libs.terms(libs(wide, further), libs.teach(longer, further))
    single = [
        libs.terms(
            libs(Padded(video.x[n : n + 1], video.lengths[n : n + 1]), target[n : n + 1]),
            taught.rows(torch.tensor([n])),
        )
        for n in range(3)
    ]
    for term, value in whole.items():
        torch.testing.assert_close(again[term], value)
        torch.testing.assert_close(torch.stack([one[term] for one in single]).mean(), value)


@pytest.mark.parametrize("direction", ["audio", "video"])
def test_alignments_are_distributions_over_real_frames(direction):
    libs, (video, sound, target) = make(direction=direction), example()
    taught, (source,) = libs.teach(sound, target), libs.student.encode(video)
    beta = libs.align(source, taught)
    over = source.mask if direction == "audio" else Padded(taught.states, taught.lengths).mask
    torch.testing.assert_close(beta.sum(2), torch.ones(beta.shape[:2]))
    assert not beta.masked_select(~over.unsqueeze(1)).any()


def test_who_hears_with_the_same_ears_has_nothing_to_learn():
    """Twins with identities for maps: no gap, and hard alignment has none either."""
    twin = reader(3, 6)
    libs = LIBS(copy.deepcopy(twin), twin, max_length=5)
    for layer in libs.maps.values():
        torch.nn.init.eye_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    torch.nn.init.eye_(libs.match.weight)
    with torch.no_grad():
        libs.match.weight.mul_(1e6)
    sound = Padded.of([torch.randn(1, 3) for _ in range(4)])
    own = pad_symbols(twin.read(sound, max_length=5).best())
    taught = libs.teach(sound, own)
    assert torch.equal(taught.matched, own >= 0)
    for value in libs.terms(libs(sound, own), taught).values():
        torch.testing.assert_close(value, torch.zeros(()))


def test_without_weights_it_is_plain_cross_entropy():
    libs, (video, sound, target) = make(weights=(0, 0, 0)), example()
    loss = libs.loss(video, target, libs.teach(sound, target))
    assert torch.equal(loss, libs.student.loss(video, target))


def test_gradients_reach_the_student_alone():
    libs, (video, sound, target) = make(), example()
    read = libs.teacher.read(sound, max_length=5).best()
    target = pad_symbols([row or [0] for row in read])
    taught = libs.teach(sound, target)
    assert not any(part.requires_grad for part in taught)
    libs.loss(video, target, taught).backward()
    assert all(p.grad is not None and p.grad.any() for p in libs.parameters())
    assert all(p.grad is None for p in libs.teacher.parameters())
    assert not any("teacher" in name for name in libs.state_dict())


def test_the_teacher_stays_as_it_is():
    libs, (_, sound, target) = make(), example()
    libs.teacher.encoders[0].dropout.p = 0.5
    with assert_no_trace(libs.teacher):
        first = libs.teach(sound, target)
    assert libs.teacher.training
    assert torch.equal(first.states, libs.teach(sound, target).states)


def test_nothing_matched_and_nothing_seen():
    libs, (_, sound, _) = make(), example()
    none = pad_symbols([[], [], []])
    video = Padded(torch.rand(3, 4, 2), torch.tensor([0, 2, 0]))
    taught = libs.teach(sound, none)
    assert taught.contexts.shape == (3, 0, 6)
    loss = libs.loss(video, none, taught)
    loss.backward()
    parts = libs.terms(libs(video, none), taught)
    assert parts["context"] == 0
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in libs.parameters())
    silent = Padded(sound.x, torch.zeros(3, dtype=torch.long))
    assert libs.terms(libs(video, none), libs.teach(silent, none))["frame"] == 0


def test_lessons_are_cut_into_batches():
    parts = torch.rand(4, 3), torch.rand(4, 5, 3), torch.arange(4), torch.rand(4, 2, 3)
    taught = Taught(*parts, torch.rand(4, 2) > 0.5).rows(torch.tensor([2, 0]))
    for part, cut in zip(parts, taught, strict=False):
        assert torch.equal(cut, part[[2, 0]])


def test_what_does_not_fit_is_named(monkeypatch):
    libs, (video, sound, target) = make(), example()
    taught = libs.teach(sound, target)
    for wrong in (
        taught.rows(torch.tensor([0, 1])),
        taught._replace(matched=taught.matched[:, :2]),
    ):
        with pytest.raises(ValueError, match="'taught' has"):
            libs.loss(video, target, wrong)
    with pytest.raises(ValueError, match="'weights'"):
        make(weights=(1, -1, 0))
    with pytest.raises(ValueError, match="'direction'"):
        make(direction="both")
    with pytest.raises(ValueError, match="'teacher' must have one source"):
        LIBS(reader(2), AttentionSeq2Seq([SequenceEncoder(3, 4)] * 2, 3))
    with pytest.raises(ValueError, match="'student' knows 3 symbols"):
        LIBS(reader(2), AttentionSeq2Seq(SequenceEncoder(3, 4), 4))
    with pytest.raises(IndexError, match="'target'"):
        libs.teach(sound, pad_symbols([[3], [], []]))
    monkeypatch.setitem(sys.modules, "rapidfuzz", None)
    with pytest.raises(ImportError, match=r"graphkit\[speech\]"):
        libs.teach(sound, target)
