"""Evolutionary pruning beside what is simpler: the smallest filters, and random ones.

Filters are searched for on validation samples, without training in between, and judged on test
samples. ``evolved`` is the accuracy of the pruned network as it is; ``l1`` removes as many filters
of every layer, those with the smallest norms, and ``random`` any (the mean of some draws).
``*_tuned`` is the same after as many epochs of training on; ``full`` the network before.
``gain_l1`` and ``gain_random`` are the differences, ``loss_tuned`` the full network's accuracy
less the tuned one's, ``gain_l1_tuned`` what is left of the gain.

``keep`` is the share of filters that stay, ``parameters`` and ``multiplications`` how many times
fewer there are, and ``latency`` how many times faster a call is, both networks in turns in the same
process. ``evaluations`` counts networks that were judged, out of ``individuals``.

The downstream result: ``kernels_error`` is the difference between the edges that the kept
channels induce in the channel graph and the kernels of the pruned network, which is 0; ``rises``
the share of generations whose best fitness is above the one's before.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torch_geometric.utils import subgraph

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.compression import Problem, learn, load, times
from graphkit.adapters import PruningGraphAdapter
from graphkit.compress import ChannelDependency, EvolutionaryPruning
from graphkit.modes import evaluating
from graphkit.train import seed_everything

__all__ = ["MAIN", "load", "run"]

MAIN = "gain_l1"


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    width: int = 16,
    reward: float = 1.0,
    population: int = 24,
    generations: int = 25,
    keep: float = 0.9,
    segment: int = 6,
    layers: Sequence[str] | None = None,
    epochs: int = 5,
    lr: float = 0.002,
    weight_decay: float = 0.0,
    draws: int = 5,
    monitor: str | None = None,
) -> dict[str, float]:
    """One seed; ``train`` is the training of the full network, ``epochs``, ``lr`` and
    ``weight_decay`` are those of tuning, of which the best weights by ``monitor`` count, if it is
    given; ``draws`` counts random masks.
    """
    problem = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    full = problem.network(width)
    fit(full, problem.task, tag="full")
    search = EvolutionaryPruning(
        full,
        problem.sample,
        lambda small: problem.judge(small, "val"),
        reward,
        population=population,
        generations=generations,
        keep=keep,
        segment=segment,
        layers=layers,
        seed=seed,
        checkpoint=None if fit.folder is None else Path(fit.folder) / "search.pt",
    )
    # Test samples are first looked at when the search is over.
    mask = search.run()
    dependency = search.dependency
    masks = {"evolved": mask, "l1": smallest(dependency, mask)}
    networks = {name: dependency.cut(each) for name, each in masks.items()}
    metrics = {name: problem.judge(net) for name, net in networks.items()}
    metrics |= {"full": problem.judge(full), "keep": float(mask.float().mean())}
    generator = torch.Generator().manual_seed(seed)
    # One draw may be lucky: filters differ much in what they are worth.
    random = [dependency.cut(shuffled(dependency, mask, generator)) for _ in range(draws)]
    metrics["random"] = sum(problem.judge(net) for net in random) / draws
    # Measured before tuning: the shapes are what counts, and training fills caches.
    metrics |= costs(problem, full, networks["evolved"])
    metrics |= downstream(problem, search, mask, networks["evolved"])
    # The same order of batches for both: they differ by what was removed alone.
    for name, net in networks.items():
        seed_everything(seed)
        tuned = copy.deepcopy(net)
        groups = [{"params": tuned.parameters(), "lr": lr, "weight_decay": weight_decay}]
        learn(fit, tuned, problem.task, groups, epochs, monitor=monitor)
        metrics[f"{name}_tuned"] = problem.judge(tuned)
    metrics |= {
        "gain_l1": metrics["evolved"] - metrics["l1"],
        "gain_random": metrics["evolved"] - metrics["random"],
        "gain_l1_tuned": metrics["evolved_tuned"] - metrics["l1_tuned"],
        "loss_tuned": metrics["full"] - metrics["evolved_tuned"],
    }
    return metrics | {
        "evaluations": float(len(search.scores)),
        "individuals": float(population * generations),
    }


def smallest(dependency: ChannelDependency, mask: Tensor) -> Tensor:
    """As many groups of every layer, those of the largest norms."""
    return chosen(dependency, mask, dependency.norms())


def shuffled(dependency: ChannelDependency, mask: Tensor, generator: torch.Generator) -> Tensor:
    """As many groups of every layer, any of them."""
    return chosen(dependency, mask, torch.rand(len(mask), generator=generator))


def chosen(dependency: ChannelDependency, mask: Tensor, values: Tensor) -> Tensor:
    """As many groups of every layer as a mask keeps, those of the largest values."""
    result = torch.zeros_like(mask)
    for home in dependency.home.unique():
        rows = (dependency.home == home).nonzero().flatten()
        result[rows[values[rows].topk(int(mask[rows].sum())).indices]] = True
    return dependency.repaired(result)


@torch.no_grad()
def costs(problem: Problem, full: nn.Module, small: nn.Module) -> dict[str, float]:
    """How many times fewer parameters and multiplications there are, and how much faster it is."""
    args = problem.parts["test"][0]
    args = args if len(args) > 1 else (args[0][:500],)
    counts, sizes = [], []
    for net in (full, small):
        counter = FlopCounterMode(display=False)
        with counter, evaluating(net):
            net(*args)
        counts.append(counter.get_total_flops())
        sizes.append(sum(parameter.numel() for parameter in net.parameters()))
    seconds = times({"full": full, "small": small}, args)
    return {
        "parameters": sizes[0] / sizes[1],
        "multiplications": counts[0] / counts[1],
        "latency": seconds["full"] / seconds["small"],
    }


def downstream(
    problem: Problem, search: EvolutionaryPruning, mask: Tensor, small: nn.Module
) -> dict[str, float]:
    """The channel graph and the lineage."""
    assert search.lineage is not None
    graph = PruningGraphAdapter(search.dependency, mask)(*problem.sample)
    induced = subgraph(graph.y.bool(), graph.edge_index)[0].size(1)
    own = PruningGraphAdapter(ChannelDependency(small, problem.sample))(*problem.sample)
    best = search.lineage.fitness.max(1).values
    return {
        "kernels_error": float(abs(induced - own.num_edges)),
        "rises": float((best.diff() > 0).float().mean()) if len(best) > 1 else 0.0,
    }
