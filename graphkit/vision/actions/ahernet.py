"""Localising actions of which only trimmed moments have been seen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.ops.dtypes import is_half
from graphkit.refusals import refuse_infinite
from graphkit.vision.actions.anchors import RATIOS, pyramid_anchors
from graphkit.vision.actions.gtan import Proposals, suppress

__all__ = ["AherNet", "WeightTransfer"]


class WeightTransfer(nn.Module):
    r"""Weights that localise a class from those that classify it.

    .. math::
        W^{loc} = \mathrm{ELU}(U_2 \, \mathrm{ELU}(U_1 W^{cls} + c_1) + c_2)

    Both layers begin as the identity; the bias has a network of its own, of width one.

    Args:
        channels (int): Width of the weights.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.ModuleList(nn.Linear(channels, channels) for _ in range(2))
        self.bias = nn.ModuleList(nn.Linear(1, 1) for _ in range(2))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """All layers are the identity again."""
        for layer in (*self.weight, *self.bias):
            nn.init.eye_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Weights ``[K, D]`` and biases ``[K]`` of the localiser from those of the classifier."""
        bias = bias.unsqueeze(1)
        for over, under in zip(self.weight, self.bias, strict=True):
            weight, bias = F.elu(over(weight)), F.elu(under(bias))
        return weight, bias.squeeze(1)


class Pyramid(nn.Module):
    """Temporal convolutions without batch norm: a map per level, the finest first.

    Args:
        in_channels (int): Features per frame.
        channels (int): Width of all levels.
        num_levels (int): Levels.
    """

    def __init__(self, in_channels: int, channels: int, num_levels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv1d(in_channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool1d(2),
        )
        self.levels = nn.ModuleList(
            nn.Sequential(nn.Conv1d(channels, channels, 3, 2, 1), nn.ReLU())
            for _ in range(num_levels)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [self.stem(x)]
        for level in self.levels:
            maps.append(level(maps[-1]))
        return maps[1:]


@method(
    paper="arXiv:2008.13705",
    title="Learning to Localize Actions from Moments",
    authors="Fuchen Long, Ting Yao, Zhaofan Qiu, Xinmei Tian, Jiebo Luo, Tao Mei",
    venue="ECCV 2020",
    year=2020,
    code="https://github.com/FuchenUSTC/AherNet",
    licence="none",
    takes="features of a video's frames; trimmed moments of some classes, segments of others",
    gives="scored segments of time",
    deviations=[
        "five levels of equal width by default; the released network has eight, on features of a "
        "3-D CNN",
        "classes of an anchor are those of its cell; the released test gives all anchors of a "
        "video the class that its cells say on average: per_video=True",
        "the score is foreseen overlap times class times foreground; the released one leaves "
        "foreground out",
        "the best anchor of each action is a positive, too, else short actions had none",
        "the released program runs two Adam optimizers on the same weights in each localising "
        "step, and its synthetic sequences of odd samples end before they begin: faults, left out",
    ],
    limits=[
        "weight transfer without context: alone it does not help",
    ],
)
class AherNet(nn.Module):
    r"""Action herald networks from the `"Learning to Localize Actions from Moments"
    <https://arxiv.org/abs/2008.13705>`_ paper: classes whose boundaries nobody annotated are
    localised by weights that are made from those of their classifier.

    .. math::
        W^{loc}_l = \mathrm{ELU}(U_2 \, \mathrm{ELU}(U_1 W^{cls}_l + c_1) + c_2), \qquad
        p(c \mid i) = \mathrm{softmax}_c \, (W^{loc}_l f_{li} + b^{loc}_l)

    A pyramid of temporal convolutions gives a map :math:`f_l` per level. Moments are classified
    by :math:`W^{cls}` on its mean over time; anchors get classes by :math:`W^{loc}` at their
    cell, and foreground, offsets and overlap by convolutions. The map from weights to weights is
    learned on base classes, whose segments are known, and applied to target classes, of which
    there are moments alone. There is no batch norm on purpose: a discriminator would tell
    batches apart by it. Training is :class:`~graphkit.vision.AherSteps`; time grows with frames.

    Args:
        in_channels (int): Features per frame.
        base (int): Number of base classes; they have the numbers from 0.
        target (int): Number of target classes; they have the numbers after those.
        channels (int, optional): Width of all levels. (default: :obj:`64`)
        num_levels (int, optional): Levels; the finest has a quarter as many cells as there are
            frames, each further one half as many. (default: :obj:`5`)
        ratios (sequence of float, optional): Widths of a cell's anchors in cells.
            (default: :math:`1, 2^{1/3}, 2^{2/3}`)
        transfer (bool, optional): The ablation: :math:`W^{loc} = W^{cls}`.
            (default: :obj:`True`)

    Shapes:
        - **input:** :math:`(B, F, T)` with :math:`T` a multiple of :math:`2^{L + 1}`
        - **output:** :class:`~graphkit.vision.actions.gtan.Proposals` over the classes asked for

    Raises:
        ValueError: If an option or the shape of an input is wrong, or features are not finite.

    Example:
        >>> import torch
        >>> from graphkit.vision import AherNet
        >>> model = AherNet(16, base=3, target=2, channels=8, num_levels=3)
        >>> model(torch.rand(2, 16, 32)).logits.shape
        torch.Size([2, 42, 3])
    """

    def __init__(
        self,
        in_channels: int,
        base: int,
        target: int,
        channels: int = 64,
        num_levels: int = 5,
        ratios: Sequence[float] = RATIOS,
        transfer: bool = True,
    ) -> None:
        super().__init__()
        sizes = {"in_channels": in_channels, "base": base, "target": target, "channels": channels}
        for name, size in {**sizes, "num_levels": num_levels, "ratios": len(ratios)}.items():
            if size < 1:
                raise ValueError(f"{name!r} must be at least 1, got {size}")
        self.base, self.target, self.ratios = base, target, tuple(ratios)
        self.in_channels, self.uses_transfer = in_channels, transfer
        self.channels = channels
        self.backbone = Pyramid(in_channels, channels, num_levels)
        count = len(self.ratios)
        # Foreground (2), offsets (2) and overlap (1) of each of a cell's anchors.
        self.heads = nn.ModuleList(
            nn.Conv1d(channels, 5 * count, 3, padding=1) for _ in range(num_levels)
        )
        self.classify_base = nn.ModuleList(nn.Linear(channels, base) for _ in range(num_levels))
        self.classify_target = nn.ModuleList(nn.Linear(channels, target) for _ in range(num_levels))
        self.transfer = nn.ModuleList(WeightTransfer(channels) for _ in range(num_levels))

    def pyramid(self, x: Tensor) -> list[Tensor]:
        """Maps of all levels, the finest first, each ``[B, channels, cells]``."""
        multiple = 2 ** (len(self.heads) + 1)
        if x.dim() != 3 or x.size(1) != self.in_channels or x.size(2) == 0 or x.size(2) % multiple:
            raise ValueError(
                f"'x' must be [B, {self.in_channels}, T] with T a multiple of {multiple}, got "
                f"{list(x.shape)}"
            )
        if is_half(x):
            refuse_infinite("x", x)
        elif not torch.compiler.is_compiling() and not x.sum().isfinite():
            raise ValueError("'x' holds NaN or infinite values")
        return self.backbone(x)

    def classify(self, x: Tensor, classes: str = "target") -> Tensor:
        """Logits of trimmed moments at every level, ``[L, B, K]``.

        Args:
            x (torch.Tensor): Features of moments, ``[B, F, T]``.
            classes (str, optional): ``"base"`` or ``"target"``. (default: ``"target"``)
        """
        layers = self.classifiers(classes)
        maps = self.pyramid(x)
        return torch.stack([layer(h.mean(2)) for layer, h in zip(layers, maps, strict=True)])

    def classifiers(self, classes: str) -> nn.ModuleList:
        """The linear layers of all levels for some classes."""
        if classes not in ("base", "target"):
            raise ValueError(f"'classes' must be 'base' or 'target', got {classes!r}")
        return self.classify_base if classes == "base" else self.classify_target

    def localizers(self, classes: str) -> list[tuple[Tensor, Tensor]]:
        """Weights and biases that tell classes at cells, level by level."""
        layers = self.classifiers(classes)
        pairs: list[tuple[Tensor, Tensor]]
        pairs = [(layer.get_parameter("weight"), layer.get_parameter("bias")) for layer in layers]
        if not self.uses_transfer:
            return pairs
        return [layer(*pair) for layer, pair in zip(self.transfer, pairs, strict=True)]

    @torch.no_grad()
    def class_weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights that classify and that localise each class, level by level, biases last, both
        ``[L, K, D + 1]``, base classes first; and whether a class is one, ``[K]``.
        """
        classified: list[Tensor] = []
        located: list[Tensor] = []
        for kind in ("base", "target"):
            pairs = [
                (layer.get_parameter("weight"), layer.get_parameter("bias"))
                for layer in self.classifiers(kind)
            ]
            for rows, weights in ((classified, pairs), (located, self.localizers(kind))):
                rows.append(torch.stack([torch.cat([w, b.unsqueeze(1)], 1) for w, b in weights]))
        known = torch.arange(self.base + self.target, device=classified[0].device) < self.base
        return torch.cat(classified, 1).clone(), torch.cat(located, 1).clone(), known

    def forward(self, x: Tensor, classes: str = "target") -> Proposals:
        """Proposals for each video.

        Args:
            x (torch.Tensor): Features of the frames.
            classes (str, optional): ``"target"``, numbered from 0, or ``"base"``.
                (default: ``"target"``)
        """
        maps, count = self.pyramid(x), len(self.ratios)
        weights = self.localizers(classes)
        kinds, outs, features = [], [], []
        for level, (weight, bias) in enumerate(weights):
            cells = maps[level].transpose(1, 2)
            kind = F.linear(cells, weight, bias).log_softmax(-1)
            kinds.append(kind.repeat_interleave(count, 1))
            outs.append(self.heads[level](maps[level]).transpose(1, 2).reshape(len(x), -1, 5))
            features.append(cells.repeat_interleave(count, 1))
        out, kind = torch.cat(outs, 1), torch.cat(kinds, 1)
        ground = out[..., :2].log_softmax(-1)
        # Classes share what foreground leaves them: softmax of these gives the probabilities.
        logits = torch.cat([kind + ground[..., :1], ground[..., 1:]], -1)
        anchors = pyramid_anchors([h.size(2) for h in maps], self.ratios, x.device)
        batch = (len(x), -1)
        width = anchors.width.to(x).expand(*batch)
        return Proposals(
            centre=anchors.centre.to(x).expand(*batch),
            width=width,
            logits=logits,
            offsets=out[..., 2:4],
            overlap=out[..., 4],
            feature=torch.cat(features, 1),
            sigma=width / 2,
            level=anchors.level,
            cell=anchors.cell,
            valid=torch.ones_like(width, dtype=torch.bool),
        )

    @torch.no_grad()
    def detect(
        self,
        x: Tensor,
        classes: str = "target",
        threshold: float = 0.4,
        keep: int = 50,
        per_video: bool = False,
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Segments, actions and scores of each video after suppression per action.

        Args:
            x (torch.Tensor): Features of the frames, ``[B, F, T]``.
            classes (str, optional): ``"target"`` or ``"base"``. (default: ``"target"``)
            threshold (float, optional): Largest tIoU of two kept segments of an action.
                (default: :obj:`0.4`)
            keep (int, optional): Most segments per action before suppression.
                (default: :obj:`50`)
            per_video (bool, optional): All anchors have the classes that a video's cells have on
                average, as in the released program. (default: :obj:`False`)
        """
        proposals = self(x, classes)
        scores = proposals.scores()
        if per_video:
            probability = proposals.logits.softmax(-1)
            kind = probability[..., :-1] / probability[..., :-1].sum(-1, keepdim=True)
            whole = kind.mean(1, keepdim=True) * proposals.overlap.sigmoid().unsqueeze(-1)
            scores = whole * (1 - probability[..., -1:])
        return [
            suppress(segments, score, threshold, keep)
            for segments, score in zip(proposals.segments(), scores, strict=True)
        ]
