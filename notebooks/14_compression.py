# %% [markdown]
# # Compression: few levels, few channels
#
# A trained network becomes smaller, and the smaller one is a graph: of signed edges where weights
# have three levels, of channels where some were taken out. Set `GRAPHKIT_FAST=1` to shrink every
# run to seconds.

# %%
import os

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch_geometric.nn import GAT, SignedConv, SimpleConv
from torch_geometric.utils import subgraph

from graphkit.adapters import (
    LineageGraphAdapter,
    PruningGraphAdapter,
    SignedGraphAdapter,
    knn_edges,
)
from graphkit.compress import (
    ChannelDependency,
    EvolutionaryPruning,
    QuantizationNetwork,
    TemperatureSchedule,
    stored_bytes,
)
from graphkit.modes import evaluating
from graphkit.train import TensorTask, Trainer, seed_everything

fast = bool(os.environ.get("GRAPHKIT_FAST"))
images, y = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
x = images.float().view(-1, 1, 8, 8) / 8 - 1
test = torch.arange(len(y)) % 3 == 0
task = TensorTask((x[~test], y[~test]), lambda model, x, y: F.cross_entropy(model(x), y))


def network(width):
    seed_everything(0)
    return nn.Sequential(
        *(nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()),
        *(nn.Conv2d(width, 2 * width, 3, 2, 1), nn.BatchNorm2d(2 * width), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(8 * width, 32), nn.ReLU()),
        nn.Linear(32, 10),
    )


def train(model, groups, epochs, callbacks=()):
    trainer = Trainer(1 if fast else epochs, monitor=None, seed=0, callbacks=callbacks)
    trainer.fit(model, torch.optim.Adam(groups, lr=0.003), task)
    return model


@torch.no_grad()
def right(model):
    with evaluating(model):
        return round(float((model(x[test]).argmax(1) == y[test]).float().mean()), 3)


full = network(12)
train(full, full.parameters(), 12)
right(full)

# %% [markdown]
# ## Quantization networks: three levels
#
# In training a weight is a soft function of what is learned, whose steps sharpen from epoch to
# epoch; afterwards it is -1, 0 or 1 times a scale.

# %%
print("only rounded", right(QuantizationNetwork(full)))
net = QuantizationNetwork(full)
train(net, net.groups(lr=0.003), 12, [TemperatureSchedule(net)])
packed = net.eval().pack()
print("ternary", right(net), "packed", right(packed))
print("bytes", stored_bytes(full), "to", stored_bytes(packed))
{name: packed.get_submodule(name[:-7]).weight.unique() for name in net.quantizers()}

# %% [markdown]
# A ternary layer is a signed graph. Positive edges less negative ones, times the scale, are the
# layer; PyG's `SignedConv` reads the same graph.

# %%
graph = SignedGraphAdapter(net, layers=["8"])(x[test][:50])
inputs = torch.relu(torch.randn(50, 96))
signals = torch.cat([inputs.t(), torch.zeros(32, 50)])
total, layer = SimpleConv(aggr="sum"), net.model[8]
positive, negative = (total(signals, e) for e in (graph.pos_edge_index, graph.neg_edge_index))
sums = layer.parametrizations.weight[0].alpha * (positive - negative)[96:].t() + layer.bias
print("largest difference", (sums - layer(inputs)).abs().max().item())
print(SignedConv(5, 4, first_aggr=True)(graph.x, graph.pos_edge_index, graph.neg_edge_index).shape)
graph

# %% [markdown]
# ## Evolutionary pruning: few channels
#
# An individual says of every channel whether it stays, and is judged as the smaller network that
# it means. `ChannelDependency` knows what has to go with a channel: it looks where a mark arrives.

# %%
val = torch.arange(len(y)) % 3 == 1


@torch.no_grad()
def on_validation(model):
    return float((model(x[val]).argmax(1) == y[val]).float().mean())


search = EvolutionaryPruning(
    full, (x[:2],), on_validation, population=16, generations=2 if fast else 15
)
mask = search.run()
small = search.compact()
print("full", right(full), "pruned", right(small), "channels", mask.sum().item(), "of", len(mask))
print("judged", len(search.scores), "of", 16 * len(search.lineage.bits))
train(small, small.parameters(), 4)
print("tuned", right(small), "bytes", stored_bytes(full), "to", stored_bytes(small))

# %% [markdown]
# The channels are a graph as well: what the kept ones induce are the kernels of the small network.
# The search itself is another, from parents to children.

# %%
channels = PruningGraphAdapter(search.dependency, mask)(x[test][:50])
induced = subgraph(channels.y.bool(), channels.edge_index)[0]
own = PruningGraphAdapter(ChannelDependency(small, (x[:2],)))(x[test][:50])
print(channels, "induced", induced.size(1), "kernels of the small network", own.num_edges)
LineageGraphAdapter()(search.lineage)

# %% [markdown]
# A GNN is pruned the same way, in place of convolutions its message-passing layers.

# %%
edge_index = knn_edges(images.float(), 8, metric="cosine")
gnn = GAT(64, 32, num_layers=2, out_channels=10, heads=4)
optimizer = torch.optim.Adam(gnn.parameters(), lr=0.01)
for _ in range(5 if fast else 40):
    optimizer.zero_grad()
    F.cross_entropy(gnn(images.float() / 16, edge_index)[~test], y[~test]).backward()
    optimizer.step()


@torch.no_grad()
def right_nodes(model, rows=test):
    out = model.eval()(images.float() / 16, edge_index)
    return float((out[rows].argmax(1) == y[rows]).float().mean())


args = (images.float() / 16, edge_index)
search = EvolutionaryPruning(
    gnn, args, lambda m: right_nodes(m, val), population=8, generations=2 if fast else 6
)
search.run()
print("full", right_nodes(gnn), gnn.convs[0], "pruned", right_nodes(search.compact()))
search.compact().convs[0]
