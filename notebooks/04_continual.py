# %% [markdown]
# # Learning tasks one after another: forgetting seen, then prevented
#
# A graph network learns to tell zeros from ones, then twos from threes, and so on. It never
# sees old data again. What happens to the first task?

# %%
import copy
import os

import torch
from torch_geometric.nn import GAT

from benchmarks.studies.continual.plots import plot_matrices, plot_over_time
from graphkit.continual import EWC, GEM, MAS, TWP, FineTune, JointTrain, LwF
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
plot_matrices(matrices)
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
plot_over_time(matrices)
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
# The recipes `<strategy>-<backbone>-<dataset>` run the same on real graphs, for example
# `python -m benchmarks run twp-gat-computers finetune-gat-computers`, and
# `--set strategy.task_weight=1000` changes a weight.
