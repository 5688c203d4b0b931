# %% [markdown]
# # Causes and correlations
#
# What a network reads off a sample is in part what the sample is, in part how it looks. Two
# methods take the two apart: CausalAdv keeps an attacker from what style says of the label, DCCD
# breaks the tie between who is on an image and which camera took it. Set `GRAPHKIT_FAST=1` to
# shrink every run to seconds.

# %%
import os

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch_geometric.nn import GCN
from torch_geometric.utils import homophily

from graphkit.adapters import CausalPairGraphAdapter
from graphkit.datasets import load
from graphkit.train import TensorTask, Trainer, seed_everything
from graphkit.vision import CausalAdv, GroupMoments, attack_ensemble, logit_margin, pgd

fast = bool(os.environ.get("GRAPHKIT_FAST"))
seed_everything(0)
images, y = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
x = images.float().view(-1, 1, 8, 8) / 16
test = torch.arange(len(y)) % 3 == 0

# %% [markdown]
# ## CausalAdv: training under attack
#
# `pgd` looks for the worst image near a given one. `CausalAdv` trains on what it finds; styles,
# uncorrelated with the logits, shall say the same of the label before and after. With `alpha=0`
# it is Madry's training, and on data as small as these no better than it: the recipe
# `causaladv-digits` has the numbers.


# %%
def network():
    blocks = [
        nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
        for a, b, stride in ((1, 16, 1), (16, 32, 2), (32, 64, 2))
    ]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def train(model, loss, epochs):
    task = TensorTask((x[~test], y[~test]), loss, 64)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    Trainer(1 if fast else epochs, monitor=None, seed=0).fit(model, optimizer, task)
    return model.eval()


models = {}
for name, loss in (
    ("natural", lambda model, x, y: F.cross_entropy(model(x), y)),
    ("causal", lambda model, x, y: model.loss(x, y=y)),
):
    seed_everything(0)
    models[name] = CausalAdv(network(), 64, 10, eps=0.1, step=0.025, steps=5)
    train(models[name], loss, 8)
for name, model in models.items():
    right = attack_ensemble(model, x[test], y[test], eps=0.1, step=0.025, steps=10)
    print(name, {search: round(float(one.float().mean()), 3) for search, one in right.items()})

# %% [markdown]
# One image: the margin of its label before and after.

# %%
first = x[test][:1]
worst = pgd(lambda z: -logit_margin(models["natural"](z), y[test][:1]).sum(), first, 0.1, 0.02, 20)
for name, model in models.items():
    with torch.no_grad():
        print(name, [float(logit_margin(model(z), y[test][:1])) for z in (first, worst)])

# %% [markdown]
# Styles are uncorrelated with the logits. Samples and their attacked twins are a graph, and the
# homophily of its relations tells what content and style say of the label.

# %%
model = models["causal"]
model.refresh()
with torch.no_grad():
    cross = model.head.weight @ model.moments.cov[0] @ model.basis.t()
print("covariance of content and style", float(cross.abs().max()))
adapter = CausalPairGraphAdapter(model, k=8)
print(adapter.schema)
some, labels = x[test][:200], y[test][:200]
graph = adapter(some, model.attack(some, y=labels), labels)
for kind in ("natural", "adversarial"):
    for relation in ("content_near", "style_near"):
        edges = graph[kind, relation, kind].edge_index
        print(kind, relation, homophily(edges, graph[kind].y))

# %% [markdown]
# The network may be a GNN. The attack then moves the features of all nodes at once.

# %%
digits = load("digits")[0]
nodes, edge_index = digits.x / digits.x.max(), digits.edge_index
rows = torch.arange(0, digits.num_nodes, 3)
gnn = CausalAdv(GCN(64, 32, 2, 16), 16, 10, eps=0.05, step=0.02, steps=3)
optimizer = torch.optim.Adam(gnn.parameters(), lr=0.01)
for _ in range(2 if fast else 30):
    optimizer.zero_grad()
    gnn.loss(nodes, edge_index, y=digits.y[rows], rows=rows).backward()
    optimizer.step()
gnn.eval()
others = torch.arange(1, digits.num_nodes, 3)
attacked = gnn.attack(nodes, edge_index, y=digits.y[others], rows=others)
for name, features in (("clean", nodes), ("attacked", attacked)):
    guess = gnn(features, edge_index)[others].argmax(1)
    print(name, float((guess == digits.y[others]).float().mean()))
CausalPairGraphAdapter(gnn)(nodes, attacked, digits.y[others], edge_index, rows=others)

# %% [markdown]
# `GroupMoments` keeps the mean and the covariance of every class, batch by batch.

# %%
moments = GroupMoments(10, 16)
with torch.no_grad():
    moments.update(gnn.features(nodes, edge_index), digits.y)
print(moments.mean.shape, moments.cov.shape, moments.count.tolist())
