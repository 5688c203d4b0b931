"""DGCNN: a network on point sets that rebuilds its graph in every layer."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import global_max_pool, global_mean_pool

from graphkit.catalog import method
from graphkit.nn.neighbours import NearestNeighbours
from graphkit.ops.dtypes import is_half

__all__ = ["DGCNN", "EdgeBlock"]

SLOPE, MOMENTUM = 0.2, 0.1


class EdgeBlock(nn.Module):
    r"""One edge convolution of DGCNN: a linear map of each edge, batch normalisation over all
    edges, leaky ReLU, and the maximum over each node's neighbours.

    .. math::
        x'_i = \max_{j \in \mathcal{N}(i)} \sigma \left( \mathrm{BN} \left(
        \Theta (x_j - x_i) + \Phi x_i \right) \right)

    The linear map splits into one number per node and channel for either end, and the affine
    map and the activation keep or reverse order, so the maximum is taken of the source's half
    alone. Nothing is computed per edge and channel, the result is the same: time grows with
    :math:`N C C' + N k C'` instead of :math:`N k C C'`, memory with :math:`N C'`.

    Args:
        in_channels (int): Width of the input.
        out_channels (int): Width of the output.

    Shapes:
        - **input:** features :math:`(N, C)`, neighbours of each node :math:`(N, k)`
        - **output:** :math:`(N, C')`

    Example:
        >>> import torch
        >>> EdgeBlock(3, 8)(torch.rand(4, 3), torch.tensor([[1, 2], [0, 3], [3, 0], [1, 2]])).shape
        torch.Size([4, 8])
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.lin = nn.Linear(2 * in_channels, out_channels, bias=False)
        self.norm = nn.BatchNorm1d(out_channels, momentum=MOMENTUM)

    def reset_parameters(self) -> None:
        """Draws the weights anew and forgets the statistics."""
        self.lin.reset_parameters()
        self.norm.reset_parameters()

    def forward(self, x: Tensor, neighbours: Tensor) -> Tensor:
        """The features of every node from those of its neighbours."""
        towards, centre = self.lin.weight.chunk(2, dim=1)
        source, target = x @ towards.t(), x @ (centre - towards).t()
        mean, variance = self.norm.running_mean, self.norm.running_var
        if self.training:
            mean, variance = edge_statistics(source, target, neighbours)
            self.track(mean, variance, neighbours.numel())
        assert mean is not None
        assert variance is not None
        scale = self.norm.weight * torch.rsqrt(variance + self.norm.eps)
        sign = torch.where(scale.detach() < 0, -1.0, 1.0)
        if is_half(source):
            sign = sign.to(source)
        peak = sign * F.embedding_bag(neighbours, sign * source, mode="max")
        return F.leaky_relu((peak + target - mean) * scale + self.norm.bias, SLOPE)

    @torch.no_grad()
    def track(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Moves the running statistics, as batch normalisation over the edges does."""
        norm, unbiased = self.norm, variance * (count / max(count - 1, 1))
        if is_half(mean):
            # Under autocast the statistics stay in float32.
            mean, unbiased = mean.to(norm.weight.dtype), unbiased.to(norm.weight.dtype)
        for running, new in ((norm.running_mean, mean), (norm.running_var, unbiased)):
            assert running is not None
            running.lerp_(new, MOMENTUM)


def edge_statistics(source: Tensor, target: Tensor, neighbours: Tensor) -> tuple[Tensor, Tensor]:
    r"""Mean and variance over all edges of ``source[j] + target[i]``, per channel.

    Shapes:
        - **input:** both halves :math:`(N, C)`, neighbours :math:`(N, k)`
        - **output:** :math:`(C)` twice
    """
    times = neighbours.view(-1).bincount(minlength=source.size(0)).to(source) / neighbours.numel()
    means = times @ source, target.mean(dim=0)
    source, target = source - means[0], target - means[1]
    around = F.embedding_bag(neighbours, source, mode="mean")
    variance = times @ source.square() + (target.square() + 2 * target * around).mean(dim=0)
    return means[0] + means[1], variance.clamp(min=0)


@method(
    paper="arXiv:1801.07829",
    title="Dynamic Graph CNN for Learning on Point Clouds",
    authors=(
        "Yue Wang, Yongbin Sun, Ziwei Liu, Sanjay E. Sarma, Michael M. Bronstein, Justin M. Solomon"
    ),
    venue="ACM Transactions on Graphics 2019",
    year=2019,
    code="https://github.com/WangYueFt/dgcnn",
    licence="MIT",
    takes="points, the set of each point",
    gives="one row of scores per set",
    deviations=["No spatial transformer in front, as in the authors' PyTorch code."],
    verified_by="tests/nn/models/test_dgcnn.py",
)
class DGCNN(nn.Module):
    r"""Classifies point sets: the network of the `"Dynamic Graph CNN for Learning on Point
    Clouds" <https://arxiv.org/abs/1801.07829>`_ paper.

    .. math::
        X^{(l+1)} = \mathrm{EdgeBlock}(X^{(l)}, \mathrm{kNN}(X^{(l)})), \qquad
        y = \mathrm{MLP} \left( \max_i z_i \,\Vert\, \mathrm{mean}_i \, z_i \right), \quad
        z_i = \sigma(\mathrm{BN}(W [x^{(1)}_i \Vert \dots \Vert x^{(L)}_i]))

    ``graphs.0``, ``graphs.1``, … return the edges of each layer and ``convs.0``, … its
    features: tap them to compare two networks, layer by layer. Time and memory of the
    neighbours grow with the square of the points per set.

    Args:
        in_channels (int): Width of the points, 3 for coordinates.
        out_channels (int): Number of classes.
        hidden_channels (list, optional): Width of each edge convolution.
            (default: :obj:`(64, 64, 128, 256)`)
        k (int, optional): Neighbours per point, itself among them; sets with fewer points give
            what they have. (default: :obj:`20`)
        emb_channels (int, optional): Width before pooling. (default: :obj:`1024`)
        head_channels (list, optional): Widths of the classifier.
            (default: :obj:`(512, 256)`)
        dropout (float, optional): In the classifier. (default: :obj:`0.5`)

    Shapes:
        - **input:** points :math:`(N, C)`, set of each point :math:`(N)`, sorted
        - **output:** :math:`(B, K)`

    Raises:
        ValueError: If ``batch`` is not sorted, shapes do not fit or values are not finite.

    Example:
        >>> import torch
        >>> from graphkit.nn import DGCNN
        >>> model = DGCNN(3, 10, hidden_channels=(8, 16), k=4, emb_channels=32)
        >>> model(torch.rand(40, 3), torch.arange(2).repeat_interleave(20)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: tuple[int, ...] | list[int] = (64, 64, 128, 256),
        k: int = 20,
        emb_channels: int = 1024,
        head_channels: tuple[int, ...] | list[int] = (512, 256),
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if not hidden_channels:
            raise ValueError("'hidden_channels' is empty; give the width of one layer at least")
        widths = [in_channels, *hidden_channels]
        self.graphs = nn.ModuleList(NearestNeighbours(k) for _ in hidden_channels)
        self.convs = nn.ModuleList(
            EdgeBlock(left, right) for left, right in itertools.pairwise(widths)
        )
        self.embed = dense(sum(hidden_channels), emb_channels)
        sizes = [2 * emb_channels, *head_channels]
        layers = [
            layer
            for left, right in itertools.pairwise(sizes)
            for layer in (dense(left, right), nn.Dropout(dropout))
        ]
        self.head = nn.Sequential(*layers, nn.Linear(sizes[-1], out_channels))

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.BatchNorm1d)):
                module.reset_parameters()

    def forward(self, pos: Tensor, batch: Tensor | None = None) -> Tensor:
        """The scores of every point set; without ``batch`` all points are one set."""
        if batch is None:
            batch = torch.zeros(pos.size(0), dtype=torch.long, device=pos.device)
        x, features = pos, []
        for graph, conv in zip(self.graphs, self.convs, strict=True):
            edge_index = graph(x, batch)
            x = conv(x, edge_index[0].view(x.size(0), -1))
            features.append(x)
        z = self.embed(torch.cat(features, dim=-1))
        pooled = [global_max_pool(z, batch), global_mean_pool(z, batch)]
        return self.head(torch.cat(pooled, dim=-1))


def dense(in_channels: int, out_channels: int) -> nn.Sequential:
    """A linear map with batch normalisation and leaky ReLU."""
    return nn.Sequential(
        nn.Linear(in_channels, out_channels, bias=False),
        nn.BatchNorm1d(out_channels),
        nn.LeakyReLU(SLOPE),
    )
