"""Filters to remove, found by a genetic search."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.compress.channel_dependency import ChannelDependency
from graphkit.compress.evolution import OPERATORS, Lineage, descend
from graphkit.guard import reading
from graphkit.modes import evaluating
from graphkit.train.checkpoint import load_checkpoint, save_checkpoint
from graphkit.words import refuse_class

__all__ = ["EvolutionaryPruning"]


@method(
    paper="arXiv:1707.08005",
    title="Towards Evolutionary Compression",
    authors="Yunhe Wang, Chang Xu, Jiayan Qiu, Chao Xu, Dacheng Tao",
    venue="KDD 2018",
    year=2018,
    code=None,
    licence="none",
    takes="a trained network, of images or of graphs, and how good a smaller one is",
    gives="the network without the filters that it can do without",
    deviations=[
        "the paper's fitness is not specified in what we hold: here the score plus a reward times "
        "the share of what was removed",
        "the chances of operators, and mutation of a whole segment, are those of the same "
        "authors' GAN pruning; the first population keeps most filters, not half of them",
        "filters that are added to each other share a bit",
        "message-passing layers are not in the paper",
    ],
    verified_by="benchmarks/recipes/evo-digits.yaml",
    limits=[
        "after fine-tuning: pruning by L1 norms is level with it",
        "where an evaluation is dear: a search takes hundreds",
    ],
)
class EvolutionaryPruning:
    r"""Pruning by evolution, from the `"Towards Evolutionary Compression"
    <https://arxiv.org/abs/1707.08005>`_ paper: an individual :math:`p` has a bit for every filter.

    .. math::
        \text{fitness}(p) = \text{score}(\text{network without the filters } p_k = 0)
        + \lambda \left( 1 - \frac{1}{K} \sum_k p_k \right)

    An individual is judged as what it is, the smaller network that :class:`ChannelDependency`
    cuts.  The fittest one always survives; copies, exchanged and flipped segments of others,
    drawn in proportion to their fitness, fill up the next generation.  A search takes at most
    ``population * generations`` calls of ``score``; masks that were seen before take none.

    Args:
        model (torch.nn.Module): The trained network; it is left alone.
        args (tuple): Arguments of a call with a few samples, the first of them the features.
        score (callable): How good a network is, such as its accuracy on validation samples, not
            below 0.  It gets a smaller network in evaluation mode, and may train it first.
        reward (float, optional): :math:`\lambda`. (default: :obj:`1.0`)
        reward_of (str, optional): What :math:`\lambda` rewards, the share of ``"filters"`` or
            of ``"parameters"`` that are removed. (default: ``"filters"``)
        population (int, optional): Individuals in a generation. (default: :obj:`32`)
        generations (int, optional): Generations, the first included. (default: :obj:`25`)
        keep (float, optional): Chance of a one in the first generation. (default: :obj:`0.9`)
        segment (int, optional): Longest piece that a mutation flips. (default: :obj:`6`)
        chances ((float, float, float), optional): Of selection, crossover, mutation.
            (default: :obj:`(0.2, 0.7, 0.1)`)
        layers (sequence of str, optional): Layers that may lose filters. (default: all)
        seed (int, optional): (default: :obj:`0`)
        checkpoint (str or Path, optional): A file written after every generation, from which a
            search that was killed goes on. It may be told from another search's by its options
            and weights, not by ``score``. (default: :obj:`None`)
        progress (bool, optional): Shows a bar on a terminal. (default: :obj:`True`)

    Shapes:
        - **input:** what the network takes
        - **output:** a mask of groups :math:`(K)`, or a network

    Raises:
        ValueError: If an option is out of range, a score is negative or not finite, or a
            checkpoint belongs to another search or is damaged.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from graphkit.compress import EvolutionaryPruning
        >>> args = (torch.rand(5, 4), torch.tensor([[0, 1], [1, 2]]))
        >>> model = GCN(4, 8, num_layers=2, out_channels=3).eval()
        >>> before = model(*args).argmax(1)
        >>> def same(small):
        ...     return float((small(*args).argmax(1) == before).float().mean())
        >>> search = EvolutionaryPruning(model, args, same, population=8, generations=4)
        >>> mask = search.run()
        >>> search.compact(mask)(*args).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        model: nn.Module,
        args: tuple[Any, ...],
        score: Callable[[nn.Module], float],
        reward: float = 1.0,
        reward_of: Literal["filters", "parameters"] = "filters",
        population: int = 32,
        generations: int = 25,
        keep: float = 0.9,
        segment: int = 6,
        chances: tuple[float, float, float] = (0.2, 0.7, 0.1),
        layers: Sequence[str] | None = None,
        seed: int = 0,
        checkpoint: str | Path | None = None,
        progress: bool = True,
    ) -> None:
        refuse_class("model", model)
        refuse_class("score", score)
        for name, value, least in (
            ("reward", reward, 0),
            ("population", population, 1),
            ("generations", generations, 1),
            ("segment", segment, 1),
        ):
            if not (math.isfinite(value) and value >= least):
                raise ValueError(f"'{name}' must be at least {least}, got {value}")
        if not 0 < keep <= 1:
            raise ValueError(f"'keep' must be above 0 and at most 1, got {keep}")
        if reward_of not in ("filters", "parameters"):
            raise ValueError(f"'reward_of' must be 'filters' or 'parameters', got {reward_of!r}")
        if len(chances) != 3 or min(chances) < 0 or not sum(chances) > 0:
            raise ValueError(f"'chances' must be three numbers, not below 0, got {chances}")
        self.dependency = ChannelDependency(model, args, layers)
        self.score, self.reward, self.reward_of = score, reward, reward_of
        self.population, self.generations, self.keep = population, generations, keep
        self.segment, self.chances, self.seed = segment, chances, seed
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.progress = progress
        self.parameters = size_of(model)
        self.scores: dict[str, tuple[float, float]] = {}
        self.lineage: Lineage | None = None

    def run(self) -> Tensor:
        """The fittest mask of the last generation, also in ``lineage``; goes on where a search
        with the same checkpoint stopped.
        """
        from rich.console import Console
        from rich.progress import track

        generator = torch.Generator().manual_seed(self.seed)
        history = self.resume(generator)
        console = Console(stderr=True)
        for number in track(
            range(len(history), self.generations),
            "evolution",
            console=console,
            transient=True,
            disable=not (self.progress and console.is_terminal),
        ):
            if number == 0:
                shape = (self.population, self.dependency.num_groups)
                bits = torch.rand(shape, generator=generator) < self.keep
                parents = torch.full((self.population, 2), -1)
                operator = torch.full((self.population,), -1)
            else:
                bits, fitness, _, _ = history[-1]
                bits, parents, operator = descend(
                    bits, fitness, self.chances, self.segment, generator
                )
            # Repaired masks live on: what was judged is what has descendants.
            bits = torch.stack([self.dependency.repaired(row) for row in bits])
            fitness = torch.tensor([self.fitness(row) for row in bits], dtype=torch.double)
            history.append((bits, fitness, parents, operator))
            self.save(history, generator)
        self.lineage = Lineage(*(torch.stack(part) for part in zip(*history, strict=True)))
        return self.lineage.best()

    def fitness(self, mask: Tensor) -> float:
        """The fitness of a mask, computed once."""
        key = mask.to(torch.uint8).numpy().tobytes().hex()
        if key not in self.scores:
            small = self.dependency.cut(mask)
            removed = 1 - float(mask.double().mean())
            if self.reward_of == "parameters":
                removed = 1 - size_of(small) / self.parameters
            with evaluating(small):
                value = float(self.score(small))
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"'score' must give numbers of at least 0, got {value}")
            self.scores[key] = (value, removed)
        value, removed = self.scores[key]
        return value + self.reward * removed

    def compact(self, mask: Tensor | None = None) -> nn.Module:
        """The smaller network; by default that of the best mask of :meth:`run`.

        Args:
            mask (torch.Tensor, optional): Whether each group of filters stays, :math:`(K)`.
        """
        if mask is None:
            if self.lineage is None:
                raise ValueError("there is no best mask yet: call run() first")
            mask = self.lineage.best()
        return self.dependency.cut(mask)

    def fingerprint(self) -> str:
        """What tells one search from another: its options, the network and the sample."""
        options = (self.reward, self.reward_of, self.population, self.keep, self.segment)
        digest = hashlib.sha256(repr((*options, *self.chances, self.seed)).encode())
        tensors = self.dependency.model.state_dict().values()
        for value in [*tensors, *self.dependency.group.values()]:
            plain = value.detach().cpu().contiguous().flatten()
            digest.update(plain.view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def save(self, history: list[Any], generator: torch.Generator) -> None:
        """Writes all there is to go on from."""
        if self.checkpoint is not None:
            state = {
                "graphkit_checkpoint": 1,
                "fingerprint": self.fingerprint(),
                "history": history,
                "scores": self.scores,
                "generator": generator.get_state(),
            }
            save_checkpoint(state, self.checkpoint)

    def resume(self, generator: torch.Generator) -> list[Any]:
        """The generations so far; none without a checkpoint."""
        if self.checkpoint is None or not self.checkpoint.exists():
            return []
        state = load_checkpoint(self.checkpoint)
        if state.get("fingerprint") != self.fingerprint():
            raise ValueError(
                f"'{self.checkpoint}' belongs to another search: other options or weights; "
                "remove it or name another file"
            )
        with reading(self.checkpoint, advice="delete it, and the search starts anew"):
            scores = {key: (value, removed) for key, (value, removed) in state["scores"].items()}
            # Their sum over a population is drawn by.
            if not all(
                0 <= v * self.population < math.inf and 0 <= r <= 1 for v, r in scores.values()
            ):
                raise ValueError("it holds scores that no network has")
            history = [self.checked(*parts) for parts in state["history"]]
            generator.set_state(state["generator"])
        self.scores = scores
        return history[: self.generations]

    def checked(self, *parts: Tensor) -> tuple[Tensor, ...]:
        """A generation from a checkpoint, if its parts are such as :meth:`run` makes them."""
        bits, fitness, parents, operator = parts
        count = self.population
        shapes = [(count, self.dependency.num_groups), (count,), (count, 2), (count,)]
        kinds = [torch.bool, torch.double, torch.long, torch.long]
        right = [tuple(part.shape) for part in parts] == shapes
        right = right and [part.dtype for part in parts] == kinds
        right = right and float(fitness.min()) >= 0 and float(fitness.sum()) < math.inf
        right = right and -1 <= int(parents.min()) <= int(parents.max()) < count
        if not right or not -1 <= int(operator.min()) <= int(operator.max()) < len(OPERATORS):
            raise ValueError(f"it holds a generation that is none of {count} individuals")
        return bits, fitness, parents, operator


def size_of(model: nn.Module) -> int:
    """The number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())
