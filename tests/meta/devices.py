"""Where tensors are made: beside others, on their device, or on one that is said."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.meta.source import Source, sources

FACTORIES = {
    *("zeros", "ones", "empty", "full", "eye", "tensor", "arange", "linspace", "logspace"),
    *("rand", "randn", "randint", "randperm", "tril_indices", "triu_indices"),
}
SAID = {"device", "generator", "out", None}
"""Keywords that say where; what is drawn lies where its generator is."""
ON_THE_HOST = (
    *("datasets", "sampling", "testing", "scaffold", "ops/cpu", "vision/tracking"),
    # An index that picks rows of others, which may lie anywhere.
    "continual/gradients",
    # A mask of channels, which are counted and marked there.
    "adapters/models/pruning_graph",
)
"""What lies in the computer's own memory, as files, NumPy, numba and solvers want it."""


def homeless(root: Path, package: str = "graphkit") -> list[str]:
    """Tensors that functions with tensors at hand make on the default device, and not on theirs."""
    found = []
    for file in sources(root, package):
        if not file.name.startswith(tuple(f"{package}/{room}" for room in ON_THE_HOST)):
            found += [f"{file.at(call)}: {ast.unparse(call)}" for call in calls_without(file)]
    return found


def calls_without(file: Source) -> Iterator[ast.Call]:
    """Calls of a factory that do not say where, inside functions that are given a tensor."""
    inside = {
        id(node): node
        for function in functions_on_tensors(file)
        for statement in function.body
        if function.name != "__init__" or is_local(statement)
        for node in ast.walk(statement)
    }
    for call in inside.values():
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        made = ast.unparse(call.func.value) == "torch" and call.func.attr in FACTORIES
        if made and not SAID & {word.arg for word in call.keywords}:
            yield call


def functions_on_tensors(file: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions with a tensor among their arguments, and methods of data classes that hold one."""
    for node in file.nodes:
        if isinstance(node, ast.ClassDef):
            fields = [each.annotation for each in node.body if isinstance(each, ast.AnnAssign)]
            kept = any("dataclass" in ast.unparse(each) for each in node.decorator_list)
            if kept and any(map(is_tensor, fields)):
                methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
                yield from methods
    for function in file.functions:
        arguments = function.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        if any(is_tensor(each.annotation) for each in every):
            yield function


def is_local(statement: ast.stmt) -> bool:
    """Whether a name takes what a statement makes: weights that an object keeps lie where PyTorch
    is told to make new ones."""
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return bool(targets) and all(isinstance(each, ast.Name) for each in targets)


def is_tensor(annotation: ast.expr | None) -> bool:
    """Whether a type has a tensor in it."""
    names = ast.walk(annotation) if annotation is not None else ()
    return any(getattr(n, "id", getattr(n, "attr", None)) == "Tensor" for n in names)
