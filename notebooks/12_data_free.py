# %% [markdown]
# # Distillation without data
#
# A trained network is all there is: no image, no graph, no label. A generator makes samples, and
# a smaller network learns to answer as the trained one does. Set `GRAPHKIT_FAST=1` to shrink
# every run to seconds.

# %%
import os
import warnings

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch_geometric.nn import GCN

from graphkit import plot
from graphkit.adapters import DisagreementGraphAdapter, TwoSampleGraphAdapter
from graphkit.datasets import load
from graphkit.distill import DFAD, GraphGenerator, ImageGenerator
from graphkit.metrics import neighbour_test
from graphkit.train import (
    CollapseWarning,
    NoiseTask,
    OneStageStep,
    Opponent,
    Trainer,
    seed_everything,
)
from graphkit.vision import TensorTask

fast = bool(os.environ.get("GRAPHKIT_FAST"))
seed_everything(0)
images, y = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
x = images.float().view(-1, 1, 8, 8)
x = (x - x.mean()) / x.std()
test = torch.arange(len(y)) % 3 == 0


def network(width):
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * width, 4 * width),
        nn.ReLU(),
        nn.Linear(4 * width, 10),
    )


def right(model):
    with torch.no_grad():
        return float((model(x[test]).argmax(1) == y[test]).float().mean())


# %% [markdown]
# ## Adversarial distillation
#
# The generator seeks images on which student and teacher differ, the student imitates the teacher
# on them. The teacher was trained on standardised images, so the generator ends in a
# normalisation that gives its images the same scale. No batch normalisation in the student: it
# would learn the statistics of images that are made.

# %%
teacher = network(16)
task = TensorTask((x[~test], y[~test]), lambda m, x, y: F.cross_entropy(m(x), y))
optimizer = torch.optim.Adam(teacher.parameters(), lr=0.002)
Trainer(1 if fast else 20, monitor=None, seed=0).fit(teacher, optimizer, task)
print("teacher", right(teacher))

dfad = DFAD(network(8), teacher, ImageGenerator(32, size=8, hidden_channels=16))
adam = torch.optim.Adam(dfad.generator.parameters(), lr=0.001)
rival = Opponent(adam, lambda run: dfad.generation(dfad.noise(128)), every=dfad.imitations)
monitor = dfad.monitor()
task = NoiseTask(
    dfad.noise,
    lambda m, z: m.imitation(z),
    batch_size=128,
    steps=10 if fast else 250,
    metrics=lambda m: {"test": right(m)},
)
sgd = torch.optim.SGD(dfad.student.parameters(), lr=0.02, momentum=0.9)
trainer = Trainer(2 if fast else 6, monitor=None, seed=0, callbacks=[rival, monitor])
history = trainer.fit(dfad, sgd, task).history
print("student, after each epoch", [round(epoch["test"], 3) for epoch in history])

# %% [markdown]
# The monitor read the game after every epoch: how far the networks are apart, whether all classes
# are made, whether channels of the generator are dead, and whether one player runs away from the
# other. It warns when that looks like collapse, and it can be attached to any adversarial run.

# %%
axes = plot.as_curves(monitor.history)

# %% [markdown]
# What the generator makes is a graph as well: images linked where the teacher sees them alike, with
# the gap between the networks as a signal on the nodes. Colour is the gap.

# %%
adapter = DisagreementGraphAdapter(dfad, layers=("8", "8"), k=4)
with torch.no_grad():
    graph = adapter(dfad.generator(dfad.noise(80)))
print(adapter.schema)
axes = plot.as_layout(graph, color="gap", size=30)

# %% [markdown]
# What collapse looks like: a generator that learns a hundred times as fast.

# %%
wild = DFAD(network(8), teacher, ImageGenerator(32, size=8, hidden_channels=16))
watch = wild.monitor(patience=1, least_entropy=0.7, growth=1.5)
players = (
    torch.optim.SGD(wild.student.parameters(), lr=0.001),
    torch.optim.Adam(wild.generator.parameters(), lr=0.1),
)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", CollapseWarning)
    for iteration in range(10 if fast else 60):
        wild.step(*players, batch_size=64)
        if iteration % 5 == 4:
            watch.read()
for one in caught:
    print(one.message)

# %% [markdown]
# ## Graph networks
#
# The same for a graph network, from noise to node features *and* edges. The edges are an ordinary
# sparse `edge_index`; a gate of one on each message carries the gradient to whatever decided on
# them.

# %%
data = load("digits", seed=0)[0]
wide = GCN(64, 64, 2, 10)
optimizer = torch.optim.Adam(wide.parameters(), lr=0.01)
for _ in range(5 if fast else 100):
    optimizer.zero_grad()
    out = wide(data.x, data.edge_index)[data.train_mask]
    F.cross_entropy(out, data.y[data.train_mask]).backward()
    optimizer.step()

generator = GraphGenerator(32, num_features=64, num_nodes=128, degree=8.0)
made = generator(generator.noise(1))
print(made.x.shape, made.edge_index.shape)
dfad = DFAD(GCN(64, 16, 2, 10), wide, generator)
players = (
    torch.optim.Adam(dfad.student.parameters(), lr=0.01),
    torch.optim.Adam(generator.parameters(), lr=0.001),
)
for _ in range(5 if fast else 100):
    gap = dfad.step(*players, batch_size=2)
for name, model in (("teacher", wide), ("student", dfad.student)):
    with torch.no_grad():
        guess = model.eval()(data.x, data.edge_index).argmax(1)
    print(name, round(float((guess == data.y)[data.test_mask].float().mean()), 3))

# %% [markdown]
# ## Both players in one stage
#
# An adversarial pair usually runs its networks twice and thrice per step. The gradients of both
# players differ only by a factor per sample, so one pass through each is enough. Here a generator
# learns to draw digits against a discriminator. PyG's `ARGA` trains that way as well (the recipe
# `onestage-arga-cora`), and so do the discriminators of scene graphs:
# `SceneAdversary(local, whole, loss="saturating", one_stage=True)`.

# %%
drawer = ImageGenerator(16, size=8, hidden_channels=16, norm="group", standardised=False)
judge = nn.Sequential(
    nn.Conv2d(1, 16, 3, 2, 1),
    nn.LeakyReLU(0.2),
    nn.Conv2d(16, 32, 3, 2, 1),
    nn.GroupNorm(4, 32),
    nn.LeakyReLU(0.2),
    nn.Flatten(),
    nn.Linear(128, 1),
)
one_stage = OneStageStep(judge, "bce")
players = [torch.optim.Adam(m.parameters(), 1e-3, (0.5, 0.999)) for m in (drawer, judge)]
real = images.float().view(-1, 1, 8, 8) / 8 - 1
for _ in range(5 if fast else 400):
    rows = torch.randint(len(real), (64,))
    losses = one_stage.step(*players, real[rows], drawer(torch.randn(64, 16)))
print("losses of both players", [round(float(loss), 2) for loss in losses])

# %% [markdown]
# How well does it draw? Real and drawn digits in one graph, linked where the teacher of above sees
# them alike: if neighbours are of one kind more often than shuffled kinds would be, the drawings
# can be told from the real ones.

# %%
with torch.no_grad():
    drawn = drawer.eval()(torch.randn(200, 16))
scaled = [
    (8 * (part + 1) - images.float().mean()) / images.float().std() for part in (real[:200], drawn)
]
two = TwoSampleGraphAdapter(teacher, layer="8", k=5)(*(part.float() for part in scaled))
print(neighbour_test(two.edge_index, two.y))
axes = plot.as_layout(two, color="y", size=15)
