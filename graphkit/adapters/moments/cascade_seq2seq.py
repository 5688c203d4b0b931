"""What a cascade could have read, as a lattice, and the words that it may read, as a lexicon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from graphkit.adapters.builders import bipartite_edges, chain_edges
from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.modes import evaluating
from graphkit.vision.lips.cascade_seq2seq import INPUT, CascadeSeq2Seq
from graphkit.vision.lips.sequence_encoder import Encoded, Padded
from graphkit.words import refuse_class

__all__ = ["LatticeGraphAdapter", "LexiconGraphAdapter"]

FRAME = "frame"
NEXT, SEES, CONDITIONS, SPELLS = "next", "attended_by", "conditions", "spells"


class LatticeGraphAdapter(GraphAdapter):
    r"""What a :class:`~graphkit.vision.CascadeSeq2Seq` reads, with the alternatives it had.

    Each stage reads by itself; at each place of what it reads its ``beam`` likeliest symbols are
    candidate nodes, ordered by place, then by probability. Any candidate may follow any of the
    place before it. Frames and earlier stages are linked to candidates by attention; with a
    lexicon, candidates of the same place are linked as well where some word has both symbols.
    Rescoring a lattice is node classification: which candidate is right.

    Time is that of reading; memory grows with :math:`N b (N b + T)` for each pair of stages.

    Args:
        model (CascadeSeq2Seq): The cascade.
        beam (int, optional): Candidates of a place, at most as many as there are symbols.
            (default: :obj:`4`)
        lexicon (torch.Tensor, optional): The symbol of every stage for each word.
        threshold (float, optional): Attention up to this is no edge. (default: :obj:`0.01`)

    Shapes:
        - **input:** frames :math:`(T, *)` of one sentence; its symbols by stage :math:`(N)`
          (optional); lexicon :math:`(W, S)`
        - **output:** ``frame.x`` :math:`(T, C)`: states of the encoder; of each stage ``x``
          :math:`(N b, 1 + E + C)`: logarithm of the probability, embedding of the symbol,
          decoder's state; ``symbol``, ``log_prob`` and ``time``, the place; ``y``: 1 where the
          true text has the symbol at this place, 0 where not, -1 where it is not given

    Raises:
        ValueError: If an option is out of range, the lexicon does not fit, or a text is missing.

    Example:
        >>> import torch
        >>> from graphkit.adapters import LatticeGraphAdapter
        >>> from graphkit.vision import CascadeSeq2Seq, SequenceEncoder, Stage
        >>> stages = [Stage("pinyin", 6), Stage("character", 20, ("input", "pinyin"))]
        >>> model = CascadeSeq2Seq(SequenceEncoder(8, 16), stages, 16, max_length=5)
        >>> graph = LatticeGraphAdapter(model, beam=3)(torch.rand(9, 8))
        >>> graph["pinyin", "conditions", "character"].edge_weight.dim()
        1
    """

    lexicon: Tensor | None

    def __init__(
        self,
        model: CascadeSeq2Seq,
        beam: int = 4,
        lexicon: Tensor | None = None,
        threshold: float = 0.01,
    ) -> None:
        super().__init__()
        refuse_class("model", model)
        if beam < 1 or not 0 <= threshold < 1:
            raise ValueError(
                f"'beam' must be at least 1 and 'threshold' in [0, 1), got {beam} and {threshold}"
            )
        sizes = [stage.vocab_size for stage in model.stages]
        if lexicon is not None:
            check_words(lexicon, sizes, "lexicon")
        self.model, self.beam, self.threshold = model, beam, threshold
        self.register_buffer("lexicon", lexicon, persistent=False)
        self.schema = self.describe()

    def describe(self) -> Schema:
        """Stages are the model's, and so are the types of nodes and edges."""
        names = [stage.name for stage in self.model.stages]
        edge = {f"{FRAME}.{NEXT}.{FRAME}": "the one after it"}
        edge |= {f"{name}.{NEXT}.{name}": "may come before" for name in names}
        # Attention is the only edge that is more or less there: it alone has a weight.
        weighted = {}
        for stage in self.model.stages:
            for source in stage.sources:
                kind = (FRAME, SEES) if source == INPUT else (source, CONDITIONS)
                weighted[".".join((*kind, stage.name))] = "is attended to; weight: attention"
        if self.lexicon is not None:
            edge |= {
                f"{name}.{SPELLS}.{names[-1]}": "some word has both symbols" for name in names[:-1]
            }
        edge |= weighted
        # Widths are named by type: embeddings and states may differ from stage to stage.
        facts = ("y", "symbol", "log_prob", "time")
        return Schema(
            node={
                FRAME: "a frame",
                **{name: f"a symbol of {name} that may stand at its place" for name in names},
            },
            edge=edge,
            attributes={
                f"{FRAME}.x": ("N", "C"),
                f"{FRAME}.time": ("N",),
                **{f"{name}.x": ("N", f"D_{name}") for name in names},
                **{f"{name}.{fact}": ("N",) for name in names for fact in facts},
                **{f"{kind}.edge_index": (2, "E") for kind in edge},
                **{f"{kind}.edge_weight": ("E",) for kind in weighted},
            },
            y="1 where the text that the caller gives has the symbol at this place, 0 where it has "
            "another or none, -1 where no text is given",
        )

    @torch.no_grad()
    def forward(self, frames: Tensor, targets: Mapping[str, Tensor] | None = None) -> HeteroData:
        """The lattice of one sentence."""
        model, data = self.model, HeteroData()
        if targets is not None:
            missing = [s.name for s in model.stages if s.name not in targets]
            if missing:
                raise ValueError(f"'targets' lack {missing}, stages of the model")
        length = torch.tensor([len(frames)], device=frames.device)
        with evaluating(model):
            encoded = {INPUT: model.encoder(Padded(frames.unsqueeze(0), length))}
            states = encoded[INPUT].states[0]
            time = torch.arange(len(states), device=states.device)
            data[FRAME].update({"x": states.float(), "time": time, "num_nodes": len(states)})
            data[FRAME, NEXT, FRAME].edge_index = chain_edges(torch.zeros_like(time))
            for name, _, sources in model.stages:
                given = [encoded[source] for source in sources]
                symbols = model.best(name, given).symbols[:, 0]
                attention = self.add_stage(data, name, given, symbols)
                self.add_attention(data, name, sources, attention)
                if targets is not None:
                    self.add_truth(data, name, targets[name])
                if name in model.encoders:
                    encoded[name] = model.encoders[name](Padded.symbols(symbols))
        if self.lexicon is not None:
            self.add_words(data, self.lexicon)
        return data

    def add_stage(
        self, data: HeteroData, name: str, sources: Sequence[Encoded], symbols: Tensor
    ) -> tuple[Tensor, ...]:
        """Candidates of a stage at each place of what it read; gives its attention."""
        decoder = self.model.decoder(name)
        out = decoder(sources, symbols)
        # Neither the step of the end nor the end itself is a candidate.
        chances = out.logits[0, :-1].log_softmax(1)[:, :-1]
        width = self.width(name)
        log_prob, symbol = (part.flatten() for part in chances.topk(width, 1))
        place = torch.arange(len(chances), device=chances.device).repeat_interleave(width)
        parts = [log_prob.unsqueeze(1), decoder.embedding(symbol), out.hidden[0, place]]
        data[name].update(
            {
                "x": torch.cat(parts, 1).float(),
                "y": torch.full_like(symbol, -1),
                "symbol": symbol,
                "log_prob": log_prob.float(),
                "time": place,
                "num_nodes": len(symbol),
            }
        )
        follows = place.unsqueeze(1) + 1 == place
        data[name, NEXT, name].edge_index = bipartite_edges(follows)[0]
        return tuple(weight[0, :-1] for weight in out.attention)

    def width(self, name: str) -> int:
        """How many candidates a stage has at each place."""
        return min(self.beam, self.model.decoder(name).vocab_size)

    def add_attention(
        self, data: HeteroData, name: str, sources: Sequence[str], attention: Sequence[Tensor]
    ) -> None:
        """Edges to candidates from what their place attends to, as far as it counts."""
        for source, weight in zip(sources, attention, strict=True):
            wide = weight.repeat_interleave(self.width(name), 0)
            kind = (FRAME, SEES, name)
            if source != INPUT:
                # Every alternative of a place stands where the symbol that was read stood.
                wide = wide.repeat_interleave(self.width(source), 1)
                kind = (source, CONDITIONS, name)
            edges, weights = bipartite_edges((wide * (wide > self.threshold)).t())
            data[kind].edge_index, data[kind].edge_weight = edges, weights.float()

    def add_truth(self, data: HeteroData, name: str, target: Tensor) -> None:
        """Which candidates are right."""
        store = data[name]
        # Behind the end of the text no candidate is.
        longer = torch.cat([target, target.new_full((int(store.num_nodes),), -1)])
        store.y = (longer[store.time] == store.symbol).long()

    def add_words(self, data: HeteroData, words: Tensor) -> None:
        """Edges between candidates of one place that some word has together."""
        stages = self.model.stages
        last = data[stages[-1].name]
        for column, stage in enumerate(stages[:-1]):
            shape = stage.vocab_size, stages[-1].vocab_size
            known = torch.zeros(shape, dtype=torch.bool, device=last.symbol.device)
            known[words[:, column], words[:, -1]] = True
            store = data[stage.name]
            linked = known[store.symbol][:, last.symbol] & (store.time.unsqueeze(1) == last.time)
            data[stage.name, SPELLS, stages[-1].name].edge_index = bipartite_edges(linked)[0]


class LexiconGraphAdapter(GraphAdapter):
    r"""Words as a graph: which symbols of the earlier stages spell which of the last.

    Homophones are the characters that share a neighbour among the syllables: a set two hops wide.
    Embeddings of its nodes can begin a decoder, and a missing link is a word to be guessed. Time
    and memory grow with words plus symbols.

    Args:
        names (sequence of str): The stages, such as ``("pinyin", "tone", "character")``.
        sizes (sequence of int): How many symbols each of them has.

    Shapes:
        - **input:** the symbol of every stage for each word :math:`(W, S)`
        - **output:** ``x`` of each stage :math:`(N, 1)`: the logarithm of one more than the
          number of its words

    Raises:
        ValueError: If there are fewer than two stages, names are not their own, or words do not
            fit.

    Example:
        >>> import torch
        >>> from graphkit.adapters import LexiconGraphAdapter
        >>> words = torch.tensor([[0, 0, 2], [0, 1, 0], [1, 0, 1]])
        >>> graph = LexiconGraphAdapter(("pinyin", "tone", "character"), (2, 2, 3))(words)
        >>> graph["pinyin", "spells", "character"].edge_index
        tensor([[0, 0, 1],
                [0, 2, 1]])
    """

    def __init__(self, names: Sequence[str], sizes: Sequence[int]) -> None:
        super().__init__()
        if len(names) < 2 or len(names) != len(sizes) or len(set(names)) != len(names):
            raise ValueError(
                f"'names' must be two or more of their own with as many 'sizes', got {list(names)} "
                f"and {list(sizes)}"
            )
        self.names, self.sizes = tuple(names), tuple(sizes)
        last = names[-1]
        edge = {f"{name}.{SPELLS}.{last}": "some word has both" for name in names[:-1]}
        edge |= {f"{last}.spelled_by.{name}": "some word has both" for name in names[:-1]}
        self.schema = Schema(
            node={name: f"a symbol of {name}" for name in names},
            edge=edge,
            attributes={
                **{f"{name}.x": (size, 1) for name, size in zip(names, sizes, strict=True)},
                **{f"{kind}.edge_index": (2, "E") for kind in edge},
            },
        )

    def forward(self, words: Tensor) -> HeteroData:
        """The graph of some words."""
        check_words(words, self.sizes, "words")
        data, last = HeteroData(), self.names[-1]
        for column, (name, size) in enumerate(zip(self.names, self.sizes, strict=True)):
            count = words[:, column].bincount(minlength=size)
            data[name].update({"x": count.unsqueeze(1).float().log1p(), "num_nodes": size})
        for column, name in enumerate(self.names[:-1]):
            pairs = words[:, [column, -1]].unique(dim=0).t().contiguous()
            data[name, SPELLS, last].edge_index = pairs
            back = words[:, [-1, column]].unique(dim=0).t().contiguous()
            data[last, "spelled_by", name].edge_index = back
        return data


def check_words(words: Tensor, sizes: Sequence[int], name: str) -> None:
    """Raises unless every word has a symbol of every stage."""
    fits = words.dim() == 2 and words.size(1) == len(sizes) and not words.is_floating_point()
    if not fits:
        raise ValueError(
            f"'{name}' must be [W, {len(sizes)}] integers, got {words.dtype} {list(words.shape)}"
        )
    limits = torch.tensor(sizes, device=words.device)
    if ((words < 0) | (words >= limits)).any():
        raise ValueError(f"'{name}' must hold symbols from 0 and below {list(sizes)}")
