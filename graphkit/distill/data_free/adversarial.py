"""A student from a teacher without data: a generator seeks what they disagree on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from graphkit.catalog import method
from graphkit.distill.data_free.priors import label_entropy
from graphkit.distill.loss import check_choice
from graphkit.grad_scale import grad_scale
from graphkit.lopsided import watch_terms
from graphkit.modes import frozen
from graphkit.train import CollapseMonitor
from graphkit.train.fake_samples import BATCH_NORMS
from graphkit.words import refuse_classes

__all__ = ["DFAD", "Discrepancy"]


class Discrepancy(NamedTuple):
    """What one iteration of :class:`DFAD` saw.

    Args:
        imitation (float): The last loss of the student.
        generation (float): The loss of the generator.
    """

    imitation: float
    generation: float


@method(
    paper="arXiv:1912.11006",
    title="Data-Free Adversarial Distillation",
    authors="Gongfan Fang, Jie Song, Chengchao Shen, Xinchao Wang, Da Chen, Mingli Song",
    venue="arXiv 2019",
    year=2019,
    code="https://github.com/VainF/Data-Free-Adversarial-Distillation",
    licence="none",
    takes="a trained network, a smaller one, a generator; no data and no labels",
    gives="the smaller network, trained",
    deviations=[
        "written from the paper and the released settings; nothing is copied",
        "the generator's step leaves the student's batch statistics alone; variant='released' "
        "lets them follow the generator, as the released program does",
        "for graph networks the generator gives node features and edges, which is not in the paper",
        "balance adds a term that keeps the classes equally frequent, which is not in the paper",
        "one_stage gives both players' gradients in one pass, as arXiv:2103.00430 proposes",
    ],
    limits=[
        "students with batch normalisation: their statistics follow the generator",
        "where any unlabelled images are at hand: distilling on them is 1 to 2 points better",
        "small graphs such as MUTAG: the gain over random graphs is within its interval",
    ],
)
class DFAD(nn.Module):
    r"""Distils a teacher into a student without data, as in the `"Data-Free Adversarial
    Distillation" <https://arxiv.org/abs/1912.11006>`_ paper; close to the earlier `"Zero-shot
    Knowledge Transfer via Adversarial Belief Matching" <https://arxiv.org/abs/1905.09768>`_.

    .. math::
        \min_S \max_G \; \mathbb{E}_{z} \big[\, \tfrac{1}{K} \lVert T(G(z)) - S(G(z)) \rVert_1
        \,\big]

    on logits. The student imitates the teacher on what the generator makes, :math:`k` times; then
    the generator moves to where they differ most, once. :math:`\ell_1` keeps its gradient where
    they almost agree, so the game goes on. The generator's output must have the scale of the
    teacher's training data, which :class:`ImageGenerator` has for standardised images.

    Called, it is the student. :meth:`imitation` and :meth:`generation` are the two losses,
    :meth:`step` an iteration with two optimizers; in a :class:`~graphkit.train.Trainer` a
    :class:`~graphkit.train.NoiseTask` runs the imitation and an
    :class:`~graphkit.train.Opponent` the generation. Nothing says which epoch is the best: there
    is no data to tell. Take the last, better with weights averaged over the last steps by a
    :class:`~graphkit.train.WeightAverage`: the two players circle, and a single step is luck.

    An iteration costs :math:`k + 1` passes through all three networks, backward :math:`k + 1`
    times through the student and once through the other two. A student with batch normalisation
    learns statistics of generated samples, which real ones need not share: prefer one without.

    Args:
        student (torch.nn.Module): The network to train.
        teacher (torch.nn.Module): The network to learn from, in whatever mode: it is run in
            evaluation mode and is no submodule.
        generator (torch.nn.Module): From noise to what both take: a tensor, a tuple of
            arguments, or what its own method ``call(model, made)`` hands to a model, as in
            :class:`GraphGenerator`.
        imitations (int, optional): :math:`k`. (default: :obj:`5`)
        damped (bool, optional): The generator minimises :math:`-\log(1 + d)` in place of
            :math:`-d`, as for segmentation, where gaps are large. (default: :obj:`False`)
        balance (float, optional): Weight of :func:`~graphkit.train.label_entropy` of the
            teacher's logits, which the generator then also raises. (default: :obj:`0.0`)
        variant (str, optional): ``"paper"`` or ``"released"``. (default: ``"paper"``)
        noise_channels (int, optional): Width of the noise. (default: the generator's)

    Shapes:
        - **input:** what the student takes; noise :math:`(B, Z)`
        - **output:** what the student gives; logits are :math:`(B, K)` or :math:`(B, K, H, W)`

    Raises:
        ValueError: If an option is out of range, there is no noise, or both networks are one.
        RuntimeError: If a network does not take what the generator makes.

    Warns:
        LopsidedWarning: If, in the second call, the gradient of a term on the generator is over
            a thousand times that of another, and its weight over a hundred times.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from graphkit.distill import DFAD, ImageGenerator
        >>> teacher, student = (
        ...     nn.Sequential(nn.Conv2d(1, w, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(9 * w, 10))
        ...     for w in (8, 2))
        >>> dfad = DFAD(student, teacher, ImageGenerator(4, size=8, hidden_channels=4))
        >>> sgd = torch.optim.SGD(dfad.student.parameters(), lr=0.02, momentum=0.9)
        >>> adam = torch.optim.Adam(dfad.generator.parameters(), lr=0.001)
        >>> for _ in range(2):
        ...     gap = dfad.step(sgd, adam, batch_size=16)
        >>> gap.generation < 0 < gap.imitation
        True
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        generator: nn.Module,
        imitations: int = 5,
        damped: bool = False,
        balance: float = 0.0,
        variant: str = "paper",
        noise_channels: int | None = None,
    ) -> None:
        super().__init__()
        refuse_classes(student=student, teacher=teacher, generator=generator)
        if student is teacher:
            raise ValueError("'student' and 'teacher' are one network; give the student its own")
        if imitations < 0:
            raise ValueError(f"'imitations' must not be negative, got {imitations}")
        if balance < 0:
            raise ValueError(f"'balance' must not be negative, got {balance}")
        check_choice("variant", variant, ("paper", "released"))
        width = noise_channels or getattr(generator, "noise_channels", None)
        if width is None:
            raise ValueError(
                f"'noise_channels' must say how wide the noise of {type(generator).__name__} is"
            )
        self.student, self.generator = student, generator
        self._teacher = (teacher,)
        self.imitations, self.damped, self.balance = imitations, damped, balance
        self.variant = variant
        self.noise_channels = int(width)

    @property
    def teacher(self) -> nn.Module:
        """The network to learn from."""
        return self._teacher[0]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The student's output."""
        return self.student(*args, **kwargs)

    def noise(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Noise for so many samples, on the generator's device.

        Args:
            count (int): Samples.
            generator (torch.Generator, optional): Where it is drawn from, on the CPU.
                (default: torch's own)
        """
        if count < 1:
            raise ValueError(f"at least one sample must be made, got {count}")
        first = next(self.generator.parameters())
        if hasattr(self.generator, "noise"):
            z = self.generator.noise(count, generator)  # type: ignore[operator]
        else:
            z = torch.randn(count, self.noise_channels, generator=generator)
        return z.to(first)

    def imitation(self, z: Tensor) -> Tensor:
        """The student's loss on what the generator makes of noise; the generator is left alone.

        Args:
            z (torch.Tensor): Noise.
        """
        norms = [m for m in self.student.modules() if isinstance(m, BATCH_NORMS) and m.training]
        if norms and z.dim() == 2 and len(z) == 1:
            raise ValueError(
                f"'z' holds one sample, and the student's {type(norms[0]).__name__} needs several"
            )
        with torch.no_grad():
            made = self.generator(z)
            target = self.teach(made)
        return self.gap(self.call(self.student, made, "student"), target)

    def generation(self, z: Tensor) -> Tensor:
        """The generator's loss on noise; student and teacher are left alone.

        Args:
            z (torch.Tensor): Noise.
        """
        made = self.generator(z)
        target = self.teach(made)
        with fixed(self.student, buffers=self.variant == "paper"):
            gap = self.gap(self.call(self.student, made, "student"), target)
        return self.climb(gap, target)

    def one_stage(self, z: Tensor) -> Tensor:
        """One loss for both players on the same noise: descended by the student, climbed by the
        generator, as their gradients say after one backward pass.

        It replaces :meth:`imitation` and :meth:`generation` and halves the cost of a step of
        each; ``damped`` and ``balance`` need both and are refused.

        Args:
            z (torch.Tensor): Noise.
        """
        if self.damped or self.balance:
            raise ValueError("'damped' and 'balance' need two losses; use step()")
        made = reversed_gradient(self.generator(z))
        return self.gap(self.call(self.student, made, "student"), self.teach(made))

    def step(
        self, student_optimizer: Optimizer, generator_optimizer: Optimizer, batch_size: int = 64
    ) -> Discrepancy:
        """One iteration: imitations with fresh noise each, then one generation.

        Args:
            student_optimizer, generator_optimizer (torch.optim.Optimizer): The optimizers.
            batch_size (int, optional): Samples of each step. (default: :obj:`64`)
        """
        imitation = torch.tensor(float("nan"))
        for _ in range(self.imitations):
            student_optimizer.zero_grad()
            imitation = self.imitation(self.noise(batch_size))
            imitation.backward()
            student_optimizer.step()
        generator_optimizer.zero_grad()
        generation = self.generation(self.noise(batch_size))
        generation.backward()
        generator_optimizer.step()
        discrepancy = Discrepancy(float(imitation.detach()), float(generation.detach()))
        if not torch.isfinite(generation.detach()):
            raise FloatingPointError(
                f"the generator's loss became {discrepancy.generation}; lower the learning rates"
            )
        return discrepancy

    def monitor(self, count: int = 256, **options: Any) -> CollapseMonitor:
        """A monitor of this game: a callback for a Trainer, or read by hand.

        Args:
            count (int, optional): Samples that it looks at. (default: :obj:`256`)
            **options (optional): Of :class:`~graphkit.train.CollapseMonitor`.
        """

        def apart(made: Any) -> Tensor:
            with frozen(self.student):
                return self.gap(self.call(self.student, made, "student"), self.teach(made))

        return CollapseMonitor(
            self.generator,
            self.student,
            lambda: self.generator(self.noise(count)),
            **{"classify": self.teach, "discrepancy": apart, **options},
        )

    def teach(self, made: Any) -> Tensor:
        """The teacher's logits, in evaluation mode, with gradients to its input alone."""
        teacher = self.teacher.to(next(self.generator.parameters()).device)
        with frozen(teacher):
            return self.call(teacher, made, "teacher")

    def call(self, model: nn.Module, made: Any, name: str) -> Tensor:
        """A network's logits for what the generator made."""
        call: Callable[[nn.Module, Any], Tensor] = getattr(self.generator, "call", plain_call)
        try:
            return call(model, made)
        except (RuntimeError, IndexError, TypeError) as error:
            raise RuntimeError(
                f"the {name} does not take what the generator makes, {shapes(made)}: {error}"
            ) from error

    def gap(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The mean absolute difference of logits."""
        if student.shape != teacher.shape:
            raise RuntimeError(
                f"the student gives logits of shape {list(student.shape)}, the teacher "
                f"{list(teacher.shape)}; both must know the same classes"
            )
        return (student - teacher).abs().mean()

    def climb(self, gap: Tensor, logits: Tensor) -> Tensor:
        """The generator's loss at a gap between student and teacher."""
        loss = -torch.log1p(gap) if self.damped else -gap
        if not self.balance:
            return loss
        even = label_entropy(logits)
        terms = {"discrepancy": (1.0, loss), "balance": (self.balance, even)}
        watch_terms(self, terms, self.generator.parameters())
        return loss - self.balance * even


def plain_call(model: nn.Module, made: Any) -> Tensor:
    """A tensor is an argument, a tuple several."""
    return model(*made) if isinstance(made, tuple) else model(made)


def reversed_gradient(made: Any) -> Any:
    """The same samples; gradients that reach the generator change their sign."""
    if isinstance(made, Tensor):
        return grad_scale(made, -1.0) if made.requires_grad else made
    parts = [reversed_gradient(part) for part in made]
    return type(made)(*parts) if hasattr(made, "_fields") else type(made)(parts)


def shapes(made: Any) -> str:
    """What the generator made, in words."""
    parts = made if isinstance(made, tuple) else (made,)
    return ", ".join(str(list(part.shape)) for part in parts if isinstance(part, Tensor))


@contextmanager
def fixed(model: nn.Module, buffers: bool) -> Iterator[None]:
    """No gradients on a model's parameters inside the block, its mode as it is; with ``buffers``
    these are as before afterwards.
    """
    switches = [(p, p.requires_grad) for p in model.parameters()]
    # Stand-ins are written to; copying values back would spoil what the backward pass has saved.
    places = [(m, name, b) for m in model.modules() for name, b in m.named_buffers(recurse=False)]
    try:
        for parameter, _ in switches:
            parameter.requires_grad_(False)
        for module, name, buffer in places if buffers else []:
            setattr(module, name, buffer.clone())
        yield
    finally:
        for parameter, switch in switches:
            parameter.requires_grad_(switch)
        for module, name, buffer in places:
            setattr(module, name, buffer)
