# %% [markdown]
# # Re-identification: the same one, elsewhere
#
# Who is on an image that another camera took? There are labels for one domain and none for the
# other. What today's methods make up instead, pseudo labels, is a graph that can be looked at, and
# repaired. Set `GRAPHKIT_FAST=1` to shrink every run to seconds.

# %%
import copy
import os

import torch
import torch.nn.functional as F
from sklearn.metrics import adjusted_mutual_info_score
from torch import nn
from torch_geometric.nn import GCN, CorrectAndSmooth
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import dropout_edge

from graphkit.adapters import (
    CoassociationGraphAdapter,
    PseudoLabelGraphAdapter,
    TwoViewGraphAdapter,
)
from graphkit.datasets import digits_reid, load
from graphkit.metrics import retrieval_scores
from graphkit.train import Trainer, seed_everything
from graphkit.vision import (
    SSKD,
    CentroidHead,
    ClusteringRounds,
    ConsistencyClustering,
    DensityClusters,
    MeansClusters,
    MobileNetFeatures,
    PseudoLabelTask,
    embedding_spread,
    jaccard_edges,
    rerank,
)

fast = bool(os.environ.get("GRAPHKIT_FAST"))
seed_everything(0)
source = digits_reid(0, 60)
target, test = digits_reid(1, 100).split(0.6)
print(len(source), "images of the source,", len(target), "of the target")

# %% [markdown]
# An identity is one drawn digit, a camera a way to photograph it. `omniglot_reid` has characters
# and their drawers instead, and `market1501` people, where you have the data.


# %%
def network():
    layers, inside = [], 1
    for outside, stride in ((12, 1), (24, 2), (24, 1)):
        conv = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        layers += [conv, nn.BatchNorm2d(outside), nn.ReLU()]
        inside = outside
    head = nn.Linear(inside * 9, 32, bias=False)
    return nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), head, nn.BatchNorm1d(32))


def augment(x, generator):
    """Turned and moved a little, with other light; never mirrored, which would be another digit."""
    turn = 0.4 * torch.rand(len(x), generator=generator) - 0.2
    move = 0.3 * torch.rand(len(x), 2, generator=generator) - 0.15
    rows = [turn.cos(), -turn.sin(), move[:, 0]], [turn.sin(), turn.cos(), move[:, 1]]
    turned = torch.stack([torch.stack(row, 1) for row in rows], 1)
    grid = F.affine_grid(turned, x.shape, align_corners=False)
    gain = 0.8 + 0.4 * torch.rand(len(x), 1, 1, 1, generator=generator)
    return gain * F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def judged(model):
    f = model.embed(test.x)
    scores = retrieval_scores(1 - f @ f.t(), test.identity, test.identity, test.camera, test.camera)
    return {"mAP": round(scores.map, 3), "rank-1": round(float(scores.cmc[0]), 3)}


def train(model, task, epochs, callbacks=(), lr=0.002):
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=lr)
    Trainer(1 if fast else epochs, monitor=None, seed=0, callbacks=callbacks).fit(
        model, optimizer, task
    )


# %% [markdown]
# Photographs want a larger network. `mobilenet_weights` reads what ImageNet taught it, if you have
# the file; here it is as it was drawn.

# %%
print(MobileNetFeatures().eval()(torch.rand(2, 3, 64, 32)).shape)

# %% [markdown]
# ## Peers that teach each other: SSKD
#
# First on the source, with labels.

# %%
model = SSKD(network(), 32, max_clusters=200, peers=2, decay=0.99)
model.open(60)
steps = 5 if fast else 25
train(model, PseudoLabelTask(source.x, augment, source.identity, views=2, steps=steps), 6)
print("as the source left it", judged(model))

# %% [markdown]
# Then on the target without labels: cluster, take clusters for classes, train, cluster again. Each
# network also learns what the other's moving average says.

# %%
alone = SSKD(copy.deepcopy(model.peers[0].encoder), 32, 200, peers=1, soft_weight=0.0, decay=0.0)
for name, one in (("clustering alone", alone), ("two peers", model)):
    rounds = ClusteringRounds(DensityClusters(share=0.01), rounds=3)
    train(one, PseudoLabelTask(target.x, augment, views=2, steps=steps), 2, [rounds])
    agreement = adjusted_mutual_info_score(target.identity, rounds.history[-1])
    print(name, judged(one), "pseudo labels", round(agreement, 3))

# %% [markdown]
# ## Pseudo labels as a graph
#
# Hard labels, soft labels, and who is among whose nearest and back. Outliers, which training
# throws away, are nodes like the others. Where hard and soft labels agree they are trusted;
# `CorrectAndSmooth` carries them along the k-reciprocal edges to the rest.

# %%
adapter = PseudoLabelGraphAdapter(model)
label = rounds.history[-1]
graph = adapter(target.x, label, target.identity, target.camera)
print(adapter.schema)

soft = model.soft_labels(target.x)
trusted = (label == soft.argmax(1)).nonzero().squeeze(1)
near = graph["image", "k_reciprocal", "image"]
edges, weight = gcn_norm(near.edge_index, near.edge_weight, len(label), add_self_loops=False)
repair = CorrectAndSmooth(20, 0.8, 20, 0.8)
belief = repair.correct(soft, label[trusted], trusted, edges, weight)
belief = repair.smooth(belief, label[trusted], trusted, edges, weight)

names = torch.full((model.max_clusters,), -1)
names[graph["cluster"].number] = graph["cluster"].y
for name, guess in (("as clustered", label), ("repaired", belief.argmax(1))):
    right = (guess >= 0) & (names[guess] == target.identity)
    print(name, round(float(right.float().mean()), 3))

# %% [markdown]
# The same neighbourhoods re-rank a gallery.

# %%
f = model.embed(test.x)
edges, distance = jaccard_edges(f)
print(edges.size(1), "of", len(f) ** 2, "pairs share a neighbour")
first = torch.arange(len(test)) % 4 == 0
for name, apart in (
    ("cosine", 1 - f[first] @ f[~first].t()),
    ("re-ranked", rerank(f[first], f[~first])),
):
    who, others = test.identity[first], test.identity[~first]
    seen = test.camera[first], test.camera[~first]
    print(name, round(retrieval_scores(apart, who, others, *seen).map, 3))

# %% [markdown]
# ## Without any label: consistency clustering
#
# Two views of an image are to agree, and so are a network and its own past. From nothing, and with
# cameras as different as these, little is learned; the recipe `sccl-omniglot` begins with clearer
# images, learns much, and says how much of that is due to which consistency.

# %%
start = network()
for name, options in (
    ("clustering alone", {"visual": False, "temporal": None}),
    ("both consistencies", {}),
):
    one = ConsistencyClustering(copy.deepcopy(start), 32, max_clusters=200, **options)
    before = judged(one)
    rounds = ClusteringRounds(DensityClusters(share=0.01), rounds=3)
    train(one, PseudoLabelTask(target.x, augment, steps=steps), 2, [rounds], lr=0.005)
    spread = round(float(embedding_spread(one.embed(target.x))), 2)
    print(name, before, "->", judged(one), "spread", spread)

# %% [markdown]
# Who was in one cluster with whom, over the rounds; and two views of every image, the positive
# pairs of contrastive learning.

# %%
adapter = CoassociationGraphAdapter()
together = adapter(torch.stack(rounds.history), one.embed(target.x), y=target.identity)
print(adapter.schema)
same = together.y[together.edge_index[0]] == together.y[together.edge_index[1]]
always = together.edge_attr[:, 0] == 1
print("one identity, of pairs that were always together", float(same[always].float().mean()))
print("of the others", float(same[~always].float().mean()))

generator = torch.Generator().manual_seed(0)
views = TwoViewGraphAdapter(one, k=4)(
    augment(test.x, generator), augment(test.x, generator), test.identity
)
print(views["view1", "same_image", "view2"].edge_weight.mean())

# %% [markdown]
# ## Nodes of a graph
#
# A view of a graph is the graph with edges dropped and features hidden. The encoder is any GNN, a
# node takes the place of an image.

# %%
data = load("digits", seed=0)[0]
seed_everything(0)
encoder = ConsistencyClustering(GCN(64, 64, 2, 32), 32, max_clusters=10)
optimizer = torch.optim.Adam((p for p in encoder.parameters() if p.requires_grad), lr=0.005)


def view():
    hidden = data.x * (torch.rand_like(data.x[:1]) > 0.3)
    return hidden, dropout_edge(data.edge_index, 0.3)[0]


for _ in range(2):
    f = encoder.embed(data.x, data.edge_index)
    label = MeansClusters(10)(f)
    print("agreement with the digits", adjusted_mutual_info_score(data.y, label))
    encoder.start_round(f, label)
    for _ in range(3 if fast else 20):
        optimizer.zero_grad()
        encoder.loss((view(), view()), label).backward()
        optimizer.step()
        encoder.after_step()

# %% [markdown]
# Classes come and go with the clusters, so the classifier has a row for each number a cluster may
# have, and those without a cluster are off: a run that was killed in a round can be resumed.

# %%
head = CentroidHead(2, max_clusters=3)
head.restart(torch.eye(2), torch.tensor([0, 2]))
head(torch.tensor([[3.0, 0.0]]))
