# %% [markdown]
# # Many teachers, and past the teacher
#
# Trained networks, each good at something else, and one student that is to have the best of all
# of them. Set `GRAPHKIT_FAST=1` to shrink every run to seconds.

# %%
import os

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch_geometric.nn import GAT, GCN

from graphkit.adapters import TrustGraphAdapter
from graphkit.datasets import load
from graphkit.distill import CustomizedStudent
from graphkit.train import TensorTask, Trainer, seed_everything

fast = bool(os.environ.get("GRAPHKIT_FAST"))
seed_everything(0)
images, y = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
x = images.float().view(-1, 1, 8, 8) / 16
test = torch.arange(len(y)) % 3 == 0


def train(model, task, epochs, lr=0.003):
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=lr)
    Trainer(2 if fast else epochs, monitor=None, seed=0).fit(model, optimizer, task)
    return model.eval()


def classify(model, x, y):
    return F.cross_entropy(model(x), y)


def right(logits, y):
    return round(float((logits.argmax(1) == y).float().mean()), 3)


# %% [markdown]
# ## Customised student: whom to trust, sample by sample
#
# Both sources below know all ten digits by name, but each has seen only two images of every digit
# of the other half. For an image without a label the student learns from the source that is surer
# of it, the one whose softmax has the lower entropy.


# %%
def network(width, classes=10):
    layers, inside = [], 1
    for outside, stride in ((width, 1), (2 * width, 2), (4 * width, 2)):
        conv = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        layers += [conv, nn.BatchNorm2d(outside), nn.ReLU()]
        inside = outside
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, classes)
    return nn.Sequential(*layers, *head)


pool, unlabelled = (~test).nonzero()[:, 0].tensor_split(2)
sources = []
for half in (y < 5, y >= 5):
    seen = pool[half[pool]]
    others = [pool[(y == digit)[pool]][:2] for digit in y[~half].unique()]
    rows = torch.cat([seen, *others])
    sources.append(train(network(12), TensorTask((x[rows], y[rows]), classify), 30))
student = CustomizedStudent(
    network(8),
    sources,
    covers=[{"digit": range(10)}] * 2,
    layers=[["5"] * 3, ["8"] * 3],
    channels=[[16, 24, 24], [32, 48, 48]],
)
train(student, TensorTask((x[unlabelled],), lambda m, x: m.loss(x)), 40)
print("sources", [right(source(x[test]), y[test]) for source in sources])
print("surest source", right(student.trust("digit", x[test]).picked, y[test]))
print("student", right(student(x[test]), y[test]))

# %% [markdown]
# The choices are a graph: samples, sources, tasks. Which source is right on a sample is a label of
# the edge between them; the recipe `customized-digits` predicts it, beside the entropy alone.

# %%
adapter = TrustGraphAdapter(student)
graph = adapter(x[test], y=y[test])
print(adapter.schema)
edges = graph["sample", "trusts", "source"]
chosen = edges.edge_attr[:, 2] > 0
print("right where chosen", float(edges.correct[chosen].float().mean()))
print("right elsewhere", float(edges.correct[~chosen].float().mean()))

# %% [markdown]
# The same with graph networks, nodes in place of images.

# %%
data = load("digits", seed=0)[0]
members = []
for half, member in ((data.y < 5, GAT(64, 32, 2, 10, heads=4)), (data.y >= 5, GCN(64, 48, 2, 10))):
    rows = (data.train_mask & half).nonzero()[:, 0]
    rest = (data.train_mask & ~half).nonzero()[:5, 0]
    task = TensorTask(
        (torch.cat([rows, rest]),),
        lambda m, rows: F.cross_entropy(m(data.x, data.edge_index)[rows], data.y[rows]),
    )
    members.append(train(member, task, 40, 0.01))
pupil = CustomizedStudent(GCN(64, 16, 2, 10), members, [{"digit": range(10)}] * 2)
nodes = torch.arange(data.num_nodes)
task = TensorTask((nodes,), lambda m, rows: m.loss(data.x, data.edge_index, rows=rows), 512)
train(pupil, task, 20, 0.01)
for net in (*members, pupil):
    guess = net(data.x, data.edge_index)[data.test_mask]
    print(type(net).__name__, right(guess, data.y[data.test_mask]))
