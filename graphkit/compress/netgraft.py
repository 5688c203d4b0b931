"""A student grafted block by block into its teacher, taught by a few unlabelled samples."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit import precision
from graphkit.catalog import method
from graphkit.compress.block_net import BlockNet, beside
from graphkit.compress.folding import fold
from graphkit.modes import frozen

__all__ = ["NetGraft", "graft_loss"]

Mask = tuple[bool, ...]
POINTWISE = {2: nn.Linear, 3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}


def graft_loss(student: Tensor, teacher: Tensor, normalize: bool = True) -> Tensor:
    r"""How far the logits of a hybrid are from the teacher's.

    .. math::
        \frac{1}{N} \sum_i \left\lVert \frac{s_i}{\lVert s_i \rVert} -
        \frac{t_i}{\lVert t_i \rVert} \right\rVert^2 = 2 - \frac{2}{N} \sum_i \cos(s_i, t_i)

    Lengths below :math:`10^{-6}` count as that.

    Args:
        student, teacher (torch.Tensor): Logits of the same samples.
        normalize (bool, optional): :obj:`False` gives the plain mean squared error.
            (default: :obj:`True`)

    Shapes:
        - **input:** :math:`(N, C)` both
        - **output:** a scalar in [0, 4]

    Raises:
        ValueError: If shapes differ.

    Example:
        >>> import torch
        >>> graft_loss(torch.tensor([[0.0, 2.0]]), torch.tensor([[3.0, 0.0]]))
        tensor(2.)
    """
    if student.shape != teacher.shape or student.dim() != 2:
        raise ValueError(
            f"'student' {list(student.shape)} and 'teacher' {list(teacher.shape)} must both be "
            "[N, C]"
        )
    if not normalize:
        return F.mse_loss(student, teacher)
    unit = [precision.normalize(h, dim=1, eps=1e-6) for h in (student, teacher)]
    apart = unit[0] - unit[1]
    return apart.square().sum() / max(len(apart), 1)


@method(
    paper="arXiv:2012.04915",
    title="Progressive Network Grafting for Few-Shot Knowledge Distillation",
    authors="Chengchao Shen, Xinchao Wang, Youtan Yin, Jie Song, Sihui Luo, Mingli Song",
    venue="AAAI 2021",
    year=2021,
    code="https://github.com/zju-vipa/NetGraft",
    licence="none",
    takes="a trained network, a smaller one cut into the same number of blocks, a few samples",
    gives="hybrids of both networks, the trained small network without extra layers",
    deviations=[
        "adapters have no bias, so that they merge exactly behind zero padding and in message "
        "passing; bias=True is the released code",
        "merge() is the paper's idea; the released code keeps the adapters",
        "the loss is the mean over samples, in the released code the sum; Adam sees no difference",
        "the last weights count; the released code keeps those that are best on the test set",
        "graph neural networks, with linear adapters, are not in the paper",
    ],
    limits=[
        "three samples per class and more: it beats distillation with one sample, with three "
        "images it does not",
    ],
)
class NetGraft(nn.Module):
    r"""Network grafting of the `"Progressive Network Grafting for Few-Shot Knowledge
    Distillation" <https://arxiv.org/abs/2012.04915>`_ paper: each block :math:`S_l` of a student
    learns in the place of the teacher's :math:`T_l` while all others are still the teacher's, and
    only then they grow together.

    .. math::
        W_l = P_l^{s \to t} \circ S_l \circ P_l^{t \to s}, \qquad
        \text{hybrid}_m = \bigcirc_l \left( m_l\, W_l + (1 - m_l)\, T_l \right)

    Adapters :math:`P` are linear in the channels: convolutions of size 1 between maps,
    linear layers between node features; the first block has none before it and the last none
    behind. :meth:`stages` lists the hybrids to train, one after the other, with a
    :class:`GraftTask` each; :meth:`merge` takes the adapters into the student's own weights.
    A hybrid costs what its blocks cost.

    Args:
        teacher (sequence of torch.nn.Module): The trained blocks. A copy is kept, frozen and in
            evaluation mode.
        student (sequence of torch.nn.Module): As many blocks to train, in place. Between blocks
            only the number of channels may differ from the teacher's.
        x (torch.Tensor): Some samples, to measure the widths.
        edge_index (torch.Tensor, optional): Their edges, for message passing.
        bias (bool, optional): Adapters with bias. (default: :obj:`False`)
        **context: What else the blocks take, by name, see :class:`BlockNet`.

    Shapes:
        - **input:** samples :math:`(N, *)`, whatever the first block takes
        - **output:** logits :math:`(N, C)`

    Raises:
        ValueError: If the blocks do not fit each other.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from graphkit.compress import GraftTask, NetGraft
        >>> from graphkit.train import Trainer
        >>> def net(width):
        ...     first = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU())
        ...     return first, nn.Sequential(nn.Flatten(), nn.Linear(16 * width, 3))
        >>> x = torch.rand(6, 1, 4, 4)
        >>> graft = NetGraft(net(16), net(4), x)
        >>> for grafted in graft.stages():
        ...     optimizer = torch.optim.Adam(graft.groups(grafted, lr=0.001, adapter_lr=0.01))
        ...     trainer = Trainer(epochs=1, monitor=None, progress=False)
        ...     _ = trainer.fit(graft, optimizer, GraftTask(x, grafted, steps=5))
        >>> graft.merge(x)(x).shape
        torch.Size([6, 3])
    """

    def __init__(
        self,
        teacher: Iterable[nn.Module],
        student: Iterable[nn.Module],
        x: Tensor,
        edge_index: Tensor | None = None,
        bias: bool = False,
        **context: Any,
    ) -> None:
        super().__init__()
        self.teacher = BlockNet(*copy.deepcopy(list(teacher))).requires_grad_(False).eval()
        self.student = BlockNet(*student)
        if len(self.teacher) != len(self.student):
            raise ValueError(
                f"'teacher' has {len(self.teacher)} blocks and 'student' {len(self.student)}"
            )
        t2s, s2t = self.adapters(x, beside(edge_index, context), bias)
        self.t2s, self.s2t = nn.ModuleList(t2s), nn.ModuleList(s2t)
        self.to(x.device)
        self.reset_parameters()

    @torch.no_grad()
    def adapters(
        self, x: Tensor, context: dict[str, Any], bias: bool
    ) -> tuple[list[nn.Module], list[nn.Module]]:
        """New adapters for what the blocks give."""
        t2s: list[nn.Module] = []
        s2t: list[nn.Module] = []
        pair, h, last = (self.teacher, self.student), [x, x], len(self.teacher) - 1
        with frozen(self.student):
            for level in range(last + 1):
                h = [net.step(level, i, context) for net, i in zip(pair, h, strict=True)]
                large, small = (list(i.shape) for i in h)
                apart = [i for i, (a, b) in enumerate(zip(large, small, strict=False)) if a != b]
                wrong = apart not in ([], [1]) or (level == last and apart)
                if wrong or h[0].dim() != h[1].dim() or h[0].dim() not in POINTWISE:
                    raise ValueError(
                        f"block {level}: the teacher gives {large} and the student {small}; only "
                        "the channels of inner blocks, dimension 1, may differ"
                    )
                if level < last:
                    kind, size = POINTWISE[h[0].dim()], [] if h[0].dim() == 2 else [1]
                    t2s.append(kind(large[1], small[1], *size, bias=bias))
                    s2t.append(kind(small[1], large[1], *size, bias=bias))
        return t2s, s2t

    def reset_parameters(self) -> None:
        """Random adapters, as in the released code; the blocks stay as they are."""
        for adapter in [*self.t2s, *self.s2t]:
            nn.init.kaiming_normal_(adapter.weight, mode="fan_out", nonlinearity="relu")
            if adapter.bias is not None:
                nn.init.zeros_(adapter.bias)

    def train(self, mode: bool = True) -> NetGraft:
        """Sets the mode of the student; the teacher stays in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def mask(self, grafted: Sequence[bool] | None) -> Mask:
        """Which blocks are the student's; all of them by default."""
        if grafted is None:
            return (True,) * len(self.teacher)
        if len(grafted) != len(self.teacher):
            raise ValueError(f"'grafted' has {len(grafted)} entries for {len(self.teacher)} blocks")
        return tuple(bool(is_student) for is_student in grafted)

    def step(self, level: int, x: Tensor, grafted: bool, context: dict[str, Any]) -> Tensor:
        """The output of one block, in the teacher's channels."""
        if not grafted:
            return self.teacher.step(level, x, context)
        if level > 0:
            x = self.t2s[level - 1](x)
        x = self.student.step(level, x, context)
        return self.s2t[level](x) if level < len(self.s2t) else x

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | None = None,
        grafted: Sequence[bool] | None = None,
        **context: Any,
    ) -> Tensor:
        """The logits of a hybrid; of the student with its adapters by default."""
        context = beside(edge_index, context)
        for level, is_student in enumerate(self.mask(grafted)):
            x = self.step(level, x, is_student, context)
        return x

    def stages(self, order: Sequence[int] | None = None) -> list[Mask]:
        """The hybrids to train: every block alone, then one block more each time.

        Args:
            order (sequence of int, optional): The blocks in the order in which they are joined.
                (default: from the first to the last)

        Raises:
            ValueError: If ``order`` does not name every block once.
        """
        count = len(self.teacher)
        order = list(range(count)) if order is None else list(order)
        if sorted(order) != list(range(count)):
            raise ValueError(f"'order' must name the blocks 0 to {count - 1} once, got {order}")
        alone = [{level} for level in range(count)]
        joined = [set(order[: size + 1]) for size in range(1, count)]
        return [tuple(level in levels for level in range(count)) for levels in alone + joined]

    def groups(
        self, grafted: Sequence[bool], lr: float, adapter_lr: float | None = None
    ) -> list[dict[str, Any]]:
        """Parameter groups of a hybrid's own blocks and of their adapters, for an optimizer.

        Args:
            grafted (sequence of bool): The hybrid.
            lr (float): Learning rate of the blocks.
            adapter_lr (float, optional): That of the adapters. (default: ``lr``)
        """
        levels = [level for level, on in enumerate(self.mask(grafted)) if on]
        adapters = [self.t2s[level - 1] for level in levels if level > 0]
        adapters += [self.s2t[level] for level in levels if level < len(self.s2t)]
        groups = []
        for modules, rate in (
            ([self.student[level] for level in levels], lr),
            (adapters, lr if adapter_lr is None else adapter_lr),
        ):
            parameters = [p for module in modules for p in module.parameters()]
            groups += [{"params": parameters, "lr": rate}] if parameters else []
        return groups

    @torch.no_grad()
    def merge(self, x: Tensor, edge_index: Tensor | None = None, **context: Any) -> BlockNet:
        """The student with its adapters taken up by its own weights: no extra layer is left.

        The two adapters of a junction are one matrix, which goes into the layers that read it:
        a convolution, a linear layer, or those of a message-passing layer. It is checked in
        double precision that the output is the same.

        Args:
            x (torch.Tensor): Some samples to check it with.
            edge_index (torch.Tensor, optional): Their edges.
            **context: What else the blocks take.

        Raises:
            ValueError: If a block cannot take up its adapters: it begins with something that is
                not linear, or with zero padding behind adapters with bias.
        """
        exact: Any = copy.deepcopy(self).double().eval()
        merged = copy.deepcopy(exact.student)
        for level, (back, forth) in enumerate(zip(exact.s2t, exact.t2s, strict=True), 1):
            weight = forth.weight.flatten(1) @ back.weight.flatten(1)
            bias = None
            if back.bias is not None:
                bias = forth.weight.flatten(1) @ back.bias + forth.bias
            fold(merged[level], weight, bias)
        x = x.double() if x.is_floating_point() else x
        context = {
            name: value.double()
            if isinstance(value, Tensor) and value.is_floating_point()
            else value
            for name, value in beside(edge_index, context).items()
        }
        before, after = exact(x, **context), merged(x, **context)
        error, scale = (before - after).abs().max(), before.abs().max()
        if not error <= 1e-6 * scale.clamp(min=1e-6):
            raise ValueError(
                f"a block does not take up its adapters, outputs differ by {float(error):.2g}: it "
                "begins with a layer that is not linear in its input, or pads the input with "
                "zeros where adapters have a bias"
            )
        return merged.to(next(self.student.parameters()).dtype).train(self.training)
