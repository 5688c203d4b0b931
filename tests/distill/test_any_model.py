"""The distiller on whatever models and arguments there are, and what it keeps of them."""

import copy
import sys

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch_geometric.data import Data
from torch_geometric.nn import GCN
from torch_geometric.utils import coalesce

from graphkit.distill import Distiller, FitNetLoss, LocalStructureLoss, MMDLoss, SoftTargetLoss
from graphkit.taps import tap
from tests.distill.oracles import random_graph

N = 12


@pytest.fixture
def graph():
    return torch.randn(N, 8), random_graph(N, 40)


@pytest.fixture
def models():
    return GCN(8, 4, 2, 3), GCN(8, 16, 3, 3)


class Recorder(SoftTargetLoss):
    """Remembers what it is called with."""

    takes_edges = True
    takes_batch = True

    def forward(self, student, teacher, edge_index, edge_index_teacher=None, batch=None):
        self.called = (student, teacher, edge_index, edge_index_teacher, batch)
        return student.sum() * 0.0


class TakesData(nn.Module):
    """PyG's other way of calling: one object holds all."""

    def __init__(self, width):
        super().__init__()
        self.gcn = GCN(8, width, 2, 3)

    def forward(self, data):
        return self.gcn(data.x, data.edge_index)


def counted(teacher):
    calls = []
    teacher.register_forward_hook(lambda *_: calls.append(1))
    return calls


def test_a_teacher_of_data_objects_is_never_stale(graph):
    """The object stays the same while what it holds changes."""
    student, teacher = TakesData(4), TakesData(16)
    calls, recorder = counted(teacher), Recorder()
    model = Distiller(student, teacher, [("gcn.convs.0", "gcn.convs.0")], recorder)
    data = Data(x=graph[0], edge_index=graph[1], batch=torch.zeros(N, dtype=torch.long))
    for step in range(2):
        model(data)
        model.penalty()
        assert len(calls) == step + 1
        before, data.x = data.x, data.x + 1
    data.x = before
    with torch.no_grad(), tap(teacher.eval(), "gcn.convs.0") as seen:
        teacher(data)
    assert torch.equal(recorder.called[1], seen["gcn.convs.0"].output)
    assert recorder.called[2] is data.edge_index
    assert recorder.called[4] is data.batch


class TakesAnything(nn.Module):
    """A model of several kinds of argument."""

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(8, 3)

    def forward(self, x, extra=None, shift=0.0, scale=1.0):
        if isinstance(extra, dict | list):
            x = x + (extra["x"] if isinstance(extra, dict) else extra[0])
        return scale * self.lin(x + shift)


@pytest.mark.parametrize("kind", [lambda x: {"x": x}, lambda x: [x]])
def test_features_of_containers_are_not_kept(graph, kind):
    student, teacher = TakesAnything(), TakesAnything()
    model = Distiller(student, teacher, [("", "")], FitNetLoss(3, 3))
    extra, values = kind(torch.zeros(N, 8)), []
    for _ in range(2):
        model(graph[0], extra)
        values.append(model.taught(model.seen["call of the student"])[""].output)
        extra["x" if isinstance(extra, dict) else 0] = torch.ones(N, 8)
    assert torch.equal(values[1], teacher(graph[0] + 1))
    assert not torch.equal(*values)


def test_the_same_value_under_another_name_is_another_call(graph):
    student, teacher = TakesAnything(), TakesAnything()
    calls = counted(teacher)
    model = Distiller(student, teacher, [("", "")], SoftTargetLoss())
    for kwargs in ({"shift": 2.0}, {"scale": 2.0}, {"scale": 2.0}, {"scale": 3.0}):
        model(graph[0], **kwargs)
        model.penalty()
    assert len(calls) == 3


def test_a_teacher_that_changed_runs_again(graph, models):
    student, teacher = models
    calls = counted(teacher)
    model = Distiller(student, teacher, [("convs.0", "convs.0")], MMDLoss())

    def step():
        model(*graph)
        model.penalty()
        return len(calls)

    assert [step(), step()] == [1, 1]
    with torch.no_grad():
        teacher.convs[0].bias.add_(1)
    assert [step(), step()] == [2, 2]
    teacher.load_state_dict(copy.deepcopy(teacher.state_dict()), assign=True)
    assert [step(), step()] == [3, 3]
    teacher.convs[1] = GCN(16, 16, 1)
    assert step() >= 4
    teacher.convs[0] = copy.deepcopy(teacher.convs[0])
    before = model.taps[1].named.modules["convs.0"]
    step()
    assert model.taps[1].named.modules["convs.0"] is teacher.convs[0]
    assert before is not teacher.convs[0]


def ddp(model):
    return nn.parallel.DistributedDataParallel(model)


WRAPPERS = {
    "data parallel": nn.DataParallel,
    "averaged": AveragedModel,
    "twice": lambda model: nn.DataParallel(AveragedModel(model)),
    "ddp": ddp,
}


@pytest.fixture
def process_group(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("name", WRAPPERS)
@pytest.mark.usefixtures("process_group")
def test_wrapped_models_are_named_like_what_they_wrap(graph, name):
    student, teacher = GCN(8, 4, 2, 3), GCN(8, 16, 3, 3)
    pairs, loss = [("convs.0", "convs.1"), ("", "")], LocalStructureLoss()
    losses = [loss, SoftTargetLoss()]
    plain = Distiller(student, teacher, pairs, losses)
    plain(*graph)
    expected = plain.penalty()
    wrap = WRAPPERS[name]
    wrapped = Distiller(wrap(student), wrap(teacher), pairs, losses)
    wrapped(graph[0], edge_index=graph[1])
    value = wrapped.penalty()
    torch.testing.assert_close(value, expected)
    value.backward()
    depth = "module.module." if name == "twice" else "module."
    full = [(depth + "convs.0", depth + "convs.1"), ("", "")]
    spelled = Distiller(wrap(student), wrap(teacher), full, losses)
    spelled(*graph)
    torch.testing.assert_close(spelled.penalty(), expected)


def test_a_model_that_is_copied_to_several_devices_is_refused(models):
    replicated = nn.DataParallel(models[0])
    replicated.device_ids = [0, 1]
    with pytest.raises(ValueError, match="DistributedDataParallel"):
        Distiller(replicated, models[1], [("", "")], SoftTargetLoss())


class TakesAdjacency(nn.Module):
    """A model of a sparse matrix, whose rows are the targets."""

    def __init__(self, width):
        super().__init__()
        self.lin = nn.Linear(8, width)

    def forward(self, x, adj_t):
        return adj_t @ self.lin(x)


def test_a_sparse_adjacency_gives_the_edges_and_is_not_kept(graph):
    teacher, recorder = TakesAdjacency(16), Recorder()
    calls = counted(teacher)
    model = Distiller(TakesAdjacency(4), teacher, [("lin", "lin")], recorder)
    edge_index = coalesce(graph[1], sort_by_row=False)
    ones = torch.ones(edge_index.size(1))
    adj_t = torch.sparse_coo_tensor(edge_index.flip(0), ones, (N, N), check_invariants=True)
    for _ in range(2):
        model(graph[0], adj_t.coalesce())
        model.penalty()
    assert torch.equal(recorder.called[2], edge_index)
    assert len(calls) == 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_student_and_teacher_may_differ_in_precision(graph, dtype):
    x, edge_index = graph
    student, teacher = GCN(8, 4, 2, 3).to(dtype), GCN(8, 16, 3, 3)
    pairs, losses = [("convs.0", "convs.1"), ("", "")], [LocalStructureLoss(), SoftTargetLoss()]
    model = Distiller(student, teacher, pairs, losses)
    model(x.to(dtype), edge_index)
    twin = Distiller(copy.deepcopy(student).double(), teacher, pairs, losses)
    twin(x.to(dtype).double(), edge_index)
    value = model.penalty()
    torch.testing.assert_close(value.double(), twin.penalty(), rtol=0.1, atol=1e-2)
    value.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in student.parameters())


def test_what_is_not_a_list_of_pairs_or_made_is_named_with_what_to_write(models):
    for pairs in (("convs.0", "convs.1"), ["ab", "cd"]):
        with pytest.raises(TypeError, match=r"'pairs' must be a list.*write \[\('"):
            Distiller(*models, pairs, SoftTargetLoss())
    with pytest.raises(TypeError, match=r"'graphs' must be a list.*write \[\('a', 'b'\)\]"):
        Distiller(*models, [("", "")], SoftTargetLoss(), graphs=("a", "b"))
    for losses in (SoftTargetLoss, [SoftTargetLoss]):
        with pytest.raises(TypeError, match=r"class SoftTargetLoss; write SoftTargetLoss\("):
            Distiller(*models, [("", "")], losses)


def test_a_step_looks_up_no_names(graph):
    """Every step walked through all modules and read signatures: 615 Python calls more."""
    model = Distiller(GCN(8, 4, 2, 3), GCN(8, 16, 3, 3), [("convs.0", "convs.1")], MMDLoss())

    def step():
        model(*graph)
        model.penalty()

    # In the second step gradients are compared, once.
    step()
    step()
    called = []

    def watch(frame, event, _):
        if event == "call":
            called.append(frame.f_code.co_name)

    sys.setprofile(watch)
    step()
    sys.setprofile(None)
    assert "penalty" in called
    assert not {"named_modules", "signature", "_signature_from_callable"} & set(called)
