import pytest
import torch
from torch import nn

from graphkit.testing.asserts import assert_no_trace
from graphkit.vision import AttentionSeq2Seq, Padded, SequenceEncoder, pad_symbols

ROWS = [[2, 0, 1], [], [3]]


def make(**options):
    return AttentionSeq2Seq([SequenceEncoder(3, 5), SequenceEncoder(2, 4)], 4, 6, **options)


def example():
    return [
        Padded.of([torch.randn(n, 3) for n in (5, 1, 3)]),
        Padded.of([torch.randn(n, 2) for n in (2, 4, 0)]),
    ]


def test_a_batch_is_its_sentences():
    model, sources = make(), example()
    target = pad_symbols(ROWS)
    chance = model.log_prob(sources, target)
    read = model.read(sources, beam=3, max_length=4)
    for i, row in enumerate(ROWS):
        alone = [Padded(s.x[i : i + 1, : s.lengths[i]], s.lengths[i : i + 1]) for s in sources]
        torch.testing.assert_close(model.log_prob(alone, pad_symbols([row])), chance[i : i + 1])
        one = model.read(alone, beam=3, max_length=4)
        torch.testing.assert_close(one.scores[0], read.scores[i])
        assert one.best()[0] == read.best()[i]
    # Three sentences of 3, 0 and 1 symbols have an end each.
    torch.testing.assert_close(model.loss(sources, target), -chance.sum() / 7)


def test_more_padding_changes_nothing():
    model, sources = make(), example()
    wider = [Padded(nn.functional.pad(s.x, (0, 0, 0, 6), value=9.0), s.lengths) for s in sources]
    target = pad_symbols(ROWS)
    longer = nn.functional.pad(target, (0, 3), value=-1)
    torch.testing.assert_close(model.loss(sources, target), model.loss(wider, longer))


def test_gradients_are_those_of_finite_differences():
    model = AttentionSeq2Seq(SequenceEncoder(2, 3), 2, 3).double()
    lengths, target = torch.tensor([3, 2]), pad_symbols([[1, 0], []])

    def loss(x):
        return model.loss(Padded(x, lengths), target)

    assert torch.autograd.gradcheck(loss, torch.randn(2, 3, 2, dtype=torch.double).requires_grad_())


def test_it_learns_to_spell():
    """Frames of two kinds per symbol; what is read is what was shown, at unseen lengths too."""
    torch.manual_seed(0)
    model = AttentionSeq2Seq(SequenceEncoder(4, 24, bidirectional=True), 4, 24)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    eye = torch.eye(4)
    for _ in range(120):
        rows = [torch.randperm(4)[: 1 + i % 4].tolist() for i in range(32)]
        frames = Padded.of([eye[row].repeat_interleave(2, 0) for row in rows])
        optimizer.zero_grad()
        model.loss(frames, pad_symbols(rows)).backward()
        optimizer.step()
    rows = [[3, 1], [0], [2, 3, 0, 1]]
    frames = Padded.of([eye[row].repeat_interleave(2, 0) for row in rows])
    assert model.read(frames, max_length=6).best() == rows
    assert model.read(frames, beam=3, max_length=6).best() == rows


def test_reading_is_without_dropout_and_leaves_no_trace():
    model, sources = make(dropout=0.5), example()
    model.encoders[0].dropout.p = 0.5
    with assert_no_trace(model):
        first = model.read(sources, max_length=4)
    assert torch.equal(first.scores, model.read(sources, max_length=4).scores)
    assert model.training


def test_a_failed_reading_puts_modes_back():
    model = make()
    with pytest.raises(ValueError, match="'beam'"):
        model.read(example(), beam=0)
    assert all(module.training for module in model.modules())


def test_what_does_not_fit_is_named():
    model, sources = make(), example()
    with pytest.raises(ValueError, match="'sources' holds 1 for 2 encoders"):
        model(sources[0], pad_symbols(ROWS))
    with pytest.raises(TypeError, match="Padded"):
        model(sources[0].x, pad_symbols(ROWS))


def test_options_reach_the_decoder_and_the_search(monkeypatch):
    model = make(embedding_channels=7, dropout=0.25)
    assert model.vocab_size == 4
    seen = []
    monkeypatch.setattr(type(model.decoder), "search", lambda self, *words: seen.append(words[1:]))
    model.read(example())
    model.read(example(), 3, 7, 0.5)
    assert seen == [(1, 50, 0.0), (3, 7, 0.5)]


def test_the_loss_of_empty_rows_is_that_of_their_ends():
    model, sources = make(), example()
    target = pad_symbols([[], [], []])
    torch.testing.assert_close(model.loss(sources, target), -model.log_prob(sources, target).mean())
