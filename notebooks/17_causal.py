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

from graphkit.adapters import (
    CausalPairGraphAdapter,
    DomainGraphAdapter,
    InterventionGraphAdapter,
)
from graphkit.datasets import load
from graphkit.train import TensorTask, Trainer, seed_everything
from graphkit.vision import (
    DCCD,
    CausalAdv,
    GroupMoments,
    Intervention,
    attack_ensemble,
    hard_triplet_loss,
    logit_margin,
    pgd,
    wasserstein_distances,
)

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

# %% [markdown]
# ## DCCD: identities that go with their domain
#
# Each identity is one drawn digit, and each comes from one camera alone. A network may tell them
# apart by the camera; made blind for cameras, it loses what it knows. An intervention moves a
# representation to another camera, drawn without regard to the identity, before it is learned
# from.

# %%
people, views = 60, 8
drawn = x[torch.randperm(len(x))[:people]]
who = torch.arange(people).repeat_interleave(views)
gain, light = torch.tensor([1.2, 0.7, 1.0]), torch.tensor([0.0, 0.3, -0.4])


def seen(who, camera):
    slope = light[camera].view(-1, 1, 1, 1) * torch.linspace(-1, 1, 8).view(1, 1, 8, 1)
    noise = 0.1 * torch.randn(len(who), 1, 8, 8)
    return gain[camera].view(-1, 1, 1, 1) * drawn[who] + slope + noise


camera = who % 3
other = (camera + 1 + torch.randint(2, who.shape)) % 3
train_images, other_images = seen(who, camera), seen(who, other)
for name, options in (("plain", {"interventions": 0, "weight": 0.0}), ("dccd", {"warm": 20})):
    seed_everything(0)
    model = DCCD(network(), 64, people, 3, **options)
    task = TensorTask((train_images, who, camera), lambda m, x, y, d: m.loss(x, y=y, domain=d), 64)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    Trainer(1 if fast else 20, monitor=None, seed=0).fit(model, optimizer, task)
    model.eval()
    with torch.no_grad():
        for camera_is, images_of in (("own", train_images), ("another", other_images)):
            hits = model.logits(images_of).argmax(1) == who
            print(name, camera_is, "camera", float(hits.float().mean()))

# %% [markdown]
# The same as a graph: who is whose counterfactual, and in which domain.

# %%
adapter = InterventionGraphAdapter(model, interventions=2)
print(adapter.schema)
adapter(train_images[:60], who[:60], camera[:60], generator=torch.Generator().manual_seed(0))

# %% [markdown]
# An intervention alone: after it, a domain has the mean and the covariance of the other. How far
# domains are from each other is their Wasserstein distance.

# %%
with torch.no_grad():
    z = model(train_images)
moments = GroupMoments(3, 64)
moments.update(z, camera)
do = Intervention(moments)
moved = do(z[camera == 0], camera[camera == 0], torch.full((int((camera == 0).sum()),), 1))
print("means differ by", float((moved.mean(0) - moments.mean[1]).abs().max()))
print(wasserstein_distances(moments.mean, moments.cov))
domains = DomainGraphAdapter()(z, camera)
print(domains, domains.edge_weight)
print("hardest triplets", float(hard_triplet_loss(z, who)))

# %% [markdown]
# Nodes of a graph have domains as well: the environments that a graph was recorded in.

# %%
environment = (digits.y[rows] % 2 + torch.randint(2, rows.shape)) % 2
node_model = DCCD(GCN(64, 32, 2, 16), 16, 10, 2)
loss = node_model.loss(nodes, edge_index, y=digits.y[rows], domain=environment, rows=rows)
loss.backward()
InterventionGraphAdapter(node_model)(nodes, digits.y[rows], environment, edge_index, rows=rows)
