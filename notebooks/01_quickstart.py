# %% [markdown]
# # graphkit in five minutes
#
# A graph from data that ships with scikit-learn, one PyG baseline, one training loop,
# and a look inside. Nothing here needs a network or a data set on disk.
# Set `GRAPHKIT_FAST=1` to shrink every run to seconds.

# %%
import os

import matplotlib.pyplot as plt
import torch
from torch_geometric.nn import GAT, GCN

from graphkit.datasets import class_split, load
from graphkit.taps import tap
from graphkit.train import NodeTask, Trainer, seed_everything

fast = bool(os.environ.get("GRAPHKIT_FAST"))

# %% [markdown]
# The digits of scikit-learn as a graph: every image is a node, its nearest images are
# its neighbours. Five images of each class have a label.

# %%
data = class_split(load("digits")[0], 5, 10, seed=0)
data

# %%
figure, axes = plt.subplots(1, 10, figsize=(10, 1.3))
for digit, axis in enumerate(axes):
    first = int((data.y == digit).nonzero()[0])
    axis.imshow(data.x[first].view(8, 8), cmap="gray_r")
    axis.axis("off")

# %% [markdown]
# Train two of PyG's models with the same loop.

# %%
kinds = {
    "GCN": lambda: GCN(data.num_features, 16, 2, 10, dropout=0.5),
    "GAT": lambda: GAT(data.num_features, 128, 2, 10, dropout=0.6, act="elu", heads=8),
}
results = {}
for name, make in kinds.items():
    seed_everything(0)
    model = make()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
    trainer = Trainer(epochs=20 if fast else 200, seed=0)
    results[name] = trainer.fit(model, optimizer, NodeTask(data))
{name: round(result.metrics["test_accuracy"], 3) for name, result in results.items()}

# %%
for name, result in results.items():
    plt.plot([entry["val_accuracy"] for entry in result.history], label=name)
plt.xlabel("epoch")
plt.ylabel("validation accuracy")
plt.legend()
# %% [markdown]
# `graphkit.taps` reads inner features of any model without changing it.

# %%
with torch.no_grad(), tap(model.eval(), "convs.0") as features:
    model(data.x, data.edge_index)
hidden = features["convs.0"].output
hidden.shape

# %%
from sklearn.decomposition import PCA

place = PCA(2).fit_transform(hidden.numpy())
plt.scatter(*place.T, c=data.y, s=4, cmap="tab10")
plt.title("first layer of GAT, two principal components")
plt.axis("off")

# %% [markdown]
# `FusedGATConv` is PyG's `GATConv` on graphkit's kernels: the same parameters under the same
# names, so the trained weights load, and the same output.

# %%
from graphkit.nn import FusedGATConv

fused = FusedGATConv(data.num_features, 16, heads=8)
fused.load_state_dict(model.convs[0].state_dict())
with torch.no_grad():
    difference = (fused(data.x, data.edge_index) - hidden).abs().max()
float(difference)

# %% [markdown]
# `FusedGATv2Conv` and `FusedTransformerConv` do the same for `GATv2Conv` and `TransformerConv`.

# %%
from torch_geometric.nn import GATv2Conv, TransformerConv

from graphkit.nn import FusedGATv2Conv, FusedTransformerConv

for fast, plain in ((FusedGATv2Conv, GATv2Conv), (FusedTransformerConv, TransformerConv)):
    theirs = plain(data.num_features, 16, heads=8)
    ours = fast(data.num_features, 16, heads=8)
    ours.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        pair = [layer(data.x, data.edge_index) for layer in (ours, theirs)]
    print(fast.__name__, float((pair[0] - pair[1]).abs().max()))

# %% [markdown]
# One line does this for a whole model: `accelerate` gives every layer that has a fused twin its
# class (`FusedGCNConv`, `FusedSAGEConv` and `FusedGINConv` are the others), keeps all weights, says
# what it left and why, and can be undone.

# %%
from torch_geometric.nn import GIN, PNA, GraphSAGE

from graphkit.nn import accelerate

for kind in (GCN, GraphSAGE, GIN, GAT):
    net = kind(data.num_features, 16, num_layers=2).eval()
    with torch.no_grad():
        before = net(data.x, data.edge_index)
        with accelerate(net):
            after = net(data.x, data.edge_index)
    print(kind.__name__, float((before - after).abs().max()))
print(accelerate(PNA(4, 8, 1, aggregators=["mean"], scalers=["identity"], deg=torch.ones(2))))
