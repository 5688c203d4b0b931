"""Which channels of a network go together: found by marking them and looking where marks arrive."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch_geometric.nn import MessagePassing

from graphkit.catalog import no_method
from graphkit.compress.channel_probe import INPUT, Probe, Unit, along, handle
from graphkit.compress.prunable import cut_follower, note_width
from graphkit.words import refuse_class

__all__ = ["ChannelDependency"]


@no_method("the graph of channels that pruning and its adapters stand on")
class ChannelDependency:
    r"""Which channels depend on each other, in any network of linear layers, convolutions and
    message passing.

    Nothing is traced: a channel is set to NaN behind its layer, and wherever NaN arrives, it is
    read.  So residual additions, concatenation, flattening, batch norms, depthwise convolutions
    and the layers inside of ``GCNConv``, ``SAGEConv`` or ``GINConv`` are seen as they are; a
    channel of ``GATConv`` is one of all its heads.  Channels that are added to each other are
    tied: they are pruned together.  Channels of the input and the output, and those that
    something mixes (layer norm, softmax over channels, layers of other kinds), stay.

    All channels of a layer are told apart by their binary numbers: a layer of :math:`C` channels
    takes :math:`2 \lceil \log_2 C \rceil + 1` passes of a copy of the network.

    Args:
        model (torch.nn.Module): The network.
        args (tuple): Arguments of a call, a few samples, the first of them the features.
        layers (sequence of str, optional): Names of layers that may lose channels.
            (default: all)

    Raises:
        ValueError: If a name is unknown, weights are parametrized or shared, or no channel can be
            pruned.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from graphkit.compress import ChannelDependency
        >>> model = GCN(4, 8, num_layers=2, out_channels=3)
        >>> args = (torch.rand(5, 4), torch.tensor([[0, 1], [1, 2]]))
        >>> dependency = ChannelDependency(model, args)
        >>> dependency.num_groups
        8
        >>> small = dependency.cut(torch.arange(8) < 5)
        >>> small.convs[0].out_channels, small(*args).shape
        (5, torch.Size([5, 3]))
    """

    def __init__(
        self, model: nn.Module, args: tuple[Any, ...], layers: Sequence[str] | None = None
    ) -> None:
        refuse_class("model", model)
        if any(parametrize.is_parametrized(module) for module in model.modules()):
            raise ValueError("'model' has parametrized weights; prune before they are quantised")
        self.model, self.args = model, tuple(args)
        self.units: dict[str, Unit] = {}
        self.followers: dict[str, tuple[list[str], dict[str, Tensor]]] = {}
        self.locked: set[str] = set()
        self.input_at = 1
        # Calls may leave something behind, such as a cached adjacency: not in the user's model.
        with torch.no_grad():
            Probe(self, copy.deepcopy(model)).run()
        self.refuse_shared()
        if layers is not None:
            unknown = [name for name in layers if name not in self.units or name == INPUT]
            if unknown:
                raise ValueError(f"no layers with channels are {unknown}; there are {self.names}")
            self.locked |= {name for name in self.units if name not in layers}
        self.group_channels()
        if not self.num_groups:
            raise ValueError(
                "no channel of 'model' can be pruned: all reach the output or are mixed"
            )

    @property
    def names(self) -> list[str]:
        """The layers in the order in which they run, without the input."""
        return [name for name in self.units if name != INPUT]

    @property
    def num_groups(self) -> int:
        """How many groups of tied channels can be pruned."""
        return len(self.home)

    def refuse_shared(self) -> None:
        """Raises if two layers share weights: cut in one place they would part."""
        owners: dict[int, str] = {}
        for name in self.names:
            for parameter in self.model.get_submodule(name).parameters():
                other = owners.setdefault(id(parameter), name)
                if other != name:
                    raise ValueError(f"the layers {other!r} and {name!r} share their weights")

    def group_channels(self) -> None:
        """Numbers the groups of tied channels; those that stay have number -1."""
        first, total = {}, 0
        for name, unit in self.units.items():
            first[name], total = total, total + unit.width
        parent = list(range(total))

        def root(channel: int) -> int:
            while parent[channel] != channel:
                parent[channel] = parent[parent[channel]]
                channel = parent[channel]
            return channel

        tables = [unit.sources for unit in self.units.values()]
        for sources in [*tables, *(sources for _, sources in self.followers.values())]:
            # Channels that arrive at the same place are tied.
            for one, two in combinations(sources, 2):
                both = (sources[one] >= 0) & (sources[two] >= 0)
                pairs = zip(sources[one][both].tolist(), sources[two][both].tolist(), strict=True)
                for a, b in pairs:
                    parent[root(first[one] + a)] = root(first[two] + b)
        fixed = {root(first[n] + c) for n in self.locked for c in range(self.units[n].width)}
        numbers: dict[int, int] = {}
        homes = []
        self.group: dict[str, Tensor] = {}
        for index, (name, unit) in enumerate(self.units.items()):
            roots = [root(first[name] + channel) for channel in range(unit.width)]
            for each in roots:
                if each not in fixed and each not in numbers:
                    numbers[each] = len(numbers)
                    homes.append(index)
            self.group[name] = torch.tensor([numbers.get(r, -1) for r in roots], dtype=torch.long)
        self.home = torch.tensor(homes, dtype=torch.long)

    def spread(self, mask: Tensor) -> dict[str, Tensor]:
        """Which channels of every layer a mask of groups keeps.

        Args:
            mask (torch.Tensor): Whether each group stays, :math:`(K)`.
        """
        if mask.shape != (self.num_groups,) or mask.dtype != torch.bool:
            raise ValueError(
                f"'mask' must be bool of shape [{self.num_groups}], got {mask.dtype} "
                f"{list(mask.shape)}"
            )
        # One more entry at the end: what has number -1 stays.
        whole = torch.cat([mask.cpu(), torch.ones(1, dtype=torch.bool, device="cpu")])
        return {name: whole[group] for name, group in self.group.items()}

    def repaired(self, mask: Tensor) -> Tensor:
        """The mask, with the strongest group of every layer that would be left without channels."""
        mask = mask.clone()
        for name in self.names:
            group = self.group[name]
            if not (group < 0).any() and not mask[group].any():
                mask[group[self.norms()[group].argmax()]] = True
        return mask

    @torch.no_grad()
    def norms(self, p: float = 1.0) -> Tensor:
        """The norm of all weights of each group's filters, :math:`(K)`."""
        total = torch.zeros(self.num_groups)
        for name in self.names:
            rule, layer = self.units[name].rule, self.model.get_submodule(name)
            assert rule is not None
            size = rule.kernels(layer).abs().pow(p).flatten(1).sum(1).float().cpu()
            group = self.group[name]
            total.index_add_(0, group[group >= 0], size[group >= 0])
        return total.pow(1 / p)

    def kept_places(self, sources: dict[str, Tensor], keep: dict[str, Tensor]) -> Tensor:
        """The places of an input all of whose channels stay."""
        size = len(next(iter(sources.values()))) if sources else 0
        stays = torch.ones(size, dtype=torch.bool, device="cpu")
        for name, channel in sources.items():
            stays &= (channel < 0) | keep[name][channel]
        return stays.nonzero().flatten()

    @torch.no_grad()
    def cut(self, mask: Tensor) -> nn.Module:
        """A copy of the network without the channels of some groups.

        Args:
            mask (torch.Tensor): Whether each group stays, :math:`(K)`.

        Raises:
            ValueError: If the mask is no mask, or leaves a layer without channels.
        """
        keep, model = self.spread(mask), copy.deepcopy(self.model)
        for name in self.names:
            if not keep[name].any():
                raise ValueError(f"'mask' leaves no channel of {name!r}; see repaired()")
            unit, layer = self.units[name], model.get_submodule(name)
            assert unit.rule is not None
            places = self.kept_places(unit.sources, keep)
            device = next(layer.parameters()).device
            out = keep[name].nonzero().flatten()
            if len(out) < unit.width or (unit.sources and len(places) < places_of(unit)):
                wide = unit.rule.kernels(layer).size(1)
                into = places if unit.sources else torch.arange(wide, device=device)
                unit.rule.cut(layer, out.to(device), into.to(device))
                correct_owner(model, name, len(out), len(into))
        for name, (tensors, sources) in self.followers.items():
            layer, places = model.get_submodule(name), self.kept_places(sources, keep)
            if len(places) < len(next(iter(sources.values()))):
                cut_follower(layer, tensors, places.to(next(model.parameters()).device))
        return model

    @contextmanager
    def masked(self, model: nn.Module, mask: Tensor) -> Iterator[None]:
        """Inside the block layers of a network read zeros where channels of some groups arrive.

        The network then gives what :meth:`cut` gives; only attention that is pruned itself has
        scores of its own.

        Args:
            model (torch.nn.Module): The network that the dependency was made of, or a copy.
            mask (torch.Tensor): Whether each group stays, :math:`(K)`.
        """
        keep = self.spread(mask)
        with ExitStack() as stack:
            for name in self.names:
                unit = self.units[name]
                if unit.sources:
                    stays = torch.zeros(places_of(unit), device="cpu")
                    stays[self.kept_places(unit.sources, keep)] = 1
                    assert unit.rule is not None
                    hook = partial(silence, stays=stays, at=unit.rule.at)
                    stack.enter_context(
                        handle(model.get_submodule(name).register_forward_pre_hook(hook))
                    )
            yield


def silence(module: nn.Module, args: tuple[Any, ...], stays: Tensor, at: int) -> tuple[Any, ...]:
    """Zeros in place of some channels of the input."""
    x, *rest = args
    return (x * along(stays.to(x), x, at), *rest)


def places_of(unit: Unit) -> int:
    """How many places the input of a layer has."""
    return len(next(iter(unit.sources.values())))


def correct_owner(model: nn.Module, name: str, out: int, into: int) -> None:
    """A message-passing layer around a linear one says how wide it is, too."""
    path, _, attribute = name.rpartition(".")
    owner = model.get_submodule(path)
    if isinstance(owner, MessagePassing) and attribute.startswith("lin"):
        note_width(owner, out, into)
