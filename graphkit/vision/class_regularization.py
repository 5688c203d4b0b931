"""Few-shot classes described in the span of a basis that all training classes share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import method, no_method
from graphkit.precision import normalize
from graphkit.train import ShardedTask
from graphkit.words import refuse_class

__all__ = ["ClassRegularization", "EpisodeTask", "draw_episode", "meta_shift"]


@method(
    paper="arXiv:1912.08395",
    title="Class Regularization: Improve Few-shot Image Classification by Reducing Meta Shift",
    authors="Da Chen, Yongliang Yang, Zunlei Feng, Xiang Wu, Mingli Song, Wenbin Li, Yuan He, "
    "Hui Xue, Feng Mao",
    venue="arXiv preprint",
    year=2019,
    code=None,
    licence="none",
    takes="embedded images of an episode",
    gives="class descriptors, scores of queries",
    deviations=[
        "written from the abstracts of both versions, there is no released code: the form of "
        "encoder, decoder and global loss, temperatures and weights are ours",
        "variant='residual' mixes descriptor and prototype with a learned share; the default is "
        "the decoder's output alone",
    ],
    limits=[
        "large learning rates: at 5e-4 it costs 1.9 points, at 2e-4 0.6",
    ],
)
class ClassRegularization(nn.Module):
    r"""The class encoder and decoder of the `"Class Regularization: Improve Few-shot Image
    Classification by Reducing Meta Shift" <https://arxiv.org/abs/1912.08395>`_ paper: descriptors
    of new classes are decoded from a basis, which all training images shape and not the few
    images of a task.

    .. math::
        a(f) = \mathrm{softmax}_m\big(t \cos(E f, b_m)\big), \quad
        r(f) = D \sum_m a_m(f)\, b_m, \quad c = \frac{1}{S} \sum_{s=1}^{S} r(f_s)

    A query's scores are cosines with the descriptors, times a learned temperature. With
    ``variant="residual"`` the descriptor is :math:`\lambda \bar f + (1 - \lambda) c` of the
    normalised prototype and descriptor. :meth:`global_logits` are cosines of embeddings and basis,
    if there is a basis vector for each training class, else a linear layer on :math:`a`.

    Args:
        embed (torch.nn.Module): Images to embeddings.
        channels (int): Width of the embeddings.
        num_classes (int): Training classes.
        num_basis (int, optional): Basis vectors :math:`M`. (default: :obj:`num_classes`)
        variant (str, optional): ``"decoder"``, ``"residual"`` or ``"prototype"``, which is the
            plain prototype and the baseline. (default: ``"decoder"``)
        temperature (float, optional): :math:`t`. (default: :obj:`10.0`)

    Shapes:
        - **input:** images, whatever ``embed`` takes
        - **output:** embeddings :math:`(B, D)`; :meth:`describe` takes supports
          :math:`(W, S, D)` and gives :math:`(W, D)`; :meth:`assign` gives :math:`(*, M)`

    Raises:
        ValueError: If an option is out of range.

    Example:
        >>> import torch
        >>> from graphkit.vision import ClassRegularization
        >>> model = ClassRegularization(torch.nn.Flatten(), 16, num_classes=8)
        >>> support = model(torch.rand(10, 4, 4)).view(5, 2, 16)
        >>> model.scores(model(torch.rand(3, 4, 4)), model.describe(support)).shape
        torch.Size([3, 5])
    """

    def __init__(
        self,
        embed: nn.Module,
        channels: int,
        num_classes: int,
        num_basis: int | None = None,
        variant: str = "decoder",
        temperature: float = 10.0,
    ) -> None:
        super().__init__()
        refuse_class("embed", embed)
        if variant not in ("decoder", "residual", "prototype"):
            raise ValueError(
                f"'variant' must be 'decoder', 'residual' or 'prototype', got {variant!r}"
            )
        num_basis = num_classes if num_basis is None else num_basis
        if min(channels, num_classes, num_basis) < 1 or temperature <= 0:
            raise ValueError(
                f"'channels', 'num_classes', 'num_basis' and 'temperature' must be positive, got "
                f"{channels}, {num_classes}, {num_basis} and {temperature}"
            )
        self.embed, self.variant, self.temperature = embed, variant, temperature
        self.basis = nn.Parameter(torch.empty(num_basis, channels))
        self.encoder = nn.Linear(channels, channels, bias=False)
        self.decoder = nn.Linear(channels, channels, bias=False)
        self.head = nn.Linear(num_basis, num_classes) if num_basis != num_classes else None
        self.scale = nn.Parameter(torch.tensor(0.0))
        self.share = nn.Parameter(torch.tensor(0.0))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """A random basis; encoder and decoder that change nothing."""
        nn.init.normal_(self.basis, std=self.basis.size(1) ** -0.5)
        nn.init.eye_(self.encoder.weight)
        nn.init.eye_(self.decoder.weight)
        nn.init.constant_(self.scale, 10.0)
        nn.init.zeros_(self.share)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings of images."""
        return self.embed(x)

    def assign(self, f: Tensor) -> Tensor:
        """Weights of the basis vectors, on the simplex."""
        cosine = normalize(self.encoder(f), dim=-1) @ normalize(self.basis, dim=-1).t()
        return (self.temperature * cosine).softmax(-1)

    def describe(self, support: Tensor) -> Tensor:
        """Class descriptors of supports."""
        prototype = support.mean(1)
        if self.variant == "prototype":
            return prototype
        regular = self.decoder(self.assign(support).mean(1) @ self.basis)
        if self.variant == "decoder":
            return regular
        share = self.share.sigmoid()
        return share * normalize(prototype, dim=-1) + (1 - share) * normalize(regular, dim=-1)

    def scores(self, query: Tensor, descriptors: Tensor) -> Tensor:
        """Logits of queries."""
        return self.scale * (normalize(query, dim=-1) @ normalize(descriptors, dim=-1).t())

    def global_logits(self, f: Tensor) -> Tensor:
        """Logits of the training classes."""
        if self.head is not None:
            return self.head(self.assign(f))
        cosine = normalize(f, dim=-1) @ normalize(self.basis, dim=-1).t()
        return self.temperature * 2 * cosine


def draw_episode(
    y: Tensor, ways: int, shots: int, queries: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """A task: rows of its support ``[W, S]`` and queries ``[W, Q]``, and its classes ``[W]``.

    No row is in both.

    Args:
        y (torch.Tensor): Class of each row.
        ways, shots, queries (int): Classes, and rows of each.
        generator (torch.Generator): What draws.

    Raises:
        ValueError: If there are too few classes with enough rows.

    Example:
        >>> import torch
        >>> y = torch.arange(4).repeat_interleave(6)
        >>> support, query, classes = draw_episode(y, 3, 2, 4, torch.Generator())
        >>> support.shape, query.shape, bool((y[query] == classes[:, None]).all())
        (torch.Size([3, 2]), torch.Size([3, 4]), True)
    """
    kinds, count = y.unique(return_counts=True)
    rich = kinds[count >= shots + queries]
    if len(rich) < ways:
        raise ValueError(
            f"{len(rich)} classes have {shots + queries} rows, {ways} are needed for an episode"
        )
    classes = rich[torch.randperm(len(rich), generator=generator)[:ways]]
    key = torch.rand(len(y), generator=generator)
    order = (key + (y != classes.unsqueeze(1)) * 2.0).argsort(1)[:, : shots + queries]
    return order[:, :shots], order[:, shots:], classes


def meta_shift(descriptors: Tensor) -> Tensor:
    r"""How far class descriptors move from task to task, against how far classes are apart.

    .. math::
        \frac{\mathrm{mean}_k \mathrm{Var}_t\, \hat c_{kt}}
        {\mathrm{Var}_k\, \mathrm{mean}_t\, \hat c_{kt}}

    of normalised descriptors; lower is better.

    Args:
        descriptors (torch.Tensor): Descriptors of classes in several tasks.

    Shapes:
        - **input:** :math:`(K, T, D)`
        - **output:** a scalar

    Example:
        >>> import torch
        >>> meta_shift(torch.rand(4, 1, 8).expand(4, 6, 8)) < 1e-6
        tensor(True)
    """
    unit = normalize(descriptors, dim=2)
    mean = unit.mean(1, keepdim=True)
    within = (unit - mean).square().sum(2).mean()
    return within / (mean - mean.mean(0)).square().sum(2).mean()


@no_method("draws few-shot tasks for a Trainer, no method of its own")
class EpisodeTask(ShardedTask):
    """Training on tasks drawn from the training classes, with the global loss beside.

    Args:
        x, y (torch.Tensor): Images and classes from 0.
        ways, shots, queries (int, optional): Of a task. (default: 5, 1 and 5)
        episodes (int, optional): Tasks per epoch, over all processes, which take a few more
            if they do not divide. (default: :obj:`50`)
        weight (float, optional): Of the global loss, which is taken on images drawn evenly from
            all classes. (default: :obj:`0.5`)
        anchors (int, optional): Images in the global loss. (default: :obj:`64`)
        metrics (callable, optional): ``model -> {name: value}``, after every epoch.

    Raises:
        ValueError: If images and classes differ in number.

    Example:
        >>> import torch
        >>> from graphkit.vision import EpisodeTask
        >>> task = EpisodeTask(torch.rand(60, 4), torch.arange(6).repeat(10), episodes=3)
        >>> [support.shape for support, query, others in task.batches(seed=0)]
        [torch.Size([5, 1]), torch.Size([5, 1]), torch.Size([5, 1])]
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        ways: int = 5,
        shots: int = 1,
        queries: int = 5,
        episodes: int = 50,
        weight: float = 0.5,
        anchors: int = 64,
        metrics: Callable[[nn.Module], dict[str, float]] | None = None,
    ) -> None:
        if len(x) != len(y):
            raise ValueError(f"'x' has {len(x)} rows and 'y' {len(y)}")
        self.x, self.y, self.ways, self.shots, self.queries = x, y, ways, shots, queries
        self.episodes, self.weight, self.anchors = episodes, weight, anchors
        self.metrics = metrics

    def batches(self, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(seed)
        labels = self.y.cpu()
        even = labels.bincount()[labels].reciprocal()
        # As many for every process: a process that stops earlier would leave the others waiting.
        rounds = math.ceil(self.episodes / self.world_size)
        for number in range(rounds * self.world_size):
            task = draw_episode(labels, self.ways, self.shots, self.queries, generator)
            others = even.multinomial(self.anchors, replacement=True, generator=generator)
            if number % self.world_size == self.rank:
                yield task[0], task[1], others

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        support, query, others = (rows.to(self.y.device) for rows in batch)
        parts = [support.numel(), query.numel(), len(others)]
        rows = torch.cat([support.flatten(), query.flatten(), others])
        crn: Any = model
        f = crn(self.x[rows]).split(parts)
        descriptors = crn.describe(f[0].view(*support.shape, -1))
        target = torch.arange(self.ways, device=f[1].device).repeat_interleave(self.queries)
        loss = F.cross_entropy(crn.scores(f[1], descriptors), target)
        return loss + self.weight * F.cross_entropy(crn.global_logits(f[2]), self.y[others])

    def size(self, batch: tuple[Tensor, Tensor, Tensor]) -> int:
        return batch[1].numel()

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {} if self.metrics is None else self.metrics(model)

    def to(self, device: torch.device) -> EpisodeTask:
        self.x, self.y = self.x.to(device), self.y.to(device)
        return self
