"""Topology-aware weight preserving."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.continual.gradients import Gradients, add_to, gradient, trainable, zeros
from graphkit.continual.loss_structure import Structure, structure
from graphkit.continual.quadratic import QuadraticPenalty
from graphkit.continual.strategy import (
    LossFn,
    OutputFn,
    Strategy,
    losses_of,
    nonnegative,
)
from graphkit.lopsided import warn_lopsided
from graphkit.modes import copied_buffers, evaluating
from graphkit.precision import wide

MOST_LOPSIDED = 1e4
"""How many times the loss's importance that of the topology may be."""


@method(
    paper="arXiv:2012.06002",
    title="Overcoming Catastrophic Forgetting in Graph Neural Networks",
    authors="Huihui Liu, Yiding Yang, Xinchao Wang",
    venue="AAAI 2021",
    year=2021,
    code="https://github.com/hhliu79/TWP",
    licence="none",
    takes="any PyG model, the loss of each task",
    gives="a penalty that keeps what earlier tasks learned",
    deviations=[
        "beta weighs the l1 norm of the loss gradient of the task at hand; the topology half of "
        "the importance is left out of that term, and so are the two weights",
        "all message passing layers count, each as often as it is called, not one chosen layer",
        "attention coefficients are taken after the softmax and without dropout",
        "relative=True, the default, takes the gradient of the norm's logarithm; with "
        "relative=False, the paper's, the topology's importance was 1e6 to 1e13 times the loss's "
        "on GCN and GIN, and froze them",
        "layers that transform after the sum (GIN, GraphSAGE) give their output in place of WH",
        "variant='released' reproduces the authors' program instead: task gradient counted twice, "
        "squared gradients, topology polluted by the loss, first layer only, last batch only, "
        "training mode, beta without effect",
    ],
    verified_by="tests/continual/test_twp.py",
    limits=[
        "GCN: EWC and MAS keep more there",
        "models whose topology gradient is orders above the task's: leave relative=True, it warns",
        "where 40 nodes of each task may be kept: GEM forgets less",
    ],
)
class TWP(Strategy):
    r"""Topology-aware weight preserving from the `"Overcoming Catastrophic Forgetting in Graph
    Neural Networks" <https://arxiv.org/abs/2012.06002>`_ paper.

    Parameters that mattered to the loss of an earlier task, or to the attention its model paid
    to its edges, are kept near their values:

    .. math::
        \mathcal{L}'_{k+1} = \mathcal{L}_{k+1}
        + \sum_{n \le k} \sum_m I_{n,m} (w_m - w^*_{n,m})^2
        + \beta \left\| \tfrac{\partial \mathcal{L}_{k+1}}{\partial \mathbf{W}} \right\|_1,
        \qquad
        I_{k,m} = \lambda_l \left| \tfrac{\partial \mathcal{L}_k}{\partial w_m} \right|
        + \lambda_t \left| \tfrac{\partial}{\partial w_m}
        \sum_i \left\| \mathbf{e}_i \right\|_2^4 \right|

    where :math:`\mathbf{e}_i` holds the attention coefficients of node :math:`i`'s edges; layers
    without attention give :math:`e_{ij} = (\mathbf{W} \mathbf{h}_i)^{\top} \tanh(\mathbf{W}
    \mathbf{h}_j)`.  The last term favours solutions that leave room for later tasks; its gradient
    is a product of the Hessian and the gradient's signs (one more backward pass).

    A step costs :math:`O(|W|)` more than plain training for any number of tasks, finishing a
    task two backward passes.  Deviations from the paper are listed in ``TWP.card``.

    Args:
        model (torch.nn.Module): Any model with PyG message passing.
        task_weight (float, optional): :math:`\lambda_l`. (default: :obj:`100`; with
            ``variant="released"`` the authors' :obj:`1e4`)
        topology_weight (float, optional): :math:`\lambda_t`. (default: :obj:`1e-2`)
        beta (float, optional): :math:`\beta`; above zero, :meth:`penalty` needs the loss.
            (default: :obj:`0.0`)
        relative (bool, optional): Take the gradient of the logarithm of the topology's norm,
            which depends neither on the scale of features nor on the size of the graph, so that
            one :math:`\lambda_t` serves any backbone. The paper's own gradient, with
            :obj:`False`, needs a :math:`\lambda_t` found anew for every model and data set.
            (default: :obj:`True`)
        layers (list of str, optional): The layers whose topology counts.
            (default: all of them; with ``variant="released"`` the first)
        variant (str, optional): :obj:`"paper"`, or :obj:`"released"` for what the authors'
            program does: see ``TWP.card.deviations``. (default: :obj:`"paper"`)

    Shapes:
        - **input:** the loss, a scalar
        - **output:** the penalty, a scalar

    Warns:
        LopsidedWarning: If the topology's importance is over ten thousand times the loss's, which
            leaves no parameter free to learn; once per task.

    Raises:
        ValueError: If a weight is negative, the variant unknown, the model has no message
            passing layer while ``topology_weight`` is positive, or :meth:`penalty` needs the
            loss and does not get it.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from graphkit.continual import TWP
        >>> x, edge_index = torch.randn(4, 3), torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
        >>> model = GCN(3, 8, num_layers=2, out_channels=4)
        >>> twp = TWP(model, beta=0.01)
        >>> loss_fn = lambda model: torch.nn.functional.cross_entropy(
        ...     model(x, edge_index)[:, :2], torch.tensor([0, 1, 0, 1]), reduction="none")
        >>> loss = loss_fn(model).mean()
        >>> (loss + twp.penalty(loss)).backward()
        >>> twp.finish_task(loss_fn)
    """

    def __init__(
        self,
        model: nn.Module,
        task_weight: float | None = None,
        topology_weight: float = 1e-2,
        beta: float = 0.0,
        relative: bool = True,
        layers: Sequence[str] | None = None,
        variant: Literal["paper", "released"] = "paper",
    ) -> None:
        super().__init__(model)
        if task_weight is None:
            task_weight = 1e4 if variant == "released" else 100.0
        nonnegative(task_weight=task_weight, topology_weight=topology_weight, beta=beta)
        if variant not in ("paper", "released"):
            raise ValueError(f"'variant' must be 'paper' or 'released', got '{variant}'")
        self.task_weight, self.topology_weight, self.beta = task_weight, topology_weight, beta
        self.relative, self.layers, self.variant = relative, layers, variant
        self.quadratic = QuadraticPenalty()

    def penalty(self, loss: Tensor | None = None, output_fn: OutputFn | None = None) -> Tensor:
        total = self.quadratic(self.all_parameters())
        if self.variant == "released":
            return total + self.checked(loss)
        if self.beta == 0:
            return total
        gradients = torch.autograd.grad(
            self.checked(loss), trainable(self.parameters()), create_graph=True, allow_unused=True
        )
        norms = [wide(g).abs().sum() for g in gradients if g is not None]
        return total + self.beta * torch.stack(norms).sum() if norms else total

    def checked(self, loss: Tensor | None) -> Tensor:
        """The loss, which must be there and still have its graph."""
        if loss is None or not loss.requires_grad:
            reason = "variant='released'" if self.variant == "released" else "beta > 0"
            raise ValueError(f"{reason} needs the loss: call penalty(loss) before loss.backward()")
        return loss

    def remember(
        self, loss_fns: list[LossFn], output_fns: list[OutputFn], columns: Tensor | None
    ) -> None:
        released = self.variant == "released"
        # The released program consolidates in training mode; statistics stay where they are.
        with copied_buffers(self.model) if released else evaluating(self.model):
            loss, topology = self.sensitivities(loss_fns[-1:] if released else loss_fns)
        if not released:
            self.warn_if_drowned(loss, topology)
        self.quadratic.add(self.importance(loss, topology), self.parameters())

    def warn_if_drowned(self, loss: Gradients, topology: Gradients) -> None:
        """Says so if the topology leaves the loss without any say: then nothing can be learned."""
        task, other = (
            weight * float(sum(wide(g).abs().sum() for g in gradients.values()))
            for weight, gradients in ((self.task_weight, loss), (self.topology_weight, topology))
        )
        if 0 < task * MOST_LOPSIDED < other:
            remedy = "" if self.relative else ", or take relative=True"
            warn_lopsided(
                f"the topology's share of TWP's importance is {other / task:.0e} times the loss's, "
                f"which freezes the model: lower 'topology_weight'{remedy}",
                stacklevel=4,
            )

    def importance(self, loss: Gradients, topology: Gradients) -> Gradients:
        """The importance of every parameter, from the gradients of loss and topology."""
        if self.variant == "released":
            return {
                name: self.task_weight * g.square()
                + self.topology_weight * (g + topology[name]).square()
                for name, g in loss.items()
            }
        return {
            name: self.task_weight * g.abs() + self.topology_weight * topology[name].abs()
            for name, g in loss.items()
        }

    def sensitivities(self, loss_fns: Sequence[LossFn]) -> tuple[Gradients, Gradients]:
        """Gradients of the mean loss and of the topology's norm, from one forward pass each.

        Norms of batches add up; gradients of their logarithms are weighed by the norms.
        """
        parameters = self.parameters()
        loss, topology = zeros(parameters), zeros(parameters)
        count, total = 0, torch.tensor(-torch.inf, dtype=torch.float64)
        for loss_fn in loss_fns:
            with self.watch() as edges:
                losses = losses_of(loss_fn, self.model)
            add_to(loss, gradient(losses.sum(), parameters, retain_graph=True))
            count += losses.numel()
            if edges is None or not (norm := self.norm(edges)).requires_grad:
                continue
            new = gradient(norm, parameters)
            if self.variant == "paper" and self.relative:
                total = torch.logaddexp(total, norm.detach().cpu())
                share = math.exp(norm.item() - total.item())
                topology = {name: (1 - share) * g for name, g in topology.items()}
                new = {name: share * g for name, g in new.items()}
            elif self.variant == "paper":
                # The norm is a fourth power, whose own gradient half precision cannot hold.
                new = {name: math.exp(norm.item()) * wide(g) for name, g in new.items()}
            add_to(topology, new)
        return {name: value / count for name, value in loss.items()}, topology

    def watch(self) -> Any:
        """Collects the topology, where it has a weight."""
        return nullcontext() if self.topology_weight == 0 else structure(self.model, self.layers)

    def norm(self, edges: Structure) -> Tensor:
        """The logarithm of the topology's norm; the released program's norm itself."""
        if self.variant == "released":
            return edges.scores(softmax=True)[0].score.norm()
        energy = torch.stack([scores.energy() for scores in edges.scores()]).sum()
        return energy.clamp(min=1e-300).log()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "quadratic": self.quadratic.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.quadratic.load_state_dict(state["quadratic"])
