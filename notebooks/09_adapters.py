# %% [markdown]
# # Adapters: pictures, video and models as PyG graphs
#
# An adapter takes the result of a fitted method that knows nothing of graphs and gives an
# ordinary `Data` or `HeteroData`. Whatever the nodes are (samples, parts, moments in time, whole
# models), the same contract holds, and any PyG layer runs on the result. Set
# `GRAPHKIT_FAST=1` to shrink every run to seconds.

# %%
import os

import matplotlib.pyplot as plt
import torch
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GATv2Conv

from graphkit import plot
from graphkit.adapters import GraphAdapter, Schema, grid_edges
from graphkit.train import seed_everything

fast = bool(os.environ.get("GRAPHKIT_FAST"))

# %% [markdown]
# ## The contract
#
# A `Schema` says what a node is, what an edge means, which attributes there are and which of
# them carry gradients; `graphkit.testing.AdapterSuite` holds the adapter to it. Edges come from
# builders such as `knn_edges` and `grid_edges`.

# %%
from torch_geometric.data import Data


class Pixels(GraphAdapter):
    """The pixels of an image, each beside its neighbours."""

    schema = Schema(
        node="a pixel",
        edge="beside",
        attributes={"x": ("N", 1), "pos": ("N", 2), "edge_index": (2, "E")},
        undirected=True,
        differentiable=("x",),
    )

    def forward(self, image):
        height, width = image.shape
        rows, cols = torch.arange(height), torch.arange(width)
        return Data(
            x=image.reshape(-1, 1),
            pos=torch.cartesian_prod(rows, cols),
            edge_index=grid_edges(height, width),
            num_nodes=height * width,
        )


print(Pixels.schema)
image = torch.rand(6, 8)
axes = plot.over_image(Pixels()(image), image, color="x")

# %% [markdown]
# # Moments in time
#
# ## Tracking by counting
#
# `TrackingByCounting` reads density maps: images whose sum over a region is the number of
# objects in it. One integer program chooses the objects and their paths, so that the objects in
# every sliding window are as many as the map says. Two people meet; for a while the map shows
# one blob for both. `DensityNet` learns such maps from images; here they are drawn from known
# positions.

# %%
from graphkit.adapters import TrackGraphAdapter, TrackingAdapter
from graphkit.metrics import clear_mot, hota
from graphkit.vision import DensityNet, TrackingByCounting, render_density

time = torch.arange(12.0)
gap = 1.5 + (time - 5.5).abs().sub(1.5).clamp(min=0)
points = torch.cat([torch.stack([10 - gap, 6 + time], 1), torch.stack([10 + gap, 6 + time], 1)])
frame, person = torch.arange(12).repeat(2), torch.arange(2).repeat_interleave(12)
noise = torch.Generator().manual_seed(0)
density = render_density(points, frame, (12, 20, 26), 1.5, 0.2, 0.002, noise)
solution = TrackingByCounting().solve(density)
print(f"solver {solution.seconds:.2f} s, gap {solution.gap:.3f}")
print(clear_mot((frame, person, points), solution.points(), radius=2.5))
print(hota((frame, person, points), solution.points(), radius=2.5))
network = DensityNet()
network(density.unsqueeze(1)).shape

# %%
figure, axes = plt.subplots(1, 4, figsize=(12, 2.6))
found, track, position = solution.points()
for axis, t in zip(axes, (1, 4, 6, 10), strict=True):
    axis.imshow(density[t])
    here = found == t
    axis.scatter(position[here, 1], position[here, 0], c=track[here], cmap="autumn", s=40)
    axis.set_title(f"frame {t}")

# %% [markdown]
# The program itself is a graph: candidates are its variables, windows its constraints.
# The objects that were found make another one; its edges are to be classified by whoever wants
# to associate them better.

# %%
program = TrackingAdapter()(solution)
print(TrackingAdapter().schema)
axes = plot.over_time(
    program, lane="track", nodes=("candidate",), edges=("continues_as",), color="y"
)

# %%
objects = TrackGraphAdapter(frames=2)(found, track, position)
axes = plot.over_image(objects, density.amax(0), color="track", title="who may be who later")
layer = GATv2Conv(objects.num_features, 8, edge_dim=6)
layer(objects.x, objects.edge_index, objects.edge_attr).shape

# %% [markdown]
# On real video (`python -m benchmarks run adapters`) the maps are drawn from the annotations of
# TUD-Campus and TUD-Stadtmitte, or from published detections, beside linked peaks and a
# SORT-like tracker.
#
# ## Actions in time: GTAN
#
# `GTAN` learns for each moment the scale of the Gaussian that it looks at the video with; the
# scale is the width of its proposals. The frames are noise with a constant pattern while an
# action lasts.

# %%
from graphkit.adapters import ProposalGraphAdapter
from graphkit.metrics import spearman, temporal_map
from graphkit.vision import GTAN, GTANLoss

seed_everything(0)


def videos(count):
    """Videos of 64 frames with one action of 4 to 40 frames, of two kinds."""
    x, truth = 0.5 * torch.randn(count, 8, 64), []
    for i in range(count):
        length = float(4 * 10 ** torch.rand(1))
        start = float(torch.rand(1) * (64 - length))
        kind = int(torch.randint(2, (1,)))
        x[i, 4 * kind : 4 * kind + 4, int(start) : int(start + length)] += 1
        truth.append((torch.tensor([[start, start + length]]) / 64, torch.tensor([kind])))
    return x, truth


model = GTAN(8, num_classes=2, channels=32, num_levels=3)
criterion = GTANLoss()
x, truth = videos(64 if fast else 400)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for _ in range(3 if fast else 30):
    for chosen in torch.randperm(len(x)).split(32):
        optimizer.zero_grad()
        criterion(model(x[chosen]), [truth[i] for i in chosen]).backward()
        optimizer.step()
model.eval()
x, truth = videos(60)
temporal_map(model.detect(x), truth, [0.3, 0.5, 0.7])

# %% [markdown]
# Nobody told the kernels how long the actions are; do they know?

# %%
with torch.no_grad():
    sigma = model.sigma(model.pyramid(x)[0], 0)
middle = torch.stack([segments.mean() for segments, _ in truth])
length = torch.stack([segments[0, 1] - segments[0, 0] for segments, _ in truth])
width = 2 * sigma.gather(1, (middle * sigma.size(1)).long().unsqueeze(1)).squeeze(1)
print("rank correlation", float(spearman(width, length)))
plt.figure(figsize=(3, 3))
plt.scatter(length, width, s=8)
plt.xlabel("length of the action")
plt.ylabel("2 sigma under its middle")
# %% [markdown]
# Proposals as a graph: what overlaps, what stands close together, what lies above what.

# %%
adapter = ProposalGraphAdapter(32, 2, keep=24)
with torch.no_grad():
    graph = adapter(model(x[:1]), truth[0])
axes = plot.over_time(graph, lane="level", color="y_iou", title="brighter: overlaps the action")
batch = next(iter(DataLoader([graph, graph], batch_size=2)))
batch

# %% [markdown]
# ## Actions in time of which only moments were seen: AherNet
#
# Of kind 0 the segments are known, of kind 1 there are trimmed moments alone. `AherNet` makes the
# weights that localise a kind from those that classify it, and puts moments into contexts that a
# generator makes up; `AherSteps` trains all of it in six steps, one after another.

# %%
from graphkit.adapters import ClassTransferGraphAdapter, MomentContextGraphAdapter
from graphkit.vision import AherBatch, AherLoss, AherNet, AherSteps


def of_kind(kind, count):
    """Videos of one kind, which is the first one for whoever looks for it alone."""
    x, truth = videos(3 * count)
    rows = [i for i, (_, k) in enumerate(truth) if k == kind][:count]
    return x[rows], [(truth[i][0], torch.zeros(1, dtype=torch.long)) for i in rows]


base, base_truth = of_kind(0, 32 if fast else 200)
moments = 0.5 * torch.randn(200, 8, 32)
moments[:, 4:] += 1
test, test_truth = of_kind(1, 50)
for context in ("none", "adversarial"):
    seed_everything(0)
    herald = AherNet(8, base=1, target=1, channels=32, num_levels=3)
    steps = AherSteps(
        herald,
        context=context,
        loss=AherLoss(0.5),
        lr=2e-3,
        adversary_lr=2e-3,
        shares=(0.1, 0.2, 0.4),
    )
    for _ in range(3 if fast else 100):
        some, rows = torch.randint(len(base), (16,)), torch.randint(200, (16,))
        kinds, known = torch.zeros(16, dtype=torch.long), [base_truth[i] for i in some]
        steps.iterate(AherBatch(moments[rows], kinds, base[some], known))
    print(context, temporal_map(herald.eval().detect(test), test_truth, [0.3, 0.5, 0.7]))

# %% [markdown]
# A moment in its context as a chain of frames, and the classes with their weights as a graph, on
# which layers learn to make localisers from classifiers.

# %%
batch = AherBatch(moments[:2], torch.zeros(2, dtype=torch.long), base[:2], base_truth[:2])
with torch.no_grad():
    made, where = steps.sequences(batch)
print(MomentContextGraphAdapter()(made[0], where[0][0][0]))
ClassTransferGraphAdapter(k=1)(*herald.class_weights())
