"""What every entry of an input contributed to a model's output."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit import catalog
from graphkit.modes import frozen
from graphkit.taps import tap
from graphkit.transfer.nonlinearities import (
    Nonlinearities,
    Rule,
    epsilon_rule,
    remember,
    rescale_rule,
)
from graphkit.words import refuse_class

METHODS = ("saliency", "input_x_gradient", "integrated_gradients", "deep_lift", "epsilon_lrp")
Target = str | int | Tensor | Callable[[Tensor], Tensor]


@catalog.method(
    paper="arXiv:1909.11902",
    title="Deep Model Transferability from Attribution Maps",
    authors="Jie Song, Yixin Chen, Xinchao Wang, Chengchao Shen, Mingli Song",
    venue="NeurIPS 2019",
    year=2019,
    code="https://github.com/zju-vipa/TransferbilityFromAttributionMaps",
    licence="MIT",
    takes="any model, and inputs or a graph",
    gives="a number per entry of the input",
    deviations=[
        "integrated gradients and DeepLIFT stand beside the three methods of the paper",
        "DeepLIFT's rescale rule holds at elementwise nonlinearities; pooling by maximum and "
        "softmax keep their gradient",
        "models run in evaluation mode, whatever their mode is",
    ],
    verified_by="tests/transfer/test_attribution.py",
)
def attribute(
    model: Callable[..., Any],
    x: Tensor | Data,
    method: str = "input_x_gradient",
    *,
    target: Target = "sum",
    layer: str | None = None,
    baseline: float | Tensor = 0.0,
    batch_size: int = 64,
    steps: int = 32,
    eps: float = 1e-4,
) -> Tensor:
    r"""Attributes a model's output to its input, for images, tensors and graphs, as in the
    `"Deep Model Transferability from Attribution Maps" <https://arxiv.org/abs/1909.11902>`_
    paper.

    .. math::
        \begin{aligned}
        \text{saliency} &: \left| \partial f / \partial x \right| &
        \text{input\_x\_gradient} &: x \cdot \partial f / \partial x \\
        \text{integrated\_gradients} &: (x - x_0) \int_0^1
        \tfrac{\partial f}{\partial x}(x_0 + t (x - x_0)) \, dt &
        \text{epsilon\_lrp} &: x \cdot \partial_{g} f / \partial x,\;
        g = \tfrac{\sigma(z)}{z + \epsilon \, \mathrm{sign}(z)} \\
        \text{deep\_lift} &: (x - x_0) \cdot \partial_{g} f / \partial x,\;
        g = \tfrac{\sigma(z) - \sigma(z_0)}{z - z_0}
        \end{aligned}

    where :math:`f` is what ``target`` makes of the output and :math:`\partial_g` takes :math:`g`
    for the derivative of every nonlinearity :math:`\sigma`. The first three come from captum; it
    needs :obj:`pip install "graphkit[vision]"`. The last two need neither hooks nor modules that
    run once, so that they serve PyG models too. A call costs one forward and one backward pass
    (``steps`` of both for integrated gradients, one more forward pass for DeepLIFT) and knows
    nothing of earlier calls; modes, switches and gradients of the model stay as they are.

    Args:
        model (callable): Any model. For a graph, ``model(x, edge_index, …)`` gets whatever
            attributes of the graph its ``forward`` names.
        x (torch.Tensor or Data): Samples along the first dimension, or a graph (or batch of
            graphs), whose node features are attributed to.
        method (str, optional): One of the five above. (default: :obj:`"input_x_gradient"`)
        target (str, int, torch.Tensor or callable, optional): What is attributed:
            :obj:`"sum"`, :obj:`"mean"` or :obj:`"norm"` over all outputs of a sample, the output
            of one class or of one class per sample, or a function from outputs to a number per
            sample. With a graph, everything is summed. (default: :obj:`"sum"`)
        layer (str, optional): Name of the submodule whose output is attributed.
            (default: that of the model)
        baseline (float or torch.Tensor, optional): :math:`x_0` of integrated gradients and
            DeepLIFT. (default: :obj:`0.0`)
        batch_size (int, optional): Samples at a time. (default: :obj:`64`)
        steps (int, optional): Points of the integral. (default: :obj:`32`)
        eps (float, optional): :math:`\epsilon`. (default: :obj:`1e-4`)

    Shapes:
        - **input:** samples :math:`(B, *)`, or a graph with features :math:`(N, F)`
        - **output:** :math:`(B, *)`, or :math:`(N, F)`

    Raises:
        ValueError: If an argument is unknown or out of range, or ``x`` is no floating tensor or
            is not finite.
        ImportError: If captum is needed and missing.

    Example:
        >>> import torch
        >>> from graphkit.transfer import attribute
        >>> weight = torch.tensor([[2.0, -1.0], [0.0, 4.0]])
        >>> attribute(lambda x: x @ weight.T, torch.tensor([[1.0, 10.0]]))
        tensor([[ 2., 30.]])
    """
    refuse_class("model", model)
    values = x.x if isinstance(x, Data) else x
    check(values, method, batch_size, steps, eps)
    settings = {"baseline": baseline, "steps": steps, "eps": eps, "batch_size": batch_size}
    with frozen(model), torch.enable_grad():
        if isinstance(x, Data):
            score = graph_score(model, x, target, layer)
            return one_batch(score, values[None], method, (), {**settings, "batch_size": 1})[0]
        score = sample_score(model, target, layer)
        maps = []
        for start in range(0, len(values), batch_size):
            part = slice(start, start + batch_size)
            extra = (target[part],) if isinstance(target, Tensor) else ()
            here = {**settings, "baseline": piece(baseline, part, values)}
            maps.append(one_batch(score, values[part], method, extra, here))
        return torch.cat(maps) if maps else torch.zeros_like(values)


def check(x: Any, method: str, batch_size: int, steps: int, eps: float) -> None:
    """Refuses what cannot be attributed, by name."""
    if method not in METHODS:
        raise ValueError(f"'method' must be one of {list(METHODS)}, got {method!r}")
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.layout != torch.strided:
        kind = f"{x.dtype}, {x.layout}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"'x' must be a dense tensor of floating type, got {kind}")
    if not bool(x.isfinite().all()):
        raise ValueError(f"'x' holds {int((~x.isfinite()).sum())} values that are not finite")
    for name, value in (("batch_size", batch_size), ("steps", steps)):
        if value < 1:
            raise ValueError(f"'{name}' must be at least 1, got {value}")
    if eps <= 0:
        raise ValueError(f"'eps' must be positive, got {eps}")


def piece(baseline: float | Tensor, part: slice, values: Tensor) -> float | Tensor:
    """The rows of a baseline that belong to some samples; one for all serves every sample."""
    if isinstance(baseline, Tensor) and baseline.shape == values.shape:
        return baseline[part]
    return baseline


def output_of(model: Callable[..., Any], layer: str | None, *args: Any, **kwargs: Any) -> Tensor:
    """The output of the model, or of a submodule."""
    if layer is None:
        out = model(*args, **kwargs)
    elif not isinstance(model, nn.Module):
        raise ValueError(f"'layer' needs a torch.nn.Module, got {type(model).__name__}")
    else:
        with tap(model, layer) as record:
            model(*args, **kwargs)
        out = record[layer].output
    out = out[0] if isinstance(out, tuple) else out
    if not isinstance(out, Tensor):
        raise ValueError(f"{layer or 'the model'} gave {type(out).__name__}, not a tensor")
    return out


def reduced(out: Tensor, target: Target, index: Tensor | None = None) -> Tensor:
    """One number per row of the output."""
    if not isinstance(target, str | int | Tensor):
        return target(out)
    flat = out.reshape(out.size(0), -1)
    if isinstance(target, int | Tensor):
        column = target if index is None else index
        picked = torch.as_tensor(column, device=out.device).expand(out.size(0))
        if picked.numel() and not 0 <= int(picked.min()) <= int(picked.max()) < flat.size(1):
            raise ValueError(
                f"'target' must lie between 0 and {flat.size(1) - 1}, got values from "
                f"{int(picked.min())} to {int(picked.max())}"
            )
        return flat.gather(1, picked[:, None])[:, 0]
    kinds: dict[Any, Any] = {"sum": flat.sum, "mean": flat.mean, "norm": flat.norm}
    if target not in kinds:
        raise ValueError(f"'target' must be one of {list(kinds)}, an index or callable: {target!r}")
    return kinds[target](dim=1)


def sample_score(
    model: Callable[..., Any], target: Target, layer: str | None
) -> Callable[..., Tensor]:
    """A function from samples to what is attributed."""
    return lambda x, index=None: reduced(output_of(model, layer, x), target, index)


def graph_output(model: Callable[..., Any], data: Data, layer: str | None, x: Tensor) -> Tensor:
    """The output for a graph with other node features."""
    forward = model.forward if isinstance(model, nn.Module) else model
    names = list(inspect.signature(forward).parameters)[1:]
    return output_of(model, layer, x, **{name: data[name] for name in names if name in data})


def graph_score(
    model: Callable[..., Any], data: Data, target: Target, layer: str | None
) -> Callable[..., Tensor]:
    """A function from stacked node features of one graph to what is attributed."""

    def score(x: Tensor) -> Tensor:
        outs = [reduced(graph_output(model, data, layer, one), target).sum() for one in x]
        return torch.stack(outs)

    return score


def one_batch(
    score: Callable[..., Tensor],
    x: Tensor,
    method: str,
    extra: tuple[Tensor, ...],
    settings: dict[str, Any],
) -> Tensor:
    """The attribution of one batch of samples."""
    x = x.detach().clone().requires_grad_()
    x0 = torch.as_tensor(settings["baseline"]).to(x).expand_as(x)
    if method == "epsilon_lrp":
        return x.detach() * ruled_gradient(score, x, extra, epsilon_rule(settings["eps"]))
    if method == "deep_lift":
        seen: list[Tensor] = []
        with torch.no_grad(), Nonlinearities(remember(seen)):
            score(x0, *extra)
        return (x - x0).detach() * ruled_gradient(score, x, extra, rescale_rule(seen))
    try:
        from captum import attr
    except ImportError as error:
        raise ImportError(f'{method!r} needs captum: pip install "graphkit[vision]"') from error
    given: dict[str, Any] = {"additional_forward_args": extra or None}
    if method == "saliency":
        return attr.Saliency(score).attribute(x, **given).detach()
    if method == "input_x_gradient":
        return attr.InputXGradient(score).attribute(x, **given).detach()
    given |= {"baselines": x0, "n_steps": settings["steps"]}
    size = max(settings["batch_size"], len(x))
    return attr.IntegratedGradients(score).attribute(x, internal_batch_size=size, **given).detach()


def ruled_gradient(
    score: Callable[..., Tensor], x: Tensor, extra: tuple[Tensor, ...], rule: Rule
) -> Tensor:
    """The gradient of the scores' sum with a rule in place of the nonlinearities' derivative."""
    with Nonlinearities(rule):
        total = score(x, *extra).sum()
    return torch.autograd.grad(total, x)[0]
