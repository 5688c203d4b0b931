"""Terms that drown others are named once, in the second call, and only then."""

import copy
import pickle
import warnings

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCN

from graphkit.distill import CommonFeatureLearning, MutualExploration
from graphkit.lopsided import (
    LopsidedWarning,
    calls_of,
    gradients,
    norm,
    watch_penalty,
    watch_scale,
    watch_spreads,
    watch_terms,
)
from graphkit.nn import FactorBalance, FactorGCN
from graphkit.transfer import AttributionGraph, rank_models


class Owner:
    pass


def step(owner, model, weight, apart=False):
    """One step of a task and a penalty whose gradients are equal but for a weight."""
    model.zero_grad()
    x = torch.ones(1, 3)
    task, penalty = model(x).sum(), weight * model(x).sum()
    watch_penalty(owner, [(f"the penalty at {weight}", penalty)], model.parameters())
    if apart:
        task.backward()
        penalty.backward()
    else:
        (task + penalty).backward()


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def caught(run):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        run()
    return [str(w.message) for w in seen if issubclass(w.category, LopsidedWarning)]


def test_a_penalty_over_twice_the_task_is_named_once_with_what_to_take(model):
    owner = Owner()
    messages = caught(lambda: [step(owner, model, 5.0) for _ in range(5)])
    assert len(messages) == 1
    assert "the penalty at 5.0 is 5 times" in messages[0]
    assert "take 0.2 of that weight" in messages[0]


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.9])
def test_a_penalty_that_leaves_the_task_its_say_is_not(model, weight):
    owner = Owner()
    assert caught(lambda: [step(owner, model, weight) for _ in range(3)]) == []


def test_the_first_call_alone_is_not_judged(model):
    assert caught(lambda: step(Owner(), model, 50.0)) == []


def test_losses_differentiated_apart_are_judged_alike(model):
    owner = Owner()
    (message,) = caught(lambda: [step(owner, model, 50.0, apart=True) for _ in range(3)])
    assert "is 50 times" in message


def test_a_penalty_without_a_task_is_not_judged(model):
    owner = Owner()

    def look():
        penalty = model(torch.ones(1, 3)).sum()
        watch_penalty(owner, [("p", penalty)], model.parameters())
        penalty.backward()

    assert caught(lambda: [look() for _ in range(4)]) == []


def test_a_watched_model_is_copied_and_saved_without_its_watch(model):
    owner = nn.Module()
    for _ in range(2):
        penalty = model(torch.ones(1, 3)).sum()
        watch_penalty(owner, [("p", penalty)], model.parameters())
    assert owner.penalty_watch is not None
    assert copy.deepcopy(owner).penalty_watch is None
    assert pickle.loads(pickle.dumps(owner)).penalty_watch is None


def hooks_on(model):
    return [parameter for parameter in model.parameters() if parameter._backward_hooks]


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_looking_changes_no_gradient_and_leaves_no_hook_after_any_step(model, steps):
    owner = Owner()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(steps):
            step(owner, model, 5.0)
            assert torch.equal(model.weight.grad, torch.full((1, 3), 6.0))
    assert hooks_on(model) == []


def test_a_penalty_alone_leaves_no_hook(model):
    owner = Owner()
    for _ in range(2):
        penalty = model(torch.ones(1, 3)).sum()
        watch_penalty(owner, [("p", penalty)], model.parameters())
        torch.autograd.grad(penalty, list(model.parameters()))
    assert hooks_on(model) == []


def test_a_penalty_that_nobody_differentiates_is_watched_as_long_as_its_owner_lives(model):
    owner = Owner()
    for _ in range(2):
        watch_penalty(owner, [("p", model(torch.ones(1, 3)).sum())], model.parameters())
    assert hooks_on(model)
    del owner
    assert hooks_on(model) == []


def test_a_warning_that_is_an_error_leaves_no_hook(model):
    owner = Owner()
    step(owner, model, 5.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(LopsidedWarning, match="5 times"):
            step(owner, model, 5.0)
    assert hooks_on(model) == []


def test_the_warning_points_at_the_line_that_differentiates(model):
    owner = Owner()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(2):
            step(owner, model, 5.0)
    assert [warning.filename for warning in seen] == [__file__]


def test_frozen_parameters_and_constant_terms_pass(model):
    owner = Owner()
    model.requires_grad_(False)

    def look():
        watch_penalty(owner, [("p", model(torch.ones(1, 3)).sum())], model.parameters())

    assert caught(lambda: [look() for _ in range(3)]) == []
    model.requires_grad_(True)
    owner, constant = Owner(), torch.tensor(1.0)
    for _ in range(3):
        assert caught(lambda: watch_penalty(owner, [("p", constant)], model.parameters())) == []


@pytest.mark.parametrize(
    ("weights", "named"),
    [((1e4, 1.0), "'big' is 1e+04 times that of 'small'"), ((1e2, 1.0), ""), ((1e4, 0.0), "")],
)
def test_terms_of_one_objective_are_compared_with_each_other(model, weights, named):
    owner, (big, small) = Owner(), weights

    def look():
        terms = {"big": (big, model.weight.sum()), "small": (small, model.weight.sum())}
        watch_terms(owner, terms, model.parameters())

    messages = caught(lambda: [look() for _ in range(4)])
    assert len(messages) == bool(named)
    assert named in "".join(messages)
    if named:
        assert "lower 'big', or raise 'small'" in messages[0]


def random_graph(nodes, channels, edges):
    return torch.randn(nodes, channels), torch.randint(0, nodes, (2, edges))


@pytest.mark.parametrize(("variant", "lost"), [("paper", False), ("released", True)])
def test_a_size_norm_that_batch_norm_cannot_undo_is_named(variant, lost):
    torch.manual_seed(0)
    x, edge_index = random_graph(20_000, 4, 40_000)
    model = FactorGCN(4, 8, 2, head="node", variant=variant, normalization="batch")
    messages = caught(lambda: [model(0.1 * x, edge_index) for _ in range(2)])
    assert len(messages) == lost
    assert "take 'paper'" in "".join(messages) or not lost


@pytest.mark.parametrize(
    ("options", "named"), [({}, False), ({"weight": 0.25}, True), ({"weight": 100.0}, False)]
)
def test_similarities_that_leave_others_no_say_in_an_order_are_named(options, named):
    torch.manual_seed(0)
    # Maps that are very unlike, features that are almost the same: the nodes decide.
    feature = torch.randn(12, 3)
    graphs = [
        AttributionGraph(x=torch.randn(12, 2) + k, feature=feature + 0.01 * torch.randn(12, 3))
        for k in range(6)
    ]
    sources = {str(k): graph for k, graph in enumerate(graphs[1:])}
    messages = caught(lambda: rank_models(graphs[0], sources, **options))
    assert len(messages) == named
    assert "leave out 'weight'" in "".join(messages) or not named


@pytest.mark.parametrize(("cover", "named"), [(0.1, False), (1e7, True)])
def test_objectives_of_several_terms_name_the_weight_that_drowns_another(cover, named):
    torch.manual_seed(0)
    gate = torch.rand(30, 4, requires_grad=True)
    edge_index = torch.randint(0, 9, (2, 30))
    balance = FactorBalance(cover=cover)
    messages = caught(lambda: [balance(gate, edge_index) for _ in range(3)])
    assert len(messages) == named
    assert "lower 'cover'" in "".join(messages) or not named


@pytest.mark.parametrize(("weight", "named"), [(1.0, False), (1e6, True)])
def test_common_features_that_drown_soft_targets_are_named(weight, named):
    torch.manual_seed(0)
    x, edge_index = random_graph(40, 8, 160)
    student, teachers = GCN(8, 16, 2, 5), [GCN(8, 32, 2, 3), GCN(8, 24, 2, 2)]
    model = CommonFeatureLearning(
        student, teachers, ["convs.0"] * 3, [16, 32, 24], 12, spatial=False, weight=weight
    )
    messages = caught(lambda: [model.loss(x, edge_index).backward() for _ in range(3)])
    assert len(messages) == named
    assert "lower 'weight'" in "".join(messages) or not named


@pytest.mark.parametrize(("inheritance", "named"), [(50.0, False), (1e7, True)])
def test_mutual_exploration_names_what_drowns_the_labels(inheritance, named):
    torch.manual_seed(0)
    x, edge_index = random_graph(40, 8, 160)
    model = MutualExploration(
        *(GCN(8, 16, 2, 3) for _ in range(2)),
        ("convs.0", "convs.0"),
        (16, 16),
        spatial=False,
        inheritance=inheritance,
    )
    y = torch.randint(0, 3, (40,))
    messages = caught(lambda: [model.loss(x, edge_index, y=y) for _ in range(3)])
    # Once for each network.
    assert len(messages) == 2 * named
    assert "lower 'inheritance'" in "".join(messages) or not named


@pytest.mark.parametrize("weight", [2.0, float("inf")])
def test_a_penalty_of_just_twice_the_task_or_without_measure_is_not_named(model, weight):
    owner = Owner()
    assert caught(lambda: [step(owner, model, weight) for _ in range(3)]) == []


def test_what_is_looked_at_is_a_step_with_gradients(model):
    owner = Owner()
    with torch.no_grad():
        for _ in range(2):
            watch_penalty(owner, [], model.parameters())
    assert len(caught(lambda: [step(owner, model, 5.0) for _ in range(2)])) == 1


def test_terms_just_at_the_bounds_are_not_named(model):
    """A hundred times the weight, and a thousand times the gradient, are still right."""

    def look(big, small):
        owner = Owner()
        terms = {"big": big, "small": small}
        return caught(lambda: [watch_terms(owner, terms, model.parameters()) for _ in range(3)])

    unit = model.weight.sum()
    assert look((100.0, 100 * unit), (1.0, unit)) == []
    assert len(look((101.0, 100 * unit), (1.0, unit))) == 1
    assert look((1000.0, unit), (1.0, unit)) == []
    assert len(look((1001.0, unit), (1.0, unit))) == 1
    # Terms that nobody can learn from, or that are fulfilled, drown nobody.
    assert look((1e6, unit), (1.0, 0 * unit)) == []
    assert look((1e6, unit), (1.0, torch.ones(()))) == []
    assert look((float("inf"), unit), (1.0, unit)) == []


def test_only_the_main_term_may_not_be_drowned(model):
    def look(main, **weights):
        owner, unit = Owner(), model.weight.sum()
        terms = {name: (1.0, weight * unit) for name, weight in weights.items()}
        return caught(
            lambda: [watch_terms(owner, terms, model.parameters(), main) for _ in range(2)]
        )

    (message,) = look("task", task=1.0, more=2e3)
    assert "lower 'more', or raise 'task'" in message
    assert look("task", task=2e3, more=1.0) == []
    # Without a gradient of its own it is not there to be drowned.
    assert look("task", task=0.0, more=2e3, other=1.0) == []


@pytest.mark.parametrize(
    ("eps", "rows", "named"), [(0.6, 3, True), (0.5, 3, False), (0.4, 3, False), (5.0, 1, False)]
)
def test_a_norm_whose_constant_is_over_the_mean_variance_is_named(eps, rows, named):
    # Variances 1 and 0.
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])[:rows]
    owner = Owner()
    messages = caught(lambda: [watch_scale(owner, x, eps, "do that") for _ in range(3)])
    assert len(messages) == named
    assert all("adds 6e-01" in text and text.endswith("lost: do that") for text in messages)
    assert caught(lambda: watch_scale(Owner(), torch.zeros(3, 2), 1.0, "")) == []


def test_a_summand_that_alone_gives_the_order_is_named():
    first = torch.tensor([0.0, 1.0, 2.0])

    def look(one, other):
        return caught(lambda: watch_spreads(one, other, ("ones", "others"), "do that"))

    assert look(10 * first, first) == look(first, 10 * first) == []
    (message,) = look(20 * first, first)
    assert message.startswith("ones vary 20 times as much as others, which")
    assert message.endswith("order: do that")
    (message,) = look(first, 20 * first)
    assert message.startswith("others vary 20 times as much as ones, which")
    assert look(20 * first[:2], first[:2]) == []
    assert look(first, 0 * first) == []


def test_norms_are_those_of_double_precision(model):
    assert norm([torch.full((2,), 3e30), torch.full((1,), 4e30)]) == pytest.approx(34**0.5 * 1e30)
    grads = gradients(model.weight.sum(), [model.weight, model.bias])
    assert [g.tolist() for g in grads] == [[[1.0, 1.0, 1.0]], [0.0]]


def test_calls_of_a_function_are_counted_for_the_same_weights():
    assert calls_of("f", 1.0) is calls_of("f", 1.0)
    assert calls_of("f", 1.0) is not calls_of("f", 2.0)
    assert calls_of("f", 1.0) is not calls_of("g", 1.0)
