# %% [markdown]
# # Which pre-trained network should I start from?
#
# DEPARA answers without labels and without training: it asks what each network looks at, and
# how alike it finds things, on the same few probes. Here ten small networks of digits are
# trained, drawn as a graph of models, and ranked; then the ranking is held against measured
# transfer. Set `GRAPHKIT_FAST=1` to shrink every run to seconds. The large zoos, sixteen networks
# of images and twenty of graphs, are `python -m benchmarks.zoo` and the recipes `depara-*`.

# %%
import os

import matplotlib.pyplot as plt
import networkx as nx
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch_geometric.utils import to_networkx

from graphkit.metrics import (
    compare_rankings,
    deletion_area,
    energy_in_region,
    insertion_area,
)
from graphkit.transfer import (
    AttributionGraph,
    LearnedAttribution,
    ModelSpace,
    attribute,
    cka,
    rank_layers,
    rank_models,
    rsa,
)

fast = bool(os.environ.get("GRAPHKIT_FAST"))
steps = 60 if fast else 600

# %% [markdown]
# ## A small zoo
#
# Five tasks on the same digits, two networks each: what is it, is it even, is it over four, has
# it a loop, and which quarter of it holds most ink.

# %%
images, digit = (torch.from_numpy(a) for a in load_digits(return_X_y=True))
x, digit = images.float().view(-1, 1, 8, 8) / 16, digit.long()
quarters = F.avg_pool2d(x, 4).flatten(1)
TASKS = {
    "digit": digit,
    "even": digit % 2,
    "over four": (digit > 4).long(),
    "loop": torch.isin(digit, torch.tensor([0, 6, 8, 9])).long(),
    "inkiest quarter": quarters.argmax(1),
}
shuffled = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
train, test, probes = shuffled[:1000], shuffled[1000:1600], shuffled[1600:]


def network(classes):
    layers = [nn.Conv2d(1, 12, 3, 1, 1), nn.ReLU(), nn.Conv2d(12, 24, 3, 2, 1), nn.ReLU()]
    return nn.Sequential(nn.Sequential(*layers, nn.Flatten()), nn.Linear(384, classes))


def fit(task, seed):
    torch.manual_seed(seed)
    model, y = network(int(TASKS[task].max()) + 1), TASKS[task]
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(steps):
        rows = train[torch.randint(len(train), (64,))]
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return model.eval()


zoo = {f"{task} {'ab'[seed]}": fit(task, seed) for task in TASKS for seed in range(2)}

# %% [markdown]
# ## Every model is a graph of probes
#
# A node is a probe; its features are the attribution of the model's features to the probe's
# pixels; edges say how alike the model finds two probes. It is an ordinary PyG graph.

# %%
graphs = {name: AttributionGraph.build(model[0], x[probes]) for name, model in zoo.items()}
graphs["digit a"]

# %% [markdown]
# ## All models are one weighted graph
#
# `ModelSpace` compares all pairs in one pass over the probes, and takes another model at the
# price of one row.

# %%
space = ModelSpace()
space.extend(graphs)
figure, axes = plt.subplots(1, 3, figsize=(16, 5), layout="constrained")
space.plot_heat_map(axes=axes[0])
space.plot_dendrogram(axes=axes[1])
nearest = space.graph(neighbors=2)
drawn = to_networkx(nearest, edge_attrs=["edge_weight"], to_undirected=True)
place = nx.spring_layout(drawn, weight="edge_weight", seed=0)
labels = dict(enumerate(nearest.name))
nx.draw_networkx(drawn, place, ax=axes[2], labels=labels, node_color="lightgrey", font_size=8)

# %% [markdown]
# ## The ranking against the truth
#
# The truth is measured: a linear classifier on the source's features, with few labels of the
# target. `random` and `popularity` (how well a source does on the *other* targets) are always
# printed: a method that does not beat them has shown nothing.


# %%
def measured(source, target):
    y = TASKS[target.rsplit(" ", 1)[0]]
    with torch.no_grad():
        features = zoo[source][0](x).numpy()
    few = train[:60]
    model = LogisticRegression(C=0.1, max_iter=300).fit(features[few], y[few])
    return model.score(features[test], y[test])


names = list(zoo)
truth = torch.tensor(
    [[float("nan") if s == t else measured(s, t) for s in names] for t in names],
    dtype=torch.double,
)


def pairs(similarity):
    found = [[similarity(graphs[t].feature, graphs[s].feature) for s in names] for t in names]
    return torch.tensor(found)


scores = {
    "DEPARA": space.similarity(),
    "nodes alone": space.node,
    "edges alone": space.edge,
    "RSA": pairs(rsa),
    "CKA": pairs(cka),
}
for row in compare_rankings(scores, truth, relevant=3, ks=(1, 3)):
    print(
        f"{row.name:12} correlation {row.spearman:+.2f} [{row.low:+.2f}, {row.high:+.2f}]"
        f"   P@1 {row.precision[1]:.2f}   MRR {row.mrr:.2f}   chance {row.p_random:.3f}"
    )

# %%
for row in rank_models(graphs["loop a"], graphs)[:4]:
    print(f"{row.name:14} {row.score:.3f}  (nodes {row.node:.3f}, edges {row.edge:.3f})")

# %% [markdown]
# ## Which layer?

# %%
for row in rank_layers(zoo["even a"], ["0.1", "0.3"], zoo["digit a"], "0.3", x[probes]):
    print(f"layer {row.name}: {row.score:.3f}  (nodes {row.node:.3f}, edges {row.edge:.3f})")

# %% [markdown]
# ## What a classifier looks at
#
# Digits on a noisy canvas have known places. `attribute` is one call for all methods, for images,
# tensors and graphs; `LearnedAttribution` learns the propagation rules of every image.


# %%
def canvas(images, y, count, seed, size=24, noise=0.15):
    """Digits at random places on noise: the images, what they show, and where."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(y), (count,), generator=generator)
    corner = torch.randint(size - 8 + 1, (count, 2), generator=generator)
    span = torch.arange(size)
    inside = (span >= corner[:, :, None]) & (span < corner[:, :, None] + 8)
    box = (inside[:, 0, :, None] & inside[:, 1, None, :])[:, None]
    pictures = noise * torch.randn(count, 1, size, size, generator=generator)
    pictures[box] += images[rows].flatten()
    return pictures, y[rows], box


def block(inside, outside, stride):
    return (
        nn.Conv2d(inside, outside, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(),
    )


torch.manual_seed(0)
images = torch.from_numpy(load_digits().images).float() / 8
labels = torch.from_numpy(load_digits().target)
learning = torch.rand(len(labels)) < 0.6
model = nn.Sequential(
    *block(1, 16, 1),
    *block(16, 32, 2),
    *block(32, 64, 2),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(64, 10),
)
optimizer = torch.optim.Adam(model.parameters(), 3e-3)
for step in range(30 if fast else 400):
    pictures, y, _ = canvas(images[learning], labels[learning], 64, seed=step)
    loss = F.cross_entropy(model(pictures), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
model.eval()
shown, _, box = canvas(images[~learning], labels[~learning], 8 if fast else 64, seed=-1)
with torch.no_grad():
    target = model(shown).argmax(1)
maps = {
    name: attribute(model, shown, name, target=target).abs()
    for name in ("saliency", "input_x_gradient", "integrated_gradients", "deep_lift", "epsilon_lrp")
}
learned = LearnedAttribution(model, area=3.0, signal="input_x_gradient")
maps["learned"] = learned(shown, target)
figure, axes = plt.subplots(3, 1 + len(maps), figsize=(14, 6.5), layout="constrained")
for row in range(3):
    pictures = {"image": shown, **maps}
    for place, (name, picture) in zip(axes[row], pictures.items(), strict=True):
        place.imshow(picture[row, 0], cmap="gray" if name == "image" else "magma")
        place.set_axis_off()
        place.set_title(name if row == 0 else "", fontsize=9)

# %%
for name, found in maps.items():
    figures = {
        "insertion": insertion_area(model, shown, found, target),
        "deletion": deletion_area(model, shown, found, target),
        "in the box": energy_in_region(found, box),
    }
    print(f"{name:22}", "  ".join(f"{key} {v.mean():.3f}" for key, v in figures.items()))

# %% [markdown]
# ## Recorded results
#
# What the large zoos gave, as correlation with measured fine-tuning, is on the site's page
# "Results": the recipes `depara-image-zoo` and `depara-gnn-zoo`.
