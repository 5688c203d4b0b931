import pytest
import torch
from torch import nn

from graphkit.vision import Padded, SequenceEncoder, SymbolEmbedding, pad_symbols

LENGTHS = [4, 1, 0, 7]


def sequences(width=3, lengths=LENGTHS):
    return [torch.randn(length, width) for length in lengths]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_each_sequence_is_read_as_if_alone(bidirectional, num_layers):
    rows = sequences()
    encoder = SequenceEncoder(3, 5, num_layers=num_layers, bidirectional=bidirectional)
    out = encoder(Padded.of(rows))
    for row, states, vector in zip(rows, out.states, out.vector, strict=True):
        assert not states[len(row) :].any()
        if not len(row):
            assert not vector.any()
            continue
        alone, last = encoder.gru(row.unsqueeze(0))
        torch.testing.assert_close(states[: len(row)], alone[0])
        ends = last[-2:, 0].flatten() if bidirectional else last[-1, 0]
        torch.testing.assert_close(vector, ends)


def test_padding_is_never_looked_at():
    rows = sequences()
    encoder = SequenceEncoder(3, 5)
    short = Padded.of(rows)
    wide = torch.full((4, 12, 3), float("nan"))
    wide[:, :7][short.mask] = short.x[short.mask]
    out, wider = encoder(short), encoder(Padded(wide, short.lengths))
    assert torch.equal(out.vector, wider.vector)
    assert torch.equal(out.states, wider.states[:, :7])
    assert not wider.states[:, 7:].any()
    wider.states.sum().backward()
    assert all(p.grad.isfinite().all() for p in encoder.parameters())


def test_batch_statistics_are_those_of_real_frames():
    norm = nn.BatchNorm1d(3, momentum=1.0)
    encoder = SequenceEncoder(3, 5, norm)
    rows = [torch.randn(length, 3) + 2 for length in (9, 2)]
    encoder(Padded.of(rows))
    torch.testing.assert_close(norm.running_mean, torch.cat(rows).mean(0))


def test_nothing_but_empty_sequences():
    encoder = SequenceEncoder(3, 5)
    for x in (torch.rand(2, 0, 3), torch.rand(2, 4, 3), torch.rand(0, 4, 3)):
        out = encoder(Padded(x, torch.zeros(len(x), dtype=torch.long)))
        assert out.states.shape == (*x.shape[:2], 5)
        assert not out.states.any()
        assert not out.vector.any()


def test_symbols_and_distributions_over_them():
    encoder = SequenceEncoder.of_symbols(4, 3, 5)
    rows = pad_symbols([[3, 0], [], [1]])
    assert rows.tolist() == [[3, 0], [-1, -1], [1, -1]]
    out = encoder(Padded.symbols(rows))
    sure = nn.functional.one_hot(rows.clamp(min=0), 4).float()
    torch.testing.assert_close(encoder(Padded(sure, out.lengths)).states, out.states)
    assert out.lengths.tolist() == [2, 0, 1]
    assert pad_symbols([]).shape == (0, 0)
    assert pad_symbols([[]]).shape == (1, 0)


def test_what_does_not_fit_is_named():
    encoder, x = SequenceEncoder(3, 5), torch.rand(2, 4, 3)
    for lengths in (torch.tensor([4]), torch.tensor([4.0, 1.0])):
        with pytest.raises(ValueError, match=r"'lengths' must be \[B\] integers"):
            encoder(Padded(x, lengths))
    for lengths in (torch.tensor([5, 1]), torch.tensor([4, -1])):
        with pytest.raises(ValueError, match=r"'lengths' must lie in 0 … 4"):
            encoder(Padded(x, lengths))
    x[1, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="'x' holds NaN"):
        encoder(Padded(x, torch.tensor([4, 1])))
    with pytest.raises(ValueError, match=r"frames of \[5\]"):
        encoder(Padded(torch.rand(1, 2, 5), torch.tensor([2])))
    with pytest.raises(IndexError, match=r"'symbols' must lie in 0 … 3, got 1 … 4"):
        SymbolEmbedding(4, 2)(torch.tensor([1, 4]))
    with pytest.raises(ValueError, match="'rows' must hold symbols from 0"):
        pad_symbols([[-1]])
    with pytest.raises(ValueError, match="at least one sequence"):
        Padded.of([])
