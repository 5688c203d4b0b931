# %% [markdown]
# # Scene graphs: from a typed scene to a richer one, and to pixels
#
# A scene graph lists objects and how they are related. The enricher adds objects that fit, with
# their relations, in the style of "Generated Contents Enrichment" (arXiv 2405.03650); what was
# typed is kept as it is. Set `GRAPHKIT_FAST=1` to shrink every run to seconds.

# %%
import os

import matplotlib.pyplot as plt
import networkx as nx
import torch
from matplotlib.patches import Rectangle

from graphkit.datasets import (
    DigitScenes,
    MissingDataError,
    SceneBatch,
    SyntheticScenes,
    format_scene,
    load,
    parse_scene,
)
from graphkit.metrics import hits_at_k, two_sample_accuracy, wl_mmd
from graphkit.nn import (
    EnrichmentTask,
    GlobalGraphDiscriminator,
    LocalTripleDiscriminator,
    SceneAdversary,
    SceneGraphEncoder,
    SceneGraphEnricher,
    TripleConv,
)
from graphkit.train import Trainer, seed_everything

fast = bool(os.environ.get("GRAPHKIT_FAST"))

# %% [markdown]
# ## Real scenes, or a grammar
#
# VRD holds the scene graphs of 5,000 photographs. Without its files the notebook goes on with
# `SyntheticScenes`, a grammar whose best possible guess is known.

# %%
try:
    train, test = load("VRD", download=False), load("VRD", split="test", download=False)
    names = train.vocabulary
    typed = "person ride horse; horse on grass; person wear shirt"
except MissingDataError as error:
    print(error)
    grammar = SyntheticScenes(4000)
    train, test, names = *grammar.splits()[::2], grammar.vocabulary
    typed = "person ride horse; horse on grass"
limit = 160 if fast else 4000
union = SceneBatch.from_data([data for data in train if data.num_nodes > 1][:limit])
cut = union.num_graphs * 9 // 10
learning, val = (union.select(part) for part in torch.arange(union.num_graphs).tensor_split([cut]))
judged = SceneBatch.from_data([data for data in test if data.num_nodes > 1][: limit // 4])
scene = parse_scene(typed, names)
scene

# %% [markdown]
# What cannot be read is an error that says where.

# %%
for wrong in (
    "persn ride horse",
    "person ride",
    '{"objects": ["horse"], "relationships": [[0, "on", 3]]}',
):
    try:
        parse_scene(wrong, names)
    except ValueError as error:
        print(error)

# %% [markdown]
# ## The layer and the encoder
#
# `TripleConv` updates objects and predicates together; `SceneGraphEncoder` stacks it over
# embeddings, with a node for the whole image.

# %%
conv = TripleConv(8, 8, hidden_channels=16)
x, predicates = conv(torch.rand(3, 8), torch.tensor([[0, 0], [1, 2]]), torch.rand(2, 8))
encoder = SceneGraphEncoder(names.num_objects, names.num_predicates, 16, 32, num_layers=2)
x.shape, predicates.shape, encoder(SceneBatch.from_data(scene)).images.shape

# %% [markdown]
# ## Training: objects knocked out, discriminators against the enricher

# %%
seed_everything(0)
sizes = names.num_objects, names.num_predicates
width = 24 if fast else 64
model = SceneGraphEnricher(
    *sizes, hidden_channels=width, triple_channels=width, num_layers=3, residual=True
)
adversary = SceneAdversary(
    LocalTripleDiscriminator(*sizes, 32), GlobalGraphDiscriminator(*sizes, 32), weight=0.05
)
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
schedule = torch.optim.lr_scheduler.StepLR(optimizer, 8, 0.4)
trainer = Trainer(2 if fast else 20, monitor="val_recall@5", seed=0, callbacks=[adversary])
result = trainer.fit(model, optimizer, EnrichmentTask(learning, val), schedule)
for name in ("val_recall@5", "train_loss"):
    plt.plot([row[name] for row in result.history], label=name)
plt.xlabel("epoch")
plt.legend()

# %% [markdown]
# Every object of the test scenes is taken out once. The co-occurrence prior, naive Bayes over
# the categories present, is what a model must beat.

# %%
model.eval()
gone = judged.leave_one_out()


def present(scenes):
    there = torch.zeros(scenes.num_graphs, sizes[0])
    there[scenes.batch, scenes.x] = 1
    return there


pairs = learning.leave_one_out()
there = present(pairs.rest)
often = (torch.bincount(pairs.category, minlength=sizes[0]) + 1.0).log()
beside = torch.zeros(sizes[0], sizes[0]).index_add_(0, pairs.category, there) + there.mean(0) + 1e-6
prior = often + present(gone.rest) @ (beside / beside.sum(1, keepdim=True)).log().t()
with torch.no_grad():
    own = torch.cat([model(part.rest).object_logits[:, :-1] for part in gone.split()])
for name, logits in (("enricher", own), ("co-occurrence", prior)):
    recall = float(hits_at_k(logits, gone.category, 5).float().mean())
    print(f"{name:14} recall at 5: {100 * recall:.1f} %")

# %% [markdown]
# Are enriched graphs like real ones? The Weisfeiler-Lehman kernel measures a distance, a fresh
# GIN tries to tell them apart (0.5: it cannot).

# %%
last = judged.knock_out(judged.node_ptr[1:] - 1).rest
made = model.enrich(last, stop=False).scenes
print(f"MMD {wl_mmd(judged, made):.5f}, without the object {wl_mmd(judged, last):.5f}")
print(
    f"two-sample accuracy {two_sample_accuracy(judged, made, *sizes, epochs=2 if fast else 10):.3f}"
)

# %% [markdown]
# ## The typed scene before and after


# %%
def draw(data, axes, kept=None):
    graph = nx.MultiDiGraph()
    for node, category in enumerate(data.x.tolist()):
        graph.add_node(node, name=names.objects[category])
    for s, o, p in zip(*data.edge_index.tolist(), data.edge_attr.tolist(), strict=True):
        graph.add_edge(s, o, name=names.predicates[p])
    place = nx.circular_layout(graph)
    kept = len(graph) if kept is None else kept
    colours = ["tab:blue" if node < kept else "tab:orange" for node in graph]
    nx.draw_networkx(
        graph,
        place,
        ax=axes,
        node_color=colours,
        labels=nx.get_node_attributes(graph, "name"),
        font_size=8,
    )
    labels = {(s, o): name for s, o, name in graph.edges(data="name")}
    nx.draw_networkx_edge_labels(graph, place, labels, ax=axes, font_size=7)
    axes.axis("off")


richer = model.enrich(scene, steps=3, stop=False, generator=torch.Generator().manual_seed(1))
(after,) = richer.scenes.to_data_list()
_, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
draw(scene, left)
draw(after, right, scene.num_nodes)
print(format_scene(after, names))

# %% [markdown]
# ## To pixels
#
# `DigitScenes` are pictures of several handwritten digits with their scene graph, so that the
# whole way can be trained here: a typed scene, the enriched graph, its layout, its image. The
# synthesis behind the layout may be any module; here it is a small cascade.

# %%
from graphkit.vision import LayoutToImage, SceneLayout, SceneToImage, scene_image_loss

digits = DigitScenes(96 if fast else 2000)
count = digits.vocabulary.num_objects, digits.vocabulary.num_predicates
pictures = SceneBatch.from_data(list(digits))
boxes = torch.cat([data.box for data in digits])
images = torch.cat([data.image for data in digits])
seed_everything(0)
encoder = SceneGraphEncoder(*count, 32, 64, num_layers=4, residual=True)
painter = SceneToImage(
    32, LayoutToImage(36, (32, 24, 16), image_channels=1), 32, noise_channels=4, mask_size=8
)
assert isinstance(painter.layout, SceneLayout)
learner = torch.optim.Adam([*encoder.parameters(), *painter.parameters()], lr=3e-3)
for _ in range(1 if fast else 6):
    for chosen in torch.randperm(pictures.num_graphs).split(32):
        some = pictures.select(chosen)
        nodes = torch.cat([torch.arange(*pictures.node_ptr[i : i + 2]) for i in chosen.tolist()])
        painted = painter(encoder(some).objects, some.batch, some.num_graphs, boxes[nodes])
        loss = scene_image_loss(painted, images[chosen], boxes[nodes])
        learner.zero_grad()
        loss.backward()
        learner.step()

writer = SceneGraphEnricher(*count, 32, 4, triple_channels=32, num_layers=3, residual=True)
few, rest = torch.arange(pictures.num_graphs).tensor_split([len(digits) // 8])
task = EnrichmentTask(pictures.select(rest), pictures.select(few))
trainer = Trainer(1 if fast else 12, monitor="val_recall@5", seed=0)
trainer.fit(writer, torch.optim.Adam(writer.parameters(), lr=3e-3), task).metrics

# %%
typed_digits = parse_scene("three left of four; three above five", digits.vocabulary)
(richer_digits,) = (
    writer.eval().enrich(typed_digits, sample=False, stop=False).scenes.to_data_list()
)
print(format_scene(richer_digits, digits.vocabulary))
encoder.eval(), painter.eval()
_, axes = plt.subplots(1, 4, figsize=(12, 3))
for data, (outline, picture) in ((typed_digits, axes[:2]), (richer_digits, axes[2:])):
    part = SceneBatch.from_data(data)
    with torch.no_grad():
        painted = painter(encoder(part).objects, part.batch, 1)
    for digit, (x0, y0, x1, y1) in zip(data.x.tolist(), painted.boxes.tolist(), strict=True):
        outline.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False))
        outline.text(x0, y1, digits.vocabulary.objects[digit], fontsize=8)
    outline.set(xlim=(0, 1), ylim=(1, 0), aspect="equal", title="layout")
    picture.imshow(painted.images[0, 0], cmap="gray_r")
    picture.set(title="image", xticks=[], yticks=[])

# %% [markdown]
# ## Recorded results
#
# What the recipes `enrich-*`, `settransformer-*` and `paint-*` gave is on the site's page
# "Results"; in a checkout, `python -m benchmarks list scene` lists them.
