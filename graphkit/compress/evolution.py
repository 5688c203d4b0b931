"""A population of bit strings and the steps by which it becomes the next one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphkit.catalog import no_method

__all__ = ["OPERATORS", "Lineage", "descend", "roulette"]

OPERATORS = ("elite", "selection", "crossover", "mutation")


@no_method("who descends from whom in EvolutionaryPruning")
@dataclass
class Lineage:
    r"""All generations of a search.

    Args:
        bits (torch.Tensor): The individuals, :math:`(G, P, K)` bool.
        fitness (torch.Tensor): :math:`(G, P)`.
        parents (torch.Tensor): Their places in the generation before, :math:`(G, P, 2)`; -1 where
            there is none.
        operator (torch.Tensor): How they came to be, :math:`(G, P)`: 0 kept as the best, 1
            selected, 2 crossed, 3 mutated; -1 in the first generation.

    Example:
        >>> import torch
        >>> from graphkit.compress import Lineage
        >>> empty = torch.full((1, 2), -1)
        >>> lineage = Lineage(torch.ones(1, 2, 5).bool(), torch.ones(1, 2),
        ...                   torch.full((1, 2, 2), -1), torch.full((1, 2), -1))
        >>> lineage.best().tolist()
        [True, True, True, True, True]
    """

    bits: Tensor
    fitness: Tensor
    parents: Tensor
    operator: Tensor

    def best(self) -> Tensor:
        """The fittest individual of the last generation, :math:`(K)`."""
        return self.bits[-1, self.fitness[-1].argmax()]


def roulette(fitness: Tensor, count: int, generator: torch.Generator) -> list[int]:
    """Places of individuals, drawn in proportion to their fitness; alike if all have none."""
    weights = fitness.double()
    if float(weights.sum()) <= 0:
        weights = torch.ones_like(weights)
    return torch.multinomial(weights, count, replacement=True, generator=generator).tolist()


def segment(length: int, longest: int | None, generator: torch.Generator) -> slice:
    """A random piece of a bit string, at least one bit long."""
    limit = length if longest is None else min(longest, length)
    size = int(torch.randint(1, limit + 1, (), generator=generator))
    start = int(torch.randint(length - size + 1, (), generator=generator))
    return slice(start, start + size)


def descend(
    bits: Tensor,
    fitness: Tensor,
    chances: tuple[float, float, float],
    longest: int | None,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """The next generation, its parents and the operators that made it.

    The best individual stays.  Then, until the population is full, with the given chances: a
    roulette pick is copied; two of them exchange a random segment; or all bits of a random
    segment, of ``longest`` bits at most, of one pick are flipped.
    """
    count, length = bits.shape
    best = int(fitness.argmax())
    rows, parents, operators = [bits[best].clone()], [[best, -1]], [0]
    weights = torch.tensor(chances, dtype=torch.double, device="cpu")
    while len(rows) < count:
        kind = 1 + int(torch.multinomial(weights, 1, generator=generator))
        first, second = roulette(fitness, 2, generator)
        children = [bits[first].clone()]
        if kind == 2:
            piece = segment(length, None, generator)
            children.append(bits[second].clone())
            children[0][piece], children[1][piece] = bits[second][piece], bits[first][piece]
        elif kind == 3:
            piece = segment(length, longest, generator)
            children[0][piece] = ~children[0][piece]
        for child in children[: count - len(rows)]:
            rows.append(child)
            parents.append([first, second if kind == 2 else -1])
            operators.append(kind)
    made = torch.tensor(parents, device=bits.device), torch.tensor(operators, device=bits.device)
    return torch.stack(rows), *made
