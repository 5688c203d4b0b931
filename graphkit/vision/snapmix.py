"""Mixed images whose labels are weighted by meaning, not by area."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import method, no_method
from graphkit.modes import evaluating
from graphkit.precision import wide
from graphkit.refusals import refuse_mask
from graphkit.taps import tap
from graphkit.words import refuse_class

__all__ = ["Mixed", "SnapMix", "percent_of", "semantic_percent"]

Box = tuple[int, int, int, int]


@no_method("what SnapMix gives, as a data class")
@dataclass
class Mixed:
    """A batch of mixed images and what their labels weigh.

    Args:
        x (torch.Tensor): Mixed images :math:`(B, C, H, W)`.
        y_a, y_b (torch.Tensor): Classes of the receiving image and of its donor :math:`(B)`.
        weight_a, weight_b (torch.Tensor): Weights of both :math:`(B)`; they need not sum to one.
        donor (torch.Tensor): Which image of the batch gave :math:`(B)`.
        box_a, box_b (tuple of int): Top, left, bottom and right, of what was replaced and of what
            was taken; the ends are outside.

    Example:
        >>> import torch
        >>> from graphkit.vision import Mixed
        >>> one, y = torch.ones(1), torch.tensor([1])
        >>> Mixed(torch.rand(1, 1, 2, 2), y, y, one, 0 * one, 0 * y, (0,) * 4, (0,) * 4).targets(3)
        tensor([[0., 1., 0.]])
    """

    x: Tensor
    y_a: Tensor
    y_b: Tensor
    weight_a: Tensor
    weight_b: Tensor
    donor: Tensor
    box_a: Box
    box_b: Box

    def targets(self, num_classes: int) -> Tensor:
        """Soft labels ``[B, K]``: both classes with their weights."""
        soft = self.weight_a.new_zeros(len(self.y_a), num_classes)
        for y, weight in ((self.y_a, self.weight_a), (self.y_b, self.weight_b)):
            soft.scatter_add_(1, y.unsqueeze(1), weight.unsqueeze(1))
        return soft

    def loss(self, logits: Tensor) -> Tensor:
        """The mean of both cross entropies under their weights."""
        first, second = (F.cross_entropy(logits, y, reduction="none") for y in (self.y_a, self.y_b))
        return (self.weight_a * first + self.weight_b * second).mean()


def semantic_percent(
    features: Tensor, weight: Tensor, y: Tensor, size: tuple[int, int] | None = None
) -> Tensor:
    r"""Which share of the evidence for its class lies at each pixel of an image.

    .. math::
        M_i = \sum_c W_{y_i c} F_{ic}, \qquad
        S_i = \frac{\phi(M_i) - \min \phi(M_i)}{\sum (\phi(M_i) - \min \phi(M_i))}

    :math:`\phi` is bilinear upsampling. A bias of the head would cancel. Where the map is the same
    everywhere, every pixel has the same share.

    Args:
        features (torch.Tensor): Last feature maps, before global average pooling.
        weight (torch.Tensor): Weight of the linear head behind it.
        y (torch.Tensor): Classes.
        size (tuple of int, optional): Height and width of the result. (default: those of the maps)

    Shapes:
        - **input:** :math:`(B, C, h, w)`, :math:`(K, C)`, :math:`(B)`
        - **output:** :math:`(B, H, W)`, each map at least 0 and of sum 1

    Raises:
        ValueError: If shapes do not fit or values are not finite.

    Example:
        >>> import torch
        >>> from graphkit.vision import semantic_percent
        >>> maps = torch.tensor([[[[1.0, 3.0], [1.0, 1.0]]]])
        >>> semantic_percent(maps, torch.ones(2, 1), torch.tensor([0]))
        tensor([[[0., 1.],
                 [0., 0.]]])
    """
    if features.dim() != 4 or weight.dim() != 2 or features.size(1) != weight.size(1):
        raise ValueError(
            f"'features' must be [B, C, h, w] and 'weight' [K, C], got {list(features.shape)} "
            f"and {list(weight.shape)}"
        )
    if y.shape != features.shape[:1] or y.is_floating_point():
        raise ValueError(
            f"'y' must hold {len(features)} classes, one per image, got {y.dtype} {list(y.shape)}"
        )
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) < len(weight):
        raise ValueError(f"'y' must be classes from 0 to {len(weight) - 1}")
    refuse_mask("y", y)
    maps = torch.einsum("bc,bchw->bhw", wide(weight)[y], wide(features)).unsqueeze(1)
    if size is not None:
        maps = F.interpolate(maps, size, mode="bilinear", align_corners=False)
    return percent_of(maps.flatten(1)).view(len(y), *maps.shape[2:])


def percent_of(evidence: Tensor) -> Tensor:
    """Rows less their minimum, as shares of their sum; constant rows become uniform."""
    if not evidence.isfinite().all():
        raise ValueError("the maps of the classes hold NaN or infinite values")
    low, high = evidence.amin(1, keepdim=True), evidence.amax(1, keepdim=True)
    # What rounding makes of a constant map is no evidence.
    flat = high - low <= 1e-6 * torch.maximum(low.abs(), high.abs())
    above = torch.where(flat, 1.0, evidence - low)
    return above / above.sum(1, keepdim=True)


@method(
    paper="arXiv:2012.04846",
    title="SnapMix: Semantically Proportional Mixing for Augmenting Fine-grained Data",
    authors="Shaoli Huang, Xinchao Wang, Dacheng Tao",
    venue="AAAI 2021",
    year=2021,
    code="https://github.com/Shaoli-Huang/SnapMix",
    licence="none",
    takes="an image classifier with a linear head, images, classes",
    gives="mixed images, and a weight for either label",
    deviations=[
        "maps come from a pass in evaluation mode; the released code makes them in training mode, "
        "which moves the statistics of batch norms twice per step",
        "where both images have the same class, the released code counts it twice "
        "(variant='released')",
        "an image whose map is constant weighs by area, its box's own; in the released code by "
        "that of the receiving box",
        "the input is not written to; the branch on middle features is left out",
    ],
    verified_by="benchmarks/recipes/snapmix-canvas.yaml",
    limits=[
        "accuracy over CutMix on small images: it is 0.4 to 0.8 points behind on CIFAR-10 "
        "here, ahead of MixUp and none",
        "before the network knows where to look: its shares come from its own activation map",
    ],
)
class SnapMix(nn.Module):
    r"""Training on mixed images, from the `"SnapMix: Semantically Proportional Mixing for
    Augmenting Fine-grained Data" <https://arxiv.org/abs/2012.04846>`_ paper: a box of one image is
    replaced by a resized box of another, and how much each label counts is what the network
    itself sees in the boxes.

    .. math::
        \rho_a = 1 - \sum_{box_a} S_a, \quad \rho_b = \sum_{box_b} S_b, \qquad
        \mathcal{L} = \rho_a\, \mathrm{CE}(\tilde x, y_a) + \rho_b\, \mathrm{CE}(\tilde x, y_b)

    :math:`S` is :func:`semantic_percent` of the true class. Both boxes have sides of
    :math:`\sqrt{1 - \lambda}` of the image's, :math:`\lambda \sim \mathrm{Beta}(\beta, \beta)`,
    drawn apart, and random centres; the batch shares them. The weights need not sum to one. A
    step costs one more forward pass, without gradients.

    Args:
        model (torch.nn.Module): A classifier of images.
        layer (str): Name of the module that gives the last maps, behind their activation.
        head (str): Name of the linear layer that follows their average.
        beta (float, optional): :math:`\beta`. (default: :obj:`5.0`)
        p (float, optional): Probability that a batch is mixed; the paper takes 1/2 where it trains
            from scratch. (default: :obj:`1.0`)
        generator (torch.Generator, optional): Draws boxes and donors, on the CPU.
            (default: PyTorch's own)
        variant (str, optional): ``"paper"``, or ``"released"``, see above.
            (default: ``"paper"``)

    Shapes:
        - **input:** images :math:`(B, C, H, W)`; :meth:`mix` and :meth:`loss` also take classes
          :math:`(B)`
        - **output:** logits :math:`(B, K)`, a :class:`Mixed`, a scalar

    Raises:
        ValueError: If an option is out of range, shapes do not fit, or ``head`` has no weight of
            a row per class.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from graphkit.vision import SnapMix
        >>> maps = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU())
        >>> model = nn.Sequential(maps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
        >>> snapmix = SnapMix(model, "0", "3")
        >>> snapmix.loss(torch.rand(4, 1, 9, 9), torch.tensor([0, 1, 2, 3])).shape
        torch.Size([])
    """

    def __init__(
        self,
        model: nn.Module,
        layer: str,
        head: str,
        beta: float = 5.0,
        p: float = 1.0,
        generator: torch.Generator | None = None,
        variant: Literal["paper", "released"] = "paper",
    ) -> None:
        super().__init__()
        refuse_class("model", model)
        if not 0 < beta < float("inf"):
            raise ValueError(f"'beta' must be above 0, got {beta}")
        if not 0 <= p <= 1:
            raise ValueError(f"'p' must be in [0, 1], got {p}")
        if variant not in ("paper", "released"):
            raise ValueError(f"'variant' must be 'paper' or 'released', got {variant!r}")
        self.model, self.layer, self.head = model, layer, head
        self.beta, self.p, self.generator, self.variant = beta, p, generator, variant

    def forward(self, x: Tensor) -> Tensor:
        """The model's logits."""
        return self.model(x)

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss of a batch once it is mixed."""
        mixed = self.mix(x, y)
        return mixed.loss(self.model(mixed.x))

    @torch.no_grad()
    def maps(self, x: Tensor, y: Tensor) -> Tensor:
        """Semantic percent maps ``[B, H, W]`` of the true classes."""
        weight = getattr(self.model.get_submodule(self.head), "weight", None)
        if not isinstance(weight, Tensor):
            raise ValueError(f"'head' must name a linear layer, '{self.head}' has no weight")
        with evaluating(self.model), tap(self.model, self.layer) as record:
            self.model(x)
        return semantic_percent(record[self.layer].output, weight, y, (x.size(2), x.size(3)))

    @torch.no_grad()
    def mix(self, x: Tensor, y: Tensor) -> Mixed:
        """Mixes a batch; the images given stay as they are."""
        if x.dim() != 4 or not x.is_floating_point():
            raise ValueError(f"'x' must hold floats [B, C, H, W], got {x.dtype} {list(x.shape)}")
        if y.shape != x.shape[:1]:
            raise ValueError(f"'y' has shape {list(y.shape)} for {len(x)} images")
        (box_a, box_b), donor, mixes = self.draw(len(x), x.size(2), x.size(3))
        donor = donor.to(x.device)
        out, one = x.clone(), wide(x.new_ones(len(x)))
        if not (mixes and area(box_a) and area(box_b) and len(x)):
            nothing = (0, 0, 0, 0)
            return Mixed(
                out,
                y,
                y,
                one,
                0 * one,
                torch.arange(len(x), device=y.device).to(y),
                nothing,
                nothing,
            )
        out[(..., *span(box_a))] = resized(x[(donor, slice(None), *span(box_b))], box_a)
        weight_a, weight_b = self.weights(self.maps(x, y), y, donor, box_a, box_b)
        return Mixed(out, y, y[donor], weight_a, weight_b, donor, box_a, box_b)

    def weights(
        self, maps: Tensor, y: Tensor, donor: Tensor, box_a: Box, box_b: Box
    ) -> tuple[Tensor, Tensor]:
        """What is left of the receiving images, and what came of the donors."""
        left = (1 - maps[(..., *span(box_a))].sum((1, 2))).clamp(min=0)
        came = maps[(donor, *span(box_b))].sum((1, 2))
        if self.variant == "released":
            same = y == y[donor]
            left, came = torch.where(same, left + came, left), torch.where(same, left + came, came)
        return left, came

    def draw(self, count: int, height: int, width: int) -> tuple[tuple[Box, Box], Tensor, bool]:
        """Two boxes, donors, and whether to mix at all."""
        # NumPy has the beta law with a seed of its own; the seed is drawn by PyTorch.
        seed = torch.randint(2**62, (), generator=self.generator)
        random = np.random.default_rng(int(seed))
        boxes = [random_box(float(random.beta(self.beta, self.beta)), height, width, random)]
        boxes += [random_box(float(random.beta(self.beta, self.beta)), height, width, random)]
        donor = torch.from_numpy(random.permutation(count))
        return (boxes[0], boxes[1]), donor, bool(random.random() < self.p)

    def extra_repr(self) -> str:
        """The options."""
        return f"beta={self.beta}, p={self.p}, variant={self.variant!r}"


def random_box(kept: float, height: int, width: int, random: np.random.Generator) -> Box:
    """A box with sides of ``sqrt(1 - kept)``, its centre anywhere, cut off at the border."""
    high, wide_ = (int(side * (1 - kept) ** 0.5) for side in (height, width))
    row, col = int(random.integers(height)), int(random.integers(width))
    return (
        max(row - high // 2, 0),
        max(col - wide_ // 2, 0),
        min(row + high // 2, height),
        min(col + wide_ // 2, width),
    )


def span(box: Box) -> tuple[slice, slice]:
    """Rows and columns of a box."""
    return slice(box[0], box[2]), slice(box[1], box[3])


def area(box: Box) -> int:
    """Pixels of a box."""
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def resized(patches: Tensor, box: Box) -> Tensor:
    """Patches in the size of a box, corner on corner."""
    size = (box[2] - box[0], box[3] - box[1])
    if tuple(patches.shape[2:]) == size:
        return patches
    scaled = F.interpolate(wide(patches), size, mode="bilinear", align_corners=True)
    return scaled.to(patches.dtype)
