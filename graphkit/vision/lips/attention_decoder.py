"""Symbols, one after the other, by attention over one or several sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from graphkit.catalog import no_method
from graphkit.vision.lips.sequence_encoder import PAD, Encoded

__all__ = ["AttentionDecoder", "Decoded", "Hypotheses", "log_likelihood", "with_end"]


@no_method("what an AttentionDecoder says about given symbols")
class Decoded(NamedTuple):
    """What a decoder says at each step, when the symbols before it are given.

    Step :math:`n` foresees symbol :math:`n`; one more step foresees the end, whose number is
    :math:`V`. Steps behind that hold nothing of meaning.

    Args:
        logits (torch.Tensor): :math:`(B, N + 1, V + 1)`.
        hidden (torch.Tensor): The decoder's states :math:`(B, N + 1, C)`.
        contexts (tuple of torch.Tensor): What was attended to, by source
            :math:`(B, N + 1, C_s)`.
        attention (tuple of torch.Tensor): How much, by source :math:`(B, N + 1, T_s)`; rows sum
            to 1, or to 0 where the source is empty.
        sources (tuple of Encoded): The sources.

    Example:
        >>> import torch
        >>> source = Encoded(torch.rand(2, 7, 8), torch.rand(2, 8), torch.tensor([7, 4]))
        >>> out = AttentionDecoder(5, [8])([source], torch.tensor([[0, 3], [4, -1]]))
        >>> out.logits.shape, out.attention[0].shape
        (torch.Size([2, 3, 6]), torch.Size([2, 3, 7]))
    """

    logits: Tensor
    hidden: Tensor
    contexts: tuple[Tensor, ...]
    attention: tuple[Tensor, ...]
    sources: tuple[Encoded, ...]


@no_method("what a search through an AttentionDecoder finds")
class Hypotheses(NamedTuple):
    """The likeliest sequences, best first.

    Args:
        symbols (torch.Tensor): :math:`(B, K, N)`, -1 behind the end.
        scores (torch.Tensor): Logarithms of their probabilities :math:`(B, K)`, over a power of
            their length where that was asked for; ``-inf`` where there is no further sequence.

    Example:
        >>> import torch
        >>> found = Hypotheses(torch.tensor([[[2, 1], [2, -1]]]), torch.tensor([[-0.1, -3.0]]))
        >>> found.best()
        [[2, 1]]
    """

    symbols: Tensor
    scores: Tensor

    def best(self) -> list[list[int]]:
        """The best sequence of each sample."""
        return [[s for s in row if s != PAD] for row in self.symbols[:, 0].tolist()]


@no_method("the decoder of AttentionSeq2Seq and CascadeSeq2Seq")
class AttentionDecoder(nn.Module):
    r"""A gated recurrent network that attends over each of its sources.

    .. math::
        d_n = \mathrm{GRU}(e(y_{n-1}), d_{n-1}), \quad
        \alpha^s_n = \mathrm{softmax}(d_n^\top W_s H_s), \quad
        c^s_n = \alpha^s_n H_s^\top, \quad
        P(y_n) = \mathrm{softmax}(\mathrm{MLP}[d_n; c^1_n; \ldots])

    where :math:`d_0` is made of the ends of all sources. States do not depend on contexts, so a
    given sequence is decoded at once, without a loop over its steps.

    Args:
        vocab_size (int): :math:`V`, symbols without the end.
        source_channels (sequence of int): Widths of the sources' states.
        hidden_channels (int, optional): Width of :math:`d_n`. (default: :obj:`64`)
        embedding_channels (int, optional): Width of :math:`e(y)`. (default: ``hidden_channels``)
        dropout (float, optional): Inside the MLP. (default: :obj:`0.0`)

    Shapes:
        - **input:** sources, symbols :math:`(B, N)`, -1 behind their end
        - **output:** :class:`Decoded`

    Raises:
        ValueError: If there is no source, or sources or symbols do not fit.
        IndexError: If a symbol is not below :math:`V`.

    Example:
        >>> import torch
        >>> source = Encoded(torch.rand(2, 7, 8), torch.rand(2, 8), torch.tensor([7, 4]))
        >>> decoder = AttentionDecoder(5, [8])
        >>> decoder.search([source], beam=3, max_length=4).symbols.shape[:2]
        torch.Size([2, 3])
    """

    def __init__(
        self,
        vocab_size: int,
        source_channels: Sequence[int],
        hidden_channels: int = 64,
        embedding_channels: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if vocab_size < 1 or not len(source_channels):
            raise ValueError(
                f"'vocab_size' and the number of 'source_channels' must be at least 1, got "
                f"{vocab_size} and {list(source_channels)}"
            )
        self.vocab_size, self.source_channels = vocab_size, tuple(source_channels)
        width, total = embedding_channels or hidden_channels, sum(source_channels)
        # The end never goes in, so its number stands for the beginning there.
        self.embedding = nn.Embedding(vocab_size + 1, width)
        self.start = nn.Linear(total, hidden_channels)
        self.gru = nn.GRU(width, hidden_channels, batch_first=True)
        self.queries = nn.ModuleList(
            nn.Linear(hidden_channels, channels, bias=False) for channels in source_channels
        )
        self.mlp = nn.Sequential(
            nn.Linear(hidden_channels + total, hidden_channels),
            nn.Tanh(),
            nn.Dropout(dropout),
            nn.Linear(hidden_channels, vocab_size + 1),
        )

    def forward(self, sources: Sequence[Encoded], target: Tensor) -> Decoded:
        """Everything about the steps of given symbols."""
        sources = self.check_sources(sources)
        self.check_target(target, len(sources[0].lengths))
        begin = target.new_full((len(target), 1), self.vocab_size)
        before = torch.cat([begin, target.clamp(min=0)], 1)
        hidden, _ = self.gru(self.embedding(before), self.begin(sources))
        weights, contexts = self.attend(hidden, sources)
        return Decoded(self.say(hidden, contexts), hidden, contexts, weights, sources)

    def check_sources(self, sources: Sequence[Encoded]) -> tuple[Encoded, ...]:
        """The sources, if they are as many and as wide as was said."""
        widths = tuple(source.states.size(2) for source in sources)
        counts = {len(source.lengths) for source in sources}
        if widths != self.source_channels or len(counts) != 1:
            raise ValueError(
                f"'sources' must have {list(self.source_channels)} channels and as many samples "
                f"each, got {list(widths)} channels and {sorted(counts)} samples"
            )
        return tuple(sources)

    def check_target(self, target: Tensor, count: int) -> None:
        """Raises unless symbols are numbers in range, and -1 stands at the ends of rows alone."""
        if target.dim() != 2 or len(target) != count or target.is_floating_point():
            raise ValueError(
                f"'target' must be [{count}, N] integers, got {target.dtype} {list(target.shape)}"
            )
        if not target.numel():
            return
        if int(target.min()) < PAD or int(target.max()) >= self.vocab_size:
            raise IndexError(
                f"'target' must lie in 0 … {self.vocab_size - 1}, or be -1 behind the end, got "
                f"{int(target.min())} … {int(target.max())}"
            )
        none = target == PAD
        if (none[:, :-1] & ~none[:, 1:]).any():
            raise ValueError("'target' has a symbol behind the end of a row, which -1 marks")

    def begin(self, sources: tuple[Encoded, ...]) -> Tensor:
        """The first state, with a dimension for layers in front."""
        vectors = torch.cat([source.vector for source in sources], 1)
        return torch.tanh(self.start(vectors)).unsqueeze(0)

    def attend(
        self, hidden: Tensor, sources: tuple[Encoded, ...]
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Weights and contexts of states ``[B, N, C]``, by source."""
        weights, contexts = [], []
        for query, source in zip(self.queries, sources, strict=True):
            weight = masked_softmax(query(hidden) @ source.states.mT, source.mask.unsqueeze(1))
            weights.append(weight)
            contexts.append(weight @ source.states)
        return tuple(weights), tuple(contexts)

    def say(self, hidden: Tensor, contexts: tuple[Tensor, ...]) -> Tensor:
        """Logits of the next symbol."""
        return self.mlp(torch.cat([hidden, *contexts], 2))

    @torch.no_grad()
    def search(
        self,
        sources: Sequence[Encoded],
        beam: int = 1,
        max_length: int = 50,
        length_power: float = 0.0,
    ) -> Hypotheses:
        r"""The likeliest sequences, by beam search.

        What has no end after ``max_length`` symbols ends there. All samples and beams take a step
        together: at most ``max_length`` steps, each over :math:`B K V` continuations.

        Args:
            sources (sequence of Encoded): The sources.
            beam (int, optional): :math:`K`, sequences that are followed; 1 takes the best
                symbol at each step. (default: :obj:`1`)
            max_length (int, optional): Most symbols. (default: :obj:`50`)
            length_power (float, optional): Scores are divided by :math:`(N + 1)` to this power
                in the end, so that longer ones stand a chance. (default: :obj:`0.0`)
        """
        if beam < 1 or max_length < 1:
            raise ValueError(f"'beam' and 'max_length' must be 1 or more, got {beam}, {max_length}")
        sources = self.check_sources(sources)
        count, end = len(sources[0].lengths), self.vocab_size
        state = self.begin(sources).repeat_interleave(beam, 1)
        last = torch.full((count * beam, 1), end, device=state.device)
        symbols = last.new_full((count, beam, max_length), PAD)
        ended = torch.zeros(count, beam, dtype=torch.bool, device=state.device)
        # At first all beams are the same: only one of them counts.
        scores = state.new_full((count, beam), -torch.inf)
        scores[:, 0] = 0
        stay = state.new_full((end + 1,), -torch.inf)
        stay[end] = 0
        for step in range(max_length):
            hidden, state = self.gru(self.embedding(last), state)
            # Beams take the place of steps: sources are not copied for each of them.
            beams = hidden.view(count, beam, hidden.size(2))
            chances = self.say(beams, self.attend(beams, sources)[1]).log_softmax(2)
            chances = torch.where(ended.unsqueeze(2), stay, chances)
            total = (scores.unsqueeze(2) + chances).flatten(1)
            scores, place = total.topk(beam, 1)
            parent, symbol = place // (end + 1), place % (end + 1)
            rows = parent.unsqueeze(2).expand_as(symbols)
            symbols = symbols.gather(1, rows)
            symbols[:, :, step] = torch.where(symbol == end, PAD, symbol)
            ended = ended.gather(1, parent) | (symbol == end)
            if bool((ended | scores.isinf()).all()):
                break
            first = torch.arange(count, device=parent.device).unsqueeze(1) * beam
            state = state[:, (first + parent).flatten()]
            last = symbol.view(-1, 1)
        lengths = (symbols != PAD).sum(2)
        scores, order = (scores / (lengths + 1) ** length_power).sort(1, descending=True)
        symbols = symbols.gather(1, order.unsqueeze(2).expand_as(symbols))
        return Hypotheses(symbols[:, :, : int(lengths.max()) if count else 0], scores)


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over what the mask leaves; all zeros where it leaves nothing."""
    least = torch.finfo(scores.dtype).min
    return scores.masked_fill(~mask, least).softmax(-1) * mask


def with_end(target: Tensor, end: int) -> Tensor:
    """Rows of symbols with the end's number behind each."""
    longer = torch.cat([target, target.new_full((len(target), 1), PAD)], 1)
    place = (target != PAD).sum(1, keepdim=True)
    return longer.scatter(1, place, end)


def log_likelihood(logits: Tensor, target: Tensor) -> Tensor:
    """Logarithm of the probability of each row of symbols, its end included :math:`(B)`."""
    symbols = with_end(target, logits.size(2) - 1)
    chances = logits.log_softmax(2).gather(2, symbols.clamp(min=0).unsqueeze(2)).squeeze(2)
    return torch.where(symbols == PAD, 0.0, chances).sum(1)
