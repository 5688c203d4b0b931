"""One student for the label sets of several teachers, by features that all networks share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.distill.amalgamation.common_space import CommonSpace
from graphkit.distill.amalgamation.teachers import Teachers
from graphkit.distill.distiller import CALL, Distiller, features
from graphkit.distill.losses.multi_kernel import SIGMAS, MultiKernelMMDLoss
from graphkit.distill.losses.soft_target import SoftTargetLoss
from graphkit.lopsided import watch_terms
from graphkit.modes import evaluating
from graphkit.taps import Call, tap
from graphkit.words import refuse_class

__all__ = ["CommonFeatureLearning", "CommonFeatures"]


@dataclass(frozen=True)
class CommonFeatures:
    """What all networks make of the same samples, the student first.

    Args:
        logits (list of torch.Tensor): Their outputs.
        features (list of torch.Tensor): Their last features, of equal height and width.
        common (list of torch.Tensor): The same in the common space.
        decoded (list of torch.Tensor): The teachers' features again, from the common space.
    """

    logits: list[Tensor]
    features: list[Tensor]
    common: list[Tensor]
    decoded: list[Tensor]


@method(
    paper="arXiv:1906.10546",
    title="Knowledge Amalgamation from Heterogeneous Networks by Common Feature Learning",
    authors="Sihui Luo, Xinchao Wang, Gongfan Fang, Yao Hu, Dapeng Tao, Mingli Song",
    venue="IJCAI 2019",
    year=2019,
    code="https://github.com/VainF/CommonFeatureLearning",
    licence="none",
    takes="trained classifiers of different label sets and architectures, samples without labels",
    gives="a student that knows all label sets; features of all networks in one space",
    deviations=[
        "written from the abstract and the released code",
        "the common features weigh 1; the released script weighs them 10, which hurts a small "
        "student on few images",
        "the divergence from the soft targets in place of the cross entropy: the same gradient, "
        "and 0 at equality",
        "features of different height or width are averaged to the smallest",
        "features of nodes, or pooled ones, go through linear layers in place of convolutions",
        "centred logits are not in the paper",
    ],
    limits=[
        "accuracy alone: soft targets do as well; the gain is a shared feature space",
        "few images and the released weight of 10: it costs 18 points with 60",
    ],
)
class CommonFeatureLearning(Distiller):
    r"""Amalgamates teachers of different label sets and architectures into one student, without
    labels, as in the `"Knowledge Amalgamation from Heterogeneous Networks by Common Feature
    Learning" <https://arxiv.org/abs/1906.10546>`_ paper.

    .. math::
        h_m = E(\mathrm{ReLU}(A_m f_m)), \qquad
        \mathcal{L} = T^2 D_{KL}\big( \mathrm{softmax}(\tfrac{[z_1 \Vert \dots \Vert z_M]}{T})
        \,\Vert\, \mathrm{softmax}(\tfrac{z_s}{T}) \big) + \lambda \sum_{m=1}^{M} \Big(
        \mathrm{MMD}^2(h_s, h_m) + \beta\, \lVert R_m(h_m) - f_m \rVert^2 \Big)

    :math:`f` are last features, :math:`z` logits; :math:`E`, three residual blocks, is one for
    all networks, :math:`A` and :math:`R` each network's own; the last norm is a mean over
    entries. MMD (:class:`MultiKernelMMDLoss`) compares distributions over the batch: only the
    soft targets tell which sample is which. Published gains over soft targets alone are below
    half a point; see the recipe ``cfl-digits`` for what :math:`\lambda` does to a small student.

    It is a :class:`Distiller`: called like the student, and :meth:`penalty` is the whole
    objective, which :class:`Distillation` adds in a :class:`~graphkit.train.Trainer`;
    :meth:`loss` is both in one. Networks may be GNNs, whose features are those of nodes, or
    pooled. Teachers are trained apart and not calibrated against each other: see ``centred``.
    Time grows with :math:`M` passes through :math:`E` and with :math:`M N^2` of the batch.

    Args:
        student (torch.nn.Module): Its output covers all label sets, in the order of the teachers.
        teachers (sequence of torch.nn.Module): They stay as they are.
        layers (sequence of str): The module of last features in the student and each teacher.
        channels (sequence of int): The channels of those features.
        hidden_channels (int, optional): Of the common space. (default: :obj:`128`)
        spatial (bool, optional): Features are maps, not vectors. (default: :obj:`True`)
        weight (float, optional): :math:`\lambda`; 0 is soft targets alone, 10 the released
            script. (default: :obj:`1.0`)
        reconstruction (float, optional): :math:`\beta`. (default: :obj:`1.0`)
        temperature (float, optional): :math:`T`. (default: :obj:`1.0`)
        centred (bool, optional): Takes the mean over its classes off each teacher's logits.
            (default: :obj:`False`)
        sigmas (sequence of float, optional): Widths of the kernels.

    Shapes:
        - **input:** what student and teachers take
        - **output:** what the student gives; features are :math:`(N, C, H, W)`, or
          :math:`(N, C)` if not spatial

    Raises:
        ValueError: If there is no teacher, lists differ in length, a module is unknown, or
            features or logits do not fit.
        RuntimeError: If :meth:`penalty` is called without a forward pass in training mode.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GAT, GCN
        >>> from graphkit.distill import CommonFeatureLearning
        >>> student, teachers = GCN(8, 16, 2, 5), [GAT(8, 32, 2, 3), GCN(8, 24, 2, 2)]
        >>> model = CommonFeatureLearning(
        ...     student, teachers, ["convs.0"] * 3, [16, 32, 24], 12, spatial=False)
        >>> x, edge_index = torch.rand(4, 8), torch.tensor([[0, 1, 2, 3], [1, 0, 0, 1]])
        >>> model.loss(x, edge_index).backward()
        >>> [h.shape for h in model.common(x, edge_index).common]
        [torch.Size([4, 12]), torch.Size([4, 12]), torch.Size([4, 12])]
    """

    def __init__(
        self,
        student: nn.Module,
        teachers: Sequence[nn.Module],
        layers: Sequence[str],
        channels: Sequence[int],
        hidden_channels: int = 128,
        spatial: bool = True,
        weight: float = 1.0,
        reconstruction: float = 1.0,
        temperature: float = 1.0,
        centred: bool = False,
        sigmas: Sequence[float] = SIGMAS,
    ) -> None:
        refuse_class("student", student)
        count = len(teachers)
        if not count:
            raise ValueError("'teachers' is empty")
        for name, given in (("layers", layers), ("channels", channels)):
            if len(given) != count + 1:
                raise ValueError(f"'{name}' has {len(given)} entries for {count + 1} networks")
        if min(weight, reconstruction) < 0:
            raise ValueError(
                f"'weight' and 'reconstruction' must not be negative, got {weight} and "
                f"{reconstruction}"
            )
        pairs = [(layers[0], f"{i}.{name}".rstrip(".")) for i, name in enumerate(layers[1:])]
        super().__init__(
            student,
            Teachers(teachers, centred),
            [("", ""), *pairs],
            [SoftTargetLoss(temperature), *[MultiKernelMMDLoss(sigmas)] * count],
            [1.0, *[weight] * count],
        )
        self.space = CommonSpace(channels, hidden_channels, spatial)
        self.weight, self.reconstruction, self.sigmas = weight, reconstruction, tuple(sigmas)

    @property
    def teacher(self) -> nn.Module:
        """The teachers as one classifier, where the common space is."""
        return super().teacher.to(next(self.space.parameters()).device)

    def loss(self, *args: Any, rows: Tensor | None = None, **kwargs: Any) -> Tensor:
        """The objective on what student and teachers take, in training mode.

        Args:
            *args, **kwargs: What they take.
            rows (torch.Tensor, optional): As in :meth:`penalty`.
        """
        self(*args, **kwargs)
        return self.penalty(rows)

    def penalty(self, rows: Tensor | None = None) -> Tensor:
        """The objective on the last forward pass in training mode, once.

        Args:
            rows (torch.Tensor, optional): The samples that count, such as some nodes of a graph.
                (default: all)
        """
        terms = self.terms(rows)
        if not self.weight:
            return terms["soft"]
        watch_terms(
            self,
            {"soft targets": (1.0, terms["soft"]), "weight": (self.weight, terms["mmd"])},
            self.student.parameters(),
        )
        return terms["soft"] + self.weight * (
            terms["mmd"] + self.reconstruction * terms["reconstruction"]
        )

    def terms(self, rows: Tensor | None = None) -> dict[str, Tensor]:
        """The parts of :meth:`penalty`, unweighted; with weight 0 only ``"soft"``."""
        if self.seen is None:
            raise RuntimeError("call the model in training mode before each penalty()")
        ours, self.seen = self.seen, None
        theirs = self.taught(ours[CALL])
        soft = self.losses[0](*(pick(calls, "", rows) for calls in (ours, theirs)))
        if not self.weight:
            return {"soft": soft}
        maps = self.last(ours, theirs, rows)
        common = self.space(maps)
        gaps = [loss(common[0], h) for loss, h in zip(self.losses[1:], common[1:], strict=True)]
        decoded = zip(self.space.decode(common), maps[1:], strict=True)
        errors = [F.mse_loss(rebuilt, given) for rebuilt, given in decoded]
        return {
            "soft": soft,
            "mmd": torch.stack(gaps).sum(),
            "reconstruction": torch.stack(errors).sum(),
        }

    def last(
        self, ours: dict[str, Call], theirs: dict[str, Call], rows: Tensor | None = None
    ) -> list[Tensor]:
        """The last features of all networks, of equal height and width."""
        maps = [pick(ours, self.pairs[1][0], rows)]
        maps += [pick(theirs, name, rows) for _, name in self.pairs[1:]]
        dims = 4 if self.space.spatial else 2
        for (_, name), each in zip(self.pairs, maps, strict=True):
            where = f"the features of {'teacher ' + name if name else 'the student'}"
            if each.dim() != dims or len(each) != len(maps[0]):
                raise ValueError(
                    f"{where} have shape {list(each.shape)}, expected {dims} dimensions and "
                    f"{len(maps[0])} samples"
                )
            if not torch.isfinite(each.detach().sum()):
                raise ValueError(f"{where} hold NaN or infinite values")
        return self.space.align(maps)

    @torch.no_grad()
    def common(self, *args: Any, **kwargs: Any) -> CommonFeatures:
        """All networks on the same samples, in evaluation mode.

        Args:
            *args, **kwargs: What student and teachers take.
        """
        single = [str(i) for i in range(len(self.pairs) - 1)]
        with evaluating(self), tap(self.student, "", *self.names(0)) as ours:
            self.student(*args, **kwargs)
            with evaluating(self.teacher), tap(self.teacher, *single, *self.names(1)) as theirs:
                self.teacher(*args, **kwargs)
            maps = self.last(dict(ours), dict(theirs))
            common = self.space(maps)
            logits = [features(dict(ours), ""), *(features(dict(theirs), name) for name in single)]
            return CommonFeatures(logits, maps, common, self.space.decode(common))

    def parameter_groups(self, lr: float, head: str) -> list[dict[str, Any]]:
        """Groups for an optimizer as in the released script, which runs Adam with learning rate
        1e-4 and weight decay 1e-4 for 30 epochs, a tenth of it from epoch 15 on.

        Args:
            lr (float): Learning rate of the student; its head and the common space have ten
                times that.
            head (str): The name of the student's last layer.
        """
        named = dict(self.student.named_parameters())
        fast = [p for name, p in named.items() if name.startswith(f"{head}.")]
        slow = [p for name, p in named.items() if not name.startswith(f"{head}.")]
        if not fast:
            raise ValueError(f"'head' is {head!r}, and the student's parameters are {[*named]}")
        return [
            {"params": slow, "lr": lr},
            {"params": [*fast, *self.space.parameters()], "lr": 10 * lr},
        ]


def pick(calls: dict[str, Call], name: str, rows: Tensor | None) -> Tensor:
    """What a module returned, for some samples."""
    output = features(calls, name)
    return output if rows is None else output[rows]
