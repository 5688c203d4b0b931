"""Sequences of unequal lengths, and the recurrent network that reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from graphkit.catalog import no_method

__all__ = ["Encoded", "Padded", "SequenceEncoder", "SymbolEmbedding", "pad_symbols"]

PAD = -1
"""Stands behind the end of a row of symbols."""


@no_method("sequences of unequal lengths in one tensor")
class Padded(NamedTuple):
    """Sequences side by side; what lies behind a sequence's end is never looked at.

    Args:
        x (torch.Tensor): Frames :math:`(B, T, *)`, or symbols :math:`(B, T)`.
        lengths (torch.Tensor): How many of them each sequence has :math:`(B)`; 0 is allowed.

    Example:
        >>> import torch
        >>> Padded.of([torch.ones(2, 3), torch.ones(4, 3)]).lengths
        tensor([2, 4])
    """

    x: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, sequences: Sequence[Tensor]) -> Padded:
        """Some sequences, each :math:`(T_i, *)`."""
        if not len(sequences):
            raise ValueError("'sequences' must hold at least one sequence")
        lengths = torch.tensor([len(one) for one in sequences], device=sequences[0].device)
        return cls(pad_sequence(list(sequences), batch_first=True), lengths)

    @classmethod
    def symbols(cls, rows: Tensor) -> Padded:
        """Rows of symbols as :func:`pad_symbols` makes them."""
        return cls(rows, (rows != PAD).sum(1))

    @property
    def mask(self) -> Tensor:
        """Which places are filled :math:`(B, T)`."""
        lengths = self.lengths.to(self.x.device)
        return torch.arange(self.x.size(1), device=self.x.device) < lengths.unsqueeze(1)

    def check(self) -> Padded:
        """The same, all on one device, or an error that says what is wrong with it."""
        x, lengths = self
        if x.dim() < 2 or lengths.shape != x.shape[:1] or lengths.is_floating_point():
            raise ValueError(
                f"'lengths' must be [B] integers for 'x' of shape [B, T, *], got {lengths.dtype} "
                f"{list(lengths.shape)} for {list(x.shape)}"
            )
        if len(lengths) and (int(lengths.min()) < 0 or int(lengths.max()) > x.size(1)):
            raise ValueError(
                f"'lengths' must lie in 0 … {x.size(1)}, got {int(lengths.min())} … "
                f"{int(lengths.max())}"
            )
        if x.is_floating_point() and not x[self.mask].isfinite().all():
            raise ValueError("'x' holds NaN or infinite values before the end of a sequence")
        return Padded(x, lengths.to(x.device))


@no_method("what a SequenceEncoder gives")
class Encoded(NamedTuple):
    """Sequences as a recurrent network has read them.

    Args:
        states (torch.Tensor): What it says at each place :math:`(B, T, C)`, 0 behind the end.
        vector (torch.Tensor): What it says at the end :math:`(B, C)`, 0 of an empty sequence.
        lengths (torch.Tensor): Places of each sequence :math:`(B)`.

    Example:
        >>> import torch
        >>> read = SequenceEncoder(3, 4)(Padded(torch.ones(1, 5, 3), torch.tensor([2])))
        >>> torch.equal(read.vector, read.states[:, 1]), read.states[:, 2:].abs().sum().item()
        (True, 0.0)
    """

    states: Tensor
    vector: Tensor
    lengths: Tensor

    @property
    def mask(self) -> Tensor:
        """Which places are filled :math:`(B, T)`."""
        return Padded(self.states, self.lengths).mask


@no_method("symbols as vectors, a front of a SequenceEncoder")
class SymbolEmbedding(nn.Embedding):
    """An embedding that also takes distributions over symbols, by their mean.

    Gradients pass through a distribution, not through numbers.

    Args:
        num_embeddings (int): Symbols.
        embedding_dim (int): Width of a vector.

    Example:
        >>> import torch
        >>> front = SymbolEmbedding(5, 3)
        >>> torch.equal(front(torch.tensor([2])), front(torch.eye(5)[2:3]))
        True
    """

    def forward(self, symbols: Tensor) -> Tensor:
        """Vectors of symbols, or of distributions over them."""
        if symbols.is_floating_point():
            return symbols @ self.weight
        if symbols.numel() and not 0 <= int(symbols.min()) <= int(symbols.max()) < len(self.weight):
            raise IndexError(
                f"'symbols' must lie in 0 … {len(self.weight) - 1}, got {int(symbols.min())} … "
                f"{int(symbols.max())}"
            )
        return super().forward(symbols)


@no_method("the encoder of AttentionSeq2Seq and CascadeSeq2Seq")
class SequenceEncoder(nn.Module):
    r"""A gated recurrent network over the frames that each sequence has, and no others.

    .. math::
        h_t = \mathrm{GRU}(f(x_t), h_{t-1}), \qquad s = h_T

    Time grows with the number of frames, not with padding; extra padding changes nothing, and an
    empty sequence is all zeros.

    Args:
        in_channels (int): Width of what ``front`` gives, or of a frame where there is none.
        hidden_channels (int): Width of a state.
        front (torch.nn.Module, optional): :math:`f`, from frames :math:`(M, *)` to :math:`(M, F)`:
            a CNN, or a :class:`SymbolEmbedding`. (default: frames are flattened)
        num_layers (int, optional): Recurrent layers. (default: :obj:`1`)
        bidirectional (bool, optional): Reads backwards as well; states are twice as wide.
            (default: :obj:`False`)
        dropout (float, optional): Of what ``front`` gives. (default: :obj:`0.0`)

    Shapes:
        - **input:** frames :math:`(B, T, *)`, lengths :math:`(B)`
        - **output:** :class:`Encoded`

    Raises:
        ValueError: If shapes or lengths do not fit, or a frame is not finite.

    Example:
        >>> import torch
        >>> encoder = SequenceEncoder(6, 8)
        >>> encoder(Padded(torch.rand(2, 5, 2, 3), torch.tensor([5, 0]))).states.shape
        torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        front: nn.Module | None = None,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.front = nn.Flatten() if front is None else front
        self.in_channels = in_channels
        self.out_channels = hidden_channels * (1 + bidirectional)
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(
            in_channels, hidden_channels, num_layers, batch_first=True, bidirectional=bidirectional
        )

    @classmethod
    def of_symbols(
        cls, vocab_size: int, embedding_channels: int, hidden_channels: int
    ) -> SequenceEncoder:
        """An encoder of symbols, or of distributions over them."""
        front = SymbolEmbedding(vocab_size, embedding_channels)
        return cls(embedding_channels, hidden_channels, front)

    def forward(self, sequences: Padded) -> Encoded:
        """What the network says of sequences."""
        sequences = sequences.check()
        (x, lengths), places = sequences, sequences.mask
        # In the type of the weights: symbols have none of their own.
        weight = self.gru.all_weights[0][0]
        frames = weight.new_zeros(*places.shape, self.in_channels)
        states = weight.new_zeros(*places.shape, self.out_channels)
        if not places.any():
            return Encoded(states, weight.new_zeros(len(x), self.out_channels), lengths)
        features = self.front(x[places])
        if features.shape[1:] != (self.in_channels,):
            raise ValueError(
                f"'x' has frames of {list(x.shape[2:])}, which 'front' makes "
                f"{list(features.shape[1:])}, not [{self.in_channels}]"
            )
        frames = frames.masked_scatter(places.unsqueeze(2), self.dropout(features).to(weight.dtype))
        # A GRU refuses empty sequences: they read one zero, and what it says is taken back below.
        reach = lengths.clamp(min=1).cpu()
        packed = pack_padded_sequence(frames, reach, batch_first=True, enforce_sorted=False)
        out, last = self.gru(packed)
        states, _ = pad_packed_sequence(out, batch_first=True, total_length=x.size(1))
        ends = last[-2:] if self.gru.bidirectional else last[-1:]
        vector = ends.transpose(0, 1).flatten(1) * (lengths > 0).unsqueeze(1)
        return Encoded(states * places.unsqueeze(2), vector, lengths)


def pad_symbols(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of symbols as one tensor, filled up with -1.

    Args:
        rows (sequence of sequences): Symbols from 0; a row may be empty.

    Shapes:
        - **output:** :math:`(B, N)`

    Example:
        >>> pad_symbols([[3, 1], []])
        tensor([[ 3,  1],
                [-1, -1]])
    """
    width = max((len(row) for row in rows), default=0)
    if any(symbol < 0 for row in rows for symbol in row):
        raise ValueError("'rows' must hold symbols from 0 on; -1 stands for none")
    filled = [[*row, *[PAD] * (width - len(row))] for row in rows]
    return torch.tensor(filled, dtype=torch.long).view(len(rows), width)
