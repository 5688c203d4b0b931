"""One half of a student's features follows the teacher, the other half goes where it is not."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.catalog import method
from graphkit.distill.loss import DistillationLoss, check_choice
from graphkit.distill.losses.factor_coder import FactorCoder, encoder
from graphkit.modes import evaluating
from graphkit.precision import normalize, positive, wide
from graphkit.train import TensorTask, Trainer

__all__ = ["InheritanceExploration", "factor_distance"]


def factor_distance(a: Tensor, b: Tensor) -> Tensor:
    r"""How far the directions of two samples' factors are from each other, by the mean over
    samples and entries of

    .. math::
        \left| \frac{a}{\lVert a \rVert_2} - \frac{b}{\lVert b \rVert_2} \right|
        \le \frac{2}{\sqrt{n}}

    with :math:`n` entries per sample: it shrinks as maps grow, and is the reason for large
    weights.

    Args:
        a, b (torch.Tensor): Factors of the same samples.

    Shapes:
        - **input:** :math:`(N, *)` both
        - **output:** a scalar; 0 without samples

    Raises:
        ValueError: If shapes differ.

    Example:
        >>> import torch
        >>> factor_distance(torch.tensor([[3.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
        tensor(0.)
    """
    if a.shape != b.shape:
        raise ValueError(f"factors of shapes {list(a.shape)} and {list(b.shape)} do not compare")
    unit = [normalize(wide(each).flatten(1)) for each in (a, b)]
    return (unit[0] - unit[1]).abs().sum() / max(a.numel(), 1)


def factor_cosine(a: Tensor, b: Tensor) -> Tensor:
    """The cosine between the factors of every sample."""
    return (normalize(wide(a).flatten(1)) * normalize(wide(b).flatten(1))).sum(1)


@method(
    paper="arXiv:2107.00181",
    title="Revisiting Knowledge Distillation: An Inheritance and Exploration Framework",
    authors="Zhen Huang, Xu Shen, Jun Xing, Tongliang Liu, Xinmei Tian, Houqiang Li, Bing Deng, "
    "Jianqiang Huang, Xian-Sheng Hua",
    venue="CVPR 2021",
    year=2021,
    code="https://github.com/yellowtownhz/IE-KD",
    licence="none",
    takes="feature maps of a student and a trained teacher",
    gives="a scalar to add to the student's loss",
    deviations=[
        "written from summaries and from a program of some of the authors; its settings file does "
        "not fit its code, and it names the trained network teacher",
        "variant='released' learns the teacher's factors with the absolute error",
        "the decoder ends without normalisation and activation",
        "features of nodes, with linear layers, are not in the paper",
    ],
    limits=[
        "short budgets: on 5,000 images of CIFAR-10 and 10 epochs it is no better than plain "
        "training, +0.9 ± 2.6 points over two seeds",
    ],
)
class InheritanceExploration(DistillationLoss):
    r"""IE-KD of the `"Revisiting Knowledge Distillation: An Inheritance and Exploration
    Framework" <https://arxiv.org/abs/2107.00181>`_ paper: half of the student's channels
    inherits what the teacher knows, the other half is kept away from it.

    .. math::
        \mathcal{L} = \lambda_{inh}\, d(E_I(f_{inh}), F_T) -
        \lambda_{exp}\, d(E_E(f_{exp}), F_T), \qquad F_T = E_T(f_T)

    :math:`d` is :func:`factor_distance`. The factors :math:`F_T` come from an auto-encoder of the
    teacher's features, which :meth:`learn_factors` trains first and which then stays as it is;
    the encoders :math:`E_I, E_E` learn with the student and are not needed afterwards. An encoder
    can move away from the teacher while the features do not: compare features, not factors, by
    :func:`graphkit.transfer.cka`. Time and memory grow as three encoders' of three convolutions
    each. For two networks that teach each other see :class:`MutualExploration`.

    :class:`~graphkit.distill.Distiller` takes 0.001 of it unless told otherwise: at weight 1 a
    GCN of 16 channels lost 7 to 10 points in 100 epochs on Cora and digits, which chose the weight.

    Args:
        in_channels (int): Channels of the student's features, at least two.
        teacher_channels (int): Channels of the teacher's.
        factor_channels (int, optional): Of the factors. (default: half of the teacher's)
        inheritance (float, optional): :math:`\lambda_{inh}`. (default: :obj:`50.0`)
        exploration (float, optional): :math:`\lambda_{exp}`. (default: :obj:`50.0`)
        share (float, optional): Of channels that inherit; the odd one does.
            (default: :obj:`0.5`)
        split (str, optional): ``"halves"``, the first channels inherit, or ``"random"``, drawn
            once and kept in the state. (default: ``"halves"``)
        distance (str, optional): ``"l1"``, or ``"cosine"``: :math:`1 - \cos` and
            :math:`|\cos|`. (default: ``"l1"``)
        spatial (bool, optional): Features are maps, not vectors. (default: :obj:`True`)
        moving (bool, optional): The teacher learns as well: its auto-encoder learns along, and
            its error is part of the loss. (default: :obj:`False`)
        variant (str, optional): ``"paper"``: factors are learned with the squared error;
            ``"released"``: with the absolute one. (default: ``"paper"``)

    Shapes:
        - **input:** student :math:`(N, C_s, H, W)`, teacher :math:`(N, C_t, H, W)`, or
          :math:`(N, C)` if not spatial
        - **output:** a scalar, which may be negative

    Raises:
        ValueError: If sizes or options are wrong, or features do not fit or are not finite.
        RuntimeError: If the teacher's factors have not been learned.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from graphkit.distill import Distiller, InheritanceExploration
        >>> from graphkit.taps import tap
        >>> student, teacher = GCN(8, 16, 2, 3), GCN(8, 32, 2, 3)
        >>> x, edge_index = torch.rand(6, 8), torch.tensor([[0, 1, 2, 3], [1, 0, 0, 1]])
        >>> with tap(teacher, "convs.0") as inner:
        ...     _ = teacher(x, edge_index)
        >>> loss = InheritanceExploration(16, 32, spatial=False)
        >>> error = loss.learn_factors(inner["convs.0"].output, epochs=1)
        >>> model = Distiller(student, teacher, [("convs.0", "convs.0")], loss)
        >>> (model(x, edge_index).mean() + model.penalty()).backward()
    """

    usual_weight = 0.001

    inherit: Tensor
    explore: Tensor
    learned: Tensor

    def __init__(
        self,
        in_channels: int,
        teacher_channels: int,
        factor_channels: int | None = None,
        inheritance: float = 50.0,
        exploration: float = 50.0,
        share: float = 0.5,
        split: str = "halves",
        distance: str = "l1",
        spatial: bool = True,
        moving: bool = False,
        variant: str = "paper",
    ) -> None:
        super().__init__()
        check_choice("split", split, ("halves", "random"))
        check_choice("distance", distance, ("l1", "cosine"))
        check_choice("variant", variant, ("paper", "released"))
        if min(inheritance, exploration) < 0:
            raise ValueError(
                f"'inheritance' and 'exploration' must not be negative, got {inheritance} and "
                f"{exploration}"
            )
        factors = max(teacher_channels // 2, 1) if factor_channels is None else factor_channels
        # The small number keeps 0.7 * 10 = 7.000000000000001 from being rounded up to 8.
        first = int(-(-(in_channels * share - 1e-9) // 1))
        if not 0 < first < in_channels:
            raise ValueError(
                f"'in_channels' {in_channels} and 'share' {share} leave one part without channels"
            )
        order = torch.arange(in_channels) if split == "halves" else torch.randperm(in_channels)
        self.register_buffer("inherit", order[:first].sort().values)
        self.register_buffer("explore", order[first:].sort().values)
        self.register_buffer("learned", torch.tensor(moving))
        self.coder = FactorCoder(teacher_channels, factors, spatial).requires_grad_(moving)
        self.inherits = encoder(first, factors, spatial)
        self.explores = encoder(in_channels - first, factors, spatial)
        self.inheritance, self.exploration = inheritance, exploration
        self.channels, self.teacher_channels = in_channels, teacher_channels
        self.distance, self.spatial, self.moving = distance, spatial, moving
        self.variant = variant

    def train(self, mode: bool = True) -> InheritanceExploration:
        """Sets the mode of the student's encoders; a trained teacher's stays in evaluation mode."""
        super().train(mode)
        if not self.moving:
            self.coder.eval()
        return self

    def learn_factors(
        self,
        features: Tensor,
        epochs: int = 30,
        lr: float = 0.01,
        batch_size: int = 128,
        trainer: Trainer | None = None,
    ) -> float:
        """Trains the auto-encoder of the teacher's features, alone, and freezes it unless the
        teacher is ``moving``.

        Args:
            features (torch.Tensor): What the teacher makes of training samples.
            epochs (int, optional): How often they are seen. (default: :obj:`30`)
            lr (float, optional): Adam's learning rate. (default: :obj:`0.01`)
            batch_size (int, optional): Samples per step, at least 2; some more where one would
                be left over, on which batch normalisation cannot train. (default: :obj:`128`)
            trainer (Trainer, optional): In place of one of so many epochs.

        Returns:
            The reconstruction error over the variance of the features, in evaluation mode.
        """
        features = features.detach()
        self.check(features, "features", self.teacher_channels)
        if len(features) < 2:
            raise ValueError(f"'features' holds {len(features)} samples; at least 2 are needed")
        if batch_size < 2:
            raise ValueError(f"'batch_size' must be at least 2, got {batch_size}")
        while len(features) % batch_size == 1:
            batch_size += 1
        coder = self.coder.requires_grad_(True).train()
        task = TensorTask((features,), lambda model, f: self.error(model, f), batch_size)
        trainer = Trainer(epochs, monitor=None, progress=False) if trainer is None else trainer
        try:
            trainer.fit(coder, torch.optim.Adam(coder.parameters(), lr=lr), task)
        finally:
            coder.requires_grad_(self.moving).train(self.moving and self.training)
        self.learned.fill_(True)
        with torch.no_grad(), evaluating(coder):
            error = (coder.reconstruct(features) - features).square().mean()
            return float(error / positive((features - features.mean(0)).square().mean()))

    def error(self, coder: FactorCoder, features: Tensor) -> Tensor:
        """The reconstruction error that the auto-encoder learns by."""
        apart = coder.reconstruct(features) - features
        return apart.square().mean() if self.variant == "paper" else apart.abs().mean()

    def factors(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The factors of both parts of the student's features, and the teacher's."""
        self.check(student, "student", self.channels)
        self.check(teacher, "teacher", self.teacher_channels)
        if not self.learned:
            raise RuntimeError("call learn_factors(features of the teacher) before training")
        if len(student) != len(teacher):
            raise ValueError(f"'student' has {len(student)} samples and 'teacher' {len(teacher)}")
        # Also a moving teacher's: the student must come to it, not it to the student.
        with torch.no_grad(), evaluating(self.coder):
            wanted = self.coder(teacher)
        near, far = student[:, self.inherit], student[:, self.explore]
        return self.inherits(near), self.explores(far), wanted

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        terms = self.terms(student, teacher)
        value = self.inheritance * terms["inherit"] + self.exploration * terms["explore"]
        return value + terms["error"] if self.moving else value

    def terms(self, student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
        """The parts of the loss, unweighted; each small where it is as it should be."""
        if not len(student):
            nothing = student.sum()
            return {"inherit": nothing, "explore": nothing, "error": nothing}
        near, far, wanted = self.factors(student, teacher)
        if self.distance == "cosine":
            cosines = factor_cosine(near, wanted), factor_cosine(far, wanted)
            terms = {"inherit": 1 - cosines[0].mean(), "explore": cosines[1].abs().mean()}
        else:
            apart = factor_distance(near, wanted), factor_distance(far, wanted)
            terms = {"inherit": apart[0], "explore": -apart[1]}
        if self.moving:
            terms["error"] = self.error(self.coder, teacher.detach())
        return terms

    @torch.no_grad()
    def distances(self, student: Tensor, teacher: Tensor) -> tuple[float, float]:
        """How far both parts of the student are from the teacher's factors, in evaluation mode."""
        with evaluating(self):
            near, far, wanted = self.factors(student, teacher)
        return float(factor_distance(near, wanted)), float(factor_distance(far, wanted))

    def check(self, features: Tensor, name: str, channels: int) -> None:
        """Raises unless features have the right shape and are finite."""
        dims = 4 if self.spatial else 2
        if features.dim() != dims or features.size(1) != channels:
            raise ValueError(
                f"'{name}' must have {dims} dimensions and {channels} channels, got "
                f"{list(features.shape)}"
            )
        if not torch.isfinite(wide(features.detach()).sum()):
            raise ValueError(f"'{name}' holds NaN or infinite values")

    def extra_repr(self) -> str:
        return f"inheritance={self.inheritance}, exploration={self.exploration}"
