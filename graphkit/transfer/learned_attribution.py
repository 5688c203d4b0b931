"""Attribution whose propagation rules are learned for every input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from graphkit import catalog
from graphkit.lopsided import watch_terms
from graphkit.modes import frozen
from graphkit.transfer.nonlinearities import Function, Nonlinearities, Rule
from graphkit.words import refuse_class

__all__ = ["LearnedAttribution"]

SIGNALS = ("gradient", "input_x_gradient")


@catalog.method(
    paper="arXiv:2010.07210",
    title="Learning Propagation Rules for Attribution Map Generation",
    authors="Yiding Yang, Jiayan Qiu, Mingli Song, Dacheng Tao, Xinchao Wang",
    venue="ECCV 2020",
    year=2020,
    code=None,
    licence="none",
    takes="a frozen classifier and images",
    gives="a mask in [0, 1] per image",
    deviations=[
        "no code was released and the abstract gives no formula: gates, objective and optimiser "
        "are a reconstruction from it",
        "the largest value that a mask is divided by is differentiated, not held fixed",
        "smooth=3 averages the signal over 3 x 3 pixels; 1 leaves it as it is",
    ],
    verified_by="tests/transfer/test_learned_attribution.py",
    limits=[
        "where one backward pass must do: input times gradient needs no training",
    ],
)
class LearnedAttribution:
    r"""The learned propagation rules of the `"Learning Propagation Rules for Attribution Map
    Generation" <https://arxiv.org/abs/2010.07210>`_ paper: every nonlinearity of a frozen
    classifier passes the gradient on through a gate per pixel, and the gates are optimised so
    that the image under the resulting mask is still seen as what it was.

    .. math::
        \begin{aligned}
        g_{l} &= \sigma(P_l) \cdot f_l'(u_l) \cdot g_{l+1}, \qquad
        A = \sum_c \left| \partial_P y_t / \partial x_c \right|, \qquad m = A / \max A \\
        P &= \arg\min \; \mathrm{CE}(f(x \odot m), t) + \lambda_a \bar{m}
        + \lambda_g \, \mathrm{KL}(f(x) \,\|\, f(x \odot m)) + \lambda_t \, \mathrm{TV}(m)
        \end{aligned}

    :math:`P \to \infty` is the plain gradient. Only :math:`P` is optimised, for each image by
    itself, so images may be treated together or apart. A step costs a backward pass, its double,
    and a pass over the masked images; the forward pass is made once. The model is not changed:
    no hook is set on it, and functions (``F.relu``) are gated like modules.

    Args:
        model (callable): A classifier; it runs in evaluation mode, whatever its mode.
        steps (int, optional): Steps of Adam; 0 leaves the gates as they begin.
            (default: :obj:`30`)
        lr (float, optional): Learning rate. (default: :obj:`0.2`)
        area (float, optional): :math:`\lambda_a`. Too large a weight empties the mask where the
            model sees the class in a blank image, too. (default: :obj:`1.0`)
        guidance (float, optional): :math:`\lambda_g`. (default: :obj:`0.0`)
        smoothness (float, optional): :math:`\lambda_t`. (default: :obj:`0.0`)
        init (float, optional): :math:`P` at the start. (default: :obj:`2.0`)
        guided (bool, optional): Stop negative signals at every gate, as guided backpropagation
            does. (default: :obj:`False`)
        per_channel (bool, optional): A gate per pixel and channel. (default: :obj:`False`)
        signal (str, optional): :obj:`"gradient"`, or :obj:`"input_x_gradient"` for the positive
            part of :math:`\sum_c x_c \, \partial_P y / \partial x_c`.
            (default: :obj:`"gradient"`)
        smooth (int, optional): Odd width of a window the signal is averaged over.
            (default: :obj:`3`)

    Shapes:
        - **input:** images :math:`(B, C, H, W)`, classes :math:`(B)`
        - **output:** masks :math:`(B, 1, H, W)`

    Raises:
        ValueError: If an argument is unknown or out of range.

    Warns:
        LopsidedWarning: If, in the second call, the gradient of a term on the gates is over
            a thousand times that of another, and its weight over a hundred times.

    Example:
        >>> import torch
        >>> from graphkit.transfer import LearnedAttribution
        >>> model = torch.nn.Sequential(
        ...     torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(),
        ...     torch.nn.Linear(144, 3))
        >>> LearnedAttribution(model, steps=2)(torch.rand(5, 1, 8, 8)).shape
        torch.Size([5, 1, 8, 8])
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        steps: int = 30,
        lr: float = 0.2,
        area: float = 1.0,
        guidance: float = 0.0,
        smoothness: float = 0.0,
        init: float = 2.0,
        guided: bool = False,
        per_channel: bool = False,
        signal: str = "gradient",
        smooth: int = 3,
    ) -> None:
        refuse_class("model", model)
        weights = {"area": area, "guidance": guidance, "smoothness": smoothness, "steps": steps}
        for name, value in weights.items():
            if value < 0:
                raise ValueError(f"'{name}' must not be negative, got {value}")
        if lr <= 0:
            raise ValueError(f"'lr' must be positive, got {lr}")
        if smooth < 1 or smooth % 2 == 0:
            raise ValueError(f"'smooth' must be odd and positive, got {smooth}")
        if signal not in SIGNALS:
            raise ValueError(f"'signal' must be one of {list(SIGNALS)}, got {signal!r}")
        self.model, self.steps, self.lr = model, steps, lr
        self.area, self.guidance, self.smoothness = area, guidance, smoothness
        self.init, self.guided, self.per_channel = init, guided, per_channel
        self.signal, self.smooth = signal, smooth
        self.gates: list[Tensor] = []
        self.losses: list[float] = []

    def __call__(self, x: Tensor, target: Tensor | None = None) -> Tensor:
        r"""The masks of some images; :attr:`losses` then holds the objective of every step.

        Args:
            x (torch.Tensor): Images.
            target (torch.Tensor, optional): The class of each to explain.
                (default: the predicted one)
        """
        if x.dim() != 4 or not x.is_floating_point() or not bool(x.isfinite().all()):
            raise ValueError(
                f"'x' must be finite floating images [B, C, H, W], got {x.dtype} {list(x.shape)}"
            )
        # Gates are learned through a second derivative, which fused attention lacks.
        with frozen(self.model), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            x = x.detach().clone().requires_grad_()
            self.gates, self.losses = [], []
            with Nonlinearities(self.gate()):
                out = self.model(x)
            if not self.gates:
                raise ValueError("the model calls no nonlinearity that could be gated")
            target = out.argmax(1) if target is None else target
            score = out.gather(1, target[:, None]).sum()
            belief = out.detach().log_softmax(1)
            optimizer = torch.optim.Adam(self.gates, lr=self.lr)
            for _ in range(self.steps):
                loss = self.objective(x.detach(), self.mask(score, x, True), target, belief)
                grads = torch.autograd.grad(
                    loss, self.gates, allow_unused=True, materialize_grads=True
                )
                for gate, grad in zip(self.gates, grads, strict=True):
                    gate.grad = grad
                optimizer.step()
                self.losses.append(float(loss.detach()))
            return self.mask(score, x, False)

    def gate(self) -> Rule:
        """A rule that lets gradients through a new gate, whose value may change between passes."""

        def rule(function: Function, u: Tensor, call: int) -> Tensor:
            out = function(u)
            if not out.requires_grad:
                return out
            shape = list(u.shape)
            if not self.per_channel and u.dim() > 1:
                shape[1] = 1
            gate = u.new_full(shape, self.init).requires_grad_()
            self.gates.append(gate)
            out.register_hook(lambda g: self.let_through(g, gate))
            return out

        return rule

    def let_through(self, signal: Tensor, gate: Tensor) -> Tensor:
        """The signal behind a gate."""
        if self.guided:
            signal = signal.clamp(min=0)
        return signal * gate.sigmoid()

    def mask(self, score: Tensor, x: Tensor, create_graph: bool) -> Tensor:
        """The masks that the gates give as they are."""
        (grad,) = torch.autograd.grad(score, x, create_graph=create_graph, retain_graph=True)
        if self.signal == "gradient":
            strength = grad.abs().sum(1, keepdim=True)
        else:
            strength = (x.detach() * grad).sum(1, keepdim=True).clamp(min=0)
        if self.smooth > 1:
            strength = F.avg_pool2d(strength, self.smooth, 1, self.smooth // 2)
        largest = strength.amax((1, 2, 3), keepdim=True)
        strength = strength / torch.where(largest > 0, largest, 1.0)
        return strength if create_graph else strength.detach()

    def objective(self, x: Tensor, mask: Tensor, target: Tensor, belief: Tensor) -> Tensor:
        """The sum of the images' objectives."""
        out: Any = self.model(x * mask)
        loss = F.cross_entropy(out, target, reduction="sum")
        inside = mask.mean((1, 2, 3)).sum()
        terms = {"class": (1.0, loss), "area": (self.area, inside)}
        loss = loss + self.area * inside
        if self.guidance:
            apart = F.kl_div(out.log_softmax(1), belief, reduction="sum", log_target=True)
            terms["guidance"] = self.guidance, apart
            loss = loss + self.guidance * apart
        if self.smoothness:
            down, right = mask.diff(dim=2).abs(), mask.diff(dim=3).abs()
            variation = (down.mean((1, 2, 3)) + right.mean((1, 2, 3))).sum()
            terms["smoothness"] = self.smoothness, variation
            loss = loss + self.smoothness * variation
        watch_terms(self, terms, self.gates)
        return loss
