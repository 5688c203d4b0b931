"""The last value that was worked out, kept while all that it depends on stays the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex

T = TypeVar("T")
CONSTANTS = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device)
Key = tuple[tuple[Any, ...], ...]


class Memo:
    """Keeps one value together with the inputs it was computed from.

    Only two kinds of input can be seen to be unchanged: constants such as numbers and strings,
    which are compared by value, and tensors, which are the same if they are the very same object,
    in the same place of memory, and PyTorch counted no in-place write.  With any other input
    (``Data``, lists, dictionaries, sparse tensors) nothing is kept, and every call computes.  So
    it is where a graph is compiled, and for tensors of inference mode.  What is written through
    ``tensor.data`` or NumPy PyTorch does not count: call :meth:`forget` after it.

    A deep copy or a pickle starts empty.  A call costs a microsecond per input.

    Example:
        >>> import torch
        >>> memo, x = Memo(), torch.ones(2)
        >>> [memo((x,), lambda: float(x.sum())) for _ in range(2)], memo.hits
        ([2.0, 2.0], 1)
        >>> memo((x.mul_(3),), lambda: float(x.sum()))
        6.0
        >>> memo(([x],), lambda: float(x.sum())), memo.hits  # a list may change unseen
        (6.0, 1)
    """

    def __init__(self) -> None:
        self.forget()
        self.hits = 0

    def forget(self) -> None:
        """Drops the value and its inputs."""
        self.inputs: tuple[Any, ...] = ()
        self.key: Key | None = None
        self.value: Any = None

    def __call__(
        self, inputs: Sequence[Any], build: Callable[[], T], watched: Sequence[Any] = ()
    ) -> T:
        """The kept value if it was made from these inputs, ``build()`` otherwise.

        Args:
            inputs (sequence): What the value is made from.
            build (callable): Makes it.
            watched (sequence, optional): Further objects behind it, such as the parameters and
                submodules of a network: tensors as above, others the very same. (default: none)
        """
        key = None if torch.compiler.is_compiling() else key_of(inputs, watched)
        if key is None:
            self.forget()
            return build()
        if key == self.key:
            self.hits += 1
            return self.value
        # The inputs are held, so that no new object can take over the address of an old one.
        self.value, self.inputs, self.key = build(), (*inputs, *watched), key
        return self.value

    def __deepcopy__(self, memo: dict[int, Any]) -> Memo:
        return Memo()

    def __reduce__(self) -> tuple[type[Memo], tuple[()]]:
        return Memo, ()


def key_of(inputs: Sequence[Any], watched: Sequence[Any] = ()) -> Key | None:
    """What tells some inputs from others, or :obj:`None` where a change could not be seen."""
    if not inputs:
        return None
    parts: list[tuple[Any, ...]] = []
    try:
        for item in inputs:
            kind = type(item)
            if kind in CONSTANTS:
                parts.append((kind, item))
            elif kind in (Tensor, nn.Parameter) and item.layout is torch.strided:
                parts.append((id(item), item._version, item.data_ptr()))
            elif kind is EdgeIndex:
                # Writes to the wrapper and to the tensor inside are counted apart.
                inner = item.as_tensor()
                parts.append((id(item), item._version, inner._version, inner.data_ptr()))
            else:
                return None
        for item in watched:
            seen = (item._version, item.data_ptr()) if isinstance(item, Tensor) else ()
            parts.append((id(item), *seen))
    except RuntimeError:
        # Inference tensors have no version; those of torch.func have no place in memory.
        return None
    return tuple(parts)
