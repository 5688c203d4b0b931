"""Boxes and masks of the objects of a scene."""

from __future__ import annotations

from torch import Tensor, nn

from graphkit.catalog import method


@method(
    paper="arXiv:1804.01622",
    title="Image Generation from Scene Graphs",
    authors="Justin Johnson, Agrim Gupta, Li Fei-Fei",
    venue="CVPR 2018",
    year=2018,
    code="https://github.com/google/sg2im",
    licence="Apache-2.0",
    takes="features of objects",
    gives="a box and a mask per object",
    deviations=["mask_size must be a power of two, as the masks are doubled from one cell"],
    verified_by="tests/vision/scenes/test_scene_layout.py",
)
class SceneLayout(nn.Module):
    r"""The box and mask networks of the `"Image Generation from Scene Graphs"
    <https://arxiv.org/abs/1804.01622>`_ paper.

    .. math::
        \mathbf{b}_o = \mathrm{MLP}(\mathbf{h}_o) \in \mathbb{R}^4, \qquad
        \mathbf{m}_o = \sigma(\mathrm{CNN}(\mathbf{h}_o)) \in [0, 1]^{M \times M}

    Boxes are left, top, right, bottom and not constrained.  Masks grow from one cell, doubled
    :math:`\log_2 M` times.  Time and memory grow with :math:`O \cdot F^2 M^2`.

    Args:
        channels (int): Width :math:`F` of the objects' features.
        hidden_channels (int, optional): Width of the box network. (default: :obj:`512`)
        mask_size (int, optional): The size :math:`M`, in cells. (default: :obj:`16`)

    Shapes:
        - **input:** features :math:`(O, F)`
        - **output:** boxes :math:`(O, 4)`, masks :math:`(O, M, M)`

    Raises:
        ValueError: If the features have another width, or :obj:`mask_size` is no power of two.

    Example:
        >>> import torch
        >>> from graphkit.vision import SceneLayout
        >>> boxes, masks = SceneLayout(8, mask_size=4)(torch.rand(3, 8))
        >>> boxes.shape, masks.shape
        (torch.Size([3, 4]), torch.Size([3, 4, 4]))
    """

    def __init__(self, channels: int, hidden_channels: int = 512, mask_size: int = 16) -> None:
        super().__init__()
        if mask_size < 2 or mask_size & (mask_size - 1):
            raise ValueError(f"'mask_size' must be a power of two, got {mask_size}")
        self.channels, self.mask_size = channels, mask_size
        self.boxes = nn.Sequential(
            nn.Linear(channels, hidden_channels), nn.ReLU(), nn.Linear(hidden_channels, 4)
        )
        steps: list[nn.Module] = []
        for _ in range(mask_size.bit_length() - 1):
            steps += [
                nn.Upsample(scale_factor=2),
                nn.BatchNorm2d(channels),
                nn.Conv2d(channels, channels, 3, padding=1),
                nn.ReLU(),
            ]
        self.masks = nn.Sequential(*steps, nn.Conv2d(channels, 1, 1), nn.Sigmoid())

    def forward(self, objects: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes and masks.

        Args:
            objects (torch.Tensor): Features of the objects.
        """
        if objects.dim() != 2 or objects.size(1) != self.channels:
            raise ValueError(
                f"'objects' must have shape [O, {self.channels}], got {list(objects.shape)}"
            )
        if objects.size(0) == 0:
            return objects.new_zeros(0, 4), objects.new_zeros(0, self.mask_size, self.mask_size)
        return self.boxes(objects), self.masks(objects[:, :, None, None])[:, 0]
