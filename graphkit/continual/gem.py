"""Gradient episodic memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.continual.gradients import draw, gradient
from graphkit.continual.strategy import LossFn, OutputFn, Strategy, losses_of, nonnegative


@method(
    paper="arXiv:1706.08840",
    title="Gradient Episodic Memory for Continual Learning",
    authors="David Lopez-Paz, Marc'Aurelio Ranzato",
    venue="NeurIPS 2017",
    year=2017,
    code="https://github.com/facebookresearch/GradientEpisodicMemory",
    licence="Apache-2.0",
    takes="any model, the loss of each task",
    gives="a gradient that does not raise the loss on remembered samples",
    deviations=[
        "memories are drawn at random from the task's samples, not its last ones",
        "the dual problem is solved as non-negative least squares (scipy)",
    ],
    verified_by="tests/continual/test_gem.py",
)
class GEM(Strategy):
    r"""Gradient episodic memory from the `"Gradient Episodic Memory for Continual Learning"
    <https://arxiv.org/abs/1706.08840>`_ paper.

    Before each step the gradient :math:`g` is replaced by the nearest one that does not raise
    the loss of any earlier task on its memories, whose gradients :math:`g_k` are the rows of
    :math:`\mathbf{G}`:

    .. math::
        \tilde{g} = \mathbf{G}^{\top} v + g, \qquad
        v = \operatorname*{arg\,min}_{v \ge \gamma}
        \tfrac{1}{2} v^{\top} \mathbf{G} \mathbf{G}^{\top} v + g^{\top} \mathbf{G}^{\top} v

    unless :math:`\langle g, g_k \rangle \ge 0` for all :math:`k`, which leaves :math:`g` as it
    is.  Every step costs a forward and backward pass per earlier task: time grows with their
    number, and so does memory, because the loss functions are kept with the data behind them.

    Args:
        model (torch.nn.Module): Any model.
        memories (int, optional): Samples remembered of each batch of a task; :obj:`None` takes
            all. (default: :obj:`None`)
        margin (float, optional): :math:`\gamma`. (default: :obj:`0.5`)
        seed (int, optional): Seed of the draw. (default: :obj:`0`)

    Shapes:
        - **input:** losses :math:`(n)`, one per sample
        - **output:** the gradients of the model's parameters, in their shapes

    Raises:
        ValueError: If an argument is out of range, or ``loss_fn`` gives a mean although
            ``memories`` is a number.

    Example:
        >>> import torch
        >>> from graphkit.continual import GEM
        >>> x, y = torch.randn(6, 2), torch.tensor([0, 1, 0, 1, 0, 1])
        >>> model = torch.nn.Linear(2, 2)
        >>> gem = GEM(model, memories=4)
        >>> gem.finish_task(
        ...     lambda model: torch.nn.functional.cross_entropy(model(x), y, reduction="none"))
        >>> model(x).square().sum().backward()
        >>> gem.before_step()
    """

    def __init__(
        self, model: nn.Module, memories: int | None = None, margin: float = 0.5, seed: int = 0
    ) -> None:
        super().__init__(model)
        nonnegative(margin=margin)
        if memories is not None and memories < 1:
            raise ValueError(f"'memories' must be at least 1, got {memories}")
        self.memories, self.margin, self.seed = memories, margin, seed
        self.kept: list[list[LossFn]] = []

    def remember(
        self, loss_fns: list[LossFn], output_fns: list[OutputFn], columns: Tensor | None
    ) -> None:
        self.kept.append([self.memory(loss_fn) for loss_fn in loss_fns])

    def memory(self, loss_fn: LossFn) -> LossFn:
        """A loss function over some of the samples of another."""
        if self.memories is None:
            return loss_fn
        with torch.no_grad():
            losses = loss_fn(self.model)
        if losses.dim() == 0:
            raise ValueError(
                "GEM chooses memories among samples: let 'loss_fn' give losses of shape [n] "
                "(reduction='none'), or set memories=None"
            )
        rows = draw(losses.numel(), self.memories, self.seed + self.tasks)
        return lambda model: loss_fn(model)[rows]

    def before_step(self) -> None:
        if not self.kept:
            return
        used = {name: p for name, p in self.parameters().items() if p.grad is not None}
        if not used:
            raise ValueError("no parameter has a gradient; call before_step() after backward()")
        present = flat({name: p.grad for name, p in used.items() if p.grad is not None})
        rows = [flat(self.memory_gradient(task, used)) for task in self.kept]
        past = torch.stack(rows)
        if bool((past @ present >= 0).all()):
            return
        projected = project(present, past, self.margin)
        start = 0
        for parameter in used.values():
            size, grad = parameter.numel(), parameter.grad
            assert grad is not None
            grad.copy_(projected[start : start + size].view_as(parameter))
            start += size

    def memory_gradient(
        self, task: list[LossFn], parameters: dict[str, nn.Parameter]
    ) -> dict[str, Tensor]:
        """The gradient of the mean loss over a task's memories."""
        losses = torch.cat([losses_of(loss_fn, self.model).view(-1) for loss_fn in task])
        return gradient(losses.mean(), parameters)

    def state_dict(self) -> dict[str, Any]:
        raise TypeError("GEM keeps loss functions, which cannot be saved; finish the tasks anew")


def flat(tensors: dict[str, Tensor]) -> Tensor:
    """All tensors as one vector."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors.values()])


def project(present: Tensor, past: Tensor, margin: float, ridge: float = 1e-8) -> Tensor:
    r"""The vector nearest to ``present`` whose products with the rows of ``past`` are not negative.

    With :math:`v = u + \gamma` and :math:`\mathbf{G} \mathbf{G}^{\top} + \epsilon = \mathbf{L}
    \mathbf{L}^{\top}` the dual is :math:`\min_{u \ge 0} \| \mathbf{L}^{\top} u + \mathbf{L}^{-1}
    c \|`.
    """
    from scipy.linalg import solve_triangular
    from scipy.optimize import nnls

    rows = past.double()
    gram = (rows @ rows.T).cpu().numpy()
    gram += ridge * max(float(np.trace(gram)) / len(gram), 1e-12) * np.eye(len(gram))
    lower = np.linalg.cholesky(gram)
    linear = gram.sum(axis=1) * margin + (rows @ present.double()).cpu().numpy()
    u, _ = nnls(lower.T, -solve_triangular(lower, linear, lower=True))
    v = torch.from_numpy(u + margin).to(present)
    return present + past.T @ v
