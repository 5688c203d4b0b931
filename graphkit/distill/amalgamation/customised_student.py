"""A student for the tasks a user wants, from sources that each know some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.distill.amalgamation.source_losses import (
    ProjectedFeatureLoss,
    ScaledLogitLoss,
    entropy,
)
from graphkit.distill.amalgamation.teachers import Teachers
from graphkit.distill.distiller import CALL, Distiller, features
from graphkit.distill.loss import check_choice
from graphkit.modes import evaluating
from graphkit.precision import wide
from graphkit.taps import Call, tap
from graphkit.words import did_you_mean, refuse_class

__all__ = ["CustomizedStudent", "Trust"]


@dataclass(frozen=True)
class Trust:
    """How sure each source is of each sample, for one task.

    Args:
        sources (tuple of int): The numbers of the sources that cover the task.
        logits (torch.Tensor): Theirs, of the task's classes alone, :math:`(N, M, K)`.
        entropy (torch.Tensor): Of their predictions, in nats, :math:`(N, M)`.
        choice (torch.Tensor): The column of the lowest entropy, the first of equals, :math:`(N)`.
    """

    sources: tuple[int, ...]
    logits: Tensor
    entropy: Tensor
    choice: Tensor

    @property
    def picked(self) -> Tensor:
        """The logits of the source that each sample trusts, :math:`(N, K)`."""
        return self.logits[torch.arange(len(self.choice), device=self.choice.device), self.choice]


@method(
    paper="arXiv:1908.07121",
    title="Customizing Student Networks From Heterogeneous Teachers via Adaptive Knowledge "
    "Amalgamation",
    authors="Chengchao Shen, Mengqi Xue, Xinchao Wang, Jie Song, Li Sun, Mingli Song",
    venue="ICCV 2019",
    year=2019,
    code="https://github.com/zju-vipa/KamalEngine",
    licence="Apache-2.0",
    takes="trained classifiers that each cover some tasks, samples without labels",
    gives="a student for the wanted tasks; which source each sample trusts",
    deviations=[
        "written from the abstract and the released code",
        "a sample's source is chosen in its batch; the released code parts the samples once and "
        "draws equally many per source: balanced=True",
        "variant='released' counts the norm penalty once per group of layers and keeps a "
        "component's scale of logits at 1; schedulers and modes of the released program are "
        "faults, and left out",
        "filters of the source's side begin with length one",
        "features of nodes go through linear layers; graph networks are not in the paper",
    ],
    limits=[
        "teachers of which one covers all tasks: average their probabilities, which is as good",
    ],
)
class CustomizedStudent(Distiller):
    r"""Learns each sample from the source that is surest of it, as in the `"Customizing Student
    Networks From Heterogeneous Teachers via Adaptive Knowledge Amalgamation"
    <https://arxiv.org/abs/1908.07121>`_ paper.

    .. math::
        t^*(x) = \arg\min_t H(p_t(x)), \qquad
        \mathcal{L} = \frac{1}{N} \sum_x \Big( \overline{(m_{t^*} z(x) - z_{t^*}(x))^2} +
        \lambda \sum_l \overline{(A_l f_l(x) - B_{l t^*} f_{l t^*}(x))^2} \Big) +
        \sum_{t, l} \overline{(\lVert b_{lt} \rVert^2 - 1)^2}

    with the entropy :math:`H` of a source's softmax over the classes of the task, logits
    :math:`z`, features :math:`f`, projections :math:`A, B` of the channels to half of the
    source's, and the rows :math:`b` of :math:`B`. Bars are means. No label is used. The paper
    has two steps: a component network per task, then one target for all of them, from
    :meth:`of_components`; there each source has its own head and nothing is to be chosen.
    A source that is sure and wrong is trusted; averaged probabilities are a near rival, see the
    recipe ``customized-digits``.

    It is a :class:`Distiller`: called like the student, and :meth:`penalty` is the whole
    objective, which :class:`Distillation` adds in a :class:`~graphkit.train.Trainer`;
    :meth:`loss` is both in one. Sources run in evaluation mode and stay as they are, so their
    number of forward passes is what a step costs. Networks may be GNNs of nodes or graphs.

    Args:
        student (torch.nn.Module): Its logits are those of all wanted tasks side by side.
        sources (sequence of torch.nn.Module): The trained classifiers.
        covers (sequence of dict): Per source, for each task that it covers, by name, the columns
            of its logits, in the order of the student's classes.
        tasks (sequence of str, optional): The wanted ones. (default: all, as they come)
        layers (sequence, optional): Groups of modules whose features are aligned: the student's,
            then each source's. (default: logits alone)
        channels (sequence, optional): The channels of those features, in the same order.
        weight (float, optional): :math:`\lambda`. (default: :obj:`1.0`)
        project_sources (bool, optional): :obj:`False`: the student's features alone are
            projected, to the source's channels, as for a target. (default: :obj:`True`)
        exact_norm (bool, optional): Rows of :math:`B` are divided by their lengths, without
            penalty. (default: :obj:`False`)
        balanced (bool, optional): The mean over each source's samples, summed over sources,
            however few trust it. (default: :obj:`False`)
        variant (str, optional): ``"paper"``, or ``"released"``: the penalty once for each
            group of layers, and :math:`m = 1` unless for a target. (default: ``"paper"``)

    Shapes:
        - **input:** what student and sources take
        - **output:** what the student gives, :math:`(N, \sum K)`

    Raises:
        ValueError: If there is no source, one wanted task is covered by none, columns do not fit,
            or logits or features do not fit or are not finite.
        RuntimeError: If :meth:`penalty` is called without a forward pass in training mode.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GAT, GCN
        >>> from graphkit.distill import CustomizedStudent
        >>> sources = [GAT(8, 32, 2, 3), GCN(8, 24, 2, 5)]
        >>> covers = [{"kind": [0, 1, 2]}, {"kind": [0, 1, 2], "age": [3, 4]}]
        >>> layers, channels = [["convs.0"] * 3], [[16, 32, 24]]
        >>> kind = CustomizedStudent(GCN(8, 16, 2, 3), sources, covers, ["kind"], layers, channels)
        >>> x, edge_index = torch.rand(4, 8), torch.tensor([[0, 1, 2, 3], [1, 0, 0, 1]])
        >>> kind.loss(x, edge_index).backward()
        >>> kind.trust("kind", x, edge_index).entropy.shape
        torch.Size([4, 2])
    """

    def __init__(
        self,
        student: nn.Module,
        sources: Sequence[nn.Module],
        covers: Sequence[Mapping[str, Sequence[int]]],
        tasks: Sequence[str] | None = None,
        layers: Sequence[Sequence[str]] = (),
        channels: Sequence[Sequence[int]] = (),
        weight: float = 1.0,
        project_sources: bool = True,
        exact_norm: bool = False,
        balanced: bool = False,
        variant: str = "paper",
    ) -> None:
        refuse_class("student", student)
        check_choice("variant", variant, ("paper", "released"))
        count = len(sources)
        if not count or len(covers) != count:
            raise ValueError(f"'covers' has {len(covers)} entries for {count} sources")
        if weight < 0:
            raise ValueError(f"'weight' must not be negative, got {weight}")
        check_layers(layers, channels, count)
        columns = columns_of(covers, tasks)
        pairs = [("", str(t)) for t in range(count)]
        # The released program scales the logits of a target alone.
        scaled = variant == "paper" or not project_sources
        losses: list[Any] = [ScaledLogitLoss(scaled) for _ in sources]
        for names, widths in zip(layers, channels, strict=True):
            for t in range(count):
                pairs.append((names[0], f"{t}.{names[t + 1]}".rstrip(".")))
                losses.append(
                    ProjectedFeatureLoss(widths[0], widths[t + 1], project_sources, exact_norm)
                )
        super().__init__(student, Teachers(sources), pairs, losses)
        self.columns, self.count = columns, count
        self.weight, self.balanced, self.variant = weight, balanced, variant

    @classmethod
    def of_components(
        cls, student: nn.Module, components: Mapping[str, CustomizedStudent], **options: Any
    ) -> CustomizedStudent:
        """The second step: one target for several tasks, each from its component's student.

        Args:
            student (torch.nn.Module): The target.
            components (dict): The trained component of each wanted task.
            **options: ``layers``, ``channels``, ``weight``, ``balanced`` and ``variant``.

        Raises:
            ValueError: If a component does not cover its task, or there is none.
        """
        covers = []
        for task, model in components.items():
            first = sum(model.classes[name] for name in model.before(task))
            covers.append({task: range(first, first + model.classes[task])})
        sources = [model.student for model in components.values()]
        return cls(student, sources, covers, list(components), project_sources=False, **options)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The wanted tasks, in the order of the student's heads."""
        return tuple(self.columns)

    @property
    def classes(self) -> dict[str, int]:
        """How many classes each task has."""
        return {task: len(next(iter(own.values()))) for task, own in self.columns.items()}

    def before(self, task: str) -> tuple[str, ...]:
        """The tasks whose heads come before that of a task."""
        if task not in self.columns:
            raise ValueError(f"'task' is {task!r}; {did_you_mean(task, self.columns)}")
        return self.tasks[: self.tasks.index(task)]

    @property
    def teacher(self) -> nn.Module:
        """The sources as one classifier, where the student is."""
        return super().teacher.to(next(self.parameters()).device)

    def loss(self, *args: Any, rows: Tensor | None = None, **kwargs: Any) -> Tensor:
        """The objective on what student and sources take, in training mode.

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
        return terms["logits"] + self.weight * terms["features"] + terms["norm"]

    def terms(self, rows: Tensor | None = None) -> dict[str, Tensor]:
        """The parts of :meth:`penalty`, unweighted."""
        if self.seen is None:
            raise RuntimeError("call the model in training mode before each penalty()")
        ours, self.seen = self.seen, None
        theirs = self.taught(ours[CALL])
        logits = pick(ours, "", rows, "the student's logits")
        wanted = list(self.classes.values())
        if logits.dim() != 2 or logits.size(1) != sum(wanted):
            raise ValueError(
                f"'student' gives logits of shape {list(logits.shape)} for tasks of {self.classes}"
            )
        parts = [self.weigh(task, theirs, rows) for task in self.tasks]
        apart, inner = [], []
        for trust, head in zip(parts, logits.split(wanted, 1), strict=True):
            for place, source in enumerate(trust.sources):
                share = self.share(trust.choice == place)
                apart.append(self.losses[source](head, trust.logits[:, place], share))
                inner += self.gaps(source, ours, theirs, rows, share)
        inside = [loss for loss in self.losses if isinstance(loss, ProjectedFeatureLoss)]
        norms = [loss.norm_penalty() for loss in inside]
        # The released program adds all norms up anew for every group of layers.
        times = len(norms) // self.count if self.variant == "released" else 1
        zero = logits.new_zeros(())
        return {
            "logits": torch.stack(apart).sum(),
            "features": torch.stack([zero, *inner]).sum(),
            "norm": times * torch.stack([zero, *norms]).sum(),
        }

    def share(self, chosen: Tensor) -> Tensor:
        """What every sample counts for a source: nothing where another one is trusted."""
        count = int(chosen.sum()) if self.balanced else len(chosen)
        return chosen / max(count, 1)

    def gaps(
        self,
        source: int,
        ours: dict[str, Call],
        theirs: dict[str, Call],
        rows: Tensor | None,
        share: Tensor,
    ) -> list[Tensor]:
        """How far the student's features are from a source's, layer by layer."""
        if not self.weight:
            return []
        found = []
        for place in range(self.count + source, len(self.pairs), self.count):
            names, loss = self.pairs[place], self.losses[place]
            student = pick(ours, names[0], rows, f"the student's features {names[0]!r}")
            teacher = pick(theirs, names[1], rows, f"the source's features {names[1]!r}")
            if len(student) != len(share) or len(teacher) != len(share):
                raise ValueError(
                    f"features {names} have {len(student)} and {len(teacher)} rows for "
                    f"{len(share)} samples"
                )
            found.append(loss(student, teacher, share))
        return found

    def weigh(self, task: str, theirs: dict[str, Call], rows: Tensor | None = None) -> Trust:
        """Which source each sample trusts, by what the sources returned."""
        self.before(task)
        own = self.columns[task]
        logits = []
        for source, columns in own.items():
            given = pick(theirs, str(source), rows, f"the logits of source {source}")
            if given.dim() != 2 or given.size(1) <= max(columns):
                raise ValueError(
                    f"source {source} gives logits of shape {list(given.shape)}; 'covers' names "
                    f"column {max(columns)}"
                )
            logits.append(given[:, columns])
        joint = torch.stack(logits, 1)
        doubt = torch.stack([entropy(one) for one in logits], 1)
        return Trust(tuple(own), joint, doubt, doubt.argmin(1))

    @torch.no_grad()
    def trust(self, task: str, *args: Any, rows: Tensor | None = None, **kwargs: Any) -> Trust:
        """How sure each source is of each sample, in evaluation mode.

        Args:
            task (str): One of the wanted tasks.
            *args, **kwargs: What the sources take.
            rows (torch.Tensor, optional): The samples that count. (default: all)
        """
        names = [str(source) for source in range(self.count)]
        with evaluating(self.teacher), tap(self.teacher, *names) as record:
            self.teacher(*args, **kwargs)
        return self.weigh(task, dict(record), rows)

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """Groups for an optimizer as in the released script, which runs Adam with rate 1e-4: the
        scales of the logits have a hundredth of that.

        Args:
            lr (float): Learning rate of the student and of the projections.
        """
        scales = [loss.scale for loss in self.losses[: self.count] if loss.scale.requires_grad]
        slow = {id(scale) for scale in scales}
        fast = [p for p in self.parameters() if id(p) not in slow and p.requires_grad]
        return [{"params": fast, "lr": lr}, {"params": scales, "lr": lr / 100}]


def columns_of(
    covers: Sequence[Mapping[str, Sequence[int]]], tasks: Sequence[str] | None
) -> dict[str, dict[int, list[int]]]:
    """Per wanted task the columns of each source that covers it, all checked."""
    known = list(dict.fromkeys(task for own in covers for task in own))
    wanted = known if tasks is None else list(tasks)
    if not wanted or len(set(wanted)) != len(wanted):
        raise ValueError(f"'tasks' must name each wanted task once, got {wanted}")
    found: dict[str, dict[int, list[int]]] = {}
    for task in wanted:
        own = {t: list(given[task]) for t, given in enumerate(covers) if task in given}
        if not own:
            raise ValueError(f"no source covers the task {task!r}; {did_you_mean(task, known)}")
        sizes = {t: len(columns) for t, columns in own.items()}
        if len(set(sizes.values())) > 1 or min(sizes.values()) < 2:
            raise ValueError(
                f"sources need the same classes of the task {task!r}, at least two: 'covers' "
                f"names {sizes} columns"
            )
        if any(min(c) < 0 or len(set(c)) != len(c) for c in own.values()):
            raise ValueError(f"'covers' names a column of the task {task!r} twice, or below 0")
        found[task] = own
    return found


def check_layers(
    layers: Sequence[Sequence[str]], channels: Sequence[Sequence[int]], count: int
) -> None:
    """Raises unless every group has an entry for the student and for each source."""
    if len(layers) != len(channels):
        raise ValueError(f"'channels' has {len(channels)} entries for {len(layers)} 'layers'")
    for name, groups in (("layers", layers), ("channels", channels)):
        for group in groups:
            if isinstance(group, str) or len(group) != count + 1:
                raise ValueError(
                    f"'{name}' must hold groups of {count + 1}, the student's and each source's, "
                    f"got {group!r}"
                )


def pick(calls: dict[str, Call], name: str, rows: Tensor | None, what: str) -> Tensor:
    """What a module returned, for some samples; finite."""
    output = features(calls, name)
    output = output if rows is None else output[rows]
    if not torch.isfinite(wide(output.detach()).sum()):
        raise ValueError(f"{what} hold NaN or infinite values")
    return output
