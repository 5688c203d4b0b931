"""A model in half or double precision, and what goes into it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from graphkit.catalog import no_method
from graphkit.precision import cast_floats

__all__ = ["TRUE_TYPES", "InPrecision"]

TRUE_TYPES = {
    "64": torch.float64,
    "64-true": torch.float64,
    "16-true": torch.float16,
    "bf16-true": torch.bfloat16,
}


@no_method("a wrapper that the trainer puts around a model")
class InPrecision(nn.Module):
    """Converts a model, in place, and in every call the floats that go into it.

    Attributes are the model's.  Graphs (``Data``), dictionaries and lists among the arguments are
    converted, too.  Floats that the model makes itself are of its type.  Half precision comes out
    as float32, so that losses and metrics are computed in it; double precision stays what it is.

    Args:
        model (torch.nn.Module): The model.
        dtype (torch.dtype): The type.

    Example:
        >>> import torch
        >>> from graphkit.train.in_precision import InPrecision
        >>> InPrecision(torch.nn.Linear(2, 1), torch.float64)(torch.ones(1, 2)).dtype
        torch.float64
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.module, self.dtype = model.to(dtype), dtype

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's output."""
        args, kwargs = cast_floats((args, kwargs), self.dtype)
        default = torch.get_default_dtype()
        torch.set_default_dtype(self.dtype)
        try:
            out = self.module(*args, **kwargs)
        finally:
            torch.set_default_dtype(default)
        return cast_floats(out, torch.promote_types(self.dtype, torch.float32))
