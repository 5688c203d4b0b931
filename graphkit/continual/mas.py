"""Memory aware synapses."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.continual.ewc import check_sampling
from graphkit.continual.gradients import draw, sample_gradients, zeros
from graphkit.continual.quadratic import QuadraticPenalty
from graphkit.continual.strategy import LossFn, OutputFn, Strategy, nonnegative, outputs_of
from graphkit.modes import evaluating
from graphkit.precision import wide
from graphkit.refusals import refuse_resized


@method(
    paper="arXiv:1711.09601",
    title="Memory Aware Synapses: Learning what (not) to forget",
    authors=(
        "Rahaf Aljundi, Francesca Babiloni, Mohamed Elhoseiny, Marcus Rohrbach, Tinne Tuytelaars"
    ),
    venue="ECCV 2018",
    year=2018,
    code="https://github.com/rahafaljundi/MAS-Memory-Aware-Synapses",
    licence="none",
    takes="any model, its outputs for the training samples (no labels)",
    gives="a penalty that keeps what earlier tasks learned",
    deviations=["the output is that of the finished task's columns, where they are given"],
    verified_by="tests/continual/test_mas.py",
)
class MAS(Strategy):
    r"""Memory aware synapses from the `"Memory Aware Synapses: Learning what (not) to forget"
    <https://arxiv.org/abs/1711.09601>`_ paper.

    A parameter matters as far as the outputs react to it; labels are not needed:

    .. math::
        \mathcal{L}' = \mathcal{L} + \lambda \sum_m \Omega_m (w_m - w^*_m)^2,
        \qquad
        \Omega_m = \sum_{n \le k} \frac{1}{N_n} \sum_{i=1}^{N_n} \left|
        \frac{\partial \| F(x_i) \|_2^2}{\partial w_m} \right|

    Importances of all tasks add up, and :math:`w^*` are the parameters after the last one.  A
    step costs :math:`O(|W|)` more than plain training for any number of tasks; finishing a task
    costs one backward pass per sample.

    Args:
        model (torch.nn.Module): Any model.
        weight (float, optional): :math:`\lambda`. (default: :obj:`1.0`)
        samples (int, optional): Estimate :math:`\Omega` from so many samples of each batch,
            drawn at random; :obj:`None` takes all. (default: :obj:`None`)
        chunk (int, optional): Samples differentiated at a time. (default: :obj:`8`)
        seed (int, optional): Seed of the draw. (default: :obj:`0`)

    Shapes:
        - **input:** outputs :math:`(n, C)`
        - **output:** the penalty, a scalar

    Raises:
        ValueError: If an argument is out of range, or :meth:`finish_task` gets no ``output_fn``
            or outputs that are not finite, or a parameter is gone or was resized meanwhile.

    Example:
        >>> import torch
        >>> from graphkit.continual import MAS
        >>> x = torch.randn(6, 2)
        >>> model = torch.nn.Linear(2, 2)
        >>> mas = MAS(model)
        >>> mas.finish_task(lambda model: model(x).sum(), output_fn=lambda model: model(x))
        >>> mas.penalty().item()
        0.0
    """

    def __init__(
        self,
        model: nn.Module,
        weight: float = 1.0,
        samples: int | None = None,
        chunk: int = 8,
        seed: int = 0,
    ) -> None:
        super().__init__(model)
        nonnegative(weight=weight)
        check_sampling(samples, chunk)
        self.weight, self.samples, self.chunk, self.seed = weight, samples, chunk, seed
        self.quadratic = QuadraticPenalty()

    def penalty(self, loss: Tensor | None = None, output_fn: OutputFn | None = None) -> Tensor:
        return self.quadratic(self.all_parameters())

    def remember(
        self, loss_fns: list[LossFn], output_fns: list[OutputFn], columns: Tensor | None
    ) -> None:
        refuse_resized(self.quadratic.weight, self.all_parameters())
        if not output_fns:
            raise ValueError("MAS needs the model's outputs: give 'output_fn' to finish_task")
        parameters = self.parameters()
        total = zeros(parameters)
        count = 0
        with evaluating(self.model):
            for output_fn in output_fns:
                out = wide(outputs_of(output_fn, self.model, columns))
                if not out.requires_grad:
                    raise ValueError(
                        "the outputs of 'output_fn' do not depend on the model's parameters, "
                        "or only on frozen ones"
                    )
                norms = out.square().sum(dim=1)
                norms = norms[draw(norms.numel(), self.samples, self.seed + self.tasks)]
                for gradients in sample_gradients(norms, parameters, self.chunk):
                    for name, value in gradients.items():
                        total[name] += wide(value).abs().sum(dim=0)
                count += norms.numel()
        importance = {name: self.weight * value / count for name, value in total.items()}
        self.quadratic.add(importance, parameters)
        self.quadratic.move(self.all_parameters())

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "quadratic": self.quadratic.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.quadratic.load_state_dict(state["quadratic"])
