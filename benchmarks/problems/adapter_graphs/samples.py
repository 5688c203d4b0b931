"""Questions of graphs whose nodes are samples: mostly the class of an image.

Networks have learned five classes of scikit-learn's digits, and the graph is of images of the
other five; which five is drawn with the seed.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from benchmarks.problems.adapter_graphs.question import (
    NUMBER,
    Question,
    ask,
    fitted,
    flat,
    nearest,
    plain,
)
from benchmarks.problems.canvas import classifier
from benchmarks.problems.images import handwritten
from benchmarks.problems.reid import CHANNELS, augment, digits_reid, encoder
from graphkit import adapters
from graphkit.vision import (
    DCCD,
    SSKD,
    CausalAdv,
    ClassRegularization,
    ConsistencyClustering,
    DensityClusters,
    ImpressionSpace,
    SnapMix,
    draw_episode,
)

__all__ = [
    "causal_pairs",
    "coassociation",
    "domains",
    "episodes",
    "impressions",
    "interventions",
    "known_classes",
    "new_classes",
    "orbits",
    "provenance",
    "pseudo_labels",
    "styles",
    "two_views",
]


def five(seed: int, new: bool) -> tuple[Tensor, Tensor]:
    """All digits of five classes, numbered from 0; with ``new`` of the other five."""
    x, y = (torch.cat(both) for both in zip(*map(of_part, ("train", "test")), strict=True))
    order = torch.randperm(10, generator=torch.Generator().manual_seed(seed))
    mine = order[5:] if new else order[:5]
    keep = torch.isin(y, mine)
    return x[keep], (y[keep].unsqueeze(1) == mine).long().argmax(1)


def of_part(part: str) -> tuple[Tensor, Tensor]:
    """scikit-learn's digits of a part."""
    return handwritten("digits", part)


def known_classes(seed: int, width: int = 8) -> nn.Sequential:
    """A network that has learned five classes."""
    x, y = five(seed, new=False)
    net = fitted(classifier(width, 5), x, y, seed)
    assert isinstance(net, nn.Sequential)
    return net


def new_classes(seed: int, count: int = 600) -> tuple[Tensor, Tensor]:
    """Some images of the classes that the network does not know."""
    x, y = five(seed, new=True)
    rows = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))[:count]
    return x[rows], y[rows]


def orbits(seed: int) -> Question:
    """Digits turned by -40 … 40 degrees: the class of an image, a few images known."""
    x, y = new_classes(seed, 300)
    turns = torch.tensor([[float(a), 1.0, 0.0, 0.0] for a in (-40, -20, 0, 20, 40)])
    graph = adapters.OrbitGraphAdapter(known_classes(seed), turns, "10", k=5)(x, y)
    out = plain(graph, graph.y, graph.x.detach())
    out.unit, out.edge_type = graph.orbit, graph.edge_type
    return ask(out, "accuracy", seed, train=0.1, val=0.1)


def impressions(seed: int) -> Question:
    """Digits of classes that the network does not know: the class, a few images known."""
    x, y = new_classes(seed)
    space = ImpressionSpace([known_classes(seed)[i : i + 3] for i in (0, 3, 6)])
    graph = adapters.ImpressionGraphAdapter(space)(x, y)
    return ask(plain(graph, y), "accuracy", seed, train=0.1, val=0.1)


def styles(seed: int) -> Question:
    """Photographs' patches under seven operators: which operator made the style."""
    from benchmarks.problems.textures import Stylist, transfers

    data = transfers("train", 700, seed)
    net = Stylist(3)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.003)
    for rows in torch.arange(len(data["kind"])).repeat(6).split(32):
        made = net(data["content"][rows], data["style"][rows])
        optimizer.zero_grad()
        (made - data["wanted"][rows]).square().mean().backward()
        optimizer.step()
    test = transfers("test", 600, seed)
    with torch.no_grad():
        graph = adapters.StyleGraphAdapter(net)(test["style"], test["kind"])
    return ask(plain(graph, test["kind"]), "accuracy", seed)


def provenance(seed: int) -> Question:
    """Mixed digits: the class of the image that was mixed into, from maps after the mix."""
    x, y = new_classes(seed)
    net = known_classes(seed)
    mix = SnapMix(net, "8", "11", generator=torch.Generator().manual_seed(seed))
    mixed = mix.mix(x, y)
    graph = adapters.ProvenanceGraphAdapter(net, "8", 5)(x, mixed)
    asked = torch.cat([torch.full((len(y),), torch.nan), y.float()])
    return ask(plain(graph, asked), "accuracy", seed)


def causal_pairs(seed: int) -> Question:
    """Digits before an attack: which of them the attack will deceive, by style and content."""
    x, y = (part[:600] for part in handwritten("digits", "test"))
    seen, label = handwritten("digits", "train")
    net = classifier(8)
    model = CausalAdv(net[:11], 32, 10, eps=0.1)
    # The network that learns is the model itself.
    fitted(nn.Sequential(net[:11], model.head), seen, label, seed)
    model.eval()
    attacked = model.attack(x, y=y)
    graph = adapters.CausalPairGraphAdapter(model)(x, attacked, y)
    robust = graph["natural"].robust
    # The attacked image says whether it was deceived.
    natural = graph.node_type_subgraph(["natural"])
    return ask(flat(natural, {"natural": robust}), "auc", seed)


def episodes(seed: int, count: int = 60) -> Question:
    """5-way 1-shot tasks of new characters: whether a query is of a class.

    Relations with the basis are all with all and differ by their weights alone: left out.
    """
    from benchmarks.problems.characters import load, network

    data = load(turns=1)
    x, y = data["base"]
    embed, channels = network(16)
    model = ClassRegularization(embed, channels, int(y.max()) + 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    for rows in torch.randperm(len(y)).repeat(2).split(64):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model.global_logits(model(x[rows])), y[rows]).backward()
        optimizer.step()
    adapter = adapters.EpisodeGraphAdapter(model.eval())
    (x, y), graphs = data["new"], []
    generator, truth = torch.Generator().manual_seed(seed), torch.arange(5).repeat_interleave(5)
    for _ in range(count):
        support, query, _ = draw_episode(y, 5, 1, 5, generator)
        with torch.no_grad():
            graph = adapter(x[support], x[query].flatten(0, 1), truth)
        out = flat(graph, {}, ("builds", "expresses"))
        samples = 5 + torch.arange(25)
        pairs = torch.cartesian_prod(
            samples + offset(graph, "sample"), torch.arange(5) + offset(graph, "class")
        )
        out.pair_index = pairs.t()
        out.pair_y = (truth.unsqueeze(1) == torch.arange(5)).flatten().long()
        graphs.append(out)
    return ask(graphs, "auc", seed, "pair")


def offset(graph: HeteroData, kind: str) -> int:
    """How many nodes of other kinds come before those of one."""
    before = graph.node_types[: graph.node_types.index(kind)]
    return sum(graph[each].num_nodes for each in before)


def coassociation(seed: int) -> Question:
    """Digits that were clustered six times: the class, a few images known."""
    x, y = new_classes(seed)
    f = known_classes(seed)[:11](x).detach()
    rounds = [KMeans(8 + 2 * r, n_init=1, random_state=seed + r).fit_predict(f) for r in range(6)]
    graph = adapters.CoassociationGraphAdapter()(torch.from_numpy(np.stack(rounds)).long(), f, y=y)
    edges = nearest(graph.edge_index, graph.edge_attr[:, 0], 10)
    out = plain(graph, y)
    out.edge_index, out.edge_type = edges, edges.new_zeros(edges.size(1))
    return ask(out, "accuracy", seed, train=0.1, val=0.1)


def two_views(seed: int) -> Question:
    """Two views of each digit: the class, a few images known."""
    x, y = new_classes(seed)
    generator = torch.Generator().manual_seed(seed)
    model = ConsistencyClustering(known_classes(seed)[:11], 32, max_clusters=5).eval()
    views = [augment(x, generator) for _ in range(2)]
    graph = adapters.TwoViewGraphAdapter(model)(*views, y)
    return ask(flat(graph, {"image": y}), "accuracy", seed, train=0.1, val=0.1)


def people(seed: int) -> tuple[Tensor, Tensor, Tensor, nn.Module]:
    """Handwritten identities by four cameras, and an encoder that knows other ones."""
    source, target = (digits_reid(half, 40, seed=seed) for half in (0, 1))
    net = encoder(source.x.size(2))
    names = source.identity.unique(return_inverse=True)[1]
    fitted(nn.Sequential(net, nn.Linear(CHANNELS, int(names.max()) + 1)), source.x, names, seed)
    y = target.identity.unique(return_inverse=True)[1]
    return target.x, y, target.camera, net


def interventions(seed: int) -> Question:
    """Identities by cameras and what they would be by others: the identity, a third known.

    Edges between images of one identity tell the answer and are left out.
    """
    x, y, camera, net = people(seed)
    camera = camera.unique(return_inverse=True)[1]
    model = DCCD(net, CHANNELS, int(y.max()) + 1, int(camera.max()) + 1)
    with torch.no_grad():
        model.loss(x, y=y, domain=camera)
    generator = torch.Generator().manual_seed(seed)
    graph = adapters.InterventionGraphAdapter(model.eval())(x, y, camera, generator=generator)
    return ask(flat(graph, {"factual": y}, ("same_id",)), "accuracy", seed)


def domains(seed: int) -> Question:
    """Two hundred sets of digits, each turned by an angle of its own: how far a set is turned."""
    from graphkit.vision import transform2d

    generator = torch.Generator().manual_seed(seed)
    x, _ = handwritten("digits", "test")
    angle = 90 * torch.rand(200, generator=generator) - 45
    rows = torch.randint(len(x), (200, 12), generator=generator).flatten()
    table = torch.tensor([0.0, 1.0, 0.0, 0.0]).repeat(len(rows), 1)
    table[:, 0] = angle.repeat_interleave(12)
    z = known_classes(seed)[:11](transform2d(x[rows], table)).detach()
    domain = torch.arange(200).repeat_interleave(12)
    graph = adapters.DomainGraphAdapter(shrink=0.1)(z, domain)
    out = plain(graph, angle)
    out.edge_index = nearest(graph.edge_index, graph.edge_weight, 5)
    out.edge_type = torch.zeros(out.edge_index.size(1), dtype=torch.long)
    return ask(out, NUMBER, seed)


def pseudo_labels(seed: int) -> Question:
    """Identities without labels, clustered: the identity, a third of the images known."""
    x, y, camera, net = people(seed)
    model = SSKD(net, CHANNELS, 200, peers=1).eval()
    f = model.embed(x)
    label = DensityClusters(None, 0.01, 4, 20, 6)(f)
    model.start_round(f, label)
    graph = adapters.PseudoLabelGraphAdapter(model.eval())(x, label, y, camera)
    near = graph["image", "k_reciprocal", "image"]
    near.edge_index = near.edge_index[:, near.edge_weight > 0.3]
    return ask(flat(graph, {"image": y}), "accuracy", seed)
