# %% [markdown]
# # Distillation: a student against its teacher
#
# A large graph network teaches a small one. graphkit attaches the losses by module names to
# any two PyG models; here both are PyG's own `GCN`, on data that ships with scikit-learn.
# Set `GRAPHKIT_FAST=1` to shrink every run to seconds.

# %%
import os
import statistics
import time

import matplotlib.pyplot as plt
import torch
from scipy import stats
from torch_geometric.nn import GCN

from graphkit.datasets import class_split, load
from graphkit.distill import (
    AttentionTransferLoss,
    Distillation,
    Distiller,
    FitNetLoss,
    GlobalStructureLoss,
    GraphContrastiveLoss,
    LocalStructureLoss,
    MMDLoss,
    SoftTargetLoss,
    local_structure,
)
from graphkit.taps import tap
from graphkit.train import NodeTask, Trainer, seed_everything

fast = bool(os.environ.get("GRAPHKIT_FAST"))
epochs, seeds = (15, 2) if fast else (200, 5)
data = load("digits")[0]

# %% [markdown]
# ## The teacher, and what a neighbourhood looks like to it
#
# `local_structure` is the local structure vector of the LSP paper (CVPR 2020): how a node's
# similarity is shared among its neighbours.


# %%
def train(model, task, callbacks=()):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
    trainer = Trainer(epochs, patience=50, monitor="val_accuracy", seed=0, callbacks=callbacks)
    return trainer.fit(model, optimizer, task).metrics["test_accuracy"]


seed_everything(0)
teacher = GCN(64, 64, 3, 10, dropout=0.5)
train(teacher, NodeTask(data))
with torch.no_grad(), tap(teacher.eval(), "convs.1") as seen:
    teacher(data.x, data.edge_index)
shares = local_structure(seen["convs.1"].output, data.edge_index)
node = 7
into = data.edge_index[1] == node
plt.bar(range(int(into.sum())), shares[into])
plt.xlabel(f"neighbours of node {node}")
plt.ylabel("share of similarity")

# %% [markdown]
# ## Every arm, the same students
#
# Each seed draws new labels, trains a teacher, and then students from the same initial weights.
# The pairs name modules: `("convs.0", "convs.1")` compares the student's first layer with the
# teacher's second, before the activation; `("", "")` compares outputs. Weights are not tuned
# here; `python -m benchmarks.studies.distillation_sweep` does that on validation nodes.

# %%
HIDDEN, OUTPUT = ("convs.0", "convs.1"), ("", "")
ARMS = {
    "KD": lambda: (OUTPUT, SoftTargetLoss(), 1.0),
    "FitNet": lambda: (HIDDEN, FitNetLoss(8, 64), 1.0),
    "AT": lambda: (HIDDEN, AttentionTransferLoss(), 1.0),
    "MMD": lambda: (HIDDEN, MMDLoss(), 1.0),
    "GSP": lambda: (HIDDEN, GlobalStructureLoss(), 1.0),
    "LSP": lambda: (HIDDEN, LocalStructureLoss("rbf"), 1.0),
    "G-CRD": lambda: (HIDDEN, GraphContrastiveLoss(8, 64, max_samples=512), 0.1),
}
scores = {name: [] for name in ("teacher", "labels", *ARMS)}
for seed in range(seeds):
    task = NodeTask(class_split(data, 5, 10, seed=seed))
    seed_everything(seed)
    teacher = GCN(64, 64, 3, 10, dropout=0.5)
    scores["teacher"].append(train(teacher, task))
    for name in ("labels", *ARMS):
        seed_everything(seed)
        student = GCN(64, 8, 2, 10, dropout=0.5)
        if name == "labels":
            scores[name].append(train(student, task))
            continue
        pair, loss, weight = ARMS[name]()
        model = Distiller(student, teacher, [pair], loss, weight)
        scores[name].append(train(model, task, [Distillation(model)]))

# %% [markdown]
# The honest figure is the difference to labels-only of the same seed, with its interval: an arm
# whose interval holds zero has shown nothing.


# %%
def interval(values):
    spread = statistics.stdev(values) / len(values) ** 0.5
    return statistics.fmean(values), spread * stats.t.ppf(0.975, len(values) - 1)


for name, values in scores.items():
    gains = [a - b for a, b in zip(values, scores["labels"], strict=True)]
    mean, half = interval(gains)
    shown = "" if name in ("labels", "teacher") else f"   gain {100 * mean:+.1f} ± {100 * half:.1f}"
    print(f"{name:8} {100 * statistics.fmean(values):5.1f}{shown}")

# %% [markdown]
# ## What the student costs


# %%
@torch.no_grad()
def milliseconds(model, runs=30):
    model.eval()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        model(data.x, data.edge_index)
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


sizes = {"teacher": teacher, "student": student}
parameters = {name: sum(p.numel() for p in model.parameters()) for name, model in sizes.items()}
latency = {name: milliseconds(model) for name, model in sizes.items()}
for name in sizes:
    print(f"{name}: {parameters[name]:,} parameters, {latency[name]:.2f} ms per evaluation")

# %%
for name, values in scores.items():
    kind = "teacher" if name == "teacher" else "student"
    plt.scatter(latency[kind], 100 * statistics.fmean(values), label=name)
plt.xlabel("milliseconds per evaluation")
plt.ylabel("test accuracy, per cent")
plt.legend(fontsize=7)

# %% [markdown]
# ## Graphs that the networks build themselves
#
# `DGCNN` rebuilds its k-NN graph in every layer, and teacher and student disagree about it.
# `graphs=` names the modules that return the edges; the loss then compares both networks on
# the union of their edges.

# %%
from graphkit.nn import DGCNN

pos, batch = torch.rand(8 * 64, 3), torch.arange(8).repeat_interleave(64)
large = DGCNN(3, 10, [64, 64, 128], k=12, emb_channels=256, head_channels=[128])
small = DGCNN(3, 10, [8, 16], k=5, emb_channels=32, head_channels=[32])
model = Distiller(
    small, large, [("convs.1", "convs.1")], LocalStructureLoss(), 10.0, [("graphs.1", "graphs.1")]
)
model(pos, batch)
float(model.penalty().detach())

# %% [markdown]
# ## Recorded results
#
# The recipes `distill-*` run all arms for ten seeds. What they gave is on the site's page
# "Results"; in a checkout, `python -m benchmarks list distill` lists them.
