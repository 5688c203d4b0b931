"""The projection of attention layers: one matrix for all heads, dense or sparse features."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import Linear

from graphkit.nn.sparse_features import sparse_product, with_values


def draw(*parts: Tensor) -> None:
    r"""Xavier-normal with gain :math:`\sqrt{2}`, as GAT's authors start every parameter."""
    for part in parts:
        nn.init.xavier_normal_(part, gain=2**0.5)


class HeadLinear(Linear):
    r"""A linear map to several heads that also takes sparse features.

    .. math::
        \mathbf{h}_{i,k} = \mathbf{x}_i \mathbf{W}_k + \mathbf{b}_k

    Bag-of-words features in :obj:`torch.sparse_csr` layout cost
    :math:`\mathcal{O}(\mathrm{nnz} \cdot H C)` instead of
    :math:`\mathcal{O}(N F \cdot H C)`, forward and backward; they get no gradient
    themselves.

    Args:
        in_channels (int): Size of each input; :obj:`-1` takes it from the first input.
        out_channels (int): Size of each head.
        heads (int, optional): Number of heads. (default: :obj:`1`)
        bias (bool, optional): Whether to learn a bias. (default: :obj:`True`)
        init (str, optional): Weights are drawn per head, Xavier-normal with gain
            :math:`\sqrt{2}`.  Biases start at zero (:obj:`"zero_bias"`) or are drawn like
            weights (:obj:`"authors"`). (default: :obj:`"zero_bias"`)

    Shapes:
        - **input:** features :math:`(*, F_{in})`, or sparse CSR :math:`(N, F_{in})`
        - **output:** :math:`(*, H \cdot F_{out})`

    Raises:
        ValueError: If :obj:`init` is unknown, or the width or layout of an input is wrong.

    Example:
        >>> import torch
        >>> HeadLinear(4, 3, heads=2)(torch.rand(5, 4)).shape
        torch.Size([5, 6])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        heads: int = 1,
        bias: bool = True,
        init: Literal["zero_bias", "authors"] = "zero_bias",
    ) -> None:
        if init not in ("zero_bias", "authors"):
            raise ValueError(f"'init' must be 'zero_bias' or 'authors', got {init!r}")
        self.heads, self.init = heads, init
        super().__init__(in_channels, heads * out_channels, bias=bias)

    def reset_parameters(self) -> None:
        """Draws the parameters anew."""
        if not isinstance(self.weight, nn.UninitializedParameter):
            draw(*self.weight.unflatten(0, (self.heads, -1)))
        if self.bias is not None and self.init == "authors":
            draw(*self.bias.view(self.heads, 1, -1))
        elif self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Projects dense or sparse CSR features."""
        if x.size(-1) != self.in_channels:
            raise ValueError(f"'x' must have {self.in_channels} channels, got {list(x.shape)}")
        if x.layout == torch.strided:
            return super().forward(x)
        if x.layout != torch.sparse_csr:
            raise ValueError(f"'x' must be dense or sparse CSR, got {x.layout}")
        out = sparse_product(x, self.weight)
        return out if self.bias is None else out + self.bias


def head_products(x: Tensor, vectors: Tensor) -> tuple[Tensor, ...]:
    """``(x * vector).sum(-1)`` for each of some vectors per head, as one product of matrices.

    The vectors form block-diagonal matrices, so that no tensor of the size of ``x`` is made:
    several times faster than products and sums while heads are few.  Costs
    ``N K H² C`` products for ``N`` rows.

    Args:
        x (torch.Tensor): Features ``[*, H, C]``.
        vectors (torch.Tensor): ``K`` vectors for every head, ``[K, H, C]``.

    Returns:
        ``K`` tensors ``[*, H]``.

    Example:
        >>> import torch
        >>> x, vectors = torch.rand(5, 2, 3), torch.rand(4, 2, 3)
        >>> products = head_products(x, vectors)
        >>> len(products), torch.allclose(products[1], (x * vectors[1]).sum(-1))
        (4, True)
    """
    heads = vectors.size(1)
    # Row (h, c) of the blocks holds the vectors of head h in the columns (k, h), zeros elsewhere.
    blocks = torch.diag_embed(vectors.to(x.dtype).permute(2, 0, 1), dim1=0, dim2=-1)
    products = x.flatten(-2) @ blocks.reshape(-1, vectors.size(0) * heads)
    return products.split(heads, dim=-1)


def feature_dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """Dropout of dense or sparse CSR features; zeros need no draw.

    Args:
        x (torch.Tensor): Features ``[*, F]``, or sparse CSR ``[N, F]``.
        p (float): Probability of a zero.
        training (bool): Whether to drop anything.
    """
    if x.layout == torch.strided or not training:
        return F.dropout(x, p, training)
    values = F.dropout(x.values(), p, training)
    return with_values(x, values)
