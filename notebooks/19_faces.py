# %% [markdown]
# # Faces that bones move
#
# `FaceBones` is a face of seventeen bones and 68 landmarks. Its parameters mean something: traits
# of a person, action units such as "mouth open", the pose of the head. So whoever reads the
# parameters off a face has measured its expression, and no label was needed. Set
# `GRAPHKIT_FAST=1` to shrink every run to seconds.

# %%
import os

import matplotlib.pyplot as plt
import torch
from torch import nn

from graphkit import plot
from graphkit.adapters import FaceGraphAdapter
from graphkit.metrics import intraclass_correlation
from graphkit.nn import STIGCN, SkeletonGraph
from graphkit.train import TensorTask, Trainer, seed_everything
from graphkit.vision import FaceBones, FaceRegressor, Imitator, LocalContrast, fit_faces

fast = bool(os.environ.get("GRAPHKIT_FAST"))
seed_everything(0)
names = ("brow_lower", "smile", "mouth_open", "eyes_closed")
face = FaceBones.standard(actions=names, pose=("yaw",), eyes=2.2)
rest = torch.zeros(1, face.num_parameters)
faces = rest.repeat(len(names) + 1, 1)
faces[1:, 5 : 5 + len(names)] = torch.eye(len(names))
figure, axes = plt.subplots(1, len(faces), figsize=(9, 2))
for axis, drawing, name in zip(
    axes, face.render(faces, 64).detach(), ("rest", *names), strict=True
):
    axis.imshow(drawing[0], cmap="gray_r")
    axis.set_title(name)
    axis.axis("off")

# %% [markdown]
# ## Reading parameters off images without labels
#
# A game's engine draws such faces but gives no gradient. An `Imitator` learns to draw as the
# engine does, and through it a network learns to read: what it reads, drawn, shall look like the
# image, whatever the light. `FaceRegressor` holds the losses; the imitator stays as it is.

# %%
generator = torch.Generator().manual_seed(0)


@torch.no_grad()
def drawings(count, width=0.04):
    told = face.draw(count, generator)
    return told, torch.cat([face.render(part, width=width) for part in told.split(100)])


def photos(count):
    told, image = drawings(count, width=0.055)
    light = torch.linspace(-0.3, 0.3, 32) * torch.randn(count, 1, 1, 1, generator=generator)
    noise = 0.05 * torch.randn(image.shape, generator=generator)
    return told, 0.8 * image + light + noise


def train(model, tensors, loss, epochs, lr=0.003):
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=lr)
    task = TensorTask(tensors, loss, 64)
    Trainer(1 if fast else epochs, monitor=None, seed=0).fit(model, optimizer, task)


told, images = drawings(200 if fast else 2000)
imitator = Imitator(face.num_parameters, 32, channels=8)
train(imitator, (told, images), lambda m, p, x: m.loss(p, x), 8)

layers = [LocalContrast(scales=1), nn.Unflatten(1, (1, 32, 32)), nn.BatchNorm2d(1)]
for wide, wider in ((1, 16), (16, 32), (32, 64)):
    layers += [nn.Conv2d(wide, wider, 3, 2, 1), nn.BatchNorm2d(wider), nn.ReLU()]
layers += [nn.Flatten(), nn.Linear(1024, face.num_parameters)]
reader = FaceRegressor(nn.Sequential(*layers), imitator, face.bounds(), feature=LocalContrast())
_, x = photos(200 if fast else 1000)
train(reader, (x,), lambda m, x: m.loss(x), 15)

truth, x = photos(300)
with torch.no_grad():
    guess = reader.eval()(x)
pairs = torch.stack([face.split(guess).action.t(), face.split(truth).action.t()], 2)
print("ICC(3,1)", dict(zip(names, intraclass_correlation(pairs).tolist(), strict=True)))

# %% [markdown]
# ## The bones as a graph
#
# The tree of the bones, left-right pairs, and which action moves which bone: an ordinary
# heterogeneous graph. Over time the bones are a skeleton, and every network on skeletons takes it:
# here STIGCN tells which action goes up in a clip.

# %%
adapter = FaceGraphAdapter(face)
graph = adapter(guess[:1], face.split(truth).action[:1]).detach()
print(graph)
axes = plot.as_layout(graph, nodes=("bone", "action"), edges=("parent", "drives"), size=25)


# %%
def clip(kind, frames=8):
    p = face.draw(1, generator).repeat(frames, 1)
    p[:, 5 + kind] = torch.linspace(0, 1, frames)
    return adapter.clip(p + 0.05 * torch.randn(p.shape, generator=generator)).x.detach()


kinds = torch.arange(80 if fast else 400) % len(names)
clips = torch.stack([clip(k) for k in kinds.tolist()]).permute(0, 2, 3, 1).unsqueeze(-1)
model = STIGCN(3, len(names), SkeletonGraph("face-17"), 8, (1, 1), num_person=1)
test = len(kinds) // 4
train(
    model,
    (clips[test:], kinds[test:]),
    lambda m, x, y: nn.functional.cross_entropy(m(x), y),
    15,
    0.005,
)
with torch.no_grad():
    right = (model.eval()(clips[:test]).argmax(1) == kinds[:test]).float().mean()
print(f"accuracy on new clips {right:.2f}, by chance {1 / len(names)}")

# %% [markdown]
# ## Fitting bones to landmarks
#
# Where landmarks are known, `fit_faces` finds the parameters by gradient descent through the
# bones: what stays over a person's frames is identity, what moves is action. With `learn=True` it
# learns the face as well, from real people in the recipe `bdfm-landmarks`.

# %%
other = FaceBones.standard(actions=names, pose=("yaw",))
people = torch.arange(6).repeat_interleave(5)
p = other.draw(30, generator)
p[:, :5] = p[::5, :5].repeat_interleave(5, 0)
fit = fit_faces(other, other(p).detach(), people, learn=False, steps=20 if fast else 150)
print(f"mean squared distance of a landmark from {fit.loss[0]:.4f} to {fit.loss[-1]:.6f}")
pairs = torch.stack([fit.action.t(), other.split(p).action.t()], 2)
print("ICC(3,1)", dict(zip(names, intraclass_correlation(pairs).tolist(), strict=True)))
