"""Questions of graphs whose nodes are moments: frames, symbols, proposals, tracked points."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from benchmarks.problems import tracking
from benchmarks.problems.action_frames import Clips, clips
from benchmarks.problems.adapter_graphs.question import NUMBER, Question, ask, flat, plain
from benchmarks.problems.sentences import lexicon, tonal_digits
from benchmarks.rivals.tracking import match
from graphkit import adapters
from graphkit.train import TensorTask, Trainer
from graphkit.vision import (
    GTAN,
    CascadeSeq2Seq,
    GTANLoss,
    SequenceEncoder,
    Stage,
    TrackingByCounting,
)

__all__ = ["candidates", "frames", "lattices", "proposals", "tracked"]

RADIUS = 3.0


def videos(split: str, count: int, seed: int, noise: float = 0.15) -> Clips:
    """Windows of THUMOS14's timelines, with the pixels of digits."""
    generator = torch.Generator().manual_seed(seed)
    return clips("THUMOS14", split, count, 128, 4.0, noise, generator)


def frames(seed: int, count: int = 60) -> Question:
    """Frames of videos with one action: before it, inside or after it."""
    part = videos("val", 600, seed, noise=0.5)
    graphs: list[Data] = []
    for x, (segments, _) in zip(part.x, part.truth, strict=True):
        if len(segments) == 1 and len(graphs) < count:
            graph = adapters.MomentContextGraphAdapter(undirected=False)(x, segments[0])
            graphs.append(plain(graph, graph.y))
    return ask(graphs, "accuracy", seed)


def proposals(seed: int) -> Question:
    """Proposals of a detector: how much of an action each overlaps."""
    learn, part = videos("val", 200, seed), videos("test", 60, seed)
    model, criterion = GTAN(learn.x.size(1), learn.classes, channels=32), GTANLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    for rows in torch.randperm(len(learn.x)).repeat(12).split(16):
        optimizer.zero_grad()
        criterion(model(learn.x[rows]), [learn.truth[i] for i in rows.tolist()]).backward()
        optimizer.step()
    model.eval()
    adapter, graphs = adapters.ProposalGraphAdapter(32, learn.classes, 32), []
    with torch.no_grad():
        for x, truth in zip(part.x, part.truth, strict=True):
            graph = adapter(model(x.unsqueeze(0)), truth)
            graphs.append(plain(graph, graph.y_iou))
    return ask(graphs, NUMBER, seed)


def trained(
    model: nn.Module, rows: tuple[Tensor, ...], epochs: int, lr: float, loss: object
) -> None:
    """Trains a reader of sentences."""
    trainer = Trainer(epochs, monitor=None, seed=0, clip_norm=5.0, progress=False)
    task = TensorTask(rows, loss, 32)  # type: ignore[arg-type]
    trainer.fit(model, torch.optim.Adam(model.parameters(), lr), task)
    model.eval()


def lattices(seed: int) -> Question:
    """Characters that may stand in a sentence, by a cascade of readers: which is right."""
    from benchmarks.problems.cascades import CHAINS, LONGEST, NAMES, SIZES, taught, texts

    part = tonal_digits("train", 250, 10 * seed)
    stages = [Stage(*one) for one in zip(NAMES, SIZES, CHAINS["cascade"], strict=True)]
    front = nn.Sequential(nn.Linear(64, 32), nn.ReLU())
    model = CascadeSeq2Seq(SequenceEncoder(32, 32, front), stages, 32, max_length=LONGEST)
    trained(model, (*part.video, *texts(part).values()), 15, 0.01, taught("truth"))
    judged = tonal_digits("test", 100, 10 * seed + 2)
    adapter, words = adapters.LatticeGraphAdapter(model, 4, lexicon(), 0.1), texts(judged)
    graphs: list[Data] = []
    for n, length in enumerate(judged.video.lengths.tolist()):
        row = {name: text[n][text[n] >= 0] for name, text in words.items()}
        with torch.no_grad():
            graph = adapter(judged.video.x[n, :length], row)
        graphs.append(flat(graph, {"character": graph["character"].y}))
    return ask(graphs, "auc", seed)


def on_people(scene: tracking.Scene, frame: Tensor, position: Tensor) -> Tensor:
    """Whether each point of a frame is on a head that somebody marked."""
    right = torch.zeros(len(frame), dtype=torch.bool)
    for t in frame.unique().tolist():
        here, there = (scene.truth[0] == t).nonzero()[:, 0], (frame == t).nonzero()[:, 0]
        _, hit = match(scene.truth[2][here].numpy(), position[there].numpy(), RADIUS)
        right[there[hit]] = True
    return right


def candidates(seed: int) -> Question:
    """Cells of density maps of detections in which a person may be: whether a head is nearest."""
    graphs: list[Data] = []
    for name in ("TUD-Campus", "TUD-Stadtmitte"):
        scene = tracking.load(name, "detections", 30, seed=seed)
        graph = adapters.TrackingAdapter()(TrackingByCounting().solve(scene.density))
        store = graph["candidate"]
        right = on_people(scene, store.time, store.pos)
        # What the solver chose is its answer, not the truth's.
        out = flat(graph, {"candidate": right}, ("continues_as",))
        out.unit = torch.zeros(out.num_nodes, dtype=torch.long)
        out.unit[~out.y.isnan()] = 1000 * len(graphs) + store.time
        graphs.append(out)
    return ask(graphs, "auc", seed)


def tracked(seed: int) -> Question:
    """Points of tracks on maps of detections: whether a point is on a person."""
    graphs: list[Data] = []
    for name in ("TUD-Campus", "TUD-Stadtmitte"):
        scene = tracking.load(name, "detections", seed=seed)
        frame, track, position = TrackingByCounting().solve(scene.density).points()
        graph = adapters.TrackGraphAdapter()(frame, track, position)
        out = plain(graph, on_people(scene, frame, position))
        out.unit = 1000 * len(graphs) + track
        graphs.append(out)
    return ask(graphs, "auc", seed)
