"""From the objects of a scene to its image."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.lopsided import calls_of, watch_terms
from graphkit.refusals import refuse_other_shapes
from graphkit.vision.scenes.layout import masks_to_layout
from graphkit.vision.scenes.scene_layout import SceneLayout
from graphkit.words import refuse_class


class PaintedScene(NamedTuple):
    """What :class:`SceneToImage` gives.

    Args:
        images (torch.Tensor): The images ``[B, C, S, S]``.
        boxes (torch.Tensor): The predicted boxes ``[O, 4]``.
        masks (torch.Tensor): The predicted masks ``[O, M, M]``.
        layout (torch.Tensor): What was painted from ``[B, D, S, S]``.
    """

    images: Tensor
    boxes: Tensor
    masks: Tensor
    layout: Tensor


@method(
    paper="arXiv:1804.01622",
    title="Image Generation from Scene Graphs",
    authors="Justin Johnson, Agrim Gupta, Li Fei-Fei",
    venue="CVPR 2018",
    year=2018,
    code="https://github.com/google/sg2im",
    licence="Apache-2.0",
    takes="features of the objects of scenes",
    gives="images, boxes and masks",
    deviations=["see SceneLayout and LayoutToImage"],
    verified_by="benchmarks/recipes/paint-digitscenes.yaml",
)
class SceneToImage(nn.Module):
    r"""The way from objects to pixels of the `"Image Generation from Scene Graphs"
    <https://arxiv.org/abs/1804.01622>`_ paper: layout, noise, synthesis.

    .. math::
        \mathbf{I} = G\left( \left[ \sum_o \mathbf{h}_o \, \mathbf{m}_o, \mathbf{z} \right]
        \right)

    The synthesis :math:`G` is any module that turns a layout :math:`(B, F + Z, S, S)` into
    images, such as :class:`~graphkit.vision.LayoutToImage`; features may come from any encoder,
    such as :class:`graphkit.nn.SceneGraphEncoder`.  While training, the true boxes are given,
    so that the synthesis learns from right layouts; without them the predicted ones are used.

    Args:
        channels (int): Width :math:`F` of the objects' features.
        synthesis (torch.nn.Module): The module :math:`G`.
        size (int, optional): Height and width :math:`S` of the image, in pixels.
            (default: :obj:`64`)
        noise_channels (int, optional): The width :math:`Z` of the noise; drawn while training
            only, else zero. (default: :obj:`32`)
        mask_size (int, optional): Size of the masks, in cells. (default: :obj:`16`)

    Shapes:
        - **input:** features :math:`(O, F)`, the image of each object :math:`(O)`, boxes
          :math:`(O, 4)`
        - **output:** images :math:`(B, C, S, S)`, boxes :math:`(O, 4)`, masks
          :math:`(O, M, M)`, layout :math:`(B, F + Z, S, S)`

    Raises:
        ValueError: If shapes do not fit.

    Example:
        >>> import torch
        >>> from graphkit.vision import LayoutToImage, SceneToImage
        >>> model = SceneToImage(8, LayoutToImage(10, (4, 4)), size=16, noise_channels=2)
        >>> model(torch.rand(3, 8), torch.tensor([0, 0, 1]), 2).images.shape
        torch.Size([2, 3, 16, 16])
    """

    def __init__(
        self,
        channels: int,
        synthesis: nn.Module,
        size: int = 64,
        noise_channels: int = 32,
        mask_size: int = 16,
    ) -> None:
        super().__init__()
        refuse_class("synthesis", synthesis)
        self.size, self.noise_channels = size, noise_channels
        self.layout = SceneLayout(channels, mask_size=mask_size)
        self.synthesis = synthesis

    def forward(
        self, objects: Tensor, image: Tensor, num_images: int, boxes: Tensor | None = None
    ) -> PaintedScene:
        """Paints scenes.

        Args:
            objects (torch.Tensor): Features of the objects.
            image (torch.Tensor): The image of each object.
            num_images (int): Number of images.
            boxes (torch.Tensor, optional): Boxes to paint into. (default: the predicted ones)
        """
        foreseen, masks = self.layout(objects)
        where = foreseen if boxes is None else boxes
        layout = masks_to_layout(objects, where, masks, image, num_images, self.size)
        shape = (num_images, self.noise_channels, self.size, self.size)
        noise = (
            torch.randn(shape, device="cpu").to(layout)
            if self.training
            else layout.new_zeros(shape)
        )
        layout = torch.cat([layout, noise], dim=1)
        return PaintedScene(self.synthesis(layout), foreseen, masks, layout)


def scene_image_loss(
    painted: PaintedScene,
    images: Tensor,
    boxes: Tensor,
    pixel_weight: float = 1.0,
    box_weight: float = 10.0,
) -> Tensor:
    r"""The paper's losses without adversaries: :math:`\lambda_p |\hat{I} - I|_1 + \lambda_b
    \|\hat{b} - b\|_2^2`, both averaged; scenes without objects have no second.

    Args:
        painted (PaintedScene): What the model gave.
        images (torch.Tensor): The true images.
        boxes (torch.Tensor): The true boxes.
        pixel_weight, box_weight (float, optional): The weights. (default: :obj:`1.0`,
            :obj:`10.0`)

    Warns:
        LopsidedWarning: If, in the second call, the gradient of a term on what was painted is over
            a thousand times that of another, and its weight over a hundred times.
    """
    refuse_other_shapes(
        "images and boxes", (images, boxes), (painted.images.shape, painted.boxes.shape)
    )
    pixels = F.l1_loss(painted.images, images)
    # Without objects no box is wrong; the mean of nothing would be NaN.
    placed = F.mse_loss(painted.boxes, boxes) if len(boxes) else painted.boxes.sum()
    terms = {"pixel_weight": (pixel_weight, pixels), "box_weight": (box_weight, placed)}
    calls = calls_of("scene_image_loss", pixel_weight, box_weight)
    watch_terms(calls, terms, (painted.images, painted.boxes))
    return pixel_weight * pixels + box_weight * placed
