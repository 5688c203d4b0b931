# %% [markdown]
# # Transformed, mixed, restyled: images that networks learn from
#
# Three ways of changing what a network sees while it learns, and the graph that each of them
# makes. Set `GRAPHKIT_FAST=1` to shrink every run to seconds.

# %%
import os

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN, SimpleConv, global_mean_pool

from graphkit.adapters import OrbitGraphAdapter, ProvenanceGraphAdapter, orbit_energy
from graphkit.train import TensorTask, Trainer, seed_everything
from graphkit.transforms import graph_snapmix
from graphkit.vision import RandomTransform2d, SnapMix, transform2d

fast = bool(os.environ.get("GRAPHKIT_FAST"))
images, y = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
x = F.interpolate(images.float().view(-1, 1, 8, 8) / 8, (16, 16), mode="bilinear")
test = torch.arange(len(y)) % 3 == 0


def train(model, task, epochs, lr=0.003):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    Trainer(1 if fast else epochs, monitor=None, seed=0).fit(model, optimizer, task)
    return model.eval()


def classify(model, x, y):
    return F.cross_entropy(model(x), y)


def right(logits, y):
    return round(float((logits.argmax(1) == y).float().mean()), 3)


# %% [markdown]
# ## TI-CNN: feature maps that move
#
# `RandomTransform2d` stands behind the first convolution. While the network learns from upright
# digits, its feature maps are turned, scaled and shifted at random; afterwards the layer does
# nothing.


# %%
def network(layer):
    seed_everything(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), layer, nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10)),
    )


task = TensorTask((x[~test], y[~test]), classify)
plain = train(network(nn.Identity()), task, 8)
moved = train(network(RandomTransform2d(angle=40, scale=0.2, shift=0.1, p=0.5)), task, 16)
anything = RandomTransform2d(40, 0.3, 0.15, p=1.0, generator=torch.Generator().manual_seed(0))
turned = transform2d(x[test], anything.draw(int(test.sum()))[0])
for name, model in (("plain", plain), ("TI-CNN", moved)):
    with torch.no_grad():
        print(name, "upright", right(model(x[test]), y[test]), "all", right(model(turned), y[test]))

# %% [markdown]
# The same without labels: every test digit under nine turns is a chain of nodes, and the energy of
# the logits along these chains says how much the network sees of the turn.

# %%
turns = torch.tensor([[float(angle), 1.0, 0.0, 0.0] for angle in range(-40, 41, 10)])
for name, model in (("plain", plain), ("TI-CNN", moved)):
    graph = OrbitGraphAdapter(model, turns)(x[test][:200], y[test][:200])
    print(name, graph, "energy", graph.energy.item())
print(orbit_energy(graph.x, graph.edge_index).item())
graph

# %% [markdown]
# ## SnapMix: labels by what is left to see
#
# A box of one image is replaced by a box of another. CutMix would weigh both labels by area;
# `SnapMix` asks the network where it sees the class. The weights need not sum to one: two boxes of
# background say little about either image.

# %%
seed_everything(0)
gap = nn.Sequential(
    *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
    *(nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU()),
    *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)),
)
snapmix = SnapMix(gap, "5", "8", generator=torch.Generator().manual_seed(0))
train(snapmix, TensorTask((x[~test], y[~test]), lambda m, x, y: m.loss(x, y)), 8)
with torch.no_grad():
    print("trained on mixed digits alone", right(snapmix(x[test]), y[test]))
mixed = snapmix.mix(x[test][:8], y[test][:8])
print("replaced", mixed.box_a, "taken", mixed.box_b)
for pair in zip(mixed.y_a, mixed.weight_a, mixed.y_b, mixed.weight_b, strict=True):
    print("{} weighs {:.2f}, {} weighs {:.2f}".format(*(part.item() for part in pair)))

# %% [markdown]
# Where they come from is a graph, and one message pass of the labels along it gives the soft
# labels, to the last bit but one.

# %%
provenance = ProvenanceGraphAdapter(gap, "5", 10)(x[test][:8], mixed)
labels = torch.where(provenance.mixed[:, None], 0.0, provenance.y)
passed = SimpleConv(aggr="sum")(labels, provenance.edge_index, provenance.edge_weight)
print("error", (passed - provenance.y)[provenance.mixed].abs().max().item())
provenance

# %% [markdown]
# Graphs can be mixed in the same way, which is ours, not the paper's: a connected part of one
# replaces a connected part of the other.


# %%
class GraphNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.gnn, self.head = GCN(3, 16, 2), nn.Linear(16, 2)

    def forward(self, x, edge_index, batch):
        return self.head(global_mean_pool(self.gnn(x, edge_index), batch))


def ring(count, label):
    here = torch.arange(count)
    edges = torch.stack([here, here.roll(-1)])
    return Data(
        torch.randn(count, 3), torch.cat([edges, edges.flip(0)], 1), y=torch.tensor([label])
    )


graph_snapmix(ring(12, 0), ring(9, 1), GraphNet(), "gnn", "head")
