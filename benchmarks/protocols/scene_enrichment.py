"""Enriching scene graphs: which object is missing, how is it related, is the result plausible?

Every object of every test graph is taken out once; models and priors say which one it was
(recall at k, mean over categories, perplexity) and, told its category, how it was related
(recall at k over all guesses of a graph, mean over predicates).  ``gain_…`` is the model less
the co-occurrence prior, or the frequency prior for relations, on the same graphs.

Then one object per test graph is taken out and the model puts one of its own in its place: MMD
to the real graphs by the Weisfeiler-Lehman kernel, accuracy of a fresh GIN that tells them from
real ones, distinct and new triples; the same for graphs completed by the co-occurrence prior,
and the MMD of the graphs with the object missing.  The model is trained alone first; arms with
and without each discriminator go on from the same weights for as many epochs.

The epoch, and the priors' smoothing, are chosen on a fixed tenth of the training graphs.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.harness.fitting import Fitter
from benchmarks.rivals.scenes import (
    CooccurrencePrior,
    FrequencyPrior,
    NearestNeighbour,
    SetTransformer,
)
from graphkit.datasets import KnockOut, SceneBatch, SceneVocabulary, SyntheticScenes
from graphkit.datasets import load as load_dataset
from graphkit.metrics import (
    distinct_share,
    hits_at_k,
    mean_class_recall,
    novelty,
    perplexity,
    relation_hits,
    two_sample_accuracy,
    wl_mmd,
)
from graphkit.nn import (
    EnrichmentTask,
    GlobalGraphDiscriminator,
    LocalTripleDiscriminator,
    SceneAdversary,
    SceneGraphEnricher,
)
from graphkit.nn.models.scene_graph_enricher import joined, likely_links
from graphkit.nn.straight_through import gumbel, straight_through
from graphkit.train import seed_everything

MAIN = "recall@5"
MODELS = {cls.__name__: cls for cls in (SceneGraphEnricher, SetTransformer)}


class Scenes(NamedTuple):
    """The parts of a data set, and the grammar if there is one."""

    train: SceneBatch
    val: SceneBatch
    test: SceneBatch
    names: SceneVocabulary
    grammar: SyntheticScenes | None = None
    slot: Tensor | None = None


def load(name: str, num_graphs: int | None = None, val_share: float = 0.1) -> Scenes:
    """Training, validation and test graphs of two objects or more.

    ``num_graphs`` is for ``SyntheticScenes`` alone; ``val_share`` of VRD's training graphs, always
    the same ones, validate.
    """
    if name == "SyntheticScenes":
        grammar = SyntheticScenes(num_graphs or 20_000)
        train, val, test = (SceneBatch.from_data(list(part)) for part in grammar.splits())
        slot = torch.cat([data.slot for data in grammar.splits()[2]])
        return Scenes(train, val, test, grammar.vocabulary, grammar, slot)
    if num_graphs is not None:
        raise ValueError(f"'num_graphs' is for 'SyntheticScenes', got it with {name!r}")
    if name == "VisualGenome":
        sets = [load_dataset(name, split=split) for split in ("train", "val", "test")]
        train, val, test = (SceneBatch.from_data(list(part)) for part in sets)
        return Scenes(train, val, test, sets[0].vocabulary)
    sets = [load_dataset(name, split=split) for split in ("train", "test")]
    train, test = (
        SceneBatch.from_data([data for data in part if data.num_nodes > 1]) for part in sets
    )
    order = torch.randperm(train.num_graphs, generator=torch.Generator().manual_seed(0))
    cut = int(val_share * train.num_graphs)
    return Scenes(train.select(order[cut:]), train.select(order[:cut]), test, sets[0].vocabulary)


def run(
    dataset: dict[str, Any],
    network: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    arms: dict[str, dict[str, Any] | None] | None = None,
    arm_train: dict[str, Any] | None = None,
    batch_size: int = 64,
    relation_weight: float = 1.0,
    none_weight: float = 0.2,
    stop_share: float = 0.1,
    drop_orphans: bool = False,
) -> dict[str, float]:
    """One seed.

    ``network`` is ``{name, …}`` with the arguments of ``SceneGraphEnricher`` or
    ``SetTransformer``, trained alone first; log-odds of present categories begin at the
    co-occurrence prior.  From there each of ``arms`` goes on, with changes
    ``arm_train`` to ``train`` and its own adversary: ``{local, whole, …}`` says which
    discriminators take part and how, nothing means none.  The first arm's figures have no prefix.
    """
    scenes = load(**dataset)
    sizes = scenes.names.num_objects, scenes.names.num_predicates
    seed_everything(seed)
    settings = dict(network)
    model = MODELS[settings.pop("name")](*sizes, **settings)
    task = EnrichmentTask(
        scenes.train, scenes.val, batch_size, relation_weight, none_weight, stop_share, drop_orphans
    )
    judge = Judge(scenes, drop_orphans, seed)
    if isinstance(model, SceneGraphEnricher) and model.log_odds is not None:
        model.fit_cooccurrence(judge.learned, judge.joint.alpha, judge.joint.power)
    fit(model, task, tag="alone")
    if not arms:
        qualities_first = judge(model)
        return qualities_first | judge.compare(qualities_first)
    weights = copy.deepcopy(model.state_dict())
    metrics: dict[str, float] = {}
    for number, (name, adversary) in enumerate(arms.items()):
        model.load_state_dict(weights)
        callbacks = [] if adversary is None else [make_adversary(sizes, **adversary)]
        go_on = dataclasses.replace(fit, train={**fit.train, **(arm_train or {})})
        go_on(model, task, callbacks, tag=name)
        qualities = judge(model)
        if number == 0:
            metrics |= qualities | judge.compare(qualities)
        else:
            metrics |= {f"{name}_{key}": value for key, value in qualities.items()}
    return metrics


class Judge:
    """The test graphs with every object taken out once, and the priors that say what is easy."""

    def __init__(self, scenes: Scenes, drop_orphans: bool, seed: int) -> None:
        self.scenes, self.drop_orphans, self.seed = scenes, drop_orphans, seed
        sizes = scenes.names.num_objects, scenes.names.num_predicates
        self.test = scenes.test.leave_one_out(drop_orphans)
        if scenes.slot is not None:
            self.test = self.test.choose(scenes.slot >= 0)
        self.parts = self.test.split()
        learned, val = (part.leave_one_out(drop_orphans) for part in (scenes.train, scenes.val))
        self.learned = learned
        self.joint = CooccurrencePrior(learned, val, *sizes)
        self.priors: dict[str, Any] = {
            "frequency": FrequencyPrior(learned, *sizes),
            "cooccurrence": self.joint,
            "neighbour": NearestNeighbour(learned, val, sizes[0]),
        }

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> dict[str, float]:
        """Everything about a model by itself."""
        model.eval().cpu()
        outputs = [model(part.rest, part.category)[:2] for part in self.parts]
        guesses = [(objects[:, :-1], relations) for objects, relations in outputs]
        metrics = self.recalls(guesses)
        lacking = torch.cat([objects for objects, _ in outputs])
        metrics |= judge_stopping(model(self.scenes.test).object_logits, lacking)
        if isinstance(model, SceneGraphEnricher):
            generator = torch.Generator().manual_seed(self.seed)
            made = model.enrich(self.taken().rest, stop=False, generator=generator)
            metrics |= judge_graphs(self.scenes, made.scenes, made.is_new, self.seed)
        return metrics

    def recalls(self, guesses: list[tuple[Tensor, Tensor | None]]) -> dict[str, float]:
        """Recall of objects and relations, and the perplexity of the objects."""
        whole, metrics = torch.cat([objects for objects, _ in guesses]), {}
        for k in (1, 5, 10):
            hits = hits_at_k(whole, self.test.category, k)
            metrics[f"recall@{k}"] = float(hits.float().mean())
            metrics[f"mean_recall@{k}"] = mean_class_recall(hits, self.test.category)
        metrics["perplexity"] = perplexity(whole, self.test.category)
        known = [
            (part, relations.log_softmax(-1)[..., :-1])
            for part, (_, relations) in zip(self.parts, guesses, strict=True)
            if relations is not None
        ]
        for k in (5, 20, 50) if known else ():
            hits = torch.cat(
                [
                    relation_hits(scores, part.links, part.rest.batch, part.rest.num_graphs, k)
                    for part, scores in known
                ]
            )
            links = torch.cat([part.links[2] for part, _ in known])
            metrics[f"relation@{k}"] = float(hits.float().mean())
            metrics[f"mean_relation@{k}"] = mean_class_recall(hits, links)
        return metrics

    def taken(self) -> KnockOut:
        """The test graphs with one object of each taken out."""
        test, generator = self.scenes.test, torch.Generator().manual_seed(self.seed)
        place = torch.rand(test.num_graphs, generator=generator) * test.node_ptr.diff()
        return test.knock_out(test.node_ptr[:-1] + place.long(), self.drop_orphans)

    def compare(self, model: dict[str, float], max_links: int = 5) -> dict[str, float]:
        """The priors on the same graphs, what a model gains over them, and the optimum."""
        metrics: dict[str, float] = {}
        for name, prior in self.priors.items():
            relate = prior.relation_logits if isinstance(prior, FrequencyPrior) else None
            guesses = [
                (
                    prior.object_logits(part.rest),
                    None if relate is None else relate(part.rest, part.category),
                )
                for part in self.parts
            ]
            metrics |= {f"{name}_{key}": v for key, v in self.recalls(guesses).items()}
        test, train = self.scenes.test, self.scenes.train
        real, known = (triples_of(part, torch.ones_like(part.x).bool()) for part in (test, train))
        metrics["lacking_mmd"] = wl_mmd(test, self.taken().rest)
        metrics["real_new_triples"] = novelty(real, known)
        made = complete_by(self.joint, self.taken().rest, max_links, self.seed)
        figures = judge_graphs(self.scenes, *made, self.seed)
        metrics |= {f"cooccurrence_{key}": value for key, value in figures.items()}
        metrics["gain_recall@5"] = model["recall@5"] - metrics["cooccurrence_recall@5"]
        for rival in ("frequency", "cooccurrence"):
            gain = model["relation@20"] - metrics[f"{rival}_relation@20"]
            metrics[f"gain_over_{rival}_relation@20"] = gain
        grammar, slot = self.scenes.grammar, self.scenes.slot
        if grammar is not None and slot is not None:
            metrics |= judge_grammar(model, grammar, slot[slot >= 0], self.test)
        return metrics


def make_adversary(
    sizes: tuple[int, int], local: bool = True, whole: bool = True, **settings: Any
) -> SceneAdversary:
    """The discriminators that take part."""
    return SceneAdversary(
        LocalTripleDiscriminator(*sizes, settings.pop("channels", 48)) if local else None,
        GlobalGraphDiscriminator(*sizes, settings.pop("channels", 48)) if whole else None,
        **settings,
    )


def judge_grammar(
    metrics: dict[str, float], grammar: SyntheticScenes, slot: Tensor, test: KnockOut
) -> dict[str, float]:
    """What the best possible guess reaches on the same graphs, and the model's share of it."""
    bayes = grammar.posterior[slot].clamp(min=1e-9).log()
    best = float(hits_at_k(bayes, test.category, 1).float().mean())
    return {
        "bayes_recall@1": best,
        "bayes_expected@1": grammar.bayes_recall(slot, 1),
        "share_of_bayes@1": metrics["recall@1"] / best,
        "bayes_perplexity": perplexity(bayes, test.category),
    }


def judge_stopping(complete: Tensor, lacking: Tensor) -> dict[str, float]:
    """How often whole graphs are called complete, and graphs that lack an object."""
    last = complete.size(1) - 1
    return {
        "stop_whole": float((complete.argmax(1) == last).float().mean()),
        "stop_lacking": float((lacking.argmax(1) == last).float().mean()),
        "stop_probability_whole": float(complete.softmax(1)[:, -1].mean()),
        "stop_probability_lacking": float(lacking.softmax(1)[:, -1].mean()),
    }


def judge_graphs(scenes: Scenes, graphs: SceneBatch, is_new: Tensor, seed: int) -> dict[str, float]:
    """How far completed test graphs are from the real ones, and how varied what is new is."""
    sizes = scenes.names.num_objects, scenes.names.num_predicates
    known = triples_of(scenes.train, torch.ones_like(scenes.train.x, dtype=torch.bool))
    new_triples = triples_of(graphs, is_new)
    return {
        "mmd": wl_mmd(scenes.test, graphs),
        "two_sample": two_sample_accuracy(scenes.test, graphs, *sizes, epochs=10, seed=seed),
        "distinct_objects": distinct_share(graphs.x[is_new]),
        "distinct_triples": distinct_share(new_triples),
        "new_triples": novelty(new_triples, known),
        "links": new_triples.size(0) / scenes.test.num_graphs,
    }


def complete_by(
    prior: CooccurrencePrior, rest: SceneBatch, max_links: int, seed: int
) -> tuple[SceneBatch, Tensor]:
    """The graphs with an object and relations drawn from a prior, as the model draws them."""
    generator = torch.Generator().manual_seed(seed)
    one_hot = straight_through(prior.object_logits(rest), generator=generator)
    logits = prior.relation_logits(rest, one_hot.argmax(1))
    odds = logits[..., :-1].logsumexp(-1) - logits[..., -1]
    odds = odds + gumbel(odds, generator) - gumbel(odds, generator)
    alive = torch.ones(rest.num_graphs, dtype=torch.bool)
    links = likely_links(odds, rest.batch, alive, max_links)
    soft = straight_through(logits[..., :-1], generator=generator)[links]
    return joined(rest, torch.zeros_like(rest.x, dtype=torch.bool), one_hot, alive, links, soft)


def triples_of(scenes: SceneBatch, nodes: Tensor) -> Tensor:
    """Categories and predicates of the triples that touch some objects, ``[L, 3]``."""
    mine = nodes[scenes.edge_index].any(0)
    subject, object_ = scenes.x[scenes.edge_index[:, mine]]
    return torch.stack([subject, scenes.edge_attr[mine], object_], dim=1)
