"""A lip reader that learns from one who hears: distillation at three granularities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from graphkit.catalog import method, no_method
from graphkit.lopsided import watch_terms
from graphkit.metrics import lcs_pairs
from graphkit.modes import frozen
from graphkit.vision.lips.attention_decoder import Decoded, masked_softmax
from graphkit.vision.lips.attention_seq2seq import AttentionSeq2Seq, symbol_loss
from graphkit.vision.lips.sequence_encoder import PAD, Encoded, Padded

__all__ = ["LIBS", "Hearing", "Taught"]

TERMS = ("sequence", "context", "frame")


@no_method("what the teacher of LIBS has heard")
class Taught(NamedTuple):
    """What :class:`LIBS` keeps of its teacher: one row per sentence, to be cut into batches.

    Args:
        vector (torch.Tensor): The whole sentence :math:`(B, C)`.
        states (torch.Tensor): Its frames :math:`(B, I, C)`.
        lengths (torch.Tensor): How many frames :math:`(B)`.
        contexts (torch.Tensor): What the teacher attended to when it read the symbol of each step
            of the *student* :math:`(B, N, C)`.
        matched (torch.Tensor): At which steps it read the right one :math:`(B, N)`.

    Example:
        >>> import torch
        >>> parts = torch.rand(3, 4), torch.rand(3, 9, 4), torch.tensor([9, 2, 5])
        >>> taught = Taught(*parts, torch.rand(3, 2, 4), torch.ones(3, 2).bool())
        >>> taught.rows(torch.tensor([0, 2])).lengths
        tensor([9, 5])
    """

    vector: Tensor
    states: Tensor
    lengths: Tensor
    contexts: Tensor
    matched: Tensor

    def rows(self, index: Tensor) -> Taught:
        """The same of some sentences."""
        return Taught(*(part[index] for part in self))


@no_method("how the teacher of LIBS reads")
class Hearing(NamedTuple):
    """The teacher's own reading of some sentences, and where it agrees with the truth.

    Args:
        out (Decoded): Everything about the steps of its own symbols.
        symbols (torch.Tensor): These symbols :math:`(B, M)`, -1 behind the end.
        pairs (list): For each sentence the steps of a longest common subsequence: the teacher's
            and that of the truth.

    Example:
        >>> import torch
        >>> from graphkit.vision import AttentionSeq2Seq, Padded, SequenceEncoder, pad_symbols
        >>> deaf, teacher = (AttentionSeq2Seq(SequenceEncoder(2, 4), 3) for _ in range(2))
        >>> heard = LIBS(deaf, teacher).hear(Padded.of([torch.rand(4, 2)]), pad_symbols([[1]]))
        >>> isinstance(heard, Hearing) and len(heard.pairs)
        1
    """

    out: Decoded
    symbols: Tensor
    pairs: list[list[tuple[int, int]]]


@method(
    paper="arXiv:1911.11502",
    title="Hearing Lips: Improving Lip Reading by Distilling Speech Recognizers",
    authors="Ya Zhao, Rui Xu, Xinchao Wang, Peng Hou, Haihong Tang, Mingli Song",
    venue="AAAI 2020",
    year=2020,
    code=None,
    licence="none",
    takes="a trained speech recogniser, a lip reader, sentences with video, sound and transcript",
    gives="the lip reader, trained",
    deviations=[
        "no program was released; the three losses follow their description, and neither their "
        "weights nor the table of their ablation could be verified in anything public",
        "squared distances are means over channels, not sums, so that weights do not depend on "
        "the width",
        "the direction of the frame alignment could not be verified: 'audio' aligns video to each "
        "frame of sound, 'video' the converse",
        "scheduled sampling and sentences of growing length are left to the caller's loop",
    ],
    limits=[
        "sequence granularity alone: it loses 2 points on 150 sentences",
    ],
)
class LIBS(nn.Module):
    r"""Teaches a lip reader by a speech recogniser, as in the `"Hearing Lips: Improving Lip
    Reading by Distilling Speech Recognizers" <https://arxiv.org/abs/1911.11502>`_ paper.

    .. math::
        \mathcal{L} = \mathrm{CE} + \lambda_1 \lVert s^a - t_1(s^v) \rVert^2 +
        \frac{\lambda_2}{M} \sum_m \lVert c^a_{i_m} - t_2(c^v_{k_m}) \rVert^2 +
        \frac{\lambda_3}{I} \sum_i \lVert h^a_i - t_3(\textstyle\sum_j \beta_{ij} h^v_j) \rVert^2,
        \qquad \beta_{ij} = \mathrm{softmax}_j(h^{a\top}_i W h^v_j)

    with the ends :math:`s`, states :math:`h` and contexts :math:`c` of sound :math:`a` and video
    :math:`v`, and linear maps :math:`t`. Contexts are compared where the teacher is right: it
    reads by itself, and a longest common subsequence of that with the truth says which of its
    steps :math:`i_m` stands for which step :math:`k_m` of the student. Frames of unequal rates
    are aligned by :math:`\beta`. Norms are means over channels. Watch :meth:`align`: attention
    that is the same everywhere has learned the mean and nothing else.

    Called, it is the student; the teacher is no submodule, runs in evaluation mode and stays as
    it is. What it has to say does not change, so :meth:`teach` is called once for all sentences.
    It costs a search; a training step costs what the student's costs, and :math:`I J C` for the
    alignment. Gains shrink with the number of sentences.

    Args:
        student (AttentionSeq2Seq): Reads video; one source.
        teacher (AttentionSeq2Seq): Reads sound; one source, the same symbols.
        weights (tuple of float, optional): :math:`\lambda_1, \lambda_2, \lambda_3`; a part of
            weight 0 is not computed. (default: :obj:`(1.0, 1.0, 1.0)`)
        direction (str, optional): ``"audio"`` as above, or ``"video"``: each frame of video is
            compared with what it attends to in the sound. (default: ``"audio"``)
        max_length (int, optional): Most symbols of the teacher's reading. (default: :obj:`50`)

    Shapes:
        - **input:** video :math:`(B, J, *)`, symbols :math:`(B, N)`, -1 behind the end; what
          :meth:`teach` made of sound :math:`(B, I, *)`
        - **output:** :class:`Decoded` of the student

    Raises:
        ValueError: If an option is out of range, a network has several sources, symbols differ,
            or there are not as many rows of ``taught`` as sentences.
        ImportError: If rapidfuzz is missing, when :meth:`teach` is called.

    Example:
        >>> import torch
        >>> from graphkit.vision import AttentionSeq2Seq, LIBS, Padded, SequenceEncoder, pad_symbols
        >>> teacher = AttentionSeq2Seq(SequenceEncoder(6, 16), vocab_size=4)
        >>> libs = LIBS(AttentionSeq2Seq(SequenceEncoder(9, 12), vocab_size=4), teacher)
        >>> video = Padded.of([torch.rand(5, 3, 3), torch.rand(2, 3, 3)])
        >>> sound = Padded.of([torch.rand(8, 6), torch.rand(3, 6)])
        >>> target = pad_symbols([[0, 1], [3]])
        >>> taught = libs.teach(sound, target)
        >>> libs.loss(video, target, taught).backward()
    """

    def __init__(
        self,
        student: AttentionSeq2Seq,
        teacher: AttentionSeq2Seq,
        weights: Sequence[float] = (1.0, 1.0, 1.0),
        direction: str = "audio",
        max_length: int = 50,
    ) -> None:
        super().__init__()
        if len(weights) != len(TERMS) or min(weights) < 0:
            raise ValueError(f"'weights' must be three numbers from 0, got {list(weights)}")
        if direction not in ("audio", "video"):
            raise ValueError(f"'direction' must be 'audio' or 'video', got {direction!r}")
        for name, model in (("student", student), ("teacher", teacher)):
            if len(model.encoders) != 1:
                raise ValueError(f"'{name}' must have one source, got {len(model.encoders)}")
        if student.vocab_size != teacher.vocab_size:
            raise ValueError(
                f"'student' knows {student.vocab_size} symbols, 'teacher' {teacher.vocab_size}"
            )
        self.student = student
        self._teacher = (teacher,)
        self.weights, self.direction = dict(zip(TERMS, weights, strict=True)), direction
        self.max_length = max_length
        ours, theirs = (model.decoder.source_channels[0] for model in (student, teacher))
        self.maps = nn.ModuleDict({term: nn.Linear(ours, theirs) for term in TERMS})
        self.match = nn.Linear(ours, theirs, bias=False)

    @property
    def teacher(self) -> AttentionSeq2Seq:
        """The one who hears."""
        return self._teacher[0].to(self.match.weight.device)

    def forward(self, video: Padded, target: Tensor) -> Decoded:
        """What the student says at each step, when the symbols before it are given."""
        return self.student(video, target)

    @torch.no_grad()
    def hear(self, sound: Padded, target: Tensor) -> Hearing:
        """The teacher's own reading, and where it agrees with the truth."""
        with frozen(self.teacher):
            sources = self.teacher.encode(sound)
            decoder = self.teacher.decoder
            decoder.check_target(target, len(sound.lengths))
            symbols = decoder.search(sources, max_length=self.max_length).symbols[:, 0]
            out = decoder(sources, symbols)
        texts = [[[s for s in row if s != PAD] for row in t.tolist()] for t in (symbols, target)]
        pairs = [lcs_pairs(*both) for both in zip(*texts, strict=True)]
        return Hearing(out, symbols, pairs)

    @torch.no_grad()
    def teach(self, sound: Padded, target: Tensor) -> Taught:
        """What the teacher has to say about some sentences.

        Args:
            sound (Padded): The sound of the sentences.
            target (torch.Tensor): Their symbols.
        """
        heard = self.hear(sound, target)
        (source,), (attended,) = heard.out.sources, heard.out.contexts
        contexts = attended.new_zeros(*target.shape, attended.size(2))
        steps = [(b, i, k) for b, pairs in enumerate(heard.pairs) for i, k in pairs]
        # [3, M]: the sentence, the teacher's step, the student's.
        row, theirs, ours = torch.tensor(steps, device=attended.device).view(-1, 3).long().t()
        contexts[row, ours] = attended[row, theirs]
        matched = torch.zeros_like(target, dtype=torch.bool)
        matched[row, ours] = True
        return Taught(source.vector, source.states, source.lengths, contexts, matched)

    def loss(self, video: Padded, target: Tensor, taught: Taught) -> Tensor:
        """The student's cross entropy and all that it is taught.

        Args:
            video (Padded): The video of the sentences.
            target (torch.Tensor): Their symbols.
            taught (Taught): What the teacher has to say about them.
        """
        out = self(video, target)
        loss = symbol_loss(out.logits, target)
        terms = {term: (self.weights[term], v) for term, v in self.terms(out, taught).items()}
        watch_terms(self, {"symbols": (1.0, loss), **terms}, self.parameters())
        for weight, value in terms.values():
            loss = loss + weight * value
        return loss

    def terms(self, out: Decoded, taught: Taught) -> dict[str, Tensor]:
        """The parts of the loss that have a weight, without it."""
        (source,), (contexts,) = out.sources, out.contexts
        steps = contexts.size(1) - 1
        if taught.matched.shape != (len(contexts), steps):
            raise ValueError(
                f"'taught' has {list(taught.matched.shape)} sentences and steps for "
                f"{len(contexts)} and {steps} of 'target'"
            )
        parts = {}
        if self.weights["sequence"]:
            apart = taught.vector - self.maps["sequence"](source.vector)
            parts["sequence"] = apart.square().mean(1)
        if self.weights["context"]:
            apart = taught.contexts - self.maps["context"](contexts[:, :-1])
            parts["context"] = masked_mean(apart.square().mean(2), taught.matched)
        if self.weights["frame"]:
            parts["frame"] = self.frame_gaps(source, taught)
        return {term: part.mean() if len(part) else part.sum() for term, part in parts.items()}

    def frame_gaps(self, source: Encoded, taught: Taught) -> Tensor:
        """How far frames are from what they attend to, for each sentence."""
        weights, hear = self.align(source, taught), self.maps["frame"]
        heard = Encoded(taught.states, taught.vector, taught.lengths)
        if self.direction == "audio":
            apart, places = taught.states - hear(weights @ source.states), heard.mask
        else:
            apart, places = weights @ taught.states - hear(source.states), source.mask
        # Where either side has no frame there is nothing to align.
        both = (source.lengths > 0) & (taught.lengths > 0)
        return masked_mean(apart.square().mean(2), places & both.unsqueeze(1))

    def align(self, source: Encoded, taught: Taught) -> Tensor:
        r""":math:`\beta`: what each frame attends to on the other side.

        ``"audio"``: :math:`(B, I, J)`, rows sum to 1 over video; ``"video"``: :math:`(B, J, I)`.

        Args:
            source (Encoded): The student's source.
            taught (Taught): The teacher's.
        """
        scores = taught.states @ self.match(source.states).mT
        if self.direction == "audio":
            return masked_softmax(scores, source.mask.unsqueeze(1))
        heard = Encoded(taught.states, taught.vector, taught.lengths)
        return masked_softmax(scores.mT, heard.mask.unsqueeze(1))


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Means of rows over what the mask leaves; 0 where it leaves nothing."""
    return torch.where(mask, values, 0.0).sum(1) / mask.sum(1).clamp(min=1)
