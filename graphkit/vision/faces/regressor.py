"""From an image of a face to the parameters of a face that bones move."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import method, no_method
from graphkit.modes import call_fixed, evaluating
from graphkit.precision import normalize, positive
from graphkit.words import refuse_classes

__all__ = ["FaceRegressor", "LocalContrast"]

Network = Callable[[Tensor], Tensor]
TERMS = ("feature", "identity", "person", "loopback", "adversarial")


@no_method("features that photos and drawings share")
class LocalContrast(nn.Module):
    r"""Images without their light: what a pixel has over its neighbours, in units of theirs.

    .. math::
        f_s = \frac{x_s - \mu(x_s)}{\sqrt{\mu((x_s - \mu(x_s))^2) + \epsilon}}

    at several scales :math:`s`, each half as large, with means :math:`\mu` over a window. Gains
    and slow gradients of light leave it nearly as it is. Nothing is learned.

    Args:
        scales (int, optional): How many. (default: :obj:`3`)
        window (int, optional): Side of the window, odd. (default: :obj:`9`)
        eps (float, optional): :math:`\epsilon`; contrasts below its root fade.
            (default: :obj:`0.01`)

    Shapes:
        - **input:** :math:`(N, C, H, W)`
        - **output:** all scales side by side, :math:`(N, D)`

    Example:
        >>> import torch
        >>> from graphkit.vision import LocalContrast
        >>> x = torch.rand(2, 1, 16, 16)
        >>> contrast = LocalContrast(scales=2, eps=1e-6)
        >>> torch.allclose(contrast(x), contrast(0.5 * x + 0.2), atol=1e-2)
        True
    """

    def __init__(self, scales: int = 3, window: int = 9, eps: float = 0.01) -> None:
        super().__init__()
        if scales < 1 or window < 1 or window % 2 == 0 or eps <= 0:
            raise ValueError(
                f"'scales' and 'eps' must be positive and 'window' odd, got {scales}, {eps} and "
                f"{window}"
            )
        self.scales, self.window, self.eps = scales, window, eps

    def mean(self, x: Tensor) -> Tensor:
        """Means over the windows; less of a window counts at the border."""
        half = self.window // 2
        return F.avg_pool2d(x, self.window, 1, half, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        """The features.

        Args:
            x (torch.Tensor): Images.
        """
        parts = []
        for scale in range(self.scales):
            x = F.avg_pool2d(x, 2) if scale else x
            rest = x - self.mean(x)
            level = rest / (self.mean(rest.square()) + self.eps).sqrt()
            # A scale counts as one, whatever its number of pixels.
            parts.append(level.flatten(1) / level[0].numel() ** 0.5)
        return torch.cat(parts, 1)


@method(
    paper="arXiv:2008.08862",
    title="Unsupervised Learning Facial Parameter Regressor for Action Unit Intensity Estimation "
    "via Differentiable Renderer",
    authors="Xinhui Song, Tianyang Shi, Zunlei Feng, Mingli Song, Jackie Lin, Chuanjie Lin, "
    "Changjie Fan, Yi Yuan",
    venue="ACM MM 2020",
    year=2020,
    code=None,
    licence="none",
    takes="images of faces without labels, a differentiable renderer",
    gives="identity, action units and pose of a face",
    deviations=[
        "there is no released code: the losses are those that the paper names, their forms ours",
        "the features of segmentation and recognition networks are any callables; LocalContrast, "
        "which learns nothing, stands for the first",
        "frames known to be of one person may be held to one identity (term 'person'); an "
        "embedding of recognition needs a network that photos of faces have trained",
        "parameters are squashed into their bounds by a sigmoid",
    ],
    verified_by="benchmarks/recipes/bdfm-synthetic.yaml, tests/vision/faces/test_regressor.py",
)
class FaceRegressor(nn.Module):
    r"""Learns to read a face's parameters off images without any label, as in the `"Unsupervised
    Learning Facial Parameter Regressor for Action Unit Intensity Estimation via Differentiable
    Renderer" <https://arxiv.org/abs/2008.08862>`_ paper: what a renderer draws from them is to
    look like the image.

    .. math::
        \mathcal{L}(x) = \lambda_f \, \lVert F(G(R(x))) - F(x) \rVert^2
        + \lambda_i \, (1 - \cos(E(G(R(x))), E(x)))
        + \lambda_l \, \lVert R(G(R(x))) - R(x) \rVert^2
        - \lambda_a \log \sigma(D(G(R(x))))

    The renderer :math:`G` is an :class:`~graphkit.vision.Imitator`, or anything differentiable,
    such as :class:`~graphkit.vision.FaceBones` on landmarks. It runs in evaluation mode and gets
    no gradient, nor do :math:`F`, :math:`E` and :math:`D`: an optimizer over all parameters
    changes :math:`R` alone. The target of the third term is constant, without which a constant
    :math:`R` would be a solution; alone it still is none to learn from. Action units are read
    off directly. With one image a wide mouth and a smile look alike: several frames of a person,
    held to one identity (:math:`\lambda_p`, the variance within a person), tell them apart.

    Args:
        network (torch.nn.Module): :math:`R` up to the bounds: images to :math:`(N, P)`.
        renderer (callable): :math:`G`: parameters to images.
        bounds (tuple of torch.Tensor): Least and largest parameters, as
            :meth:`FaceBones.bounds` gives them.
        feature (callable, optional): :math:`F`. (default: the image itself)
        embedding (callable, optional): :math:`E`; needed for ``identity``.
        judge (torch.nn.Module, optional): :math:`D`, images to scores; needed for
            ``adversarial``. Learns by :meth:`judging`, with an optimizer of its own.
        identities (int, optional): How many parameters, the first ones, are identity; needed
            for ``person``. (default: :obj:`0`)
        weights (dict, optional): :math:`\lambda` by term: ``"feature"``, ``"identity"``,
            ``"person"``, ``"loopback"``, ``"adversarial"``. (default: :obj:`{"feature": 1.0}`)

    Shapes:
        - **input:** what the network takes, first dimension :math:`N`
        - **output:** :math:`(N, P)`, within the bounds

    Raises:
        ValueError: If a weight has no such term or lacks what it needs, shapes do not fit, or a
            frame has no face: it is the same all over, or not finite. The message names it.
        TypeError: If a network is a class.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from graphkit.vision import FaceBones, FaceRegressor
        >>> face = FaceBones.standard()
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(136, face.num_parameters))
        >>> model = FaceRegressor(network, face, face.bounds(), weights={"feature": 1.0})
        >>> landmarks = face(face.draw(8, torch.Generator().manual_seed(0))).detach()
        >>> model.loss(landmarks).backward()
        >>> face.rest.grad is None, network[1].weight.grad is None
        (True, False)
    """

    low: Tensor
    high: Tensor

    def __init__(
        self,
        network: nn.Module,
        renderer: Network,
        bounds: tuple[Tensor, Tensor],
        feature: Network | None = None,
        embedding: Network | None = None,
        judge: nn.Module | None = None,
        identities: int = 0,
        weights: dict[str, float] | None = None,
    ) -> None:
        super().__init__()
        refuse_classes(
            network=network, renderer=renderer, feature=feature, embedding=embedding, judge=judge
        )
        weights = {"feature": 1.0} if weights is None else dict(weights)
        unknown = [name for name in weights if name not in TERMS]
        if unknown:
            raise ValueError(f"'weights' must be of {TERMS}, got {unknown}")
        low, high = bounds
        if low.dim() != 1 or low.shape != high.shape or not (low < high).all():
            raise ValueError(
                f"'bounds' must be two rows [P], the first below the second, got "
                f"{list(low.shape)} and {list(high.shape)}"
            )
        if not 0 <= identities <= len(low):
            raise ValueError(f"'identities' must be in 0 … {len(low)}, got {identities}")
        needs = {"identity": embedding, "adversarial": judge, "person": identities or None}
        for name, needed in needs.items():
            if weights.get(name) and needed is None:
                lacking = {"identity": "embedding", "adversarial": "judge"}
                raise ValueError(f"weight {name!r} needs '{lacking.get(name, 'identities')}'")
        self.network, self.renderer, self.judge = network, renderer, judge
        self.feature, self.embedding = feature, embedding
        self.identities, self.weights = identities, weights
        self.register_buffer("low", low.clone())
        self.register_buffer("high", high.clone())

    def forward(self, x: Tensor) -> Tensor:
        """The parameters of faces.

        Args:
            x (torch.Tensor): Images.
        """
        if not torch.compiler.is_compiling():
            refuse_empty(x)
        return self.read(x)

    def read(self, x: Tensor) -> Tensor:
        """The parameters of faces, without a look at whether there are any."""
        share = self.network(x)
        if share.shape != (len(x), len(self.low)):
            raise ValueError(
                f"'network' must give [{len(x)}, {len(self.low)}], got {list(share.shape)}"
            )
        return self.low + (self.high - self.low) * share.sigmoid()

    def render(self, parameters: Tensor) -> Tensor:
        """What the renderer draws, with gradients for the parameters alone."""
        return fixed(self.renderer, parameters)

    def terms(self, x: Tensor, person: Tensor | None = None) -> dict[str, Tensor]:
        """The losses of images by name, those with a weight, not weighted.

        Args:
            x (torch.Tensor): Images.
            person (torch.Tensor, optional): Whose they are, ``[N]``; needed for ``"person"``.
        """
        parameters = self(x)
        drawn = self.render(parameters)
        losses: dict[str, Tensor] = {}
        wanted = [name for name in TERMS if self.weights.get(name)]
        if "feature" in wanted:
            ours, theirs = drawn, x
            if self.feature is not None:
                ours, theirs = fixed(self.feature, drawn), fixed(self.feature, x)
            if ours.shape != theirs.shape:
                raise ValueError(
                    f"'renderer' gives {list(ours.shape)} where 'x' gives {list(theirs.shape)}"
                )
            losses["feature"] = (ours - theirs).square().flatten(1).sum(1).mean()
        if "identity" in wanted and self.embedding is not None:
            units = [normalize(fixed(self.embedding, image)) for image in (drawn, x)]
            near = (units[0] * units[1]).sum(1)
            losses["identity"] = (1 - near).mean()
        if "person" in wanted:
            if person is None or person.shape != (len(x),):
                raise ValueError("the term 'person' needs 'person', one number per image")
            losses["person"] = spread_within(self.scaled(parameters)[:, : self.identities], person)
        if "loopback" in wanted:
            # The target is constant: otherwise both sides meet where neither says anything.
            change = self.scaled(self.read(drawn)) - self.scaled(parameters).detach()
            losses["loopback"] = change.square().mean()
        if "adversarial" in wanted and self.judge is not None:
            losses["adversarial"] = F.softplus(-fixed(self.judge, drawn)).mean()
        return losses

    def loss(self, x: Tensor, person: Tensor | None = None) -> Tensor:
        """The weighted sum of :meth:`terms`."""
        losses = self.terms(x, person)
        return torch.stack([self.weights[name] * losses[name] for name in losses]).sum()

    def supervised(self, image: Tensor, parameters: Tensor) -> Tensor:
        """Squared error where the parameters are known, as for drawings, in units of bounds.

        Args:
            image (torch.Tensor): Drawings.
            parameters (torch.Tensor): What they were drawn from, ``[N, P]``.
        """
        return (self.scaled(self(image)) - self.scaled(parameters)).square().mean()

    def judging(self, x: Tensor, parameters: Tensor) -> Tensor:
        """The judge's loss: drawings of plausible parameters, and of those read off images.

        Args:
            x (torch.Tensor): Images.
            parameters (torch.Tensor): Plausible ones, as :meth:`FaceBones.draw` gives them.
        """
        if self.judge is None:
            raise ValueError("there is no 'judge'")
        with torch.no_grad():
            real, fake = self.render(parameters), self.render(self(x))
        return F.softplus(-self.judge(real)).mean() + F.softplus(self.judge(fake)).mean()

    def scaled(self, parameters: Tensor) -> Tensor:
        """Parameters as shares of the way between their bounds."""
        return (parameters - self.low) / (self.high - self.low)


def refuse_empty(x: Tensor) -> None:
    """Names the first frame that can show no face: not finite, or the same all over."""
    flat = x.detach().flatten(1)
    if not flat.numel():
        return
    wrong = ~flat.isfinite().all(1) | (flat.amax(1) == flat.amin(1))
    if wrong.any():
        rows = wrong.nonzero().flatten().tolist()
        raise ValueError(
            f"'x' has no face in frame {rows[0]}: it is the same all over, or not finite "
            f"({len(rows)} of {len(x)} frames); leave such frames out"
        )


def fixed(model: Network, x: Tensor) -> Tensor:
    """A model's output in evaluation mode, with gradients for what goes in alone."""
    if not isinstance(model, nn.Module):
        return model(x)
    with evaluating(model):
        return call_fixed(model, x)


def spread_within(values: Tensor, person: Tensor) -> Tensor:
    """Mean square of the distance from the person's mean."""
    _, group = person.unique(return_inverse=True)
    count = group.bincount().to(values.dtype)
    mean = values.new_zeros(len(count), values.size(1)).index_add(0, group, values)
    mean = mean / positive(count).unsqueeze(1)
    return (values - mean[group]).square().mean()
