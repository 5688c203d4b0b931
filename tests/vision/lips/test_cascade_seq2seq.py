from itertools import product

import pytest
import torch

from graphkit.testing.asserts import assert_no_trace
from graphkit.vision import (
    AttentionSeq2Seq,
    CascadeSeq2Seq,
    Padded,
    SequenceEncoder,
    Stage,
    pad_symbols,
)

MANDARIN = [
    Stage("pinyin", 4),
    Stage("tone", 3, ("input", "pinyin")),
    Stage("character", 6, ("input", "pinyin", "tone")),
]
TEXTS = {
    "pinyin": pad_symbols([[3, 1], [0], [], [2, 2, 0]]),
    "tone": pad_symbols([[0, 1], [2], [], [1, 0, 0]]),
    "character": pad_symbols([[5, 1], [0], [], [2, 4, 0]]),
}


def make(stages=MANDARIN, **options):
    torch.manual_seed(0)
    return CascadeSeq2Seq(SequenceEncoder(3, 5), stages, 7, max_length=4, **options)


def frames():
    return Padded.of([torch.randn(n, 3) for n in (6, 2, 1, 8)])


def test_joint_probabilities_of_all_texts_sum_to_one():
    """Every sequence of up to two symbols, in every stage; longer ones are all but impossible."""
    model = make([Stage("p", 2), Stage("t", 1, ("input", "p")), Stage("y", 2, ("p", "t"))])
    for decoder in model.decoders.values():
        with torch.no_grad():
            decoder.mlp[-1].bias[-1] += 6
    rows = [list(row) for n in range(3) for row in product(range(2), repeat=n)]
    ones = [[0] * n for n in range(3)]
    texts = list(product(rows, ones, rows))
    one = torch.randn(1, 4, 3).expand(len(texts), 4, 3)
    source = Padded(one, torch.full((len(texts),), 4))
    targets = {name: pad_symbols([t[i] for t in texts]) for i, name in enumerate("pty")}
    total = model.log_prob(source, targets).detach().double().exp().sum()
    assert 1 - 1e-4 < float(total) < 1 + 1e-6


def test_probability_is_the_product_of_stages():
    model, source = make(), frames()
    outs = model(source, TEXTS)
    total = torch.zeros(4)
    for name, size in (("pinyin", 4), ("tone", 3), ("character", 6)):
        chances = outs[name].logits.log_softmax(2)
        for n, row in enumerate(TEXTS[name].tolist()):
            symbols = [s for s in row if s >= 0] + [size]
            total[n] += chances[n, range(len(symbols)), symbols].sum()
    torch.testing.assert_close(model.log_prob(source, TEXTS), total)


def test_a_stage_sees_exactly_its_sources():
    model, source = make(), frames()
    before = model(source, TEXTS)
    changed = {**TEXTS, "tone": pad_symbols([[2, 1], [2], [], [1, 0, 0]])}
    after = model(source, changed)
    assert torch.equal(before["pinyin"].logits, after["pinyin"].logits)
    assert not torch.allclose(before["character"].logits[0], after["character"].logits[0])
    torch.testing.assert_close(before["character"].logits[1:], after["character"].logits[1:])
    assert [len(out.attention) for out in after.values()] == [1, 2, 3]
    for out in after.values():
        for weight, one in zip(out.attention, out.sources, strict=True):
            filled = (one.lengths > 0).float()[:, None].expand(weight.shape[:2])
            torch.testing.assert_close(weight.sum(2), filled)


def test_without_tones_it_is_the_shorter_chain():
    short = [MANDARIN[0], Stage("character", 6, ("input", "pinyin"))]
    long = [*short[:1], MANDARIN[1], short[1]]
    model, source = make(long), frames()
    other = make(short)
    # Tones that nobody reads have no encoder, so what is left has the same names.
    weights = {k: v for k, v in model.state_dict().items() if not k.startswith("decoders.tone")}
    other.load_state_dict(weights)
    outs, ours = model(source, TEXTS), other(source, TEXTS)
    assert torch.equal(outs["character"].logits, ours["character"].logits)
    assert torch.equal(
        model.read(source)["character"].scores, other.read(source)["character"].scores
    )


def test_one_stage_is_attention_seq2seq():
    model, source = make([Stage("text", 6)]), frames()
    plain = AttentionSeq2Seq(model.encoder, 6, 7)
    plain.decoder.load_state_dict(model.decoders["text"].state_dict())
    target = {"text": TEXTS["character"]}
    assert torch.equal(model.loss(source, target), plain.loss(source, target["text"]))
    for beam in (1, 3):
        found, other = model.read(source, beam)["text"], plain.read(source, beam, max_length=4)
        assert torch.equal(found.symbols, other.symbols)


def gradients(feed):
    """Whether the loss of the characters alone moves each part."""
    model, source = make(), frames()
    out = model(source, TEXTS, feed)["character"]
    out.logits.square().sum().backward()
    moved = {}
    for name, parameter in model.named_parameters():
        part = ".".join(name.split(".")[:2]) if "coders." in name else "encoder"
        moved[part] = moved.get(part, False) or bool(
            parameter.grad is not None and parameter.grad.any()
        )
    return moved


@pytest.mark.parametrize("feed", ["truth", "prediction", "straight_through"])
def test_gradients_pass_through_symbols_only_where_that_was_asked_for(feed):
    moved = gradients(feed)
    assert moved["encoder"]
    assert moved["decoders.character"]
    through = feed == "straight_through"
    assert moved["decoders.pinyin"] == through
    assert moved["decoders.tone"] == through
    model, source = make(), frames()
    model.loss(source, TEXTS, feed).backward()
    for decoder in model.decoders.values():
        assert all(p.grad.any() for p in decoder.mlp.parameters())


def test_straight_through_hands_on_what_is_likeliest():
    model, source = make(), frames()
    guess = model(source, TEXTS)["pinyin"].logits[:, :-1, :-1].argmax(2)
    handed = {**TEXTS, "pinyin": torch.where(TEXTS["pinyin"] < 0, -1, guess)}
    soft = model(source, TEXTS, "straight_through")
    hard = model.decoders["tone"](
        [model.encoder(source), model.encoders["pinyin"](Padded.symbols(handed["pinyin"]))],
        TEXTS["tone"],
    )
    torch.testing.assert_close(soft["tone"].logits, hard.logits)


def test_predictions_are_what_is_read():
    model, source = make(dropout=0.5), frames()
    read = model.read(source)
    model.eval()
    outs = model(source, TEXTS, "prediction")
    symbols = {name: found.symbols[:, 0] for name, found in read.items()}
    fed = model(source, {**symbols, "character": TEXTS["character"]})
    torch.testing.assert_close(outs["character"].logits, fed["character"].logits)


def test_a_batch_is_its_sentences_and_padding_changes_nothing():
    model, source = make(), frames()
    chance, read = model.log_prob(source, TEXTS), model.read(source, beam=2)
    wide = Padded(torch.nn.functional.pad(source.x, (0, 0, 0, 3), value=5.0), source.lengths)
    torch.testing.assert_close(model.log_prob(wide, TEXTS), chance)
    for n in range(4):
        alone = Padded(source.x[n : n + 1, : source.lengths[n]], source.lengths[n : n + 1])
        texts = {name: text[n : n + 1] for name, text in TEXTS.items()}
        torch.testing.assert_close(model.log_prob(alone, texts), chance[n : n + 1])
        for name, found in model.read(alone, beam=2).items():
            assert found.best()[0] == read[name].best()[n]


def test_reading_leaves_no_trace():
    model = make(dropout=0.5)
    with assert_no_trace(model):
        model.read(frames())
    assert all(module.training for module in model.modules())


def test_what_does_not_fit_is_named():
    model, source = make(), frames()
    with pytest.raises(ValueError, match="'targets' lack 'tone'"):
        model(source, {name: TEXTS[name] for name in ("pinyin", "character")})
    with pytest.raises(ValueError, match="'feed'"):
        model(source, TEXTS, "guess")
    for stages, message in (
        ([], "at least one stage"),
        ([Stage("input", 3)], "names of their own"),
        ([Stage("a", 3), Stage("a", 3)], "names of their own"),
        ([Stage("a.b", 3)], "names of their own"),
        ([Stage("a", 3, ("b",)), Stage("b", 3)], "name 'b', which is not before it"),
        ([Stage("a", 3, ())], "must be names"),
        ([Stage("a", 3, "input")], "must be names"),
    ):
        with pytest.raises(ValueError, match=message):
            CascadeSeq2Seq(SequenceEncoder(3, 5), stages)
