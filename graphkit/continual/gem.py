"""Gradient episodic memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.continual.gradients import draw, gradient, zeros
from graphkit.continual.strategy import (
    LossFn,
    OutputFn,
    Strategy,
    losses_of,
    nonnegative,
)
from graphkit.modes import copied_buffers, evaluating


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
    limits=[
        "where nothing of an earlier task may be kept: it stores nodes of each",
    ],
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
    These passes run in the model's own mode and leave the statistics of batch norms alone.

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
        ValueError: If an argument is out of range, ``loss_fn`` gives a mean although
            ``memories`` is a number, or a gradient is not finite.

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
        # Only the number of samples is wanted: no statistics may move, no dropout be drawn.
        with evaluating(self.model), torch.no_grad():
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
        present = {name: p.grad for name, p in used.items() if p.grad is not None}
        finite(present, "the present loss")
        rows = []
        for number, task in enumerate(self.kept):
            row = self.memory_gradient(task, used)
            finite(row, f"the memories of task {number}")
            rows.append(flat(row))
        step, past = flat(present), torch.stack(rows)
        if bool((past @ step >= 0).all()):
            return
        projected = project(step, past, self.margin)
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
        with copied_buffers(self.model):
            losses = [losses_of(loss_fn, self.model, constant=True).view(-1) for loss_fn in task]
            mean = torch.cat(losses).mean()
            # A task whose parameters are all frozen by now cannot be harmed.
            return gradient(mean, parameters) if mean.requires_grad else zeros(parameters)

    def state_dict(self) -> dict[str, Any]:
        raise TypeError("GEM keeps loss functions, which cannot be saved; finish the tasks anew")


def flat(tensors: dict[str, Tensor]) -> Tensor:
    """All tensors as one vector, in double precision."""
    return torch.cat([tensor.reshape(-1).double() for tensor in tensors.values()])


def finite(gradients: dict[str, Tensor], source: str) -> None:
    """Refuses a gradient that is not finite, and names the parameter."""
    for name, value in gradients.items():
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"the gradient of {source} is not finite at parameter '{name}'")


def project(present: Tensor, past: Tensor, margin: float, ridge: float = 1e-12) -> Tensor:
    r"""The vector nearest to ``present`` whose products with the rows of ``past`` are not negative.

    The sign of a product does not depend on the lengths of its factors, so every gradient is
    first divided by its own: tasks whose losses differ by any factor count alike.  With
    :math:`\hat{g} = g / \|g\|`, rows :math:`\hat{g}_k` of :math:`\mathbf{R}`, :math:`\gamma_k =
    \gamma \|g_k\| / \|g\|`, :math:`v = u + \gamma` and :math:`\mathbf{R} \mathbf{R}^{\top} +
    \epsilon = \mathbf{L} \mathbf{L}^{\top}` the dual is :math:`\min_{u \ge 0} \| \mathbf{L}^{\top}
    u + \mathbf{L}^{-1} (\mathbf{R} \mathbf{R}^{\top} \gamma + \mathbf{R} \hat{g}) \|`.
    """
    from scipy.linalg import solve_triangular
    from scipy.optimize import nnls

    rows, step = past.double(), present.double()
    # Dividing by the largest entry first keeps the squares in the norm from overflowing.
    sizes, size = length(rows), length(step[None])
    rows, step = rows / sizes, step / size[0]
    gram = (rows @ rows.T).cpu().numpy()
    least = (margin * sizes / size)[:, 0].cpu().numpy()
    linear = gram @ least + (rows @ step).cpu().numpy()
    # The ridge keeps the factor regular where two tasks have the same gradient.
    lower = np.linalg.cholesky(gram + ridge * np.eye(len(gram)))
    u, _ = nnls(lower.T, -solve_triangular(lower, linear, lower=True))
    v = torch.from_numpy(u + least).to(rows)
    return ((step + rows.T @ v) * size[0]).to(present)


def length(rows: Tensor) -> Tensor:
    """The norm of every row as a column; 1 for a row of zeros."""
    top = rows.abs().amax(dim=1, keepdim=True)
    top = torch.where(top > 0, top, 1.0)
    norm = (rows / top).norm(dim=1, keepdim=True) * top
    return torch.where(norm > 0, norm, 1.0)
