"""Marks on channels: where they are set, and where they arrive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch_geometric.nn import MessagePassing

from graphkit.compress.prunable import Rule, follows, rule_of
from graphkit.modes import evaluating

if TYPE_CHECKING:
    from graphkit.compress.channel_dependency import ChannelDependency

INPUT = "<input>"


@dataclass
class Unit:
    """A layer: the channels it makes, and from which channels its input comes.

    ``sources`` holds by producing layer, for every place of the input, the channel, or -1.
    """

    name: str
    rule: Rule | None
    width: int
    sources: dict[str, Tensor] = field(default_factory=dict)


class Probe:
    """One analysis: marks channels of one layer at a time and collects where the marks arrive."""

    def __init__(self, dependency: ChannelDependency, model: nn.Module) -> None:
        self.dependency, self.model = dependency, model
        self.rules: dict[str, Rule] = {}
        self.watched: dict[str, nn.Module] = {}
        hidden: list[str] = []
        for name, module in model.named_modules():
            if any(name.startswith(f"{inside}.") for inside in hidden):
                continue
            rule = rule_of(module)
            own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
            if rule is not None:
                self.rules[name] = rule
                hidden += [] if not list(module.children()) else [name]
            elif any(value.numel() > 1 for value in own):
                self.watched[name] = module
        self.order: list[str] = []
        self.arrived: dict[str, Tensor] = {}
        self.mark: tuple[str, Tensor] | None = None

    def run(self) -> None:
        """Fills in the layers, where their inputs come from, and which of them stay."""
        dependency = self.dependency
        x = dependency.args[0]
        if isinstance(x, Tensor) and not x.numel():
            raise ValueError(f"'args' hold no sample: the features are {list(x.shape)}")
        with ExitStack() as stack, evaluating(self.model):
            for name, rule in self.rules.items():
                module = self.model.get_submodule(name)
                for register, hook in (
                    (module.register_forward_pre_hook, self.read),
                    (module.register_forward_hook, self.write),
                ):
                    stack.enter_context(handle(register(partial(hook, name=name, rule=rule))))
            for name, module in self.watched.items():
                look = partial(self.look, name=name)
                stack.enter_context(handle(module.register_forward_hook(look)))
            if self.call(None) or any(rows.any() for rows in self.arrived.values()):
                raise ValueError("'args' give NaN: channels cannot be marked with it")
            dependency.input_at = self.input_at
            widths = {n: self.rules[n].width(self.model.get_submodule(n)) for n in self.order}
            if isinstance(x, Tensor) and x.layout == torch.strided and x.is_floating_point():
                widths = {INPUT: x.size(self.input_at), **widths}
                dependency.locked.add(INPUT)
            for name, width in widths.items():
                dependency.units[name] = Unit(name, self.rules.get(name), width)
            for name in dependency.units:
                self.trace(name)

    @property
    def input_at(self) -> int:
        """The dimension of channels in the network's input."""
        graph = any(isinstance(module, MessagePassing) for module in self.model.modules())
        return -1 if graph else 1

    def call(self, mark: tuple[str, Tensor] | None) -> bool:
        """A pass with some channels marked; whether a mark arrived at the output."""
        self.mark, self.arrived = mark, {}
        args = self.dependency.args
        if mark is not None and mark[0] == INPUT:
            args = (blot(args[0], mark[1], self.input_at), *args[1:])
        out = self.model(*args)
        return any(has_mark(leaf) for leaf in tree_leaves(out))

    def read(self, module: nn.Module, args: tuple[Any, ...], name: str, rule: Rule) -> Any:
        """Notes the marks that arrive at a layer, and takes them away."""
        if name not in self.order:
            self.order.append(name)
        if not args or not isinstance(args[0], Tensor):
            raise ValueError(f"the layer {name!r} does not get one tensor of features first")
        x, *rest = args
        if x.layout != torch.strided:
            return None
        self.note(name, x, rule.at)
        return (torch.where(x.isnan(), 0.0, x), *rest)

    def write(self, module: nn.Module, args: Any, out: Any, name: str, rule: Rule) -> Any:
        """Marks channels of a layer's output."""
        if self.mark is None or self.mark[0] != name:
            return None
        return blot(out, self.mark[1][rule.channels(module).cpu()], rule.at)

    def look(self, module: nn.Module, args: Any, out: Any, name: str) -> None:
        """Notes the marks in the output of a layer that keeps channels apart, or mixes them."""
        if isinstance(out, Tensor) and out.dim() > 1 and out.layout == torch.strided:
            self.note(name, out, -1 if isinstance(module, MessagePassing) else 1)
        else:
            # Of such a layer nothing is known but whether it is reached.
            marks = [has_mark(leaf) for leaf in tree_leaves((args, out))]
            self.arrived[name] = torch.tensor([any(marks)])

    def note(self, name: str, x: Tensor, at: int) -> None:
        rows = x.isnan().movedim(at, -1).flatten(0, -2).any(0)
        before = self.arrived.get(name)
        if before is not None and len(before) != len(rows):
            raise ValueError(f"the layer {name!r} is called with features of different widths")
        self.arrived[name] = rows if before is None else before | rows

    def trace(self, name: str) -> None:
        """Where every channel of one layer is read."""
        dependency = self.dependency
        width = dependency.units[name].width
        if self.call((name, torch.ones(width, dtype=torch.bool))):
            dependency.locked.add(name)
        reached = {reader: rows for reader, rows in self.arrived.items() if rows.any()}
        number, mixed = torch.arange(width), False
        codes = {reader: torch.zeros(len(rows)).long() for reader, rows in reached.items()}
        for bit in range(max(width - 1, 0).bit_length()):
            one = (number >> bit & 1).bool()
            seen = []
            for channels in (one, ~one):
                self.call((name, channels))
                seen.append(dict(self.arrived))
            for reader, rows in reached.items():
                first, second = (arrived[reader].cpu() for arrived in seen)
                # A place that hears channels of both kinds, or no longer any, mixes them.
                if (first & second).any() or not torch.equal(first | second, rows.cpu()):
                    mixed = True
                codes[reader] += first.long() << bit
        if mixed:
            dependency.locked.add(name)
        for reader, rows in reached.items():
            # Of mixed channels any one stands for all: they stay, and so does what joins them.
            codes[reader] *= not mixed
            self.enter(name, reader, torch.where(rows.cpu(), codes[reader], -1))

    def enter(self, name: str, reader: str, sources: Tensor) -> None:
        """One layer's channels at the places where another reads them."""
        dependency = self.dependency
        if reader in dependency.units:
            dependency.units[reader].sources[name] = sources
            return
        tensors = follows(self.watched[reader], len(sources))
        if tensors is None:
            dependency.locked.add(name)
        else:
            dependency.followers.setdefault(reader, (tensors, {}))[1][name] = sources


def has_mark(value: Any) -> bool:
    """Whether something is a tensor with NaN in it."""
    return isinstance(value, Tensor) and value.is_floating_point() and bool(value.isnan().any())


def blot(x: Tensor, channels: Tensor, at: int) -> Tensor:
    """NaN on some channels."""
    return x.masked_fill(along(channels.to(x.device), x, at), torch.nan)


@contextmanager
def handle(hook: Any) -> Iterator[None]:
    """Removes a hook after the block."""
    try:
        yield
    finally:
        hook.remove()


def along(values: Tensor, x: Tensor, at: int) -> Tensor:
    """A vector along one dimension of a tensor."""
    shape = [1] * x.dim()
    shape[at] = -1
    return values.view(shape)
