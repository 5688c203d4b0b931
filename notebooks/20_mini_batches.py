# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
# ---

# %% [markdown]
# # Mini-batches of a large graph
#
# PyG's `NeighborLoader` needs pyg-lib. graphkit's takes the same arguments, gives the same batches
# and needs numba alone, so a script changes one import.

# %%
import torch
import torch.nn.functional as F
from torch_geometric.loader import NodeLoader
from torch_geometric.nn import GraphSAGE

from graphkit.datasets import DigitsGraph
from graphkit.sampling import (
    ClusterData,
    ClusterLoader,
    GraphSAINTRandomWalkSampler,
    LinkNeighborLoader,
    NeighborLoader,
    NeighborSampler,
)
from graphkit.train import seed_everything

seed_everything(0)
data = DigitsGraph()[0]
data

# %% [markdown]
# ## Training
#
# The first `batch_size` nodes of a batch are its seeds; the loss is theirs.

# %%
model = GraphSAGE(data.num_features, 32, 2, int(data.y.max()) + 1)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
loader = NeighborLoader(data, [10, 5], input_nodes=data.train_mask, batch_size=64, shuffle=True)
for _ in range(5):
    for batch in loader:
        optimizer.zero_grad()
        out = model(batch.x, batch.edge_index)[: batch.batch_size]
        F.cross_entropy(out, batch.y[: batch.batch_size]).backward()
        optimizer.step()
batch

# %% [markdown]
# ## Whole neighbourhoods
#
# With `-1` nothing is drawn: for its seeds a batch gives what the whole graph gives.

# %%
model.eval()
with torch.no_grad():
    whole = model(data.x, data.edge_index)
    for batch in NeighborLoader(data, [-1, -1], batch_size=500):
        out = model(batch.x, batch.edge_index)[: batch.batch_size]
        torch.testing.assert_close(out, whole[batch.n_id[: batch.batch_size]], atol=1e-4, rtol=1e-4)
print("accuracy", float((whole.argmax(1) == data.y)[data.test_mask].float().mean()))

# %% [markdown]
# ## Weights, links, and the sampler alone
#
# `weight_attr` draws neighbours in proportion to a weight of their edges; links come with
# negatives. A `NeighborSampler` also stands behind PyG's own loaders.

# %%
data.weight = torch.rand(data.num_edges)
weighted = NeighborLoader(data, [5], batch_size=4, weight_attr="weight")
links = LinkNeighborLoader(data, [5, 5], neg_sampling="triplet", batch_size=16, shuffle=True)
plain = NodeLoader(data, NeighborSampler(data, [5, 5]), batch_size=16)
next(iter(weighted)), next(iter(links)), next(iter(plain))

# %% [markdown]
# ## Parts and walks
#
# `ClusterLoader` gives batches of parts between which few edges lie, `GraphSAINTRandomWalkSampler`
# the graphs between the nodes of random walks, with weights that make sums over batches unbiased.

# %%
parts = ClusterData(data, num_parts=12, log=False)
walks = GraphSAINTRandomWalkSampler(data, 50, 2, num_steps=3, sample_coverage=5, log=False)
next(iter(ClusterLoader(parts, batch_size=3, shuffle=True))), next(iter(walks))
