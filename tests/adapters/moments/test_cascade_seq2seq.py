import pytest
import torch

from graphkit.adapters import LatticeGraphAdapter, LexiconGraphAdapter
from graphkit.testing import AdapterSuite
from graphkit.vision import CascadeSeq2Seq, Padded, SequenceEncoder, Stage

STAGES = [
    Stage("pinyin", 5),
    Stage("tone", 2, ("input", "pinyin")),
    Stage("character", 7, ("pinyin", "tone")),
]
WORDS = torch.tensor([[0, 0, 3], [0, 1, 1], [4, 0, 2], [4, 0, 0], [2, 1, 6]])
NAMES = ("pinyin", "tone", "character")


def make(beam=3, lexicon=WORDS, end=-3.0, **options):
    """Around a cascade that hardly ever ends, or, with another bias of the end, at once."""
    torch.manual_seed(1)
    model = CascadeSeq2Seq(SequenceEncoder(3, 4), STAGES, 6, max_length=4)
    with torch.no_grad():
        for decoder in model.decoders.values():
            decoder.mlp[-1].bias[-1] = end
    return LatticeGraphAdapter(model, beam, lexicon, **options)


def texts():
    return {name: torch.tensor([1, 0, 1]) for name in NAMES}


class TestLatticeGraphAdapter(AdapterSuite):
    def make(self):
        return make()

    def example(self):
        return torch.rand(7, 3), texts()

    def degenerate(self):
        frames = torch.rand(7, 3)
        return {
            "no frame": (frames[:0], texts()),
            "one frame": (frames[:1], texts()),
            "no text": (frames,),
            "empty texts": (frames, {name: torch.zeros(0, dtype=torch.long) for name in NAMES}),
        }

    not_claimed = {"no_edge": "candidates are linked to the frames that they are read off"}

    def recovered(self, graph, frames, targets):
        """What is read, as the best candidates, and their probabilities."""
        model = self.build()[0].model
        read = model.read(Padded(frames[None], torch.tensor([7])))
        pairs = {}
        for name, width in zip(NAMES, (3, 2, 3), strict=True):
            best = graph[name].symbol.view(-1, width)[:, 0]
            pairs[name] = best, read[name].symbols[0, 0]
        return pairs | {"frames": (graph["frame"].x, model.encoder.gru(frames[None])[0][0])}


class TestLatticeWithoutLexicon(TestLatticeGraphAdapter):
    def make(self):
        return make(lexicon=None)


class TestLexiconGraphAdapter(AdapterSuite):
    not_claimed = {
        "single_node": "its nodes are all symbols, also those of no word",
        "no_node": "its nodes are all symbols, also those of no word",
    }

    def make(self):
        return LexiconGraphAdapter(NAMES, (5, 2, 7))

    def example(self):
        return (WORDS,)

    def degenerate(self):
        return {"no word": (WORDS[:0],), "one word": (WORDS[:1],), "one twice": (WORDS[[0, 0]],)}

    def recovered(self, graph, words):
        """The words' symbols, and how many words there are of each."""
        count = words[:, 0].bincount(minlength=5).float()
        edges = graph["tone", "spells", "character"].edge_index
        return {
            "counts": (graph["pinyin"].x[:, 0].expm1(), count),
            "tones": (edges, words[:, 1:].unique(dim=0).t()),
            "back": (
                graph["character", "spelled_by", "tone"].edge_index.flip(0).unique(dim=1),
                edges.unique(dim=1),
            ),
        }


def test_candidates_are_the_likeliest_symbols_of_each_place():
    adapter, frames = make(beam=3), torch.rand(7, 3)
    graph, model = adapter(frames), adapter.model.eval()
    source = Padded(frames[None], torch.tensor([7]))
    read = {name: found.symbols[:, 0] for name, found in model.read(source).items()}
    outs = model(source, read)
    for name, width in zip(NAMES, (3, 2, 3), strict=True):
        chances = outs[name].logits[0, :-1].log_softmax(1)[:, :-1]
        best = chances.topk(width, 1)
        store = graph[name]
        torch.testing.assert_close(store.log_prob.view(-1, width), best.values)
        assert torch.equal(store.symbol.view(-1, width), best.indices)
        count = len(chances)
        assert store.time.tolist() == [n for n in range(count) for _ in range(width)]
        expected = [
            [a, b]
            for a in range(count * width)
            for b in range(count * width)
            if b // width == a // width + 1
        ]
        assert graph[name, "next", name].edge_index.t().tolist() == expected
        torch.testing.assert_close(store.x[:, 0], store.log_prob)


def test_attention_links_every_alternative():
    adapter, frames = make(beam=2, threshold=0.0), torch.rand(7, 3)
    graph, model = adapter(frames), adapter.model.eval()
    source = Padded(frames[None], torch.tensor([7]))
    read = {name: found.symbols[:, 0] for name, found in model.read(source).items()}
    frame, syllable = model(source, read)["tone"].attention
    for kind, weight in (
        (("frame", "attended_by", "tone"), frame[0, :-1].repeat_interleave(2, 0)),
        (
            ("pinyin", "conditions", "tone"),
            syllable[0, :-1].repeat_interleave(2, 0).repeat_interleave(2, 1),
        ),
    ):
        dense = torch.zeros(weight.t().shape)
        dense[tuple(graph[kind].edge_index)] = graph[kind].edge_weight
        torch.testing.assert_close(dense, weight.t())
    assert ("frame", "attended_by", "character") not in graph.edge_types


def test_words_link_symbols_of_one_place():
    graph = make(beam=3)(torch.rand(7, 3))
    known = {tuple(word) for word in WORDS[:, [0, 2]].tolist()}
    store = graph["pinyin", "spells", "character"]
    first, last = graph["pinyin"], graph["character"]
    expected = [
        [a, b]
        for a in range(first.num_nodes)
        for b in range(last.num_nodes)
        if first.time[a] == last.time[b] and (int(first.symbol[a]), int(last.symbol[b])) in known
    ]
    assert store.edge_index.t().tolist() == expected


def test_truth_marks_candidates_place_by_place():
    adapter, frames = make(beam=3), torch.rand(7, 3)
    plain = adapter(frames)
    assert (plain["character"].y == -1).all()
    read = {name: plain[name].symbol[plain[name].time == 0][:1] for name in NAMES}
    graph = adapter(frames, read)
    for name in NAMES:
        first = graph[name].time == 0
        assert graph[name].y[first].tolist() == [1, *[0] * (int(first.sum()) - 1)]
        # The text has one symbol: nothing behind it is right.
        assert not graph[name].y[~first].any()


def test_nothing_read_is_a_lattice_without_candidates():
    graph = make(end=50.0)(torch.rand(7, 3), texts())
    graph.validate()
    assert [graph[name].num_nodes for name in NAMES] == [0, 0, 0]
    assert graph["pinyin"].x.shape == (0, 1 + 6 + 6)


def test_the_end_is_no_candidate():
    """As likely as any symbol, and still left out when all of them are candidates."""
    graph = make(beam=9, end=0.0)(torch.rand(7, 3))
    for name, size in zip(NAMES, (5, 2, 7), strict=True):
        symbols = graph[name].symbol.view(-1, size).sort(1).values
        assert torch.equal(symbols, torch.arange(size).expand_as(symbols))
    assert graph["pinyin"].num_nodes


def test_homophones_are_two_hops_apart():
    graph = LexiconGraphAdapter(NAMES, (5, 2, 7))(WORDS)
    edges = graph["pinyin", "spells", "character"].edge_index
    same = {int(s): edges[1, edges[0] == s].tolist() for s in edges[0].unique()}
    assert same == {0: [1, 3], 2: [6], 4: [0, 2]}


def test_wrong_arguments_are_named():
    for options in ({"beam": 0}, {"threshold": 1.0}):
        with pytest.raises(ValueError, match="'beam' must be at least 1 and 'threshold'"):
            make(**options)
    for wrong in (WORDS[:, :2], WORDS.float(), WORDS + 2, WORDS - 1):
        with pytest.raises(ValueError, match="'lexicon' must"):
            make(lexicon=wrong)
        with pytest.raises(ValueError, match="'words' must"):
            LexiconGraphAdapter(NAMES, (5, 2, 7))(wrong)
    with pytest.raises(ValueError, match=r"'targets' lack \['tone', 'character'\]"):
        make()(torch.rand(7, 3), {"pinyin": torch.tensor([1])})
    for names, sizes in ((("a",), (3,)), (("a", "a"), (3, 3)), (("a", "b"), (3,))):
        with pytest.raises(ValueError, match="'names'"):
            LexiconGraphAdapter(names, sizes)
