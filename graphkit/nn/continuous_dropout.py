"""Dropout with masks between zero and one."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.transforms.mask_noise import mask_noise


@method(
    paper="arXiv:1911.12675",
    title="Continuous Dropout",
    authors="Xu Shen, Xinmei Tian, Tongliang Liu, Fang Xu, Dacheng Tao",
    venue="IEEE Transactions on Neural Networks and Learning Systems 2018",
    year=2018,
    code="https://github.com/jasonustc/caffe-multigpu",
    licence="none",
    takes="features of any shape",
    gives="the same features times random masks",
    deviations=[
        "Masks are scaled by their exact mean while training; the released Caffe code scales "
        "Gaussian ones by the mean before clipping (variant='released'), its Theano code "
        "multiplies weights by one half at test time.",
        "clip=False, for noise of any strength, is ours.",
    ],
    verified_by="benchmarks/recipes/continuous-dropout-digits.yaml",
    limits=[
        "more accuracy than binary dropout at equal noise: they are level within half a point on "
        "digits, and on CS it is 0.7 +- 0.2 points behind, 3 seeds",
    ],
)
class ContinuousDropout(nn.Module):
    r"""Dropout with continuous masks, from the `"Continuous Dropout"
    <https://arxiv.org/abs/1911.12675>`_ paper; in place of :class:`torch.nn.Dropout`.

    .. math::
        h = \frac{m}{\mathrm{E}\,m} \odot x, \qquad m \sim \mathcal{U}(a, b)
        \;\text{ or }\; \mathcal{N}(\mu, \sigma^2) \text{ clipped to } [0, 1]
        \;\text{ or }\; \mathrm{Bernoulli}(1 - p)

    Outputs are unbiased in training and the input itself in evaluation.  How strong the noise
    is, :math:`\rho = \mathrm{Var}\,m / (\mathrm{E}\,m)^2`, is in
    ``module.noise.relative_variance``: 1 for Bernoulli with :math:`p = 1/2`, 1/3 for
    :math:`\mathcal{U}(0, 1)`.  At equal :math:`\rho` kinds do alike, and stronger noise makes
    units more, not less, correlated, against what the paper says: see the recipe
    ``continuous-dropout-digits``.  Time and memory are those of :class:`torch.nn.Dropout`.

    Args:
        noise (str, optional): ``"uniform"``, ``"gaussian"`` or ``"bernoulli"``.
            (default: ``"uniform"``)
        low, high (float, optional): Interval of ``"uniform"``. (default: :obj:`0`, :obj:`1`)
        mean, std (float, optional): Of ``"gaussian"`` before clipping.
            (default: :obj:`0.5`, :obj:`0.25`)
        clip (bool, optional): Whether ``"gaussian"`` is clipped to :math:`[0, 1]`.
            (default: :obj:`True`)
        p (float, optional): Probability of zero of ``"bernoulli"``. (default: :obj:`0.5`)
        axes (int, optional): How many leading dimensions have masks of their own, shared over
            the rest: :obj:`1` per node or sample, :obj:`2` per feature map, :obj:`0` one for
            all. (default: every value has its own)
        generator (torch.Generator, optional): Draws the masks. (default: PyTorch's own)
        variant (str, optional): ``"paper"``, or ``"released"``, which scales clipped Gaussian
            masks by :obj:`mean`: biased unless that is 1/2. (default: ``"paper"``)

    Shapes:
        - **input:** :math:`(*)`, such as nodes :math:`(N, F)`
        - **output:** :math:`(*)`

    Raises:
        ValueError: If an option is out of range, belongs to another noise, or :obj:`axes` is
            more than the input has.
        TypeError: If the input is not floating point.

    Example:
        >>> import torch
        >>> from graphkit.nn import ContinuousDropout
        >>> drop = ContinuousDropout("gaussian", std=0.2, axes=1)
        >>> drop(torch.ones(4, 8)).unique(dim=1).shape  # one mask per node
        torch.Size([4, 1])
        >>> drop.eval()(torch.ones(1, 2))
        tensor([[1., 1.]])
    """

    def __init__(
        self,
        noise: Literal["uniform", "gaussian", "bernoulli"] = "uniform",
        low: float | None = None,
        high: float | None = None,
        mean: float | None = None,
        std: float | None = None,
        clip: bool | None = None,
        p: float | None = None,
        axes: int | None = None,
        generator: torch.Generator | None = None,
        variant: Literal["paper", "released"] = "paper",
    ) -> None:
        super().__init__()
        if variant not in ("paper", "released"):
            raise ValueError(f"'variant' must be 'paper' or 'released', got {variant!r}")
        if axes is not None and axes < 0:
            raise ValueError(f"'axes' must not be negative, got {axes}")
        options = {"low": low, "high": high, "mean": mean, "std": std, "clip": clip, "p": p}
        self.noise = mask_noise(noise, variant == "paper", **options)
        self.axes, self.generator = axes, generator

    def forward(self, x: Tensor) -> Tensor:
        """Multiplies by fresh masks; gives the input itself in evaluation mode."""
        if not x.is_floating_point():
            raise TypeError(f"'x' must be floating point, got {x.dtype}")
        axes = x.dim() if self.axes is None else self.axes
        if axes > x.dim():
            raise ValueError(f"'axes' is {axes}, but 'x' has shape {list(x.shape)}")
        if not self.training:
            return x
        shape = (*x.shape[:axes], *[1] * (x.dim() - axes))
        return x * self.noise.draw(shape, x, self.generator)

    def extra_repr(self) -> str:
        """The noise, as ``print(module)`` shows it."""
        return f"{self.noise}, axes={self.axes}"
