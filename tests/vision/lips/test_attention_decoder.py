from itertools import product

import pytest
import torch

from graphkit.vision import (
    AttentionDecoder,
    Decoded,
    Encoded,
    Hypotheses,
    log_likelihood,
    pad_symbols,
)
from graphkit.vision.lips.attention_decoder import with_end


def source(channels, lengths=(4, 0, 6), width=7):
    states = torch.randn(len(lengths), width, channels)
    return Encoded(states, torch.randn(len(lengths), channels), torch.tensor(lengths))


def by_hand(decoder, sources, row, sample):
    """Logits of one sample, step by step, symbol by symbol, source by source."""
    state = torch.tanh(decoder.start(torch.cat([s.vector[sample] for s in sources]))).view(1, 1, -1)
    logits = []
    for symbol in [decoder.vocab_size, *row]:
        out, state = decoder.gru(decoder.embedding(torch.tensor([[symbol]])), state)
        parts = [out[0, 0]]
        for query, s in zip(decoder.queries, sources, strict=True):
            states = s.states[sample, : s.lengths[sample]]
            score = torch.stack([query(out[0, 0]) @ h for h in states]) if len(states) else None
            empty = torch.zeros(s.states.size(2))
            parts.append(empty if score is None else score.softmax(0) @ states)
        logits.append(decoder.mlp(torch.cat(parts)))
    return torch.stack(logits)


def test_steps_at_once_are_steps_one_by_one():
    decoder, sources = AttentionDecoder(4, [3, 5], 6), [source(3), source(5, (2, 7, 1))]
    rows = [[1, 3, 0], [], [2]]
    out = decoder(sources, pad_symbols(rows))
    for sample, row in enumerate(rows):
        expected = by_hand(decoder, sources, row, sample)
        torch.testing.assert_close(out.logits[sample, : len(row) + 1], expected)
        symbols = [*row, 4]
        chance = expected.log_softmax(1)[range(len(symbols)), symbols].sum()
        torch.testing.assert_close(log_likelihood(out.logits, pad_symbols(rows))[sample], chance)


def test_attention_is_a_distribution_over_what_is_there():
    decoder, sources = AttentionDecoder(4, [3, 5], 6), [source(3), source(5, (2, 7, 1))]
    out = decoder(sources, pad_symbols([[1, 3], [0], []]))
    for weight, context, s in zip(out.attention, out.contexts, sources, strict=True):
        filled = (s.lengths > 0).float().view(-1, 1).expand(3, 3)
        torch.testing.assert_close(weight.sum(2), filled)
        assert not weight.masked_select(~s.mask.unsqueeze(1)).any()
        torch.testing.assert_close(context, weight @ s.states)


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_a_wide_beam_finds_what_enumeration_finds(power):
    torch.manual_seed(3)
    decoder, longest = AttentionDecoder(2, [3], 4).double(), 3
    first = source(3, (4, 2, 6))
    sources = [Encoded(first.states.double(), first.vector.double(), first.lengths)]
    rows = [list(row) for n in range(longest + 1) for row in product(range(2), repeat=n)]
    found = decoder.search(sources, beam=len(rows) + 3, max_length=longest, length_power=power)
    for sample in range(3):
        one = [
            Encoded(
                *(
                    part[sample : sample + 1].expand(len(rows), *[-1] * (part.dim() - 1))
                    for part in sources[0]
                )
            )
        ]
        logits = decoder(one, pad_symbols(rows)).logits.log_softmax(2)
        chance = log_likelihood(logits, pad_symbols(rows))
        # What has no room for an end needs none.
        full = torch.tensor([len(row) == longest for row in rows])
        chance = torch.where(full, chance - logits[:, longest, 2], chance)
        torch.testing.assert_close(chance.exp().sum(), torch.tensor(1.0).double())
        scores = chance / torch.tensor([len(row) + 1 for row in rows]) ** power
        order = scores.argsort(descending=True)
        torch.testing.assert_close(found.scores[sample, : len(rows)], scores[order])
        assert found.scores[sample, len(rows) :].isneginf().all()
        read = [[s for s in row if s >= 0] for row in found.symbols[sample].tolist()]
        assert read[: len(rows)] == [rows[i] for i in order]


def test_a_beam_of_one_takes_the_best_symbol_at_each_step():
    decoder, sources = AttentionDecoder(5, [3], 6), [source(3)]
    found = decoder.search(sources, max_length=6).best()
    for sample, row in enumerate(found):
        best = decoder(sources, pad_symbols([row] * 3)).logits[sample].argmax(1)
        ended = [*row, 5] if len(row) < 6 else row
        assert best[: len(ended)].tolist() == ended


def test_padding_of_sources_changes_nothing():
    decoder, first = AttentionDecoder(5, [3], 6), source(3)
    more = torch.cat([first.states, torch.zeros(3, 4, 3)], 1)
    wider = Encoded(more, first.vector, first.lengths)
    target = pad_symbols([[1], [2, 0], []])
    torch.testing.assert_close(
        decoder([first], target).logits, decoder([wider], target).logits, rtol=0, atol=1e-6
    )
    found = [decoder.search([one], 3, 5) for one in (first, wider)]
    assert torch.equal(found[0].symbols, found[1].symbols)


def test_rows_of_no_symbol_are_read_as_such():
    symbols = torch.tensor([[[2, 1], [0, -1]], [[-1, -1], [3, 1]]])
    assert Hypotheses(symbols, torch.zeros(2, 2)).best() == [[2, 1], []]


def test_no_symbol_has_one_step_the_end():
    out = AttentionDecoder(4, [3], 6)([source(3)], torch.zeros(3, 0, dtype=torch.long))
    assert isinstance(out, Decoded)
    assert out.logits.shape == (3, 1, 5)
    none = log_likelihood(out.logits, torch.zeros(3, 0, dtype=torch.long))
    torch.testing.assert_close(none, out.logits.log_softmax(2)[:, 0, 4])


def test_the_end_stands_behind_each_row():
    ends = with_end(pad_symbols([[1, 2], [], [0]]), 3)
    assert ends.tolist() == [[1, 2, 3], [3, -1, -1], [0, 3, -1]]
    assert with_end(pad_symbols([[]]), 3).tolist() == [[3]]


def test_no_sample_and_one_symbol():
    decoder = AttentionDecoder(1, [3], 6)
    nothing = Encoded(torch.rand(0, 4, 3), torch.rand(0, 3), torch.zeros(0, dtype=torch.long))
    assert decoder([nothing], torch.zeros(0, 2).long()).logits.shape == (0, 3, 2)
    assert decoder.search([nothing]).best() == []
    assert len(decoder.search([source(3)], beam=4, max_length=1).best()) == 3


def test_what_does_not_fit_is_named():
    decoder, sources = AttentionDecoder(4, [3], 6), [source(3)]
    for target in (torch.zeros(3), torch.zeros(2, 1).long(), torch.zeros(3, 2)):
        with pytest.raises(ValueError, match=r"'target' must be \[3, N\] integers"):
            decoder(sources, target)
    for wrong in (4, -2):
        with pytest.raises(IndexError, match="'target' must lie in 0 … 3"):
            decoder(sources, torch.full((3, 2), wrong))
    with pytest.raises(ValueError, match="behind the end"):
        decoder(sources, torch.tensor([[-1, 2]] * 3))
    with pytest.raises(ValueError, match="'sources'"):
        decoder([source(4)], pad_symbols([[]] * 3))
    with pytest.raises(ValueError, match="'sources'"):
        AttentionDecoder(4, [3, 3])([source(3), source(3, (1, 2))], pad_symbols([[]] * 3))
    with pytest.raises(ValueError, match="'beam' and 'max_length'"):
        decoder.search(sources, beam=0)
    with pytest.raises(ValueError, match="'vocab_size'"):
        AttentionDecoder(4, [])
