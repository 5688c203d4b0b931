# %% [markdown]
# # Transformed, mixed, restyled: images that networks learn from
#
# Three ways of changing what a network sees while it learns, and the graph that each of them
# makes. Set `GRAPHKIT_FAST=1` to shrink every run to seconds.

# %%
import os

import torch
import torch.nn.functional as F
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits, load_sample_images
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torch_geometric.data import Data
from torch_geometric.nn import GCN, NNConv, SimpleConv, global_mean_pool

from graphkit.adapters import (
    OrbitGraphAdapter,
    ProvenanceGraphAdapter,
    StyledPixelAdapter,
    StyleGraphAdapter,
    orbit_energy,
)
from graphkit.datasets import MissingDataError, mobilenet_weights
from graphkit.nn import GraphDIN
from graphkit.train import TensorTask, Trainer, seed_everything
from graphkit.transforms import graph_snapmix
from graphkit.vision import (
    DINStyleTransfer,
    DynamicInstanceNorm,
    MobileNetFeatures,
    RandomTransform2d,
    SnapMix,
    StyleEncoder,
    content_loss,
    style_loss,
    transform2d,
)

fast = bool(os.environ.get("GRAPHKIT_FAST"))
images, y = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
x = F.interpolate(images.float().view(-1, 1, 8, 8) / 8, (16, 16), mode="bilinear")
test = torch.arange(len(y)) % 3 == 0


def train(model, task, epochs, lr=0.003):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    Trainer(1 if fast else epochs, monitor=None, seed=0).fit(model, optimizer, task)
    return model.eval()


def classify(model, x, y):
    return F.cross_entropy(model(x), y)


def right(logits, y):
    return round(float((logits.argmax(1) == y).float().mean()), 3)


# %% [markdown]
# ## TI-CNN: feature maps that move
#
# `RandomTransform2d` stands behind the first convolution. While the network learns from upright
# digits, its feature maps are turned, scaled and shifted at random; afterwards the layer does
# nothing.


# %%
def network(layer):
    seed_everything(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), layer, nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10)),
    )


task = TensorTask((x[~test], y[~test]), classify)
plain = train(network(nn.Identity()), task, 8)
moved = train(network(RandomTransform2d(angle=40, scale=0.2, shift=0.1, p=0.5)), task, 16)
anything = RandomTransform2d(40, 0.3, 0.15, p=1.0, generator=torch.Generator().manual_seed(0))
turned = transform2d(x[test], anything.draw(int(test.sum()))[0])
for name, model in (("plain", plain), ("TI-CNN", moved)):
    with torch.no_grad():
        print(name, "upright", right(model(x[test]), y[test]), "all", right(model(turned), y[test]))

# %% [markdown]
# The same without labels: every test digit under nine turns is a chain of nodes, and the energy of
# the logits along these chains says how much the network sees of the turn.

# %%
turns = torch.tensor([[float(angle), 1.0, 0.0, 0.0] for angle in range(-40, 41, 10)])
for name, model in (("plain", plain), ("TI-CNN", moved)):
    graph = OrbitGraphAdapter(model, turns)(x[test][:200], y[test][:200])
    print(name, graph, "energy", graph.energy.item())
print(orbit_energy(graph.x, graph.edge_index).item())
graph

# %% [markdown]
# ## SnapMix: labels by what is left to see
#
# A box of one image is replaced by a box of another. CutMix would weigh both labels by area;
# `SnapMix` asks the network where it sees the class. The weights need not sum to one: two boxes of
# background say little about either image.

# %%
seed_everything(0)
gap = nn.Sequential(
    *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
    *(nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU()),
    *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)),
)
snapmix = SnapMix(gap, "5", "8", generator=torch.Generator().manual_seed(0))
train(snapmix, TensorTask((x[~test], y[~test]), lambda m, x, y: m.loss(x, y)), 8)
with torch.no_grad():
    print("trained on mixed digits alone", right(snapmix(x[test]), y[test]))
mixed = snapmix.mix(x[test][:8], y[test][:8])
print("replaced", mixed.box_a, "taken", mixed.box_b)
for pair in zip(mixed.y_a, mixed.weight_a, mixed.y_b, mixed.weight_b, strict=True):
    print("{} weighs {:.2f}, {} weighs {:.2f}".format(*(part.item() for part in pair)))

# %% [markdown]
# Where they come from is a graph, and one message pass of the labels along it gives the soft
# labels, to the last bit but one.

# %%
provenance = ProvenanceGraphAdapter(gap, "5", 10)(x[test][:8], mixed)
labels = torch.where(provenance.mixed[:, None], 0.0, provenance.y)
passed = SimpleConv(aggr="sum")(labels, provenance.edge_index, provenance.edge_weight)
print("error", (passed - provenance.y)[provenance.mixed].abs().max().item())
provenance

# %% [markdown]
# Graphs can be mixed in the same way, which is ours, not the paper's: a connected part of one
# replaces a connected part of the other.


# %%
class GraphNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.gnn, self.head = GCN(3, 16, 2), nn.Linear(16, 2)

    def forward(self, x, edge_index, batch):
        return self.head(global_mean_pool(self.gnn(x, edge_index), batch))


def ring(count, label):
    here = torch.arange(count)
    edges = torch.stack([here, here.roll(-1)])
    return Data(
        torch.randn(count, 3), torch.cat([edges, edges.flip(0)], 1), y=torch.tensor([label])
    )


graph_snapmix(ring(12, 0), ring(9, 1), GraphNet(), "gnn", "head")

# %% [markdown]
# ## DIN: the style is a convolution
#
# `DynamicInstanceNorm` takes the statistics out of the content's features and convolves them with
# kernels that a network makes of the style. On the pixel grid that is an edge-conditioned
# convolution: `NNConv`, with matrices that are the diagonal of what the edges carry, gives the
# same numbers, borders and all.

# %%
seed_everything(0)
din = DynamicInstanceNorm(4, style_channels=6, kernel_size=3, padding="zeros")
content, style = torch.randn(2, 4, 9, 9), torch.randn(2, 6, 5, 5)
pixels = StyledPixelAdapter(din)(content, style)


class Diagonal(nn.Module):
    def forward(self, edge_attr):
        return torch.diag_embed(edge_attr[:, -4:]).flatten(1)


conv = NNConv(4, 4, Diagonal(), aggr="add", root_weight=False, bias=False)
out = conv(pixels.x, pixels.edge_index, pixels.edge_attr) + pixels.bias
layer = din(content, style).permute(0, 2, 3, 1).flatten(0, 2)
print("error", (out - layer).abs().max().item())
pixels

# %% [markdown]
# Nothing in it asks for a grid. `GraphDIN` is the same on any graph, which is ours: its nodes are
# normalised per graph, and the readout of another graph makes the kernels.

# %%
restyle = GraphDIN(4, style_channels=6, edge_dim=9)
readout = style.mean((2, 3))
restyle(pixels.x, pixels.edge_index, readout, pixels.edge_attr[:, :9], pixels.image).shape

# %% [markdown]
# The content passes through a light network, the style through a heavy one, once. What the first
# multiplies per image, beside AdaIN's VGG-19 up to relu4_1 and back, which the paper beats by more
# than twenty times:

# %%
with torch.device("meta"):
    picture, heavy = torch.empty(1, 3, 256, 256), DINStyleTransfer(StyleEncoder(), 512)
    kernels = heavy.kernels(picture)
    with FlopCounterMode(display=False) as ours:
        heavy(picture, kernels)
    with FlopCounterMode(display=False) as vgg:
        heavy.style_encoder(picture)
print("times fewer", round(2 * vgg.get_total_flops() / ours.get_total_flops(), 1))

# %% [markdown]
# A photograph in the colours and strokes of another. Features of a trained MobileNetV2 say what a
# picture shows and what it looks like; without the file `weights/mobilenet_v2_features.pt` in the
# folder of the data sets they are random, and so is what they say. A minute of training on two
# photographs is a demonstration, not a result.

# %%
try:
    features = MobileNetFeatures(mobilenet_weights())
except MissingDataError:
    print("the features are random")
    features = MobileNetFeatures()
features.eval().requires_grad_(False)


def judge(x):
    """Maps of 1/2, 1/4 and 1/8 of the size."""
    h, maps = (x - features.mean) / features.std, []
    for number, block in enumerate(features.features[:7]):
        h = block(h)
        maps += [h] if number in (1, 3, 6) else []
    return maps


china, flower = (
    torch.tensor(photo).permute(2, 0, 1)[None, :, :424, :] / 255
    for photo in load_sample_images().images
)
china, flower = (F.interpolate(photo, (212, 320), mode="area") for photo in (china, flower))


class Maps(nn.Module):
    """The last maps of the judge, as a style encoder."""

    def forward(self, x):
        return judge(x)[-1]


seed_everything(0)
painter = DINStyleTransfer(Maps(), 32, widths=(16, 32, 32))
corners = torch.randint(140, (400, 2), generator=torch.Generator().manual_seed(0))


def paint(model, corner):
    cuts = [
        torch.cat([photo[:, :, i : i + 64, j : j + 64] for i, j in corner.tolist()])
        for photo in (china, flower)
    ]
    made = model(cuts[0], cuts[1])
    ours, shown, looked = (judge(images) for images in (made, *cuts))
    look = style_loss([made, *ours], [cuts[1], *looked])
    return content_loss(ours[1], shown[1]) + 5 * look + (made - made.clamp(0, 1)).square().mean()


train(painter, TensorTask((corners[: 32 if fast else 400],), paint, 8), 4, 0.005)
with torch.no_grad():
    left = painter.kernels(flower)
    painted = painter(china, left).clamp(0, 1)
    print("style loss before", style_loss(judge(china), judge(flower)).item())
    print("style loss after", style_loss(judge(painted), judge(flower)).item())
figure, axes = plt.subplots(1, 3, figsize=(11, 2.6))
for axis, picture in zip(axes, (china, flower, painted), strict=True):
    axis.imshow(picture[0].permute(1, 2, 0).numpy())
    axis.axis("off")

# %% [markdown]
# Styles as nodes: each patch with the kernels that are made of it, linked to those most alike.

# %%
patches = [photo[0].unfold(1, 53, 53).unfold(2, 53, 53).flatten(1, 2) for photo in (china, flower)]
patches = torch.cat([patch.permute(1, 0, 2, 3) for patch in patches])
source = torch.arange(len(patches)) // (len(patches) // 2)
styles = StyleGraphAdapter(painter, k=3)(patches, source)
same = source[styles.edge_index[0]] == source[styles.edge_index[1]]
print("edges within a photograph", same.float().mean().item())
styles
