"""The house's style as functions from source files to complaints."""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from statistics import median

import torch_geometric.data
import torch_geometric.nn
from torch_geometric.data import storage

from tests.meta.source import Source

MAX_LINES = 400
MEDIAN_LINES = 150
FUNCTION_P95 = 60
COMMENT_SHARE = 0.06
HOSTS = ("py" + "pi.org", "python" + "hosted.org", "ana" + "conda.", "download." + "pytorch.org")
HOSTS += ("data." + "pyg.org", "conda-" + "forge.org", "crates" + ".io", "registry." + "npm")
MACHINE = re.compile(r"(?<![\w./~:])/(?:work|home|root|Users|mnt)/|\.\./sha" + "red/")
PLACEHOLDER = "FILL" + " IN"
CLOCKS = re.compile(
    r"time\.(time|perf_counter|process_time|thread_time|clock_gettime)(_ns)?|timeit(\.\w+)?"
    r"|datetime\.(now|utcnow)"
).fullmatch
UNFINISHED = re.compile(r"\b(?:TO" + "DO|FIX" + "ME|XX" + r"X|HA" + r"CK)\b")


def too_long(files: list[Source]) -> list[str]:
    return [
        f"{file.name} has {len(file.lines)} lines, at most {MAX_LINES} are allowed"
        for file in files
        if len(file.lines) > MAX_LINES
    ]


def median_length(files: list[Source]) -> list[str]:
    middle = median(len(file.lines) for file in files)
    return [f"the median file has {middle} lines"] if middle >= MEDIAN_LINES else []


def long_functions(files: list[Source]) -> list[str]:
    """Complains with the longest ones if the 95th percentile is over the limit."""
    lengths = sorted(
        ((node.end_lineno or 0) - node.lineno + 1, file.at(node), node.name)
        for file in files
        for node in file.functions
    )
    if not lengths or lengths[int(0.95 * (len(lengths) - 1))][0] <= FUNCTION_P95:
        return []
    return [f"{where} {name}: {length} lines" for length, where, name in lengths[-20:]]


def comment_share(files: list[Source]) -> list[str]:
    """Full-line comments over non-blank lines, over all files together."""
    full = sum(
        file.lines[line - 1].lstrip().startswith("#") for file in files for line, _ in file.comments
    )
    written = sum(bool(line.strip()) for file in files for line in file.lines)
    share = full / max(written, 1)
    return [f"{share:.1%} of the lines are comments"] if share > COMMENT_SHARE else []


def unfinished(files: list[Source]) -> list[str]:
    return [
        f"{file.name}:{line} {text}"
        for file in files
        for line, text in file.comments
        if UNFINISHED.search(text)
    ]


def placeholders(files: list[Source]) -> list[str]:
    """What ``python -m graphkit new`` wrote and nobody has filled in."""
    return [
        f"{file.name}:{number} {line.strip()}"
        for file in files
        for number, line in enumerate(file.lines, 1)
        if PLACEHOLDER in line
    ]


def banned_text(files: list[Source]) -> list[str]:
    """Package registries by host name, and paths of one machine."""
    return [
        f"{file.name}:{number} {line.strip()}"
        for file in files
        for number, line in enumerate(file.lines, 1)
        if MACHINE.search(line) or any(host in line for host in HOSTS)
    ]


def empty_bodies(files: list[Source]) -> list[str]:
    """``pass``, and functions of nothing but ``...`` that are neither abstract nor overloads."""
    found = []
    for file in files:
        found += [f"{file.at(n)} pass" for n in file.nodes if isinstance(n, ast.Pass)]
        found += [
            f"{file.at(node)} {node.name} has no body"
            for node in file.functions
            if _is_ellipsis(node.body[-1])
            and not _decorated(node, "abstractmethod", "overload")
            and not _in_protocol(file, node)
        ]
    return found


def not_implemented(files: list[Source]) -> list[str]:
    """``NotImplementedError`` outside of contracts.

    A contract is an abstract method, a method that a subclass in the tree overrides, or one
    that refuses, with a message, what a base class asks for.
    """
    classes = [(f, k) for f in files for k in f.nodes if isinstance(k, ast.ClassDef)]
    overridden = {
        (ast.unparse(base).split(".")[-1], member.name)
        for _, kind in classes
        for base in kind.bases
        for member in kind.body
        if isinstance(member, ast.FunctionDef)
    }
    excused = {
        id(member)
        for _, kind in classes
        for member in kind.body
        if isinstance(member, ast.FunctionDef)
        and (
            _decorated(member, "abstractmethod")
            or (kind.name, member.name) in overridden
            or (kind.bases and _refuses_with_message(member))
        )
    }
    return [
        f"{file.at(node)} {node.name} raises NotImplementedError"
        for file in files
        for node in file.functions
        if id(node) not in excused and any(map(_is_not_implemented, ast.walk(node)))
    ]


def catches_everything(files: list[Source]) -> list[str]:
    """Handlers of every error that do not raise it again."""
    found = []
    for file in files:
        for node in file.nodes:
            if isinstance(node, ast.ExceptHandler):
                kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
                names = {"" if kind is None else ast.unparse(kind) for kind in kinds}
                again = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
                if names & {"", "Exception", "BaseException"} and not again:
                    found.append(f"{file.at(node)} catches everything")
    return found


def clock_reads(files: list[Source]) -> list[str]:
    """Tests that measure time: what they assert would depend on what else the machine does.

    ``time.monotonic`` is let pass, for giving up on another process that hangs.
    """
    found = []
    for file in files:
        for node in file.nodes:
            if isinstance(node, ast.ImportFrom) and node.module in ("time", "timeit"):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names if alias.name == "timeit"]
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                names = [f"{node.value.id}.{node.attr}"]
            else:
                names = []
            found += [f"{file.at(node)} reads a clock: {name}" for name in names if CLOCKS(name)]
    return found


def unexplained_skips(files: list[Source]) -> list[str]:
    """Skips without a reason, and expected failures that are not strict."""
    found = []
    for file in files:
        if "skip" not in file.text and "xfail" not in file.text:
            continue
        called = {n.func for n in file.nodes if isinstance(n, ast.Call)}
        for node in file.nodes:
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                keys = {keyword.arg for keyword in node.keywords}
                bare = name in ("pytest.skip", "pytest.mark.skip") and not (node.args or keys)
                bare |= name == "pytest.mark.skipif" and "reason" not in keys
                bare |= name == "pytest.mark.xfail" and not {"reason", "strict"} <= keys
                bare |= name == "pytest.xfail"
            else:
                plain = isinstance(node, ast.Attribute) and node not in called
                bare = plain and ast.unparse(node) in ("pytest.mark.skip", "pytest.mark.xfail")
            found += [f"{file.at(node)} skips without saying why"] if bare else []
    return found


def private_pyg(files: list[Source]) -> list[str]:
    """PyG names that begin with an underscore, imported or used."""
    found = []
    for file in files:
        for node in file.nodes:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PYG):
                path = (node.module or "").split(".") + [alias.name for alias in node.names]
                found += [f"{file.at(node)} imports {part}" for part in path if _is_private(part)]
            elif isinstance(node, ast.Attribute) and _is_private(node.attr):
                whole = ast.unparse(node)
                if whole.startswith(f"{PYG}.") or node.attr in private_names() - _own_names(file):
                    found.append(f"{file.at(node)} uses {whole}")
    return found


PYG = "torch_geometric"


@cache
def private_names() -> frozenset[str]:
    """Names that PyG's base classes keep for themselves, read off their source."""
    kinds = (
        torch_geometric.nn.MessagePassing,
        torch_geometric.nn.TransformerConv,
        torch_geometric.data.Data,
        torch_geometric.data.Dataset,
        torch_geometric.data.InMemoryDataset,
        torch_geometric.EdgeIndex,
        storage.BaseStorage,
    )
    used = {name for kind in kinds for name in re.findall(r"self\.(_\w+)", inspect.getsource(kind))}
    made = {name for kind in kinds for name in vars(kind)}
    torch_own = {name for base in (torch_geometric.nn.MessagePassing,) for name in _of_torch(base)}
    return frozenset(name for name in used | made if _is_private(name)) - torch_own


def _of_torch(kind: type) -> set[str]:
    bases = [base for base in kind.__mro__ if not base.__module__.startswith(PYG)]
    inherited = {name for base in bases for name in vars(base)}
    return inherited | set(re.findall(r"self\.(_\w+)", "".join(map(_source, bases))))


def _source(kind: type) -> str:
    return "" if kind is object else inspect.getsource(kind)


def _own_names(file: Source) -> set[str]:
    """Names the file itself gives to attributes or functions."""
    own = {node.name for node in file.functions}
    for node in file.nodes:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        own |= {t.attr for t in targets if isinstance(t, ast.Attribute)}
        own |= {t.id for t in targets if isinstance(t, ast.Name)}
    return own


def _is_not_implemented(node: ast.AST) -> bool:
    raised = node.exc if isinstance(node, ast.Raise) else None
    name = raised.func if isinstance(raised, ast.Call) else raised
    return isinstance(name, ast.Name) and name.id == "NotImplementedError"


def _refuses_with_message(member: ast.FunctionDef) -> bool:
    last = member.body[-1]
    call = last.exc if isinstance(last, ast.Raise) else None
    return isinstance(call, ast.Call) and bool(call.args) and ast.get_docstring(member) is not None


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _is_ellipsis(node: ast.stmt) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and value.value is Ellipsis


def _decorated(node: ast.FunctionDef | ast.AsyncFunctionDef, *names: str) -> bool:
    return any(ast.unparse(decorator).split(".")[-1] in names for decorator in node.decorator_list)


def _in_protocol(file: Source, node: ast.AST) -> bool:
    return any(
        isinstance(kind, ast.ClassDef)
        and node in kind.body
        and any(ast.unparse(base).startswith("Protocol") for base in kind.bases)
        for kind in file.nodes
    )
