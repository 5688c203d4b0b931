"""What a trained network remembers of an image, and back to the image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.precision import normalize, positive
from graphkit.refusals import refuse_other_shapes

__all__ = ["ImpressionSpace"]

Maps = list[Tensor]


@method(
    paper="arXiv:2007.05441",
    title="Impression Space from Deep Template Network",
    authors="Gongfan Fang, Xinchao Wang, Haofei Zhang, Jie Song, Mingli Song",
    venue="arXiv preprint",
    year=2020,
    code=None,
    licence="none",
    takes="a trained network, images",
    gives="impressions, images decoded from them, similarities of images",
    deviations=[
        "written from the abstract, there is no released code: decoding, matching and the "
        "relation of images are ours",
        "layer-wise decoding halves its step where the residual would grow",
        "impressions are matched by mean and deviation of each channel",
    ],
    limits=[
        "labels at hand: logistic regression on features does better",
    ],
)
class ImpressionSpace(nn.Module):
    r"""Impressions of the `"Impression Space from Deep Template Network"
    <https://arxiv.org/abs/2007.05441>`_ paper: the responses of every block of a trained network,
    whose filters are templates to draw an image from them. Nothing is trained.

    .. math::
        h_l = f_l(h_{l-1}), \qquad
        h_{l-1} \leftarrow \Big[ h_{l-1} - \tfrac{\eta}{2} \nabla_{h_{l-1}}
        \lVert f_l(h_{l-1}) - h_l \rVert^2 \Big]_+, \qquad
        R_{ij} = \cos(v_i, v_j), \quad v_i = \big[\, \widehat{\overline{h_l}} \,\big]_l

    Decoding starts from the templates, superposed by the gradient at zero, and goes down block by
    block, each time to the given response of the block below if there is one
    (:meth:`decode_layerwise`), or fits the image to all given responses at once
    (:meth:`decode_joint`). From the last response alone it is badly posed. Time grows with steps
    times a pass through the network.

    Args:
        blocks (sequence of torch.nn.Module): The trained network as blocks, each a map to a map.
            They stay as they are, in evaluation mode and without gradients on their weights.
        low, high (float, optional): Range of the images. (default: 0 and 1)

    Shapes:
        - **input:** images :math:`(N, C, H, W)`
        - **output:** responses :math:`(N, C_l, H_l, W_l)` of each block; :meth:`vectors` gives
          :math:`(N, \sum_l C_l)`

    Raises:
        ValueError: If there is no block, or responses do not fit the blocks.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from graphkit.vision import ImpressionSpace
        >>> block = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU())
        >>> space = ImpressionSpace([block])
        >>> x = torch.rand(2, 1, 6, 6)
        >>> maps = space(x)
        >>> space.decode_layerwise(maps, x.shape, steps=5).shape, space.relation(x).shape
        (torch.Size([2, 1, 6, 6]), torch.Size([2, 2]))
    """

    def __init__(self, blocks: Sequence[nn.Module], low: float = 0.0, high: float = 1.0) -> None:
        super().__init__()
        if not len(blocks):
            raise ValueError("'blocks' is empty")
        self.blocks = nn.ModuleList(blocks).requires_grad_(False).eval()
        self.low, self.high = low, high

    def train(self, mode: bool = True) -> ImpressionSpace:
        """Changes nothing in the blocks, which stay in evaluation mode."""
        self.training = mode
        return self

    def forward(self, x: Tensor) -> Maps:
        """The responses of all blocks."""
        maps: Maps = []
        for level in range(len(self.blocks)):
            x = self.respond(level, x)
            maps.append(x)
        return maps

    def respond(self, level: int, x: Tensor) -> Tensor:
        """The response of one block; it gets a copy, since it may begin by writing into it."""
        return self.blocks[level](x.clone())

    def vectors(self, x: Tensor, layers: Sequence[int] | None = None, pool: bool = True) -> Tensor:
        """Impressions as vectors: normalised responses of each block, joined.

        Args:
            x (torch.Tensor): Images.
            layers (sequence of int, optional): The blocks to take. (default: all)
            pool (bool, optional): Averages over places; else all places count.
                (default: :obj:`True`)
        """
        maps = self(x)
        responses = maps if layers is None else [maps[layer] for layer in layers]
        flat = [h.mean((2, 3)) if pool else h.flatten(1) for h in responses]
        return torch.cat([normalize(h, dim=1) for h in flat], 1)

    def relation(self, x: Tensor, layers: Sequence[int] | None = None) -> Tensor:
        """Cosines of impressions, ``[N, N]``."""
        unit = normalize(self.vectors(x, layers), dim=1)
        return unit @ unit.t()

    def match(self, maps: Maps, style: Maps) -> Maps:
        """Responses with the mean and deviation of each channel of other images.

        Args:
            maps, style (list of torch.Tensor): Responses of all blocks.
        """
        matched = []
        for response, other in zip(maps, style, strict=True):
            # Without correction: a map of one cell has no deviation, not an undefined one.
            spread = positive(response.std((2, 3), correction=0, keepdim=True), 1e-6)
            plain = (response - response.mean((2, 3), keepdim=True)) / spread
            to = other.std((2, 3), correction=0, keepdim=True)
            matched.append(plain * to + other.mean((2, 3), keepdim=True))
        return matched

    def decode_layerwise(
        self, maps: Sequence[Tensor | None], size: torch.Size, steps: int = 50
    ) -> Tensor:
        """Images, from the last response down.

        Args:
            maps (sequence of torch.Tensor): Responses of the blocks, :obj:`None` where one is not
                given; the last must be.
            size (torch.Size): That of the images.
            steps (int, optional): Per block; 0 gives the templates alone. (default: :obj:`50`)
        """
        last = maps[-1] if len(maps) == len(self.blocks) else None
        if last is None:
            raise ValueError(
                f"'maps' must be one response for each of {len(self.blocks)} blocks, with the last "
                f"one given, got {len(maps)}"
            )
        sizes = [size, *(h.shape for h in self(last.new_zeros(size)))]
        refuse_other_shapes("maps", maps, sizes[1:])
        target = last
        for level in range(len(self.blocks) - 1, -1, -1):
            given = maps[level - 1] if level else None
            if given is None:
                low, high = (0.0, torch.inf) if level else (self.low, self.high)
                given = self.decode_block(level, target, sizes[level], steps, low, high)
            target = given
        return target

    def decode_block(
        self, level: int, target: Tensor, size: torch.Size, steps: int, low: float, high: float
    ) -> Tensor:
        """The input of one block, from its response."""

        def off(h: Tensor) -> Tensor:
            return (self.respond(level, h) - target).flatten(1).square().sum(1)

        def slope(h: Tensor) -> Tensor:
            with torch.enable_grad():
                h = h.detach().requires_grad_()
                return torch.autograd.grad(off(h).sum(), h)[0] / 2

        def rows(values: Tensor) -> Tensor:
            return values.view(-1, *[1] * (len(size) - 1))

        seed = torch.full(size, 1e-3, device=target.device, dtype=target.dtype)
        rate = target.new_full((size[0],), self.rate(level, seed))
        h = (seed - rows(rate) * slope(seed)).clamp(low, high).detach()
        best = off(h).detach()
        for _ in range(steps):
            new = (h - rows(rate) * slope(h)).clamp(low, high).detach()
            value = off(new).detach()
            better = value <= best
            h, best = torch.where(rows(better), new, h), torch.where(better, value, best)
            rate = torch.where(better, rate, rate / 2)
        return h

    def rate(self, level: int, seed: Tensor) -> float:
        """One over the largest squared singular value of a block, by power iteration."""
        block, h = partial(self.respond, level), torch.ones_like(seed[:1])
        back = torch.func.vjp(block, seed[:1])[1]
        norm = torch.ones((), device=seed.device)
        for _ in range(30):
            h = back(torch.func.jvp(block, (seed[:1],), (h,))[1])[0]
            norm = h.norm()
            h = h / positive(norm)
        return 1.0 / max(float(norm), 1e-6)

    def decode_joint(
        self,
        maps: Sequence[Tensor | None],
        size: torch.Size,
        steps: int = 150,
        variation: float = 1e-3,
        lr: float = 0.05,
    ) -> Tensor:
        """Images whose responses are all at once near the given ones, by Adam from grey.

        Args:
            maps (sequence of torch.Tensor): Responses, :obj:`None` where one is not given.
            size (torch.Size): That of the images.
            steps (int, optional): Of Adam. (default: :obj:`150`)
            variation (float, optional): Weight of the total variation. (default: :obj:`1e-3`)
            lr (float, optional): Of Adam. (default: :obj:`0.05`)
        """
        if len(maps) != len(self.blocks) or all(h is None for h in maps):
            raise ValueError(
                f"'maps' must be one response for each of {len(self.blocks)} blocks, and one of "
                f"them given, got {len(maps)}"
            )
        known = next(h for h in maps if h is not None)
        refuse_other_shapes("maps", maps, [h.shape for h in self(known.new_zeros(size))])
        x = known.new_full(size, (self.low + self.high) / 2).requires_grad_()
        optimizer = torch.optim.Adam([x], lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1))
        with torch.enable_grad():
            for _ in range(steps):
                loss = variation * self.total_variation(x)
                for response, given in zip(self(x), maps, strict=True):
                    if given is not None:
                        scale = positive(given.detach().square().mean())
                        loss = loss + (response - given.detach()).square().mean() / scale
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                x.data.clamp_(self.low, self.high)
        return x.detach()

    @staticmethod
    def total_variation(x: Tensor) -> Tensor:
        """Mean size of the differences between neighbouring pixels."""
        return x.diff(dim=2).abs().mean() + x.diff(dim=3).abs().mean()
