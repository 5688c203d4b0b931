# %% [markdown]
# # Adapters: samples and parts
#
# Four methods on images leave through one door: an adapter turns what each of them finds into
# an ordinary PyG graph, and PyG's layers take it from there. In two of them the nodes are
# *parts* of images, in the other two they are *samples*. All on scikit-learn's digits.
# Set `GRAPHKIT_FAST=1` to shrink every run to seconds.

# %%
import os

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch_geometric.nn import LabelPropagation, SimpleConv, SortAggregation
from torch_geometric.utils import homophily

from graphkit import plot
from graphkit.adapters import (
    EpisodeGraphAdapter,
    ImpressionGraphAdapter,
    ObjectGraphAdapter,
    PatchGraphAdapter,
)
from graphkit.train import Trainer, seed_everything
from graphkit.vision import (
    UDOR,
    ClassRegularization,
    EpisodeTask,
    ImpressionSpace,
    PatchReorder,
    PatchReorderCNN,
    TensorTask,
    anchor_clusters,
    draw_episode,
    udor_loss,
)

fast = bool(os.environ.get("GRAPHKIT_FAST"))
seed_everything(0)
images, y = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
x = images.float().view(-1, 1, 8, 8) / 16
test = torch.arange(len(y)) % 3 == 0


def train(model, task, epochs, lr=0.003):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    Trainer(2 if fast else epochs, monitor=None, seed=0).fit(model, optimizer, task)
    return model.eval()


def place(digits, row, col, size=16):
    return F.pad(digits, (col, size - 8 - col, row, size - 8 - row))


def classify(model, x, y):
    return F.cross_entropy(model(x), y)


# %% [markdown]
# ## Parts: patch reordering
#
# `PatchReorder` sorts the blocks of a feature map by energy, so a network that has seen digits
# in one corner also reads them in another, as long as they move by whole blocks. Half a block
# is another matter: look at the last column.

# %%
corner = place(x, 0, 0)
for levels in (0, 1):
    seed_everything(0)
    model = PatchReorderCNN(1, 10, 16, reorder=PatchReorder(2, levels))
    train(model, TensorTask((corner[~test], y[~test]), classify), 20, 0.002)
    with torch.no_grad():
        right = [
            (model(place(x[test], shift, shift)).argmax(1) == y[test]).float().mean()
            for shift in (0, 8, 4)
        ]
    print(f"levels={levels}  same {right[0]:.2f}  one block {right[1]:.2f}  half {right[2]:.2f}")

# %% [markdown]
# The adapter's graph holds every block of every level: side by side, one in another, and in the
# order of energy. Sorting by energy is PyG's `SortAggregation` on that graph.

# %%
reorder = PatchReorder(n=2, levels=2)
with torch.no_grad():
    maps = model.features(corner[:1])
graph = PatchGraphAdapter(reorder)(maps, y[:1])
print(PatchGraphAdapter(reorder).schema)
axes = plot.over_image(graph, maps[0].square().sum(0), nodes=("block",), edges=("contains",))

# %%
block = graph["block"]
first = block.level == 1
pooled = SortAggregation(k=4)(block.x[first], block.image[first]).view(4, -1)
print("energies, sorted:", pooled[:, -1].tolist())

# %% [markdown]
# ## Parts: UDOR
#
# Images with several digits, no labels. `UDOR` codes each category in a part of its own; zero
# the part and the object is gone. Which part is which is told by images of a single object,
# grouped by k-means: an anchor that is our addition, without it parts do not bind to categories.


# %%
def scenes(count, classes=(0, 1, 7)):
    cells = torch.rand(count, 4).argsort(1)
    canvas = torch.zeros(count, 1, 16, 16)
    for k, digit in enumerate(classes):
        rows = (y == digit).nonzero()[:, 0]
        chosen = x[rows[torch.randint(len(rows), (count,))]]
        spots = torch.stack([place(chosen, 8 * (c // 2), 8 * (c % 2)) for c in range(4)], 1)
        shown = torch.rand(count, 1, 1, 1) < 0.6
        canvas += spots[torch.arange(count), cells[:, k]] * shown
    return canvas


seed_everything(0)
scene = scenes(256 if fast else 4096)
only = anchor_clusters(scene, num_parts=3, extent=8)
udor = UDOR(1, 16, num_parts=3)
weights = {"fuzzy": 0.0, "consistency": 0.0, "adversary": 0.0}
train(udor, TensorTask((scene, only), lambda m, a, b: udor_loss(m, a, b, **weights)), 12, 0.001)
adapter = ObjectGraphAdapter(udor, tau=float(udor.encode(scene[:64]).detach().norm(dim=2).mean()))
graph = adapter(scene[:6]).detach()
print(graph)

# %% [markdown]
# Editing is deleting nodes: the graph without the objects of one part decodes to the images
# without them.

# %%
rows = [scene[:6], adapter.decode(graph)]
rows += [adapter.decode(graph.subgraph({"object": graph["object"].part != k})) for k in range(3)]
figure, axes = plt.subplots(len(rows), 6, figsize=(6, len(rows)))
for line, row in zip(axes, rows, strict=True):
    for axis, image in zip(line, row.detach(), strict=True):
        axis.imshow(image[0], cmap="gray", vmin=0, vmax=1)
        axis.axis("off")

# %% [markdown]
# ## Samples: class regularization
#
# Few-shot classes described in the span of a basis that all training classes share. The basis
# is a node type of the graph: one weighted sum over neighbours gives the descriptors. Seven
# digits in eight views train, three are new.


# %%
def views(digits):
    turns = [digits.rot90(i, (2, 3)) for i in range(4)]
    return torch.cat(turns + [t.flip(3) for t in turns])


few = x[::4], y[::4]
view, kind = views(few[0]), torch.cat([few[1] + 10 * i for i in range(8)])
base = few[1].repeat(8) < 7
labels = kind[base].unique(return_inverse=True)[1]
embed = nn.Sequential(
    nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 32, 3, 2, 1), nn.ReLU(), nn.Flatten()
)
crn = ClassRegularization(embed, 512, num_classes=56)
train(
    crn,
    TensorTask((view[base], labels), lambda m, a, b: F.cross_entropy(m.global_logits(m(a)), b)),
    10,
)
train(crn, EpisodeTask(view[base], labels, episodes=30), 4, 0.0005)
support, query, _ = draw_episode(kind[~base], 5, 1, 8, torch.Generator().manual_seed(0))
adapter = EpisodeGraphAdapter(crn, k=5)
truth = torch.arange(5).repeat_interleave(8)
graph = adapter(view[~base][support], view[~base][query].flatten(0, 1), truth)
built = SimpleConv("add")(
    (graph["basis"].x, graph["class"].x), graph["builds"].edge_index, graph["builds"].edge_weight
)
print(
    "one message pass gives the descriptors:",
    torch.allclose(crn.decoder(built), graph["class"].x, atol=1e-5),
)
sample = graph["sample"]
scores = crn.scores(sample.x, graph["class"].x)
print(
    "accuracy of the queries:",
    float((scores.argmax(1) == sample.y)[~sample.support].float().mean()),
)
axes = plot.as_layout(graph, nodes=("sample", "class"), edges=("near", "supports"), color="y")

# %% [markdown]
# ## Samples: impression space
#
# A network trained on five digits at random places sees the other five. Its impressions bring
# images of the same digit together, although it never learned them; then a handful of labels
# goes a long way along the edges of the graph.

# %%
seen = y < 5
blocks = [
    nn.Sequential(nn.Conv2d(a, b, 3, s, 1), nn.ReLU())
    for a, b, s in ((1, 16, 1), (16, 32, 2), (32, 64, 2))
]
network = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 5))


def wander(digits):
    row, col = torch.randint(7, (2,)).tolist()
    return place(digits, row, col, 14)


train(network, TensorTask((x[seen], y[seen]), lambda m, a, b: classify(m, wander(a), b), 16), 20)
space = ImpressionSpace(blocks)
unseen = torch.cat([wander(part) for part in x[~seen][:200].split(1)])
label = y[~seen][:200] - 5
graph = ImpressionGraphAdapter(space, k=5)(unseen, label)
known = torch.zeros(200, dtype=torch.bool)
known[torch.cat([(label == c).nonzero()[:3, 0] for c in range(5)])] = True
guess = LabelPropagation(30, 0.9)(graph.y, graph.edge_index, known)
print(f"homophily {homophily(graph.edge_index, graph.y):.2f}")
print(
    f"accuracy with three labels per class {(guess.argmax(1) == graph.y)[~known].float().mean():.2f}"
)
axes = plot.as_layout(graph, color="y", size=15)

# %% [markdown]
# And back to images: the less deep the response, the better the picture; with the responses of
# all blocks the picture is there again.

# %%
maps, size = space(unseen[:6]), unseen[:6].shape
steps = 20 if fast else 100
decoded = [unseen[:6]] + [
    space.decode_joint([h if i == level else None for i, h in enumerate(maps)], size, steps)
    for level in range(3)
]
decoded.append(space.decode_layerwise(maps, size, steps))
figure, axes = plt.subplots(5, 6, figsize=(6, 5))
for line, row in zip(axes, decoded, strict=True):
    for axis, image in zip(line, row, strict=True):
        axis.imshow(image[0], cmap="gray", vmin=0, vmax=1)
        axis.axis("off")

# %% [markdown]
# ## Units that say the same
#
# `ContinuousDropout` multiplies by masks between zero and one. `CoadaptationGraphAdapter` makes the
# units of a layer a graph, linked where they are correlated; a unit's label is the accuracy that is
# lost without it. `ContinuousDropEdge` does to edges what dropout does to units.

# %%
from graphkit.adapters import CoadaptationGraphAdapter
from graphkit.nn import ContinuousDropout
from graphkit.transforms import ContinuousDropEdge

flat, label = x.flatten(1), y
for drop in (nn.Identity(), ContinuousDropout("gaussian", std=0.5)):
    torch.manual_seed(0)
    mlp = nn.Sequential(nn.Linear(flat.size(1), 48), nn.ReLU(), drop, nn.Linear(48, 10))
    train(mlp, TensorTask((flat[:300], label[:300]), classify, 100), 10 if fast else 60)
    units = CoadaptationGraphAdapter(mlp.eval(), "1", incoming="0", k=3)(flat[300:], label[300:])
    print(type(drop).__name__, f"mean |correlation| {units.strength.item():.3f}")
print(ContinuousDropEdge(undirected=True)(units).edge_weight[:4])
axes = plot.as_layout(units, color="y", size=20)
