# %% [markdown]
# # Skeletons: what is this body doing?
#
# A skeleton is a graph whose joints move. graphkit reads the usual sets (`NTURGBD`, `NWUCLA`,
# `UTDMHAD`), makes bones and motions on the fly, and has the networks people compare: `STIGCN`
# with its `STInceptionBlock`, `STGCN`, `STGCNpp` and `CTRGCN`, all on one `SkeletonGraph`.
# Here they look at bodies from a generator, which needs no file; the last cell shows what the
# recipes found on real ones. Set `GRAPHKIT_FAST=1` to shrink every run to seconds.

# %%
import os

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from IPython.display import HTML
from matplotlib.animation import FuncAnimation
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import Compose

from graphkit.datasets import SyntheticSkeletons
from graphkit.nn import CTRGCN, STGCN, STIGCN, STGCNpp
from graphkit.train import GraphTask, Trainer, seed_everything
from graphkit.transforms import (
    RandomSkeletonRotation,
    SkeletonNormalize,
    SkeletonStream,
    UniformSampleFrames,
    fuse_scores,
)

fast = bool(os.environ.get("GRAPHKIT_FAST"))
clips, epochs, frames = (96, 4, 16) if fast else (640, 20, 24)
dataset = SyntheticSkeletons(clips)
dataset[0]

# %% [markdown]
# ## A body, drawn
#
# `x` holds `[joints, coordinates, frames]`; `edge_index` are the bones. Depth is the third
# coordinate; it is not drawn.


# %%
def draw(axes, clip, frame, graph, **style):
    place = clip.x[..., frame]
    for child, parent in graph.bones:
        ends = place[[child, parent]]
        axes.plot(ends[:, 0], ends[:, 1], **{"color": "0.4", "lw": 2, **style})
    axes.scatter(place[:, 0], place[:, 1], s=12, zorder=3)
    axes.set_aspect("equal")


clip = SyntheticSkeletons(clips, transform=SkeletonNormalize(turn=False))[0]
figure, panels = plt.subplots(1, 5, figsize=(11, 3), sharex=True, sharey=True)
for panel, frame in zip(panels, range(0, clip.x.size(2), clip.x.size(2) // 5), strict=False):
    draw(panel, clip, frame, dataset.graph)
    panel.set_title(f"frame {frame}", fontsize=9)
print(dataset.class_names[int(clip.y)])

# %% [markdown]
# ## … and moving

# %%
figure, axes = plt.subplots(figsize=(3, 3.5))
limits = clip.x[:, :2].amin((0, 2)) - 0.1, clip.x[:, :2].amax((0, 2)) + 0.1


def show(frame):
    axes.clear()
    axes.set(xlim=(limits[0][0], limits[1][0]), ylim=(limits[0][1], limits[1][1]))
    draw(axes, clip, frame, dataset.graph)


steps = range(0, clip.x.size(2), 6 if fast else 2)
movie = HTML(FuncAnimation(figure, show, frames=steps, interval=120).to_jshtml())
plt.close(figure)
movie

# %% [markdown]
# ## Four streams from one load
#
# Joints, bones (a joint less its parent) and the motions of both are made when a clip is taken
# out. Training clips are drawn evenly in time and turned at random; test clips stay as they are.

# %%
STREAMS = {"j": "joints", "b": "bones", "jm": "joints' motion", "bm": "bones' motion"}


def parts(stream):
    steady = [SkeletonNormalize(), SkeletonStream(stream)]
    moving = [*steady, UniformSampleFrames(frames), RandomSkeletonRotation((0.2, 0.2, 0.6))]
    still = [*steady, UniformSampleFrames(frames, random=False)]
    train, test = dataset.splits()
    train.transform, test.transform = Compose(moving), Compose(still)
    return train, test


figure, panels = plt.subplots(1, 4, figsize=(11, 2.4))
for panel, (stream, title) in zip(panels, STREAMS.items(), strict=True):
    panel.plot(parts(stream)[1][0].x[7].t())
    panel.set_title(f"left hand: {title}", fontsize=9)
plt.tight_layout()

# %% [markdown]
# ## Train one network per stream
#
# The models take PyG batches as they are. `fuse()` folds the normalisations away for inference.


# %%
def train(kind, stream):
    seed_everything(0)
    learn, test = parts(stream)
    options = {"hidden_channels": 8, "num_layers": (1, 1), "num_person": 1, "dropout": 0.0}
    model = kind(3, dataset.num_classes, dataset.graph, **options)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.01)

    class Clips(GraphTask):
        def batches(self, seed):
            torch.manual_seed(seed)
            return DataLoader(learn, batch_size=16, shuffle=True)

        def size(self, batch):
            return batch.num_graphs

        def loss(self, model, batch):
            return F.cross_entropy(model(batch), batch.y)

        def evaluate(self, model):
            return {}

    task = Clips([learn[0]], [], [])
    Trainer(epochs, monitor=None, seed=0, progress=False).fit(model, optimizer, task)
    batch = next(iter(DataLoader(test, batch_size=len(test))))
    with torch.no_grad():
        return model, model.eval()(batch), batch.y


trained = {stream: train(STIGCN, stream) for stream in (("j", "bm") if fast else STREAMS)}
scores = {stream: found[1] for stream, found in trained.items()}
y = trained["j"][2]
for stream, score in {**scores, "fusion": fuse_scores(scores)}.items():
    print(f"{stream:7} {100 * float((score.argmax(1) == y).float().mean()):5.1f} %")

# %% [markdown]
# ## What is confused with what?

# %%
size = dataset.num_classes
guess = fuse_scores(scores).argmax(1)
matrix = torch.bincount(y * size + guess, minlength=size * size).view(size, size)
plt.figure(figsize=(4.5, 4))
plt.imshow(matrix, cmap="Blues")
for row in range(size):
    for column in range(size):
        if matrix[row, column]:
            plt.text(column, row, int(matrix[row, column]), ha="center", va="center", fontsize=8)
plt.yticks(range(size), dataset.class_names, fontsize=7)
plt.xticks(range(size), range(size))
plt.xlabel("predicted class")

# %% [markdown]
# ## The joint graph that was learned
#
# Every `STInceptionBlock` adds learned weights between joints to its four fixed graphs. Joints
# that need not be neighbours in the body become neighbours: the strongest ones of the last block
# are drawn over the skeleton.

# %%
model = trained["j"][0]
learned = model.blocks[-1].offset.detach().abs().mean(0)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
left.imshow(learned, cmap="viridis")
left.set(xlabel="to joint", ylabel="from joint", title="learned weights, mean over branches")
draw(right, clip, 0, dataset.graph, lw=1)
place = clip.x[..., 0]
off = learned.clone().fill_diagonal_(0)
for index in off.flatten().topk(8).indices.tolist():
    ends = place[[index // off.size(1), index % off.size(1)]]
    right.plot(ends[:, 0], ends[:, 1], color="tab:red", alpha=0.7)
right.set_title("the eight strongest pairs")

# %% [markdown]
# ## The rivals, on the same clips

# %%
for kind in (STIGCN,) if fast else (STIGCN, STGCN, STGCNpp, CTRGCN):
    model, score, y = train(kind, "j")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    hits = float((score.argmax(1) == y).float().mean())
    print(f"{kind.__name__:8} {parameters:7,} parameters  {100 * hits:5.1f} %")

# %% [markdown]
# ## Recorded results on real skeletons
#
# In a checkout, `python -m benchmarks run stigcn-nw-ucla` trains four streams on
# Northwestern-UCLA and fuses them; what that gave is on the site's page
# "Results". `NTURGBD` needs the data set, which its authors hand out.
