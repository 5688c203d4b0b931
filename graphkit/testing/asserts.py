"""Assertions on graph functions ``fn(x, edge_index, **edge_inputs) -> Tensor``.

They need none of the suites. ``edge_inputs`` are tensors with one row per edge.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

GraphFn = Callable[..., Tensor]

TOLERANCES: dict[torch.dtype, tuple[float, float]] = {
    torch.float64: (1e-8, 1e-9),
    torch.float32: (1e-4, 2e-5),
    torch.bfloat16: (5e-2, 5e-2),
    torch.float16: (1e-2, 1e-2),
}


def assert_close(
    actual: Tensor,
    expected: Tensor,
    what: str = "values",
    rtol: float | None = None,
    atol: float | None = None,
) -> None:
    """Compares two tensors with the tolerance of the coarser of their types.

    Args:
        actual (torch.Tensor): What the code under test gave.
        expected (torch.Tensor): What the oracle gave.
        what (str, optional): Names the quantity in the message. (default: ``"values"``)
        rtol (float, optional): Relative tolerance. (default: by type)
        atol (float, optional): Absolute tolerance. (default: by type)

    Raises:
        AssertionError: If shapes or values differ.

    Example:
        >>> import torch
        >>> assert_close(torch.ones(2), torch.ones(2, dtype=torch.float64))
    """
    known = [TOLERANCES[t.dtype] for t in (actual, expected) if t.dtype in TOLERANCES]
    coarse = max(known, default=(0.0, 0.0))
    torch.testing.assert_close(
        actual.double() if actual.is_floating_point() else actual,
        expected.double() if expected.is_floating_point() else expected,
        rtol=coarse[0] if rtol is None else rtol,
        atol=coarse[1] if atol is None else atol,
        check_dtype=False,
        equal_nan=True,
        msg=lambda text: f"{what} differ: {text}",
    )


def assert_permutation_equivariant(
    fn: GraphFn, x: Tensor, edge_index: Tensor, **edge_inputs: Tensor
) -> None:
    """Renaming the nodes must rename the rows of the output and nothing else.

    Args:
        fn (callable): Maps node features and edge indices to one row per node.
        x (torch.Tensor): Node features.
        edge_index (torch.Tensor): Edge indices.
        **edge_inputs (torch.Tensor): Further inputs, one row per edge.

    Raises:
        AssertionError: If the output of the renamed graph is not the renamed output.

    Example:
        >>> import torch
        >>> assert_permutation_equivariant(
        ...     lambda x, e: x + 1, torch.rand(3, 2), torch.tensor([[0], [1]]))
    """
    new_name = torch.randperm(x.size(0), device=x.device)
    renamed = torch.empty_like(x)
    renamed[new_name] = x
    out = fn(renamed, new_name[edge_index], **edge_inputs)
    expected = fn(x, edge_index, **edge_inputs)
    assert_close(out[new_name], expected, "outputs of the graph with renamed nodes")


def assert_edge_order_invariant(
    fn: GraphFn, x: Tensor, edge_index: Tensor, **edge_inputs: Tensor
) -> None:
    """The order of the columns of ``edge_index`` must not matter.

    Args:
        fn (callable): Maps node features and edge indices to a tensor.
        x (torch.Tensor): Node features.
        edge_index (torch.Tensor): Edge indices.
        **edge_inputs (torch.Tensor): Further inputs, one row per edge.

    Raises:
        AssertionError: If it does.
    """
    expected = fn(x, edge_index, **edge_inputs)
    shuffled = torch.randperm(edge_index.size(1), device=edge_index.device)
    for order in (shuffled, shuffled.flip(0)):
        moved = {name: value[order] for name, value in edge_inputs.items()}
        out = fn(x, edge_index[:, order], **moved)
        assert_close(out, expected, "outputs after reordering the edges")


def jacobian_support(fn: GraphFn, x: Tensor, edge_index: Tensor, **edge_inputs: Tensor) -> Tensor:
    r"""Which outputs depend on which inputs: ``support[v, u]`` is true if row *v* feels row *u*.

    Args:
        fn (callable): Maps node features and edge indices to one row per node.
        x (torch.Tensor): Node features.
        edge_index (torch.Tensor): Edge indices.
        **edge_inputs (torch.Tensor): Further inputs, one row per edge.

    Shapes:
        - **output:** boolean, :math:`(|\mathcal{V}|, |\mathcal{V}|)`

    Example:
        >>> import torch
        >>> jacobian_support(lambda x, e: x.flip(0), torch.rand(2, 3), torch.empty(2, 0).long())
        tensor([[False,  True],
                [ True, False]])
    """
    x = x.detach().clone().requires_grad_()
    out = fn(x, edge_index, **edge_inputs)
    weight = torch.rand_like(out) + 0.5
    rows = []
    for node in range(out.size(0)):
        seed = torch.zeros_like(out)
        seed[node] = weight[node]
        (grad,) = torch.autograd.grad(out, x, seed, retain_graph=True, allow_unused=True)
        grad = torch.zeros_like(x) if grad is None else grad
        rows.append((grad.reshape(x.size(0), -1) != 0).any(1))
    return torch.stack(rows)


def reachable(edge_index: Tensor, num_nodes: int, hops: int) -> Tensor:
    r"""``result[v, u]`` is true if a walk of at most ``hops`` edges leads from *u* to *v*.

    Args:
        edge_index (torch.Tensor): Edge indices.
        num_nodes (int): The number of nodes.
        hops (int): The longest walk.

    Shapes:
        - **output:** boolean, :math:`(|\mathcal{V}|, |\mathcal{V}|)`
    """
    step = torch.eye(num_nodes)
    step[edge_index[1], edge_index[0]] = 1
    return torch.linalg.matrix_power(step, hops) > 0


def assert_raises_naming(
    call: Callable[[], object], name: str, kinds: tuple[type[BaseException], ...]
) -> None:
    """The call must raise one of ``kinds`` with a message that names the argument.

    Args:
        call (callable): Gets no arguments.
        name (str): The argument's name, to be found in the message as a word.
        kinds (tuple): The accepted classes of error.

    Raises:
        AssertionError: If nothing is raised, or the message does not name the argument.

    Example:
        >>> def refuse():
        ...     raise ValueError("x has 3 channels, expected 8")
        >>> assert_raises_naming(refuse, "x", (ValueError,))
    """
    wanted = " or ".join(kind.__name__ for kind in kinds)
    try:
        call()
    except kinds as error:
        if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", str(error)) is None:
            raise AssertionError(f"the error does not name {name!r}: {error}") from error
    except (RuntimeError, ArithmeticError, LookupError, AssertionError, TypeError) as error:
        raise AssertionError(
            f"expected {wanted} naming {name!r}, got {type(error).__name__}: {error}"
        ) from error
    else:
        raise AssertionError(f"expected {wanted} naming {name!r}, but nothing was raised")


def assert_same_signature(function: Callable, expected: Callable) -> None:
    """Both take the same arguments: by name, order, kind and default value.

    Args:
        function (callable): A function or class.
        expected (callable): Another one, whose arguments it should have.

    Raises:
        AssertionError: If they differ; the message lists both.

    Example:
        >>> assert_same_signature(lambda x, y=1: x, lambda x, y=1: y)
    """
    ours, theirs = (
        [
            (parameter.name, parameter.kind.description, parameter.default)
            for parameter in inspect.signature(one).parameters.values()
        ]
        for one in (function, expected)
    )
    assert ours == theirs, f"{function} takes {ours}, but {expected} takes {theirs}"


@contextmanager
def assert_not_mutated(**tensors: Tensor) -> Iterator[None]:
    """Inside the ``with`` block none of the tensors may change.

    Args:
        **tensors (torch.Tensor): The tensors by the name used in the message.

    Raises:
        AssertionError: If one did.

    Example:
        >>> import torch
        >>> x = torch.zeros(2)
        >>> with assert_not_mutated(x=x):
        ...     y = x + 1
    """
    before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    yield
    for name, tensor in tensors.items():
        assert torch.equal(tensor.detach(), before[name]), f"{name} was changed in place"


def count_hooks(model: nn.Module) -> int:
    """How many hooks hang on a model's modules and parameters, PyG's own hooks included.

    Args:
        model (torch.nn.Module): Any model.

    Example:
        >>> import torch
        >>> count_hooks(torch.nn.Linear(2, 2))
        0
    """
    owners = [vars(module) for module in model.modules()]
    # A parameter has no entry of its own for what is written in C++.
    for parameter in model.parameters():
        hooks = ("_backward_hooks", "_post_accumulate_grad_hooks")
        owners.append({name: getattr(parameter, name) for name in hooks})
    return sum(
        len(value)
        for owner in owners
        for name, value in owner.items()
        if name.endswith("_hooks") and isinstance(value, dict)
    )


@contextmanager
def assert_no_trace(model: nn.Module, *, weights: bool = True) -> Iterator[None]:
    """After the ``with`` block the model is as before: weights, modes, switches and hooks.

    Args:
        model (torch.nn.Module): The model to watch.
        weights (bool, optional): Whether weights and buffers are compared, too.
            (default: :obj:`True`)

    Raises:
        AssertionError: If something differs; the message says what.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 2)
        >>> with assert_no_trace(model):
        ...     y = model(torch.zeros(1, 2))
    """
    before = _fingerprint(model)
    state = copy.deepcopy(model.state_dict()) if weights else {}
    yield
    after = _fingerprint(model)
    for what, value in before.items():
        assert after[what] == value, f"{what} changed: from {value} to {after[what]}"
    if weights:
        new_state = model.state_dict()
        assert set(new_state) == set(state), "the keys of the state_dict changed"
        for name, old in state.items():
            assert torch.equal(new_state[name], old), f"{name} in the state_dict changed"


def _fingerprint(model: nn.Module) -> dict[str, object]:
    return {
        "the number of hooks": count_hooks(model),
        "the list of modules": [name for name, _ in model.named_modules()],
        "train/eval mode": {name: module.training for name, module in model.named_modules()},
        "requires_grad": {name: p.requires_grad for name, p in model.named_parameters()},
    }
