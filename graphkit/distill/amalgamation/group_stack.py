"""One student for some labels of several multi-label teachers, from generated samples alone."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import method, no_method
from graphkit.compress.block_net import BlockNet, beside
from graphkit.distill.data_free.priors import activation
from graphkit.lopsided import watch_terms
from graphkit.modes import evaluating
from graphkit.precision import wide
from graphkit.words import did_you_mean

__all__ = ["ChannelGate", "GroupStackAmalgamation", "Regrouped"]


@no_method("the filter between a generated feature and a teacher")
class ChannelGate(nn.Module):
    """Every channel times a number between 0 and 1 that depends on the means of all channels.

    Args:
        channels (int): Their number.

    Shapes:
        - **input:** :math:`(N, C, *)`
        - **output:** the same
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = max(channels // 4, 2)
        self.layers = nn.Sequential(
            nn.Linear(channels, width), nn.ReLU(), nn.Linear(width, channels), nn.Sigmoid()
        )

    def gate(self, x: Tensor) -> Tensor:
        """The factor of each channel of each sample."""
        return self.layers(x if x.dim() == 2 else x.flatten(2).mean(2))

    def forward(self, x: Tensor) -> Tensor:
        """The gated features."""
        gate = self.gate(x)
        return x * gate.view(*gate.shape, *[1] * (x.dim() - 2))


@no_method("what GroupStackAmalgamation.regroup gives")
class Regrouped(nn.Module):
    """A trunk with a branch per teacher: a filter and the teacher's last block.

    Args:
        trunk (BlockNet): All blocks of the student but the last.
        filters (sequence of torch.nn.Module): Of each teacher.
        heads (sequence of BlockNet): The last block of each teacher.
        select (torch.Tensor): What each wanted label takes of all teachers' labels.
    """

    select: Tensor

    def __init__(
        self,
        trunk: BlockNet,
        filters: Sequence[nn.Module],
        heads: Sequence[BlockNet],
        select: Tensor,
    ) -> None:
        super().__init__()
        self.trunk, self.filters = trunk, nn.ModuleList(filters)
        self.heads = nn.ModuleList(heads)
        self.register_buffer("select", select)

    def forward(self, x: Tensor, edge_index: Tensor | None = None, **context: Any) -> Tensor:
        """Logits of the wanted labels."""
        context = beside(edge_index, context)
        x = self.trunk(x, **context)
        pairs = zip(self.filters, self.heads, strict=True)
        return torch.cat([head(gate(x), **context) for gate, head in pairs], 1) @ self.select


@method(
    paper="arXiv:2003.09088",
    title="Data-Free Knowledge Amalgamation via Group-Stack Dual-GAN",
    authors="Jingwen Ye, Yixin Ji, Xinchao Wang, Xin Gao, Mingli Song",
    venue="CVPR 2020",
    year=2020,
    code=None,
    licence="none",
    takes="trained multi-label classifiers cut into blocks, the labels that are wanted; no data",
    gives="a generator of samples and of features, a student for the wanted labels",
    deviations=[
        "reconstructed from a secondary source: no code was released, and the figures of the paper "
        "are not compared with",
        "the entropy is that of every label on its own, and all terms are means",
        "filters are gates between 0 and 1 from two linear layers; samples have none, so that "
        "the student learns what the teachers say of the very sample that it sees",
        "the image's predictions teach the inner groups and get no gradient from them",
        "between blocks the student is as wide as the teachers",
        "regroup() keeps the last filters and copies the last blocks of the teachers",
        "graph networks, on edges that are given, are not in the paper",
    ],
    limits=[
        "as it trains its generator: an untrained one does as well on digits; the gain is in "
        "the stacking",
    ],
)
class GroupStackAmalgamation(nn.Module):
    r"""Data-free amalgamation of the `"Data-Free Knowledge Amalgamation via Group-Stack
    Dual-GAN" <https://arxiv.org/abs/2003.09088>`_ paper, as far as it is told elsewhere.

    .. math::
        F^j = G^j(F^{j-1}), \qquad
        O(F^j) = \big\Vert_m A_m^{B-j+1 \ldots B}(f_m^j(F^j))

    The generator is a stack of :math:`B` groups: the last one's output is a sample, an inner
    one's enters the teachers :math:`A_m` half-way, through filters :math:`f`. With
    :math:`y = \sigma(O(F^B))` it minimises

    .. math::
        \mathcal{L} = \overline{\mathrm{BCE}(y, [y \ge \tfrac12])} - \alpha\, \overline{|h|} -
        \beta\, \overline{H_b(\bar y)} + \gamma\, \overline{y} +
        \tfrac{1}{B-1} \sum_{j<B} \mathrm{BCE}(O(F^j), y)

    (:math:`h`: the teachers' last features). Then the student learns block by block, each
    block's output judged by the remaining blocks of the teachers, on what its earlier blocks make
    of generated samples and on generated features of the same depth. Train it with
    :class:`~graphkit.train.NoiseTask`: first :meth:`generator_loss` on ``groups(None)``, then
    :meth:`block_loss` of every block on ``groups(block)``. A step costs the generator and each
    teacher :math:`B` times. :math:`\gamma` sets how many labels a sample has: choosing it from the
    true rate is prior knowledge. Give the generator batch normalisation, without weights at its
    end, and noise on what it makes: else samples grow, since contrast alone makes features loud,
    and are too much alike to learn from. The network to use is :meth:`regroup`'s. A student that
    learns end to end on the same samples is as good, and so was an untrained generator with that
    noise: see the recipe ``groupstack-digits`` before relying on it.

    Args:
        generator (sequence of torch.nn.Module): The groups, from noise to a sample.
        teachers (sequence): Of each, as many trained blocks; the last gives logits of its labels.
            Copies are kept, frozen and in evaluation mode.
        student (sequence of torch.nn.Module): As many blocks; the last gives logits of the wanted
            labels.
        known (sequence): The labels of each teacher, in the order of its logits.
        labels (sequence): The wanted labels, in the order of the student's logits.
        z (torch.Tensor): Some noise, to measure shapes.
        edge_index (torch.Tensor, optional): Edges between the rows of noise, for graph networks.
        loudness (float, optional): :math:`\alpha`. (default: :obj:`0.05`)
        entropy (float, optional): :math:`\beta`. (default: :obj:`2.0`)
        sparsity (float, optional): :math:`\gamma`. (default: :obj:`2.0`)
        stack (float, optional): Weight of the inner groups; 0 leaves them alone.
            (default: :obj:`1.0`)
        inner (float, optional): Share of generated features in what a block of the student learns
            from, the rest is made of samples; 0 leaves them out. (default: :obj:`0.5`)
        **context: What else blocks and groups take, by name.

    Shapes:
        - **input:** what the student takes
        - **output:** logits :math:`(N, K)` of the wanted labels

    Raises:
        ValueError: If there is no teacher, a wanted label is known to none, numbers of blocks
            differ, a group's output does not fit the teachers, or noise holds no sample.

    Warns:
        LopsidedWarning: If one of the generator's terms drowns another in the second call.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from graphkit.distill import GroupStackAmalgamation
        >>> teachers = [[nn.Linear(6, 4), nn.Linear(4, 2)] for _ in range(2)]
        >>> model = GroupStackAmalgamation(
        ...     [nn.Linear(3, 4), nn.Linear(4, 6)], teachers, [nn.Linear(6, 4), nn.Linear(4, 2)],
        ...     known=[["cat", "dog"], ["sun", "sea"]], labels=["sea", "cat"], z=torch.rand(5, 3))
        >>> model.generator_loss(torch.randn(8, 3)).backward()
        >>> model.block_loss(0, torch.randn(8, 3)).backward()
        >>> model(torch.rand(7, 6)).shape, model.regroup()(torch.rand(7, 6)).shape
        (torch.Size([7, 2]), torch.Size([7, 2]))
    """

    select: Tensor
    teachers: Any
    gates: Any
    filters: Any

    def __init__(
        self,
        generator: Iterable[nn.Module],
        teachers: Sequence[Iterable[nn.Module]],
        student: Iterable[nn.Module],
        known: Sequence[Sequence[Hashable]],
        labels: Sequence[Hashable],
        z: Tensor,
        edge_index: Tensor | None = None,
        loudness: float = 0.05,
        entropy: float = 2.0,
        sparsity: float = 2.0,
        stack: float = 1.0,
        inner: float = 0.5,
        **context: Any,
    ) -> None:
        super().__init__()
        self.generator, self.student = BlockNet(*generator), BlockNet(*student)
        self.teachers = nn.ModuleList(
            BlockNet(*copy.deepcopy(list(blocks))).requires_grad_(False).eval()
            for blocks in teachers
        )
        sizes = [len(net) for net in (self.generator, self.student, *self.teachers)]
        if not len(self.teachers) or len(set(sizes)) > 1 or sizes[0] < 2:
            raise ValueError(
                "generator, student and at least one teacher need the same number of blocks, at "
                f"least 2, got {sizes}"
            )
        self.weights = {"loud": loudness, "entropy": entropy, "sparse": sparsity, "stack": stack}
        if min(self.weights.values()) < 0:
            raise ValueError(f"weights must not be negative, got {self.weights}")
        if not 0 <= inner <= 1:
            raise ValueError(f"'inner' must be between 0 and 1, got {inner}")
        self.inner = inner
        select, self.columns = selection(known, labels, len(self.teachers))
        self.register_buffer("select", select)
        self.known, self.labels = [list(own) for own in known], list(labels)
        widths = self.measure(z, beside(edge_index, context))
        # Gates of the generator's groups by the block they enter, and of the student's blocks. A
        # sample has none: dimmed, it would teach the student what holds for another sample.
        self.gates, self.filters = (
            nn.ModuleList(
                nn.ModuleList([nn.Identity(), *map(ChannelGate, widths[1:])]) for _ in self.teachers
            )
            for _ in range(2)
        )

    @torch.no_grad()
    def measure(self, z: Tensor, context: dict[str, Any]) -> list[int]:
        """The channels that enter each block; refuses groups that do not fit."""
        refuse_empty(z)
        with evaluating(self):
            made = self.generate(z, **context)[::-1]
            for name, net in [("the student", self.student)] + [
                (f"teacher {m}", net) for m, net in enumerate(self.teachers)
            ]:
                x = made[0]
                for level, feature in enumerate(made):
                    if x.shape != feature.shape:
                        raise ValueError(
                            f"group {len(made) - level} gives {list(feature.shape)}, and block "
                            f"{level + 1} of {name} takes {list(x.shape)}"
                        )
                    x = net.step(level, x, context)
                own = self.labels if net is self.student else self.known[int(name.split()[-1])]
                if x.dim() != 2 or x.size(1) != len(own):
                    raise ValueError(f"{name} gives {list(x.shape)} for {len(own)} labels")
        return [feature.size(1) for feature in made]

    def train(self, mode: bool = True) -> GroupStackAmalgamation:
        """Sets the mode of all but the teachers, which stay in evaluation mode."""
        super().train(mode)
        self.teachers.eval()
        return self

    def forward(self, x: Tensor, edge_index: Tensor | None = None, **context: Any) -> Tensor:
        """The student's logits of the wanted labels."""
        return self.student(x, **beside(edge_index, context))

    def generate(self, z: Tensor, edge_index: Tensor | None = None, **context: Any) -> list[Tensor]:
        """What every group makes of noise; the last is a sample."""
        context, made = beside(edge_index, context), []
        for level in range(len(self.generator)):
            z = self.generator.step(level, z, context)
            made.append(z)
        return made

    def enter(
        self, level: int, x: Tensor, gates: Any, context: dict[str, Any]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The teachers' logits and last features, of what enters them before a block."""
        logits, last = [], []
        for teacher, own in zip(self.teachers, gates, strict=True):
            h = own[level](x)
            for block in range(level, len(teacher)):
                if block == len(teacher) - 1:
                    last.append(h)
                h = teacher.step(block, h, context)
            logits.append(h)
        return logits, last

    def generator_loss(self, z: Tensor, edge_index: Tensor | None = None, **context: Any) -> Tensor:
        """The first stage's objective on noise."""
        terms = self.generator_terms(z, edge_index, **context)
        words = {"loud": "loudness", "sparse": "sparsity"}
        weighed = {words.get(n, n): (self.weights.get(n, 1.0), terms[n]) for n in terms}
        watch_terms(self, weighed, self.groups(None))
        return terms["one_hot"] + sum(self.weights[name] * terms[name] for name in self.weights)

    def generator_terms(
        self, z: Tensor, edge_index: Tensor | None = None, **context: Any
    ) -> dict[str, Tensor]:
        """The parts of :meth:`generator_loss`, unweighted; ``sparse`` is the mean label."""
        refuse_empty(z)
        context = beside(edge_index, context)
        *inner, sample = self.generate(z, **context)
        parts, last = self.enter(0, sample, self.gates, context)
        logits = wide(torch.cat(parts, 1))
        y, mean = logits.sigmoid(), logits.sigmoid().mean(0)
        # Clamped: a label that all samples have has entropy 0, not 0 times infinity.
        safe = mean.clamp(1e-6, 1 - 1e-6)
        doubt = -(safe * safe.log() + (1 - safe) * (1 - safe).log())
        apart = [logits.new_zeros(())]
        for group, feature in enumerate(inner if self.weights["stack"] else [], 1):
            guess, _ = self.enter(len(inner) + 1 - group, feature, self.gates, context)
            loss = F.binary_cross_entropy_with_logits(torch.cat(guess, 1), y.detach())
            apart.append(loss / len(inner))
        return {
            "one_hot": F.binary_cross_entropy_with_logits(logits, (logits >= 0).to(logits)),
            "loud": torch.stack([activation(h) for h in last]).mean(),
            "entropy": -doubt.mean(),
            "sparse": y.mean(),
            "stack": torch.stack(apart).sum(),
        }

    def block_loss(
        self, block: int, z: Tensor, edge_index: Tensor | None = None, **context: Any
    ) -> Tensor:
        """The second stage's objective of one block of the student, on noise."""
        context, count = beside(edge_index, context), len(self.student)
        if not 0 <= block < count:
            raise ValueError(f"'block' must be from 0 to {count - 1}, got {block}")
        refuse_empty(z)
        # Everything that comes before the block stays as it is.
        with torch.no_grad(), evaluating(self):
            made = self.generate(z, **context)
            targets = [t.sigmoid() for t in self.enter(0, made[-1], self.gates, context)[0]]
            x = made[-1]
            for level in range(block):
                x = self.student.step(level, x, context)
        share = self.inner if block else 0.0
        streams = [(x, 1 - share), (made[count - 1 - block], share)]
        losses = []
        for stream, weight in streams:
            if not weight:
                continue
            out = self.student.step(block, stream, context)
            if block < count - 1:
                logits, _ = self.enter(block + 1, out, self.filters, context)
            for m, (own, places) in enumerate(self.columns):
                guess = logits[m][:, own] if block < count - 1 else out[:, places]
                if own:
                    loss = F.binary_cross_entropy_with_logits(guess, targets[m][:, own])
                    losses.append(weight * loss)
        return torch.stack(losses).sum()

    def groups(self, block: int | None = None) -> list[nn.Parameter]:
        """What a stage trains: the generator and its gates, or one block and its filters."""
        if block is None:
            return [*self.generator.parameters(), *self.gates.parameters()]
        filters = [own[block + 1] for own in self.filters if block + 1 < len(self.student)]
        return [p for part in (self.student[block], *filters) for p in part.parameters()]

    def regroup(self) -> Regrouped:
        """The student's trunk with the teachers' own last blocks as branches."""
        last = len(self.student) - 1
        parts = copy.deepcopy((list(self.student)[:last], [own[last] for own in self.filters]))
        heads = [BlockNet(copy.deepcopy(teacher[last])) for teacher in self.teachers]
        return Regrouped(BlockNet(*parts[0]), parts[1], heads, self.select.clone())


def refuse_empty(z: Tensor) -> None:
    """Raises unless there is noise."""
    if not len(z):
        raise ValueError("'z' holds no sample; give at least one")


def selection(
    known: Sequence[Sequence[Hashable]], labels: Sequence[Hashable], count: int
) -> tuple[Tensor, list[tuple[list[int], list[int]]]]:
    """What each wanted label takes of all labels side by side; per teacher its columns among its
    own labels and among the wanted ones.
    """
    if len(known) != count:
        raise ValueError(f"'known' has {len(known)} entries for {count} teachers")
    for name, own in (("labels", labels), *((f"known[{m}]", own) for m, own in enumerate(known))):
        if not len(own) or len(set(own)) != len(own):
            raise ValueError(f"'{name}' must name each label once, got {list(own)}")
    union = [label for own in known for label in own]
    for label in labels:
        if label not in union:
            hint = did_you_mean(str(label), map(str, union))
            raise ValueError(f"no teacher knows the wanted label {label!r}; {hint}")
    select = torch.tensor([[float(a == b) for b in labels] for a in union])
    columns = []
    for own in known:
        mine = [label for label in labels if label in own]
        columns.append(([list(own).index(a) for a in mine], [list(labels).index(a) for a in mine]))
    # A label that several teachers know is the mean of what they say.
    return select / select.sum(0), columns
