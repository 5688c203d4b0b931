"""The worst input near a given one, by projected gradients, and what survives several searches."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.catalog import method
from graphkit.refusals import refuse_nan
from graphkit.words import refuse_class

__all__ = ["attack_ensemble", "logit_margin", "pgd"]

Bounds = tuple[float, float] | None


@method(
    paper="arXiv:1706.06083",
    title="Towards Deep Learning Models Resistant to Adversarial Attacks",
    authors="Aleksander Madry, Aleksandar Makelov, Ludwig Schmidt, Dimitris Tsipras, Adrian Vladu",
    venue="ICLR 2018",
    year=2018,
    code="https://github.com/MadryLab/mnist_challenge",
    licence="MIT",
    takes="a loss to be raised, inputs",
    gives="inputs at most so far away that raise it",
    deviations=["the largest norm of all alone", "inputs may be features of a graph's nodes"],
    verified_by="tests/vision/test_attacks.py",
)
def pgd(
    loss: Callable[[Tensor], Tensor],
    x: Tensor,
    eps: float,
    step: float,
    steps: int,
    bounds: Bounds = (0.0, 1.0),
    noise: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Projected gradient ascent, of the `"Towards Deep Learning Models Resistant to Adversarial
    Attacks" <https://arxiv.org/abs/1706.06083>`_ paper.

    .. math::
        x^{t+1} = \Pi_{\lVert x' - x \rVert_\infty \le \epsilon}
        \big( x^t + a \, \mathrm{sign} \, \nabla_{x^t} \mathcal{L}(x^t) \big)

    The model's mode is the caller's affair: attack in evaluation mode. Gradients of parameters
    are not touched. Costs ``steps`` forward and backward passes.

    Args:
        loss (callable): ``x -> scalar``, to be raised.
        x (torch.Tensor): Inputs, such as images or features of nodes.
        eps (float): :math:`\epsilon`, in units of the input.
        step (float): :math:`a`.
        steps (int): How many; 0 gives the start.
        bounds (tuple of float, optional): Least and largest value of an input, or :obj:`None`.
            (default: 0 and 1)
        noise (float, optional): The start lies uniformly within so much of the input, 0 starts at
            the input itself. (default: :math:`\epsilon`)
        generator (torch.Generator, optional): What draws the start.

    Shapes:
        - **input:** :math:`(*)`
        - **output:** :math:`(*)`, without gradient

    Raises:
        ValueError: If an option is out of range, inputs are not finite, no floats, or out of
            bounds, or a gradient is NaN, along which nothing would be attacked.

    Example:
        >>> import torch
        >>> from graphkit.vision import pgd
        >>> pgd(lambda x: x.sum(), torch.tensor([0.5, 0.95]), eps=0.1, step=0.05, steps=4)
        tensor([0.6000, 1.0000])
    """
    refuse_class("loss", loss)
    noise = eps if noise is None else noise
    for name, value in (("eps", eps), ("step", step), ("steps", steps), ("noise", noise)):
        if not value >= 0:
            raise ValueError(f"'{name}' must not be negative, got {value}")
    low, high = (-torch.inf, torch.inf) if bounds is None else bounds
    x = x.detach()
    check_inputs(x, low, high)
    least, most = (x - eps).clamp(min=low), (x + eps).clamp(max=high)
    adversarial = x.clone()
    if noise:
        start = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        adversarial = torch.clamp(x + noise * (2 * start - 1), least, most)
    for _ in range(steps):
        adversarial.requires_grad_()
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(loss(adversarial), adversarial)
        refuse_nan("gradient of the loss", slope)
        adversarial = torch.clamp(adversarial.detach() + step * slope.sign(), least, most)
    return adversarial.detach()


def check_inputs(x: Tensor, low: float, high: float) -> None:
    """Refuses inputs that no attack can begin from."""
    if not x.is_floating_point():
        raise ValueError(f"'x' must hold floats, got {x.dtype}")
    if not x.isfinite().all():
        raise ValueError("'x' holds NaN or infinite values")
    if not low < high:
        raise ValueError(f"'bounds' must be a lower and an upper one, got {low} and {high}")
    if x.numel() and not low <= float(x.min()) <= float(x.max()) <= high:
        raise ValueError(
            f"'x' lies in [{float(x.min()):.4g}, {float(x.max()):.4g}], outside of 'bounds' "
            f"[{low}, {high}]; put a normalisation into the model, so that eps is in the units of x"
        )


def check_labels(logits: Tensor, y: Tensor) -> None:
    """Refuses labels that do not fit the logits."""
    if logits.dim() != 2 or logits.size(1) < 2 or y.shape != logits.shape[:1]:
        raise ValueError(
            f"'logits' must be [N, K], K at least 2, and 'y' [N], got {list(logits.shape)} and "
            f"{list(y.shape)}"
        )
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) < logits.size(1):
        raise ValueError(
            f"'y' must be in 0 … {logits.size(1) - 1}, got {int(y.min())} … {int(y.max())}"
        )


def logit_margin(logits: Tensor, y: Tensor) -> Tensor:
    r"""How far the logit of the label is above the largest other one; negative where it is wrong.

    .. math::
        z_y - \max_{j \ne y} z_j

    Args:
        logits (torch.Tensor): Logits of at least two classes.
        y (torch.Tensor): Labels.

    Shapes:
        - **input:** :math:`(N, K)` and :math:`(N)`
        - **output:** :math:`(N)`

    Raises:
        ValueError: If shapes do not fit, or a label is no class.

    Example:
        >>> import torch
        >>> logit_margin(torch.tensor([[3.0, 1.0], [3.0, 1.0]]), torch.tensor([0, 1]))
        tensor([ 2., -2.])
    """
    check_labels(logits, y)
    label = y.unsqueeze(1)
    others = logits.scatter(1, label, -torch.inf)
    return logits.gather(1, label).squeeze(1) - others.amax(1)


def attack_ensemble(
    logits: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    eps: float,
    step: float,
    steps: int = 20,
    bounds: Bounds = (0.0, 1.0),
    targets: int = 3,
    extra: Callable[[Tensor], Tensor] | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Which samples are still right after every one of several searches by :func:`pgd`.

    ``clean`` is none, ``fgsm`` one step as long as the ball is wide, ``pgd`` raises the cross
    entropy, ``margin`` lowers :func:`logit_margin`, ``target1`` … raise the lead of the most likely
    wrong classes over the label, one by one, ``extra`` raises what is given, such as the loss of a
    method that defends itself. ``all`` are those that survive each of them. It finds no less than
    PGD does, and more where gradients of the cross entropy are flat; it is no proof.

    Where samples share inputs, such as nodes of a graph, each search attacks all of them at once,
    and ``all`` lets every sample have the attack that is worst for it.

    Args:
        logits (callable): ``x -> logits`` of samples, in evaluation mode.
        x (torch.Tensor): Inputs.
        y (torch.Tensor): Labels of the samples.
        eps, step, steps, bounds, generator: As in :func:`pgd`. (default: 20 steps)
        targets (int, optional): Wrong classes that are aimed at. (default: :obj:`3`)
        extra (callable, optional): ``x -> scalar``, to be raised.

    Shapes:
        - **input:** :math:`(*)`, labels :math:`(N)`
        - **output:** by name, :math:`(N)` of truth values

    Raises:
        ValueError: As in :func:`pgd`, or if labels do not fit the logits, or logits are NaN, also
            under attack.

    Example:
        >>> import torch
        >>> from graphkit.vision import attack_ensemble
        >>> x = torch.tensor([[0.9, 0.1], [0.55, 0.45]])
        >>> right = attack_ensemble(lambda x: x, x, torch.tensor([0, 0]), eps=0.1, step=0.05)
        >>> right["clean"].tolist(), right["all"].tolist()
        ([True, True], [True, False])
    """
    refuse_class("logits", logits)
    with torch.no_grad():
        clean = logits(x)
    check_labels(clean, y)
    refuse_nan("logits", clean)
    wrong = clean.scatter(1, y.unsqueeze(1), -torch.inf).argsort(1, descending=True)

    def towards(target: Tensor) -> Callable[[Tensor], Tensor]:
        ends = torch.stack([target, y], 1)
        return lambda z: (logits(z).gather(1, ends) * z.new_tensor([1.0, -1.0])).sum()

    def entropy(z: Tensor) -> Tensor:
        return F.cross_entropy(logits(z), y, reduction="sum")

    searches = {"pgd": entropy, "margin": lambda z: -logit_margin(logits(z), y).sum()}
    for place in range(min(targets, clean.size(1) - 1)):
        searches[f"target{place + 1}"] = towards(wrong[:, place])
    if extra is not None:
        searches["extra"] = extra
    right = {"clean": clean.argmax(1) == y}
    worst = {"fgsm": pgd(entropy, x, eps, eps, 1, bounds, 0.0)}
    for name, loss in searches.items():
        worst[name] = pgd(loss, x, eps, step, steps, bounds, generator=generator)
    with torch.no_grad():
        attacked = {name: logits(one) for name, one in worst.items()}
    for name, one in attacked.items():
        refuse_nan(f"logits under {name}", one)
    right |= {name: one.argmax(1) == y for name, one in attacked.items()}
    return right | {"all": torch.stack([*right.values()]).all(0)}
