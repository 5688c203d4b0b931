"""A layer whose weights are stored in few bits each."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch_geometric.nn.dense import Linear

from graphkit.catalog import no_method
from graphkit.ops import spmm
from graphkit.words import refuse_class

__all__ = ["PackedLayer", "stored_bytes"]


@no_method("what QuantizationNetwork.pack makes of a layer")
class PackedLayer(nn.Module):
    r"""A layer of any kind that stores the number of each weight's level, packed into bytes.

    Two weights of at most 16 levels, four of at most 4 and eight of 2 share a byte.
    ``"unpack"`` looks the levels up in every call and runs the layer as it is: time grows by
    that of writing the weights once, and in a call the weights exist in full.  ``"edges"`` is
    for linear layers and runs :func:`graphkit.ops.spmm` over the signed edges from inputs to
    outputs: time grows with the number of weights that are not zero, but each of them takes 20
    bytes of memory while the layer lives (none in the file), and dense products are faster
    unless almost all weights are zero.

    Args:
        layer (torch.nn.Module): The layer; taken over, without its weights.
        name (str): Name of the weights, such as ``"weight"``, or ``"layer.bias"`` where the layer
            is packed itself.
        codes (torch.Tensor): The number of each weight's level.
        values (torch.Tensor): The levels, scaled.
        execution (str, optional): ``"unpack"`` or ``"edges"``. (default: ``"unpack"``)

    Shapes:
        - **input:** what the layer takes
        - **output:** what the layer gives

    Raises:
        ValueError: If there are more than 256 levels, codes name no level, or ``"edges"`` is asked
            of a layer that is not linear.

    Example:
        >>> import torch
        >>> from graphkit.compress import PackedLayer
        >>> codes = torch.randint(3, (8, 16))
        >>> layer = PackedLayer(torch.nn.Linear(16, 8), "weight", codes, torch.tensor([-1.0, 0, 1]))
        >>> layer.packed.shape, layer(torch.rand(2, 16)).shape
        (torch.Size([32]), torch.Size([2, 8]))
    """

    packed: Tensor
    values: Tensor
    edge_index: Tensor
    edge_weight: Tensor

    def __init__(
        self,
        layer: nn.Module,
        name: str,
        codes: Tensor,
        values: Tensor,
        execution: Literal["unpack", "edges"] = "unpack",
    ) -> None:
        super().__init__()
        refuse_class("layer", layer)
        if execution not in ("unpack", "edges"):
            raise ValueError(f"'execution' must be 'unpack' or 'edges', got {execution!r}")
        if execution == "edges" and (not isinstance(layer, nn.Linear | Linear) or name != "weight"):
            raise ValueError(f"execution='edges' needs a linear layer, got {type(layer).__name__}")
        if len(values) > 256 or (
            codes.numel() and not 0 <= codes.min() <= codes.max() < len(values)
        ):
            raise ValueError(f"'codes' must lie in 0 … {len(values) - 1} and below 256")
        self.bits = next(b for b in (1, 2, 4, 8) if len(values) <= 1 << b)
        self.shape, self.name, self.execution = codes.shape, name, execution
        self.register_buffer("packed", pack_bits(codes, self.bits))
        self.register_buffer("values", values.detach().clone())
        path, _, self.attribute = name.rpartition(".")
        empty = nn.Parameter(values.new_empty(0), requires_grad=False)
        setattr(layer.get_submodule(path), self.attribute, empty)
        self.layer = layer
        if execution == "edges":
            self.register_buffer("edge_index", torch.empty(2, 0).long(), persistent=False)
            self.register_buffer("edge_weight", values.new_empty(0), persistent=False)
            link(self, None)
            # Other codes are other edges.
            self.register_load_state_dict_post_hook(link)

    def unpacked(self) -> Tensor:
        """The weights in full."""
        codes = unpack_bits(self.packed, self.bits, self.shape.numel())
        return self.values[codes].view(self.shape)

    def __getattr__(self, name: str) -> Any:
        """What is asked of the layer: its weights are unpacked, the rest is its own."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_") or "layer" not in self._modules:
                raise
            if name == self.__dict__.get("attribute"):
                return self.unpacked()
            return getattr(self._modules["layer"], name)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """What the layer gives with its unpacked weights."""
        if self.execution == "unpack":
            return functional_call(self.layer, {self.name: self.unpacked()}, args, kwargs)
        (x,) = args
        outputs, inputs = self.shape
        if x.size(-1) != inputs:
            raise ValueError(f"'x' must have {inputs} channels, got {list(x.shape)}")
        # Samples are the features of nodes here: an edge carries one weight to all of them.
        rows = x.reshape(-1, inputs).t().contiguous()
        out = spmm(self.edge_index, self.edge_weight, rows, outputs).t()
        bias = self.layer.bias
        out = out + bias if isinstance(bias, Tensor) else out
        return out.reshape(*x.shape[:-1], outputs)


def link(layer: PackedLayer, keys: Any) -> None:
    """The edges from inputs to outputs along all weights that are not zero."""
    weight = layer.unpacked()
    target, source = weight.nonzero().unbind(1)
    layer.edge_index = torch.stack([source, target])
    layer.edge_weight = weight[target, source]


def pack_bits(codes: Tensor, bits: int) -> Tensor:
    """Small numbers, the first ones in the lowest bits of a byte."""
    per_byte = 8 // bits
    flat = codes.flatten().to(torch.uint8)
    flat = torch.cat([flat, flat.new_zeros(-len(flat) % per_byte)]).view(-1, per_byte)
    # The shifted numbers share no bit, so their sum is their union.
    shifts = torch.arange(0, 8, bits, device=flat.device)
    return (flat.long() << shifts).sum(1).to(torch.uint8)


def unpack_bits(packed: Tensor, bits: int, count: int) -> Tensor:
    """What :func:`pack_bits` packed, as int32."""
    shifts = torch.arange(0, 8, bits, device=packed.device, dtype=torch.int32)
    codes = (packed.to(torch.int32).unsqueeze(1) >> shifts) & ((1 << bits) - 1)
    return codes.flatten()[:count]


def stored_bytes(model: nn.Module) -> int:
    """Bytes of all tensors that a model's ``state_dict`` holds.

    Args:
        model (torch.nn.Module): The model.

    Example:
        >>> from torch import nn
        >>> from graphkit.compress import stored_bytes
        >>> stored_bytes(nn.Linear(3, 2))
        32
    """
    refuse_class("model", model)
    return sum(t.numel() * t.element_size() for t in model.state_dict().values())
