# %% [markdown]
# # SPAGAN: what paths does a node attend to?
#
# A graph attention network looks at neighbours. SPAGAN
# ([Yang et al., IJCAI 2019](https://arxiv.org/abs/2101.03464)) also looks along the
# *cheapest paths* to nodes further away, where an edge is cheap if a trained attention
# network pays much attention to it. Here we train one, draw the paths of a node on the
# graph, and ask how much the learned costs matter.
#
# The graph is Zachary's karate club, which ships with PyG. `GRAPHKIT_FAST=1` shrinks
# every run to seconds.

# %%
import os
from itertools import pairwise

import matplotlib.pyplot as plt
import networkx as nx
import torch
from torch_geometric.datasets import KarateClub
from torch_geometric.utils import to_networkx

from graphkit.nn import SPAGAN, SPAGANConv
from graphkit.ops import shortest_paths
from graphkit.sampling import PathLoader, PathSampler
from graphkit.train import NodeTask, PathRounds, Trainer, seed_everything
from graphkit.transforms import AddShortestPaths, paths_of

fast = bool(os.environ.get("GRAPHKIT_FAST"))
data = KarateClub()[0]
data.val_mask = ~data.train_mask
data.test_mask = ~data.train_mask
data

# %% [markdown]
# ## Train in two stages
#
# The first stage is a graph attention network. At its end `PathRounds` turns the
# attention into edge costs, finds the paths, and lets the path network train.
# (The club has four labelled nodes and nothing to validate on, so the figures below
# only show the machinery; the benchmarks have the real ones.)


# %%
def train(costs: str = "attention", seed: int = 0) -> tuple[SPAGAN, float]:
    seed_everything(seed)
    model = SPAGAN(data.num_features, 8, 4, heads=4, ratio=1.0, costs=costs)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
    trainer = Trainer(5 if fast else 100, callbacks=[PathRounds()], seed=seed, progress=False)
    result = trainer.fit(model, optimizer, NodeTask(data))
    return model, result.metrics["test_accuracy"]


model, accuracy = train()
print(f"test accuracy {accuracy:.2f}, {len(model.paths[3])} paths of three nodes")

# %% [markdown]
# ## The paths of one node
#
# Red edges are the paths of node 16, whose two neighbours 5 and 6 stand between it and
# the rest of the club. Every path costs less than any path with fewer nodes.

# %%
centre = 16
graph = to_networkx(data, to_undirected=True)
place = nx.spring_layout(graph, seed=3)
mine = model.paths[3][model.paths[3][:, 0] == centre].tolist()
on_paths = {edge for path in mine for edge in pairwise(path)}
figure, axes = plt.subplots(figsize=(6.5, 5))
colours = [plt.cm.Set2(int(label)) for label in data.y]
nx.draw_networkx(
    graph, place, ax=axes, node_color=colours, edge_color="0.8", node_size=220, font_size=7
)
nx.draw_networkx_edges(
    graph, place, edgelist=list(on_paths), edge_color="crimson", width=2.5, ax=axes
)
axes.set_axis_off()
mine

# %% [markdown]
# ## Do learned costs matter?
#
# The same network on paths from unweighted breadth-first search and from random costs.

# %%
for costs in ("attention", "uniform", "random"):
    accuracies = [train(costs, seed)[1] for seed in range(1 if fast else 5)]
    print(f"{costs:>9}: {sum(accuracies) / len(accuracies):.3f}")

# %% [markdown]
# On 34 nodes nobody should read much into that. The recipes `spagan-cora`,
# `spagan-uniform-cora` and `spagan-random-cora` ask the same question with 20 seeds.
#
# ## Paths without the model
#
# `shortest_paths` is an ordinary function on tensors, and `AddShortestPaths` a PyG
# transform. Both give the cheapest paths by number of nodes, ready for `SPAGANConv`, the
# layer behind the model.

# %%
cost = torch.rand(data.num_edges, generator=torch.Generator().manual_seed(0))
shortest_paths(data.edge_index, cost, max_nodes=4, ratio=0.5)[4][:3]

# %%
with_paths = AddShortestPaths(max_nodes=3, ratio=0.5)(data)
conv = SPAGANConv(data.num_features, 8, heads=2)
conv(with_paths.x, with_paths.edge_index, paths_of(with_paths)).shape

# %% [markdown]
# ## Graphs that do not fit
#
# `PathSampler` draws seeds, their edges and paths, and the nodes on them. For the seeds the
# network gives what it gives on the whole graph.

# %%
model.eval()
sampler = PathSampler(data, ratio=1.0)
whole = model(data.x, data.edge_index, paths_of(AddShortestPaths(ratio=1.0)(data)))
for batch in PathLoader(data, sampler, batch_size=8):
    out = model(batch.x, batch.edge_index, paths_of(batch))[: batch.batch_size]
    torch.testing.assert_close(out, whole[batch.n_id[: batch.batch_size]])
print("every batch agrees with the whole graph")
