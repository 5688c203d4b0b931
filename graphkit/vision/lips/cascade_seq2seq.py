"""One sequence after another: each stage reads what the stages before it have read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import method, no_method
from graphkit.modes import evaluating
from graphkit.vision.lips.attention_decoder import (
    AttentionDecoder,
    Decoded,
    Hypotheses,
    log_likelihood,
)
from graphkit.vision.lips.attention_seq2seq import symbol_loss
from graphkit.vision.lips.sequence_encoder import Encoded, Padded, SequenceEncoder
from graphkit.words import did_you_mean

__all__ = ["CascadeSeq2Seq", "Stage"]

INPUT = "input"
FEEDS = ("truth", "prediction", "straight_through")


@no_method("one step of a CascadeSeq2Seq")
class Stage(NamedTuple):
    """A sequence of symbols, and what it is read off.

    Args:
        name (str): Its name, such as ``"tone"``.
        vocab_size (int): How many symbols there are.
        sources (tuple of str): ``"input"`` and names of stages before it.

    Example:
        >>> Stage("tone", 5, ("input", "pinyin")).sources
        ('input', 'pinyin')
    """

    name: str
    vocab_size: int
    sources: tuple[str, ...] = (INPUT,)


@method(
    paper="arXiv:1908.04917",
    title="A Cascade Sequence-to-Sequence Model for Chinese Mandarin Lip Reading",
    authors="Ya Zhao, Rui Xu, Mingli Song",
    venue="ACM Multimedia Asia 2019",
    year=2019,
    code=None,
    licence="none",
    takes="frames, and for each stage, such as pinyin, tone and character, the symbols",
    gives="the symbols of every stage",
    deviations=[
        "no program was released; equal weights of the stages' losses could not be verified",
        "all stages share one encoder of the frames, and those who read the same stage share its "
        "encoder; they are trained at the same time, not one after the other",
        "the sum over syllables and tones is replaced by the best of each, as in the paper's chain",
        "stages may be any chain; Mandarin's are one of them",
    ],
)
class CascadeSeq2Seq(nn.Module):
    r"""Reads a sequence by way of simpler ones, as CSSMCM of the `"A Cascade Sequence-to-Sequence
    Model for Chinese Mandarin Lip Reading" <https://arxiv.org/abs/1908.04917>`_ paper reads
    characters by way of pinyin and tones.

    .. math::
        P(y \mid x) = \sum_p \sum_t P(y \mid p, t, x) \, P(t \mid p, x) \, P(p \mid x), \qquad
        \mathcal{L} = \mathcal{L}_p + \mathcal{L}_t + \mathcal{L}_y

    Each stage is an :class:`AttentionDecoder` over the frames and the stages that it names, each
    of which has an encoder of its symbols. First the stages learn from the truth
    (``feed="truth"``). That is not what they will see, so then they learn from what the stages
    before them read (``feed="prediction"``): no gradient passes through a symbol that was chosen,
    and all stages learn by their own losses, and by the encoders that they share. With
    ``feed="straight_through"`` the gradient passes as if the distribution had been handed on.
    Every stage finds its own end; where all stages have a symbol per syllable, as in Mandarin,
    they may still read different numbers of them.

    Training costs the sum of the stages, with predictions a search for each besides.

    Args:
        encoder (SequenceEncoder): Of the frames.
        stages (sequence of Stage): In the order in which they are read; the last is the result.
        hidden_channels (int, optional): Width of decoders and of stages' encoders.
            (default: :obj:`64`)
        embedding_channels (int, optional): Width of a symbol. (default: ``hidden_channels``)
        dropout (float, optional): Of the decoders. (default: :obj:`0.0`)
        max_length (int, optional): Most symbols that a stage reads. (default: :obj:`50`)

    Shapes:
        - **input:** frames :math:`(B, T, *)`; for each stage symbols :math:`(B, N)`, -1 behind the
          end
        - **output:** for each stage :class:`Decoded`

    Raises:
        ValueError: If stages are unnamed, twice there, or read what comes later; if symbols of a
            stage are missing, or ``feed`` is unknown.
        IndexError: If a symbol is out of range.

    Example:
        >>> import torch
        >>> from graphkit.vision import CascadeSeq2Seq, Padded, SequenceEncoder, Stage, pad_symbols
        >>> stages = [
        ...     Stage("pinyin", 6),
        ...     Stage("tone", 5, ("input", "pinyin")),
        ...     Stage("character", 20, ("input", "pinyin", "tone")),
        ... ]
        >>> model = CascadeSeq2Seq(SequenceEncoder(8, 16), stages, 16)
        >>> frames = Padded.of([torch.rand(9, 8), torch.rand(5, 8)])
        >>> texts = {stage.name: pad_symbols([[0, 3], [1]]) for stage in stages}
        >>> model.loss(frames, texts).backward()
        >>> list(model.read(frames))
        ['pinyin', 'tone', 'character']
    """

    def __init__(
        self,
        encoder: SequenceEncoder,
        stages: Sequence[Stage],
        hidden_channels: int = 64,
        embedding_channels: int | None = None,
        dropout: float = 0.0,
        max_length: int = 50,
    ) -> None:
        super().__init__()
        check_stages(stages)
        self.stages, self.max_length = tuple(stages), max_length
        self.encoder = encoder
        width = embedding_channels or hidden_channels
        read = {source for stage in stages for source in stage.sources}
        self.encoders = nn.ModuleDict(
            {
                stage.name: SequenceEncoder.of_symbols(stage.vocab_size, width, hidden_channels)
                for stage in stages
                if stage.name in read
            }
        )
        widths = {INPUT: encoder.out_channels, **dict.fromkeys(self.encoders, hidden_channels)}
        self.decoders = nn.ModuleDict(
            {
                stage.name: AttentionDecoder(
                    stage.vocab_size,
                    [widths[source] for source in stage.sources],
                    hidden_channels,
                    width,
                    dropout,
                )
                for stage in stages
            }
        )

    def forward(
        self, frames: Padded, targets: Mapping[str, Tensor], feed: str = "truth"
    ) -> dict[str, Decoded]:
        """What each stage says at each of its steps.

        Args:
            frames (Padded): The frames.
            targets (dict): The symbols of each stage.
            feed (str, optional): What later stages get: ``"truth"``, ``"prediction"`` or
                ``"straight_through"``. (default: ``"truth"``)
        """
        if feed not in FEEDS:
            raise ValueError(f"'feed' must be one of {list(FEEDS)}, got {feed!r}")
        for stage in self.stages:
            if stage.name not in targets:
                raise ValueError(
                    f"'targets' lack {stage.name!r}; {did_you_mean(stage.name, list(targets))}"
                )
        encoded, outs = {INPUT: self.encoder(frames)}, {}
        for name, _, sources in self.stages:
            given = [encoded[source] for source in sources]
            outs[name] = out = self.decoder(name)(given, targets[name])
            if name not in self.encoders:
                continue
            if feed == "truth":
                symbols = Padded.symbols(targets[name])
            elif feed == "prediction":
                symbols = Padded.symbols(self.best(name, given).symbols[:, 0])
            else:
                # The end is no symbol that could be handed on.
                chances = out.logits[:, :-1, :-1].softmax(2)
                sure = F.one_hot(chances.argmax(2), chances.size(2)).to(chances.dtype)
                soft = sure + chances - chances.detach()
                symbols = Padded(soft, Padded.symbols(targets[name]).lengths)
            encoded[name] = self.encoders[name](symbols)
        return outs

    def decoder(self, name: str) -> AttentionDecoder:
        """The decoder of a stage."""
        return cast(AttentionDecoder, self.decoders[name])

    def best(
        self, name: str, sources: Sequence[Encoded], beam: int = 1, length_power: float = 0.0
    ) -> Hypotheses:
        """What a stage reads off its sources, in evaluation mode."""
        decoder = self.decoder(name)
        with evaluating(decoder):
            return decoder.search(sources, beam, self.max_length, length_power)

    def loss(self, frames: Padded, targets: Mapping[str, Tensor], feed: str = "truth") -> Tensor:
        """Sum over the stages of their mean cross entropies, by the arguments of a call."""
        outs = self(frames, targets, feed)
        return torch.stack([symbol_loss(outs[n].logits, targets[n]) for n in outs]).sum()

    def log_prob(self, frames: Padded, targets: Mapping[str, Tensor]) -> Tensor:
        """Logarithm of the joint probability of the symbols of all stages :math:`(B)`."""
        outs = self(frames, targets)
        return torch.stack([log_likelihood(outs[n].logits, targets[n]) for n in outs]).sum(0)

    def read(
        self, frames: Padded, beam: int = 1, length_power: float = 0.0
    ) -> dict[str, Hypotheses]:
        """What each stage reads, in evaluation mode; the best of each is handed on.

        Args:
            frames (Padded): The frames.
            beam (int, optional): Sequences that each stage follows. (default: :obj:`1`)
            length_power (float, optional): As in :meth:`AttentionDecoder.search`.
                (default: :obj:`0.0`)
        """
        read: dict[str, Hypotheses] = {}
        with torch.no_grad(), evaluating(self):
            encoded = {INPUT: self.encoder(frames)}
            for name, _, sources in self.stages:
                given = [encoded[source] for source in sources]
                read[name] = self.best(name, given, beam, length_power)
                if name in self.encoders:
                    symbols = Padded.symbols(read[name].symbols[:, 0])
                    encoded[name] = self.encoders[name](symbols)
        return read


def check_stages(stages: Sequence[Stage]) -> None:
    """Raises unless every stage has its own name and reads the input or stages before it."""
    if not len(stages):
        raise ValueError("'stages' must hold at least one stage")
    known = [INPUT]
    for stage in stages:
        if stage.name in known or not stage.name.isidentifier():
            raise ValueError(
                f"'stages' must have names of their own, words other than {INPUT!r}, got "
                f"{stage.name!r}"
            )
        if isinstance(stage.sources, str) or not stage.sources:
            raise ValueError(f"'sources' of {stage.name!r} must be names, got {stage.sources!r}")
        for source in stage.sources:
            if source not in known:
                raise ValueError(
                    f"'sources' of {stage.name!r} name {source!r}, which is not before it; "
                    f"{did_you_mean(source, known)}"
                )
        known.append(stage.name)
