"""Sequences from sequences: encoders, attention, a decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.modes import evaluating
from graphkit.vision.lips.attention_decoder import (
    AttentionDecoder,
    Decoded,
    Hypotheses,
    log_likelihood,
)
from graphkit.vision.lips.sequence_encoder import PAD, Encoded, Padded, SequenceEncoder

__all__ = ["AttentionSeq2Seq", "as_sources"]

Sources = Padded | Sequence[Padded]


@method(
    paper="arXiv:1611.05358",
    title="Lip Reading Sentences in the Wild",
    authors="Joon Son Chung, Andrew Senior, Oriol Vinyals, Andrew Zisserman",
    venue="CVPR 2017",
    year=2017,
    code=None,
    licence="none",
    takes="frames of one or several sources, of unequal lengths",
    gives="symbols",
    deviations=[
        "gated recurrent units in place of LSTMs, as LIBS and CSSMCM have them",
        "contexts do not feed the decoder's next state, so that training needs no loop over steps",
        "scheduled sampling and sentences of growing length are left to the caller's loop",
        "sources are read forwards; the paper reads video backwards",
    ],
    verified_by="tests/vision/lips/test_attention_seq2seq.py",
)
class AttentionSeq2Seq(nn.Module):
    r"""Reads symbols off frames, as "Watch, Listen, Attend and Spell" of the `"Lip Reading
    Sentences in the Wild" <https://arxiv.org/abs/1611.05358>`_ paper; the network that
    :class:`LIBS` teaches.

    .. math::
        P(y \mid x) = \prod_n P(y_n \mid y_{<n}, c^1_n, \ldots, c^S_n), \qquad
        c^s_n = \textstyle\sum_t \alpha^s_{nt} h^s_t

    with the states :math:`h^s` of a :class:`SequenceEncoder` for each source and the weights
    :math:`\alpha^s` of an :class:`AttentionDecoder`. Sources may differ in length, be empty, and
    be padded as much as you like. Training takes time that grows with frames plus symbols, and
    with their product for attention; reading adds a loop over symbols.

    Args:
        encoders (SequenceEncoder or sequence of SequenceEncoder): One for each source.
        vocab_size (int): Symbols; the end is added to them.
        hidden_channels (int, optional): Width of the decoder. (default: :obj:`64`)
        embedding_channels (int, optional): Width of a symbol. (default: ``hidden_channels``)
        dropout (float, optional): Of the decoder. (default: :obj:`0.0`)

    Shapes:
        - **input:** for each source frames :math:`(B, T_s, *)` and lengths :math:`(B)`; symbols
          :math:`(B, N)`, -1 behind the end
        - **output:** :class:`Decoded`, logits :math:`(B, N + 1, V + 1)`

    Raises:
        ValueError: If there are not as many sources as encoders, or shapes do not fit.
        IndexError: If a symbol is out of range.

    Example:
        >>> import torch
        >>> from graphkit.vision import AttentionSeq2Seq, Padded, SequenceEncoder, pad_symbols
        >>> model = AttentionSeq2Seq(SequenceEncoder(6, 16), vocab_size=4)
        >>> frames = Padded.of([torch.rand(5, 6), torch.rand(8, 6)])
        >>> model.loss(frames, pad_symbols([[0, 3, 3], []])).backward()
        >>> len(model.read(frames, beam=2, max_length=5).best())
        2
    """

    def __init__(
        self,
        encoders: SequenceEncoder | Sequence[SequenceEncoder],
        vocab_size: int,
        hidden_channels: int = 64,
        embedding_channels: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        each = [encoders] if isinstance(encoders, SequenceEncoder) else list(encoders)
        self.encoders = nn.ModuleList(each)
        widths = [encoder.out_channels for encoder in each]
        self.decoder = AttentionDecoder(
            vocab_size, widths, hidden_channels, embedding_channels, dropout
        )

    @property
    def vocab_size(self) -> int:
        """Symbols without the end."""
        return self.decoder.vocab_size

    def encode(self, sources: Sources) -> tuple[Encoded, ...]:
        """Every source as its encoder reads it."""
        given = as_sources(sources)
        if len(given) != len(self.encoders):
            raise ValueError(f"'sources' holds {len(given)} for {len(self.encoders)} encoders")
        return tuple(encoder(one) for encoder, one in zip(self.encoders, given, strict=True))

    def forward(self, sources: Sources, target: Tensor) -> Decoded:
        """What the decoder says at each step, when the symbols before it are given."""
        return self.decoder(self.encode(sources), target)

    def loss(self, sources: Sources, target: Tensor) -> Tensor:
        """Mean cross entropy of all symbols and ends."""
        return symbol_loss(self(sources, target).logits, target)

    def log_prob(self, sources: Sources, target: Tensor) -> Tensor:
        """Logarithm of the probability of each row of symbols :math:`(B)`."""
        return log_likelihood(self(sources, target).logits, target)

    def read(
        self, sources: Sources, beam: int = 1, max_length: int = 50, length_power: float = 0.0
    ) -> Hypotheses:
        """The likeliest symbols, in evaluation mode, by :meth:`AttentionDecoder.search`."""
        with torch.no_grad(), evaluating(self):
            return self.decoder.search(self.encode(sources), beam, max_length, length_power)


def as_sources(sources: Sources) -> tuple[Padded, ...]:
    """One source or several, as several."""
    if isinstance(sources, Tensor):
        raise TypeError("'sources' must be Padded(frames, lengths), got a tensor alone")
    if isinstance(sources, Padded):
        return (sources,)
    return tuple(sources)


def symbol_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross entropy of all symbols and ends."""
    steps = (target != PAD).sum() + len(target)
    return -log_likelihood(logits, target).sum() / steps
