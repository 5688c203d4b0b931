"""Questions of graphs whose nodes are parts of an image, a face or a network's layer."""

from __future__ import annotations

import torch

from benchmarks.problems.adapter_graphs.question import NUMBER, Question, ask, fitted, flat, plain
from benchmarks.problems.adapter_graphs.samples import known_classes, new_classes
from benchmarks.problems.canvas import canvas, classifier
from benchmarks.problems.images import handwritten
from graphkit import adapters
from graphkit.vision import (
    UDOR,
    DynamicInstanceNorm,
    FaceBones,
    PatchReorder,
    anchor_clusters,
    fit_faces,
    measure_faces,
    udor_loss,
)

__all__ = ["faces", "objects", "patches", "pixels", "units"]


def units(seed: int, networks: int = 20) -> Question:
    """Units of the last convolution of twenty networks: how much accuracy each is worth."""
    x, y = handwritten("digits", "train")
    test, label = handwritten("digits", "test")
    graphs = []
    for number in range(networks):
        rows = torch.randperm(len(y))[:300]
        net = fitted(classifier(8), x[rows], y[rows], 100 * seed + number, 80)
        graph = adapters.CoadaptationGraphAdapter(net, "8", incoming="6")(test, label)
        graphs.append(plain(graph, graph.y))
    return ask(graphs, NUMBER, seed, train=0.5)


def patches(seed: int) -> Question:
    """Blocks of the first maps of digits that the network does not know: the image's class."""
    x, y = new_classes(seed, 400)
    adapter = adapters.PatchGraphAdapter(PatchReorder(n=2, levels=2))
    maps, graphs = known_classes(seed)[:3](x).detach(), []
    for one, kind in zip(maps, y, strict=True):
        graph = flat(adapter(one.unsqueeze(0)), {})
        graph.graph_y = kind.view(1)
        graphs.append(graph)
    return ask(graphs, "accuracy", seed, "graph")


def pixels(seed: int, images: int = 24) -> Question:
    """Pixels of noisy canvases with a digit in each: whether a pixel is ink."""
    noisy, clean = (canvas("test", images, seed, 16, noise) for noise in (0.8, 0.0))
    adapter = adapters.StyledPixelAdapter(DynamicInstanceNorm(1, 1, 3))
    with torch.no_grad():
        graph = adapter(noisy.x, torch.zeros(images, 1, 3, 3))
    ink = clean.x.flatten() > 0.5
    out = plain(graph, ink)
    out.unit = graph.image
    return ask(out, "auc", seed)


def objects(seed: int) -> Question:
    """Parts that were found in scenes of up to three digits: whether a part's digit is there."""
    from benchmarks.problems.digit_scenes import load

    data = load(train=1024, test=400, seed=seed)
    x, masks = data["train"]
    clusters = anchor_clusters(x, data["kinds"], data["extent"], seed)
    model = UDOR(1, x.size(2), data["kinds"])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    for rows in torch.randperm(len(x)).repeat(12).split(64):
        optimizer.zero_grad()
        udor_loss(model, x[rows], clusters[rows]).backward()
        optimizer.step()
    model.eval()
    # A part stands for the digit of its cluster's images.
    meaning = [masks[clusters == k].flatten(2).any(2).sum(0).argmax() for k in range(data["kinds"])]
    test, truth = data["test"]
    here = truth.flatten(2).any(2)[:, torch.stack(meaning)]
    with torch.no_grad():
        graph = adapters.ObjectGraphAdapter(model, tau=0.0)(test)
    out = flat(graph, {"object": here.flatten()})
    # All parts of an image are on one side.
    image = torch.full((out.num_nodes,), len(test))
    image[~out.y.isnan()] = torch.arange(len(test)).repeat_interleave(data["kinds"])
    out.unit = image
    # An image's node holds all of its codes, of which the objects are pieces.
    return ask(out, "auc", seed)


def faces(seed: int, people: int = 25) -> Question:
    """Actions fitted to landmarks of real people: how strong each is, as measured in the frame.

    Measured are the mouth's opening, the brows' height and how far the eyes are closed, less the
    person's mean, each in its own deviation; other actions are not asked for.
    """
    from benchmarks.problems.faces import centred, load

    (points, person), _ = load(test=5, seed=seed)
    mine = torch.isin(person, person.unique()[torch.randperm(len(person.unique()))[:people]])
    points, person = points[mine], person[mine]
    found = fit_faces(FaceBones.standard(), points, person, True, steps=60)
    face, truth, names = found.face, measure_faces(points), found.face.action_names
    told = torch.full((len(points), len(names)), torch.nan)
    for action, name in (
        ("mouth_open", "mouth_open"),
        ("outer_brow_raise", "brow_raise"),
        ("eyes_closed", "eyes_closed"),
    ):
        values = centred(truth[name], person)
        told[:, names.index(action)] = values / values.std()
    adapter, graphs = adapters.FaceGraphAdapter(face), []
    for who in person.unique():
        rows = person == who
        with torch.no_grad():
            graph = adapter(found.parameters[rows])
        graphs.append(flat(graph, {"action": told[rows].flatten()}))
    return ask(graphs, NUMBER, seed, train=0.5)
