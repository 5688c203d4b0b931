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

from graphkit.adapters import (
    AmalgamationGraphAdapter,
    ChannelGraphAdapter,
    LabelGraphAdapter,
    TrustGraphAdapter,
)
from graphkit.datasets import load
from graphkit.distill import (
    CustomizedStudent,
    Distillation,
    Distiller,
    GroupStackAmalgamation,
    InheritanceExploration,
    MutualExploration,
    MutualTask,
)
from graphkit.taps import tap
from graphkit.train import NoiseTask, TensorTask, Trainer, seed_everything

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

# %% [markdown]
# ## Inheritance and exploration: past the teacher
#
# Half of the student's channels follows the teacher, the other half is kept away from it, so that
# there is room for what the teacher does not know. Both are measured on factors: what an
# auto-encoder, trained first, boils the teacher's features down to.

# %%
few = pool[:200]
teacher = train(network(8), TensorTask((x[few], y[few]), classify), 30)
with tap(teacher, "8") as inner, torch.no_grad():
    teacher(x[few])
terms = InheritanceExploration(64, 32, factor_channels=16)
print("error of the auto-encoder", terms.learn_factors(inner["8"].output, 2 if fast else 30))
explorer = Distiller(network(16), teacher, [("8", "8")], terms, 1.0)
optimizer = torch.optim.Adam(explorer.parameters(), lr=0.003)
trainer = Trainer(2 if fast else 40, monitor=None, seed=0, callbacks=[Distillation(explorer)])
trainer.fit(explorer, optimizer, TensorTask((x[few], y[few]), classify))
with tap(teacher, "8") as theirs, tap(explorer.eval().student, "8") as ours, torch.no_grad():
    print("teacher", right(teacher(x[test]), y[test]))
    print("student", right(explorer(x[test]), y[test]))
print("distances of both halves", terms.distances(ours["8"].output, theirs["8"].output))

# %% [markdown]
# Channels are nodes: which answer alike, within the student and to the teacher's.

# %%
adapter = ChannelGraphAdapter(explorer.student, teacher, ("8", "8"), terms.explore)
channels = adapter(x[test], y=y[test])
print(adapter.schema)
taught = channels["student_channel", "teacher_channel"]
half = channels["student_channel"].y[taught.edge_index[0]]
for number, name in enumerate(("inherits", "explores")):
    print(name, "weight of edges to the teacher", float(taught.edge_weight[half == number].sum()))

# %% [markdown]
# Two untrained networks can do the same to each other, in turns; here GNNs.

# %%
both = MutualExploration(
    GCN(64, 32, 2, 10), GAT(64, 32, 2, 10), ("convs.0", "convs.0"), (32, 32), spatial=False
)
rows = data.train_mask.nonzero()[:, 0]
task = MutualTask(
    (rows, data.y[rows]),
    lambda m, rows, y, turn: m.loss(data.x, data.edge_index, y=y, rows=rows, turn=turn),
    512,
)
train(both, task, 30, 0.01)
for out in both(data.x, data.edge_index):
    print(right(out[data.test_mask], data.y[data.test_mask]))

# %% [markdown]
# ## Group-stack amalgamation: labels of several teachers, and no data
#
# Two teachers say which digits are in an image; the first knows 0 and 1, the second 2 and 3. The
# student is to know 1 and 2, and there is no image at all. A stack of groups turns noise into an
# image, and what an inner group makes enters the teachers half-way. Images are standardised and
# get noise on every pixel, so that they keep the scale of real ones and are not too much alike.
# Reconstructed from a secondary source; a student that learns end to end on the same images is as
# good, and so is an untrained generator with that noise: see the recipe `groupstack-digits`.


# %%
def blocks(labels):
    head = nn.Sequential(nn.Flatten(), nn.Linear(32 * 4, labels))
    parts = [nn.Conv2d(1, 16, 3, 2, 1), nn.Conv2d(16, 32, 3, 2, 1)]
    return [*(nn.Sequential(conv, nn.ReLU()) for conv in parts), head]


def tell(model, x, y):
    return F.binary_cross_entropy_with_logits(model(x), y)


def draw(count, generator):
    return torch.randn(count, 16, generator=generator)


class Grain(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


known = [[0, 1], [2, 3]]
tellers = [blocks(2), blocks(2)]
for blocks_of_one, own in zip(tellers, known, strict=True):
    here = torch.stack([y[pool] == digit for digit in own], 1).float()
    train(nn.Sequential(*blocks_of_one), TensorTask((x[pool], here), tell), 15)
up = nn.Upsample(scale_factor=2)
first = [nn.Linear(16, 128), nn.Unflatten(1, (32, 2, 2)), nn.BatchNorm2d(32), nn.ReLU()]
second = [up, nn.Conv2d(32, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU()]
last = [up, nn.Conv2d(16, 1, 3, 1, 1), nn.BatchNorm2d(1, affine=False), Grain()]
stack = [nn.Sequential(*layers) for layers in (first, second, last)]
groups = GroupStackAmalgamation(
    stack, tellers, blocks(2), known, [1, 2], torch.randn(2, 16), inner=0.0
)
for stage in (None, 0, 1, 2):

    def loss(model, z, stage=stage):
        return model.generator_loss(z) if stage is None else model.block_loss(stage, z)

    optimizer = torch.optim.Adam(groups.groups(stage), lr=0.001)
    noise = NoiseTask(draw, loss, steps=5 if fast else 150)
    Trainer(1, monitor=None, seed=0).fit(groups.train(), optimizer, noise)
groups.eval()
with torch.no_grad():
    logits = groups.regroup()(x[test])
for place, digit in enumerate((1, 2)):
    there = y[test] == digit
    print(digit, "logit where it is", float(logits[there, place].mean()))
    print(digit, "logit elsewhere", float(logits[~there, place].mean()))

# %% [markdown]
# Which labels come together, by what the teachers say of generated images.

# %%
adapter = LabelGraphAdapter(groups)
print(adapter.schema)
adapter(draw(500, None))

# %% [markdown]
# The networks themselves are a graph as well: who feeds whom, and how far the gates before each
# teacher's block are open.

# %%
parts = AmalgamationGraphAdapter(groups)(draw(500, None))
judged = parts["generator_group", "judged_by", "teacher_block"]
for (group, block), gate in zip(judged.edge_index.t().tolist(), judged.edge_attr, strict=True):
    print("group", group, "before teachers' block", block, "gate", round(float(gate), 2))
