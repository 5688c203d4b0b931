# %% [markdown]
# # Learning tasks one after another: forgetting seen, then prevented
#
# A graph network learns to tell zeros from ones, then twos from threes, and so on. It never
# sees old data again. What happens to the first task?

# %%
import copy
import os

import matplotlib.pyplot as plt
import torch
from torch_geometric.nn import GAT

from graphkit import accelerate
from graphkit.continual import (
    ERGNN,
    EWC,
    GEM,
    MAS,
    SSM,
    TPP,
    TWP,
    FineTune,
    JointTrain,
    LwF,
    TaskPrototypes,
)
from graphkit.datasets import TaskSequence, load
from graphkit.metrics import (
    average_forgetting,
    average_performance,
    backward_transfer,
    forward_transfer,
)

fast = bool(os.environ.get("GRAPHKIT_FAST"))
epochs = 15 if fast else 60

# %% [markdown]
# ## A stream of tasks
#
# `TaskSequence` cuts any labelled graph into tasks. What the learner may see is said, never
# implied: here `visible="task"`, each task with the subgraph of its own nodes. `"seen"` is a
# growing graph, `"all"` shows features and edges of the future from the start.

# %%
tasks = TaskSequence(
    load("digits")[0],
    classes_per_task=2,
    visible="task",
    train_per_class=20,
    val_per_class=0,
    class_order=list(range(10)),
)
for task in tasks:
    print(task.number, task.classes, task.data)

# %% [markdown]
# The future does not leak: change all later images, and nothing that the first task computes
# while training changes.

# %%
torch.manual_seed(0)
model = GAT(64, 64, num_layers=2, out_channels=10, heads=8, dropout=0.4, act="elu")
changed = load("digits")[0].clone()
changed.x[changed.y > 1] += 5.0
options = {"visible": "task", "train_per_class": 20, "val_per_class": 0}
again = TaskSequence(changed, 2, **options, class_order=list(range(10)))
untrained = copy.deepcopy(model).eval()
print(torch.equal(tasks[0].output(untrained), again[0].output(untrained)))

# %% [markdown]
# ## Somebody's own loop, three more lines
#
# The model is PyG's `GAT`, not changed by a line. A strategy joins the loop by its penalty,
# by a look at the gradient before the step, and by a call after each task.


# %%
def learn(make_strategy):
    """Learns all tasks; row k of the matrix holds the accuracies after task k."""
    torch.manual_seed(1)
    net = copy.deepcopy(model).train()
    strategy = make_strategy(net)
    matrix = []
    for task in tasks:
        optimizer = torch.optim.Adam(net.parameters(), lr=0.005, weight_decay=5e-4)
        for _ in range(epochs):
            optimizer.zero_grad()
            loss = task.loss(net)
            (loss + strategy.penalty(loss, task.output)).backward()
            strategy.before_step()
            optimizer.step()
        strategy.finish_task(task.losses, task.output, task.columns)
        matrix.append(tasks.evaluate(net, after=task.number))
    return torch.stack(matrix)


# %% [markdown]
# ## Forgetting seen
#
# Each row is a moment, each column a task. The diagonal is what was just learned; going down a
# column is going forward in time.

# %%
matrices = {"fine-tune": learn(FineTune)}
matrix = matrices["fine-tune"]
moments, seen = zip(*torch.ones_like(matrix).tril().nonzero().tolist(), strict=True)
plt.imshow(matrix.masked_fill(torch.ones_like(matrix).triu(1).bool(), torch.nan), vmin=0, vmax=1)
for moment, task in zip(moments, seen, strict=True):
    plt.text(task, moment, f"{100 * matrix[moment, task]:.0f}", ha="center", va="center")
plt.xticks(seen)
plt.yticks(moments)
plt.xlabel("task")
plt.ylabel("after task")
plt.colorbar(label="accuracy")
# %% [markdown]
# ## Forgetting prevented
#
# TWP keeps parameters that mattered to the loss or to the attention over the graph. EWC, MAS,
# GEM and LwF share the contract; joint training, which keeps all old data, is the upper bound.

# %%
strategies = {
    "TWP": lambda net: TWP(net, task_weight=100.0, topology_weight=1e-4),
    "EWC": lambda net: EWC(net, weight=1e4, samples=20),
    "MAS": lambda net: MAS(net, weight=1.0, samples=20),
    "GEM": lambda net: GEM(net, memories=20),
    "LwF": lambda net: LwF(net),
    "joint": JointTrain,
}
for name, make in strategies.items():
    matrices[name] = learn(make)
figure, axes = plt.subplots(
    1, len(matrices), figsize=(2.6 * len(matrices), 2.6), sharey=True, layout="constrained"
)
for axis, (name, matrix) in zip(axes, matrices.items(), strict=True):
    for task in range(len(matrix)):
        moments = range(task + 1, len(matrix) + 1)
        axis.plot(moments, matrix[task:, task].tolist(), marker="o", label=f"task {task + 1}")
    axis.set(title=name, xlabel="after task", ylim=(0, 1.02))
axes[0].set_ylabel("accuracy")
axes[-1].legend(fontsize="small")
# %%
baseline = tasks.evaluate(model, after=-1)
print("              AP     AF    BWT    FWT")
for name, matrix in matrices.items():
    numbers = (
        average_performance(matrix),
        average_forgetting(matrix),
        backward_transfer(matrix),
        forward_transfer(matrix, baseline),
    )
    print(f"{name:10s} " + " ".join(f"{number:6.3f}" for number in numbers))

# %% [markdown]
# ## What TWP found important
#
# One weight and one anchor per parameter, for any number of tasks: all penalties are collapsed
# into two tensors, so the twentieth task costs what the second did.

# %%
twp = TWP(copy.deepcopy(model), task_weight=100.0, topology_weight=1e-4)
for task in tasks:
    twp.finish_task(task.losses)
{name: float(value.mean()) for name, value in twp.quadratic.weight.items()}

# %% [markdown]
# ## When nobody says which task it is
#
# Now all ten digits compete, and the model is not told which pair it is asked about. What a penalty
# keeps is of no use if the last task always wins. `ERGNN` and `SSM` replay a few nodes of each class,
# with and without neighbours; they want to see a task's graph before it is trained. `accelerate` puts
# faster layers in place of PyG's.

# %%
growing = TaskSequence(
    load("digits")[0],
    classes_per_task=2,
    visible="task",
    setting="class",
    train_per_class=20,
    val_per_class=0,
    class_order=list(range(10)),
)


def learn_classes(make_strategy):
    """Learns all tasks; accuracy on each in the end, among all classes."""
    torch.manual_seed(1)
    net = accelerate(model, copy=True).model.train()
    strategy = make_strategy(net)
    for task in growing:
        optimizer = torch.optim.Adam(net.parameters(), lr=0.005, weight_decay=5e-4)
        if isinstance(strategy, ERGNN | SSM):
            labels = task.columns[task.y["train"]]
            x, edge_index = task.data.x, task.data.edge_index
            strategy.see_task(x, edge_index, task.rows["train"], labels, task.columns)
        for _ in range(epochs):
            optimizer.zero_grad()
            loss = task.loss(net)
            (loss + strategy.penalty(loss, task.output)).backward()
            strategy.before_step()
            optimizer.step()
        strategy.finish_task(task.losses, task.output, task.columns)
    return growing.evaluate(net, after=len(growing) - 1).mean()


for name, make in {"fine-tune": FineTune, "ER-GNN": ERGNN, "SSM": SSM}.items():
    print(f"{name:10s} {learn_classes(make):.3f}")

# %% [markdown]
# TPP forgets nothing: a network is trained once and frozen, and each task adds a prompt and a
# classifier. Which task it is, smoothed features tell, for all nodes that are asked about together.

# %%
torch.manual_seed(1)
tpp = TPP(GAT(64, 64, num_layers=2, heads=2, act="elu"), in_channels=64, hidden_channels=64)
first = growing[0].data
optimizer = torch.optim.Adam(tpp.parameters(), lr=0.005)
for _ in range(epochs):
    optimizer.zero_grad()
    tpp.contrast(first.x, first.edge_index).backward()
    optimizer.step()
for task in growing:
    x, edge_index, rows = task.data.x, task.data.edge_index, task.rows["train"]
    number = tpp.add_task(x, edge_index, rows, classes=2)
    optimizer = torch.optim.Adam(tpp.parameters(), lr=0.005)
    for _ in range(epochs):
        optimizer.zero_grad()
        out = tpp(x, edge_index, task=number)[rows]
        torch.nn.functional.cross_entropy(out[:, task.columns], task.y["train"]).backward()
        optimizer.step()

tpp.eval()
correct = []
for number in range(len(growing)):
    task = growing.view(number, len(growing) - 1)
    graph, rows = task.graphs["test"], task.rows["test"]
    guess = tpp.predict_task(graph.x, graph.edge_index, rows)
    out = tpp(graph.x, graph.edge_index, task=guess)[rows]
    correct.append((out.argmax(dim=1) == task.y["test"]).float().mean())
    print(f"task {number} taken for {guess}, accuracy {correct[-1]:.3f}")
print(f"TPP        {torch.stack(correct).mean():.3f}")

# %% [markdown]
# The catch: asked node by node, the prototypes are right less often.

# %%
profiles = TaskPrototypes()
for task in growing:
    profiles.add(task.data.x, task.data.edge_index, task.rows["train"])
for task in growing:
    nodes = profiles.predict_nodes(task.data.x, task.data.edge_index)[task.rows["test"]]
    print(f"task {task.number}: {(nodes == task.number).float().mean():.3f} of its nodes")

# %% [markdown]
# The recipes `<strategy>-<backbone>-<dataset>` run the same on real graphs, for example
# `python -m benchmarks run twp-gat-computers finetune-gat-computers`, and
# `--set strategy.task_weight=1000` changes a weight.
