"""The local structure loss against direct forms, closed forms and the golden file."""

import copy
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch_geometric import EdgeIndex

from graphkit.distill import LocalStructureLoss, local_structure
from graphkit.testing import example_graph
from tests.distill.oracles import dense_softmax, lsp, median_bandwidth, random_graph, score
from tests.distill.suites import LossSuite
from tests.golden_checks.lsp import check


class TestContract(LossSuite):
    def loss(self):
        return LocalStructureLoss(bandwidth=1.0)


KERNELS = ("rbf", "linear", "polynomial", "euclidean", "laplacian")
N = 20


@pytest.fixture
def graph():
    return random_graph(N, 90)


@pytest.fixture
def pair():
    return 0.5 * torch.randn(N, 6, dtype=torch.double), torch.randn(N, 9, dtype=torch.double)


def direct(student, teacher, edge_index, kernel, direction="student_teacher"):
    shares = []
    for x in (student, teacher):
        width = median_bandwidth(x, edge_index, kernel)
        shares.append(dense_softmax(score(x, edge_index, kernel, width), edge_index, len(x)))
    return lsp(*shares[:: 1 if direction == "student_teacher" else -1], edge_index, len(student))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("direction", ["student_teacher", "teacher_student"])
def test_value_and_gradient_of_the_direct_form(graph, pair, kernel, direction):
    student = pair[0].requires_grad_()
    found = LocalStructureLoss(kernel, direction)(student, pair[1], graph)
    wanted = direct(student, pair[1], graph, kernel, direction)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)
    grads = [torch.autograd.grad(value, student)[0] for value in (found, wanted)]
    torch.testing.assert_close(*grads, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
def test_float32_agrees_with_float64(graph, pair, kernel):
    offset = 30.0 if kernel in ("rbf", "laplacian") else 0.0
    student, teacher = pair[0] + offset, pair[1] + offset
    loss = LocalStructureLoss(kernel)
    wanted = loss(student, teacher, graph)
    found = loss(student.float(), teacher.float(), graph)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-6)


def test_small_divergences_keep_their_digits(graph):
    """Where log p - log q in float32 has lost most of its digits."""
    student = torch.randn(N, 4, dtype=torch.double)
    teacher = student + 1e-3 * torch.randn(N, 4, dtype=torch.double)
    loss = LocalStructureLoss(bandwidth=2.0)
    wanted = loss(student, teacher, graph)
    found = loss(student.float(), teacher.float(), graph)
    assert wanted < 1e-6
    torch.testing.assert_close(found.double(), wanted, rtol=1e-2, atol=0.0)


@pytest.mark.parametrize("kernel", KERNELS)
def test_gradcheck(kernel):
    edge_index = random_graph(6, 14)
    student, teacher = torch.randn(2, 6, 3, dtype=torch.double).mul(0.7).unbind()
    loss = LocalStructureLoss(kernel, bandwidth=1.5)
    inputs = (student.requires_grad_(), teacher.requires_grad_())
    assert torch.autograd.gradcheck(lambda s, t: loss(s, t, edge_index), inputs)


@pytest.mark.parametrize("kernel", KERNELS)
def test_equal_features_give_nothing(graph, kernel):
    student = torch.randn(N, 5, dtype=torch.double, requires_grad=True)
    loss = LocalStructureLoss(kernel)(student, student.detach().clone(), graph)
    loss.backward()
    assert abs(loss) < 1e-13
    assert student.grad.abs().max() < 1e-13


def test_structure_sums_to_one(graph, pair):
    for kernel in KERNELS:
        share = local_structure(pair[0], graph, kernel)
        total = torch.zeros(N, dtype=torch.double).index_add(0, graph[1], share)
        torch.testing.assert_close(total[graph[1].unique()], total.new_ones(N)[graph[1].unique()])


@pytest.mark.parametrize("kernel", KERNELS)
def test_one_neighbour_says_nothing(kernel):
    edge_index = torch.tensor([[0, 1, 2], [1, 2, 3]])
    loss = LocalStructureLoss(kernel)(torch.randn(4, 3), torch.randn(4, 5), edge_index)
    assert abs(loss) < 1e-6


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", ["no_edges", "no_nodes", "single_node", "single_loop"])
def test_graphs_without_neighbourhoods(kernel, name):
    edge_index, size = example_graph(name)
    student = torch.randn(size, 3, requires_grad=True)
    loss = LocalStructureLoss(kernel)(student, torch.randn(size, 2), edge_index)
    loss.backward()
    assert loss == 0
    assert (student.grad == 0).all()


def test_identical_nodes_have_a_finite_gradient(graph):
    student = torch.ones(N, 3, requires_grad=True)
    LocalStructureLoss()(student, torch.randn(N, 3), graph).backward()
    assert student.grad.isfinite().all()


def rotation(width):
    return torch.linalg.qr(torch.randn(width, width, dtype=torch.double)).Q


@pytest.mark.parametrize("kernel", KERNELS)
def test_invariances(graph, pair, kernel):
    loss, (student, teacher) = LocalStructureLoss(kernel), pair
    value = loss(student, teacher, graph)
    order = torch.randperm(N)
    renamed = loss(student[order], teacher[order], order.argsort()[graph])
    torch.testing.assert_close(renamed, value)
    shuffled = graph[:, torch.randperm(graph.size(1))]
    torch.testing.assert_close(loss(student, teacher, shuffled), value)
    turned = loss(student @ rotation(6), teacher, graph)
    assert torch.allclose(turned, value) == (kernel != "laplacian")
    moved = loss(student + 3.0, teacher, graph)
    assert torch.allclose(moved, value) == (kernel in ("rbf", "euclidean", "laplacian"))


def test_two_neighbours_closed_form():
    edge_index = torch.tensor([[0, 1], [2, 2]])
    student = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.5]])
    teacher = torch.tensor([[0.2], [-1.0], [1.5]])
    p, q = torch.tensor([3.0, 1.0]).softmax(0), torch.tensor([0.3, -1.5]).softmax(0)
    wanted = (p * (p / q).log()).sum() / 3
    torch.testing.assert_close(LocalStructureLoss("linear")(student, teacher, edge_index), wanted)


@pytest.mark.parametrize("kernel", ["rbf", "laplacian"])
@pytest.mark.parametrize("direction", ["student_teacher", "teacher_student"])
def test_bound_of_half_a_nat(kernel, direction):
    """Scores in (0, 1] tilt by at most 1 either way: a node's divergence is at most 2^2 / 8."""
    loss = LocalStructureLoss(kernel, direction, bandwidth=0.5)
    edge_index = torch.stack([torch.arange(1, 9), torch.zeros(8, dtype=torch.long)])
    worst = 0.0
    for seed in range(50):
        torch.manual_seed(seed)
        student, teacher = torch.randn(2, 9, 1, dtype=torch.double).mul(3).unbind()
        worst = max(worst, 9 * float(loss(student, teacher, edge_index)))
    assert 0.01 < worst <= 0.5


@pytest.mark.parametrize("kernel", ["rbf", "laplacian"])
def test_scale_of_the_features(graph, pair, kernel):
    student, teacher = pair
    fixed, median = LocalStructureLoss(kernel, bandwidth=1.0), LocalStructureLoss(kernel)
    keep = graph[:, graph[0] != graph[1]]
    assert fixed(student, teacher, keep) > 1e-4
    assert fixed(1000 * student, 1000 * teacher, keep) < 1e-12
    value = median(student, teacher, keep)
    torch.testing.assert_close(median(1000 * student, teacher, keep), value)


def test_direction_swaps_the_arguments_of_torch_kl(graph, pair):
    student, teacher = pair
    shares = [local_structure(x, graph, "rbf", 2.0).log() for x in pair]
    for direction, (p, q) in zip(
        ("student_teacher", "teacher_student"), (shares, shares[::-1]), strict=True
    ):
        wanted = F.kl_div(q, p, reduction="sum", log_target=True) / N
        loss = LocalStructureLoss(direction=direction, bandwidth=2.0)
        torch.testing.assert_close(loss(student, teacher, graph), wanted)


def test_union_of_edges(pair):
    loss, (student, teacher) = LocalStructureLoss(), pair
    first, second = random_graph(N, 60, 1), random_graph(N, 60, 2)
    alike = loss(student, teacher, first, first.flip(1))
    torch.testing.assert_close(alike, loss(student, teacher, first))
    both = loss(student, teacher, first, second)
    torch.testing.assert_close(both, loss(student, teacher, second, first))
    keys = {*map(tuple, first.t().tolist()), *map(tuple, second.t().tolist())}
    merged = torch.tensor(sorted(keys)).t()
    torch.testing.assert_close(both, loss(student, teacher, merged))
    assert not torch.isclose(both, alike)


def test_teacher_is_compared_once(graph, pair):
    student, teacher = pair
    loss = LocalStructureLoss()
    values = [loss(student, teacher, graph) for _ in range(3)]
    assert loss.memo.hits == 2
    torch.testing.assert_close(values[2], LocalStructureLoss()(student, teacher, graph))
    teacher.mul_(torch.linspace(0.1, 2.0, 9))
    torch.testing.assert_close(
        loss(student, teacher, graph), LocalStructureLoss()(student, teacher, graph)
    )
    assert loss.memo.hits == 2
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert twin(student, teacher, graph) == loss(student, teacher, graph)


def test_edge_index_class_and_heads(graph, pair):
    student, teacher = pair
    loss = LocalStructureLoss()
    value = loss(student, teacher, graph)
    given = EdgeIndex(graph, sparse_size=(N, N))
    torch.testing.assert_close(loss(student, teacher, given), value)
    heads = teacher.view(N, 3, 3)
    torch.testing.assert_close(loss(student.view(N, 2, 3), heads, graph), value)


def test_low_precision_is_computed_wide(graph):
    student, teacher = torch.randn(N, 6).bfloat16(), torch.randn(N, 6).bfloat16()
    found = LocalStructureLoss()(student, teacher, graph)
    assert found.dtype == torch.bfloat16
    wanted = LocalStructureLoss()(student.double(), teacher.double(), graph)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-2, atol=0.0)


def test_released_variant(graph, pair):
    released = LocalStructureLoss(variant="released")
    spelled = LocalStructureLoss("laplacian", "teacher_student", 100.0)
    assert released(*pair, graph) == spelled(*pair, graph)
    assert released(*pair, graph) != LocalStructureLoss()(*pair, graph)


@pytest.mark.parametrize("name", ["linear", "laplacian"])
def test_wrong_input_is_named(graph, pair, name):
    student, teacher = pair
    loss = LocalStructureLoss(name)
    with pytest.raises(ValueError, match="'teacher' 19"):
        loss(student, teacher[1:], graph)
    with pytest.raises(IndexError, match="20"):
        loss(student, teacher, graph.clone().fill_(N))
    with pytest.raises(IndexError, match="-1"):
        loss(student, teacher, graph.clone().fill_(-1))
    with pytest.raises(TypeError, match="'student'"):
        loss(student.long(), teacher, graph)
    teacher[3, 3] = float("nan")
    with pytest.raises(ValueError, match=r"'teacher'.*NaN"):
        loss(student, teacher, graph)


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match=r"'kernel'.*'cosine'"):
        LocalStructureLoss("cosine")
    with pytest.raises(ValueError, match="'direction'"):
        LocalStructureLoss(direction="both")
    with pytest.raises(ValueError, match=r"'bandwidth'.*0"):
        LocalStructureLoss(bandwidth=0.0)
    with pytest.raises(ValueError, match="'variant'"):
        LocalStructureLoss(variant="code")


def test_golden_check_finds_a_wrong_loss(graph, pair):
    student, teacher = (x.numpy().copy() for x in pair)
    shares = [
        dense_softmax(score(x, graph, "laplacian", 100.0), graph, N).unsqueeze(-1) for x in pair
    ]
    wanted = lsp(*shares[::-1], graph, N)
    loss = LocalStructureLoss(variant="released")
    grad = torch.autograd.grad(loss(pair[0].requires_grad_(), pair[1], graph), pair[0])[0]
    arrays = {
        "edge_index": graph.numpy(),
        "student": student,
        "teacher": teacher,
        "student_structure": shares[0].detach().numpy(),
        "teacher_structure": shares[1].numpy(),
        "loss": np.asarray(float(wanted)),
        "grad_student": grad.numpy(),
    }
    assert max(check(arrays).values()) < 1e-8
    arrays["loss"] = arrays["loss"] * (1 + 1e-6)
    assert check(arrays)["loss"] > 1e-8


def test_half_features_of_many_nodes():
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 2000, 64) * 4
    edges, loss = torch.randint(2000, (2, 20_000)), LocalStructureLoss(kernel="linear")
    divergence = loss(student.half(), teacher.half(), edges)
    assert divergence.dtype == torch.float16
    assert divergence.item() == pytest.approx(loss(student, teacher, edges).item(), rel=0.02)
