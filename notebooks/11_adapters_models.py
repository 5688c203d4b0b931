# %% [markdown]
# # Adapters: models
#
# Here the nodes are *models*, or what several models make of the same samples. The methods put
# trained networks together; the adapters turn what they find into ordinary PyG graphs.
# Set `GRAPHKIT_FAST=1` to shrink every run to seconds.

# %%
import os

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch_geometric.nn import APPNP, GAT, GCN

from graphkit import plot
from graphkit.adapters import CommonSpaceGraphAdapter, GraftLatticeAdapter, graft_order
from graphkit.compress import GraftTask, NetGraft, cut_gnn
from graphkit.datasets import load
from graphkit.distill import CommonFeatureLearning
from graphkit.train import TensorTask, Trainer, seed_everything

fast = bool(os.environ.get("GRAPHKIT_FAST"))
seed_everything(0)
images, y = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
x = images.float().view(-1, 1, 8, 8) / 16
test = torch.arange(len(y)) % 3 == 0


def train(model, task, epochs, lr=0.003):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    Trainer(2 if fast else epochs, monitor=None, seed=0).fit(model, optimizer, task)
    return model.eval()


# %% [markdown]
# ## Models: common feature learning
#
# Two trained networks of different width, one knows the digits 0 to 4, the other 5 to 9. A third,
# smaller one learns both sets from them, from images without labels: it copies their soft targets,
# and its features come to lie where theirs lie, in a space that all three share.


# %%
def network(width, classes):
    layers = []
    for inside, outside, stride in ((1, 1, 1), (1, 2, 2), (2, 4, 2)):
        inside = 1 if stride == 1 else inside * width
        layers += [
            nn.Conv2d(inside, outside * width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outside * width),
            nn.ReLU(),
        ]
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, classes)
    return nn.Sequential(*layers, *head)


def classify(model, x, y):
    return F.cross_entropy(model(x), y)


teachers = []
for number, width in enumerate((16, 12)):
    own = ~test & (y // 5 == number)
    task = TensorTask((x[own], y[own] - 5 * number), classify)
    teachers.append(train(network(width, 5), task, 20))
cfl = CommonFeatureLearning(
    network(10, 10), teachers, layers=["8"] * 3, channels=(40, 64, 48), hidden_channels=64
)
unlabelled = x[~test][:200]
adapter = CommonSpaceGraphAdapter(cfl, k=5)
before = adapter(x[test], y=y[test])
train(cfl.train(), TensorTask((unlabelled,), lambda m, x: m.loss(x)), 30)
graph = adapter(x[test], y=y[test])
print("accuracy of the student", float((cfl(x[test]).argmax(1) == y[test]).float().mean()))
print(adapter.schema)

# %% [markdown]
# Every network is a node type, every image a node of each; all live in the same space. Do an
# image's nodes of two networks find each other?


# %%
def found(views, rows=slice(None)):
    """How often the partner is among the ten nearest, by teacher."""
    student, *teachers = (F.normalize(view, dim=1)[rows] for view in views)
    truth = torch.arange(len(student)).unsqueeze(1)
    best = [(teacher @ student.t()).topk(10).indices for teacher in teachers]
    return [round(float((near == truth).any(1).float().mean()), 2) for near in best]


print("partner among the ten nearest, before", found(before.x_dict.values()))
print("and after", found(graph.x_dict.values()))

# %% [markdown]
# Not often: the method brings distributions together and never asks which image is which. With
# the links of every fifth image given, the graph can tell. How much of each given image arrives
# at a node along the `near` edges says where in its network the node is, and places can be
# compared between networks.

# %%
number = torch.arange(int(test.sum()))
given, rest = number[number % 5 == 0], number[number % 5 > 0]
start = torch.eye(len(number))[:, given]
places = [
    APPNP(10, 0.2)(start, graph[kind, "near", kind].edge_index).sqrt() for kind in graph.node_types
]
print("of the rest, in the common space", found(graph.x_dict.values(), rest))
print("and along the graph", found(places, rest))
some = graph.subgraph({kind: torch.arange(60) for kind in graph.node_types})
axes = plot.as_layout(some, color="y", size=15)

# %% [markdown]
# The same with graph networks: two teachers of different kind, each knows some classes of the
# nodes, and one student for all. The last features are those of nodes, through linear layers.

# %%
data = load("digits", seed=0)[0]
members = [GAT(64, 32, 2, 5, heads=4), GCN(64, 48, 2, 5)]
for number, member in enumerate(members):
    rows = (data.train_mask & (data.y // 5 == number)).nonzero()[:, 0]
    task = TensorTask(
        (rows, data.y[rows] - 5 * number),
        lambda m, rows, y: F.cross_entropy(m(data.x, data.edge_index)[rows], y),
    )
    train(member, task, 60, 0.01)
pupil = CommonFeatureLearning(
    GCN(64, 16, 2, 10), members, ["convs.0"] * 3, (16, 32, 48), 32, spatial=False
)
nodes = torch.arange(data.num_nodes)
task = TensorTask((nodes,), lambda m, rows: m.loss(data.x, data.edge_index, rows=rows), 256)
train(pupil, task, 20, 0.01)
guess = pupil(data.x, data.edge_index).argmax(1)
print("accuracy", float((guess == data.y)[data.test_mask].float().mean()))
CommonSpaceGraphAdapter(pupil)(data.x, data.edge_index, y=data.y)

# %% [markdown]
# ## Models: network grafting
#
# A trained network is to shrink to a sixteenth of its parameters, and all there is are ten images,
# one per class, without labels. `NetGraft` puts each block of the small network into the place of
# the large one's, where everything around it works already, and lets the blocks grow together
# only when each has learned its part.


# %%
def blocks(width):
    parts, inside = [], 1
    for outside, stride in ((width, 1), (width, 1), (2 * width, 2), (4 * width, 2)):
        parts.append(nn.Sequential(nn.Conv2d(inside, outside, 3, stride, 1), nn.ReLU()))
        inside = outside
    parts[-1].extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, 10)])
    return nn.Sequential(*parts)


def right(net, **options):
    with torch.no_grad():
        guess = net.eval()(2 * x[test] - 1, **options).argmax(1)
    return round(float((guess == y[test]).float().mean()), 2)


def learn(graft, grafted, steps, context=None, lr=0.01, **options):
    task = GraftTask(grafted=grafted, steps=5 if fast else steps, **(context or {}), **options)
    optimizer = torch.optim.Adam(graft.groups(grafted, lr))
    Trainer(1, monitor=None, seed=0, progress=False).fit(graft, optimizer, task)


def nudge(images):
    row, col = torch.randint(3, (2,)).tolist()
    return F.pad(images, (1, 1, 1, 1), value=-1.0)[:, :, row : row + 8, col : col + 8]


large = blocks(24)
train(large, TensorTask((2 * x[~test] - 1, y[~test]), classify), 20, 0.001)
few = torch.stack([2 * x[~test][y[~test] == c][0] - 1 for c in range(10)])
graft = NetGraft(large, blocks(6), few)
stages = graft.stages()
for grafted in stages[:4]:
    learn(graft, grafted, 200, x=few, augment=nudge)
    print(grafted, right(graft, grafted=grafted))
print("all blocks together, before they know each other", right(graft))

# %% [markdown]
# Teacher, student and every hybrid between them are the nodes of the adapter's graph: a cube with
# as many dimensions as there are blocks. An edge grafts one more block, its weight is how far the
# logits move. The colour is the distance from the teacher; one can see which blocks do not yet
# stand each other.

# %%
adapter = GraftLatticeAdapter(graft)
lattice = adapter(2 * x[test] - 1, labels=y[test], visited=torch.tensor(stages[:4]))
print(adapter.schema)
axes = plot.as_layout(lattice, color="y", size=120)

# %% [markdown]
# A path from the teacher to the student is an order of joining the blocks; the shortest one takes
# small steps. It costs no label: the few images are enough. The recipe `netgraft-lattice-digits`
# measures it beside the paper's order, from the first block to the last, and a random one. Then
# the adapters vanish into the student's own weights.

# %%
order = graft_order(adapter(few))
print("shortest path", order)
for grafted in graft.stages(order)[4:]:
    learn(graft, grafted, 200, x=few, augment=nudge, lr=0.003)
    print(grafted, right(graft, grafted=grafted))
small = graft.merge(few)
count = [sum(p.numel() for p in net.parameters()) for net in (large, small)]
print(f"{count[0]} parameters {right(large):.2f}, {count[1]} parameters {right(small):.2f}")

# %% [markdown]
# Graph networks are grafted the same way; a block is a message-passing layer, an adapter a linear
# layer. Here the logits of three nodes per class are all that is told.

# %%
teacher = GCN(64, 64, 3, 10, dropout=0.5)
train(
    teacher,
    TensorTask(
        (data.train_mask.nonzero()[:, 0],),
        lambda m, rows: F.cross_entropy(m(data.x, data.edge_index)[rows], data.y[rows]),
    ),
    60,
    0.01,
)
rows = torch.cat([(data.train_mask & (data.y == c)).nonzero()[:3, 0] for c in range(10)])
context = {"edge_index": data.edge_index}
graft = NetGraft(cut_gnn(teacher), cut_gnn(GCN(64, 8, 3, 10)), data.x, **context)
for grafted in graft.stages():
    learn(graft, grafted, 60, context, x=data.x, rows=rows)
small = graft.merge(data.x, **context).eval()
for net in (teacher, small):
    guess = net(data.x, data.edge_index).argmax(1)
    print("accuracy", float((guess == data.y)[data.test_mask].float().mean()))
