"""Characters of a language of tones, read by way of syllables and tones: CSSMCM.

A syllable is a handwritten digit in three noisy frames, its tone is how the digit moves, and which
of the forty characters is meant follows from both. ``cer_…`` are rates of character errors on
sentences of images that nobody has seen: of the whole cascade (``cascade``), the same without
tones (``no_tone``), characters read directly (``direct``), and directly with heads for syllables
and tones beside (``heads``), which gets the labels that the cascade gets and no others. All begin
with as many updates from the truth, then as many from predictions where there is a chain.
``oracle`` is the cascade that is told syllables and tones, ``cer_syllable`` and ``cer_tone`` are
what it reads of them, ``cer_first`` is the cascade before it learned from its own predictions.
``tone_gain`` is ``cer_no_tone`` less ``cer_cascade``; ``direct_gain`` and ``heads_gain`` are over
those models.

The downstream result: what the cascade reads as a lattice with its lexicon, on which a layer of
PyG per kind of edge learns which candidate is right, from ``rescore`` other sentences.
``cer_rescored`` is what it picks, beside the cascade's own best candidates (``cer_lattice``) and
the same layers without messages (``cer_flat``); ``rescore_gain`` is the difference to
``cer_lattice``.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GraphConv, HeteroConv

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.cascades import CHAINS, LONGEST, NAMES, SIZES, taught, texts
from benchmarks.problems.sentences import Toned, lexicon, tonal_digits
from graphkit.adapters import LatticeGraphAdapter
from graphkit.metrics import character_error_rate
from graphkit.modes import evaluating
from graphkit.train import TensorTask, seed_everything
from graphkit.vision import CascadeSeq2Seq, SequenceEncoder, Stage

MAIN = "tone_gain"


def load(
    name: str = "tonal_digits",
    train: int = 400,
    rescore: int = 150,
    judged: int = 200,
    part: str = "test",
    noise: float = 0.25,
    seed: int = 0,
) -> dict[str, Toned]:
    """Sentences to learn from, others to learn rescoring from, and those to judge by: of images
    of the ``part`` ``"test"``, or ``"val"`` to choose settings by.
    """
    if name != "tonal_digits":
        raise ValueError(f"this protocol runs on 'tonal_digits', got {name!r}")
    return {
        "train": tonal_digits("train", train, 10 * seed, noise),
        # Of images that the cascade has not learned by heart.
        "rescore": tonal_digits("val", rescore, 10 * seed + 1, noise),
        "judged": tonal_digits(part, judged, 10 * seed + 2, noise),
    }


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    channels: int = 64,
    batch_size: int = 32,
    finetune: dict[str, Any] | None = None,
    beam: int = 4,
    rescore_epochs: int = 30,
    arms: tuple[str, ...] = tuple(CHAINS),
) -> dict[str, float]:
    """One seed; ``finetune`` changes ``train`` for the updates from predictions, ``beam`` is the
    number of candidates in the lattice.
    """
    data = load(**{**dataset, "seed": seed})
    train, judged = data["train"], data["judged"]
    later = Fitter({**fit.train, **(finetune or {})}, seed, fit.fabric, watch=fit.watch)
    rows, metrics, models = (*train.video, *texts(train).values()), {}, {}
    for arm in arms:
        seed_everything(seed)
        stages = [Stage(*one) for one in zip(NAMES, SIZES, CHAINS[arm], strict=True) if len(one[2])]
        front = nn.Sequential(nn.Linear(64, channels), nn.ReLU())
        encoder = SequenceEncoder(channels, channels, front)
        model = CascadeSeq2Seq(encoder, stages, channels, max_length=LONGEST)
        fit(model, TensorTask(rows, taught("truth"), batch_size), tag=arm)
        if arm == "cascade":
            metrics["cer_first"] = errors(model, judged)["character"]
        later(model, TensorTask(rows, taught("prediction"), batch_size), tag=f"{arm}_later")
        rates, models[arm] = errors(model, judged), model
        metrics[f"cer_{arm}"] = rates["character"]
        if arm == "cascade":
            metrics |= {f"cer_{name}": rates[name] for name in NAMES[:2]}
            metrics["oracle"] = told(model, judged)
    for arm, name in (("no_tone", "tone_gain"), ("direct", "direct_gain"), ("heads", "heads_gain")):
        metrics[name] = metrics[f"cer_{arm}"] - metrics["cer_cascade"]
    return metrics | rescored(models["cascade"], data, beam, rescore_epochs, seed)


def rate(guesses: list[list[int]], target: Tensor) -> float:
    """Character errors of what was read."""
    return character_error_rate(guesses, [[s for s in row if s >= 0] for row in target.tolist()])


def errors(model: CascadeSeq2Seq, data: Toned) -> dict[str, float]:
    """Character errors of every stage."""
    target = texts(data)
    return {name: rate(read.best(), target[name]) for name, read in model.read(data.video).items()}


@torch.no_grad()
def told(model: CascadeSeq2Seq, data: Toned) -> float:
    """Character errors when syllables and tones are given."""
    with evaluating(model):
        out = model(data.video, texts(data))["character"]
        return rate(model.best("character", out.sources).best(), data.character)


class Rescorer(nn.Module):
    """Two rounds of messages between candidates, one layer per kind of edge."""

    def __init__(self, graph: HeteroData, messages: bool, width: int = 32) -> None:
        super().__init__()
        self.first = nn.ModuleDict(
            {kind: nn.Linear(graph[kind].x.size(1), width) for kind in graph.node_types}
        )
        self.rounds = nn.ModuleList(
            HeteroConv(
                {kind: GraphConv((width, width), width) for kind in graph.edge_types}, aggr="mean"
            )
            for _ in range(2 if messages else 0)
        )
        self.last = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, graph: HeteroData) -> Tensor:
        """A score for each character: the cascade's own and what is added to it."""
        x = {kind: self.first[kind](graph[kind].x).relu() for kind in graph.node_types}
        for layer in self.rounds:
            weight = {k: s for k, s in graph.collect("edge_weight", True).items() if len(k) == 3}
            more = layer(x, graph.edge_index_dict, weight)
            x = {kind: h + more[kind].relu() if kind in more else h for kind, h in x.items()}
        store = graph["character"]
        return store.log_prob + self.last(x["character"])[:, 0]


def lattices(model: CascadeSeq2Seq, data: Toned, beam: int) -> list[HeteroData]:
    """The lattice of every sentence, with the true symbols."""
    adapter = LatticeGraphAdapter(model, beam, lexicon())
    target = texts(data)
    return [
        adapter(
            data.video.x[n, :length],
            {name: text[n][text[n] >= 0] for name, text in target.items()},
        )
        for n, length in enumerate(data.video.lengths.tolist())
    ]


def rescored(
    model: CascadeSeq2Seq, data: dict[str, Toned], beam: int, epochs: int, seed: int
) -> dict[str, float]:
    """Character errors of the lattice's best candidates, before and after rescoring."""
    known, judged = (lattices(model, data[part], beam) for part in ("rescore", "judged"))
    target = data["judged"].character
    metrics = {"cer_lattice": rate([picked(g, g["character"].log_prob) for g in judged], target)}
    for name, messages in (("rescored", True), ("flat", False)):
        seed_everything(seed)
        rescorer = Rescorer(known[0], messages)
        optimizer = torch.optim.Adam(rescorer.parameters(), lr=0.005, weight_decay=1e-4)
        for _ in range(epochs):
            for batch in DataLoader(known, batch_size=32, shuffle=True):
                optimizer.zero_grad()
                lattice_loss(rescorer(batch), batch["character"], beam).backward()
                optimizer.step()
        with torch.no_grad():
            metrics[f"cer_{name}"] = rate([picked(g, rescorer(g)) for g in judged], target)
    gain = metrics["cer_lattice"] - metrics["cer_rescored"]
    return metrics | {"rescore_gain": gain}


def lattice_loss(scores: Tensor, store: Any, beam: int) -> Tensor:
    """Cross entropy over the candidates of each place where one of them is right."""
    right = store.y.view(-1, beam)
    known = right.sum(1) == 1
    return F.cross_entropy(scores.view(-1, beam)[known], right[known].argmax(1))


def picked(graph: HeteroData, scores: Tensor) -> list[int]:
    """The best candidate of each place."""
    store = graph["character"]
    count = int(store.time.max()) + 1 if len(store.time) else 0
    best = scores.view(count, -1).argmax(1) if count else scores.long()
    return store.symbol.view(count, -1).gather(1, best.unsqueeze(1))[:, 0].tolist() if count else []
