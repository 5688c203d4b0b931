"""Attribution: identities, captum as oracle where it can be one, nothing left behind."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE

from graphkit.testing.asserts import assert_no_trace, assert_not_mutated
from graphkit.transfer import attribute
from graphkit.transfer.attribution import METHODS
from graphkit.transfer.nonlinearities import Nonlinearities
from tests import torchvision_networks


def cnn(bias: bool = True, act: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, 1, bias=bias),
        act(),
        nn.Conv2d(6, 8, 3, 2, 1, bias=bias),
        act(),
        nn.Flatten(),
        nn.Linear(32, 5, bias=bias),
    ).double()


def images(count: int = 5) -> torch.Tensor:
    return torch.rand(count, 3, 8, 8, dtype=torch.double)


def graph() -> Data:
    edges = torch.tensor([[0, 1, 2, 3, 3], [1, 2, 0, 0, 2]])
    return Data(x=torch.randn(5, 6, dtype=torch.double), edge_index=edges)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_is_a_loop(method: str) -> None:
    model, x = nn.Sequential(nn.BatchNorm2d(3).double(), cnn()), images()
    whole = attribute(model, x, method)
    assert whole.shape == x.shape
    for size in (1, 2):
        torch.testing.assert_close(attribute(model, x, method, batch_size=size), whole)
    torch.testing.assert_close(attribute(model, x[[3, 1]], method), whole[[3, 1]])


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_left_behind(method: str) -> None:
    model, x = nn.Sequential(cnn(), nn.Dropout(0.5)).train(), images()
    model[0][0].eval()
    model[0][2].weight.requires_grad_(False)
    model[0][0].weight.grad = torch.ones_like(model[0][0].weight)
    x.requires_grad_()
    with assert_no_trace(model), assert_not_mutated(x=x):
        first = attribute(model, x, method)
        second = attribute(model, x, method)
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert x.grad is None
    assert bool((model[0][0].weight.grad == 1).all())


@pytest.mark.parametrize("method", METHODS)
def test_a_failing_model_is_put_back(method: str) -> None:
    class Failing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("planted")

    model = nn.Sequential(cnn(), Failing()).train()
    with assert_no_trace(model), pytest.raises(RuntimeError, match="planted"):
        attribute(model, images(), method)
    with pytest.raises(RuntimeError, match="planted"):
        attribute(model, images(), method, layer="1")
    assert torch.relu(torch.tensor(-1.0)) == 0


def test_a_linear_model_is_known() -> None:
    weight, x = torch.randn(4, 6, dtype=torch.double), torch.randn(3, 6, dtype=torch.double)
    expected = weight.sum(0) * x
    for method in set(METHODS) - {"saliency"}:
        torch.testing.assert_close(attribute(lambda x: x @ weight.T, x, method), expected)
    found = attribute(lambda x: x @ weight.T, x, "saliency")
    torch.testing.assert_close(found, weight.sum(0).abs().expand(3, 6))


def test_without_bias_relu_attributions_are_complete() -> None:
    model, x = cnn(bias=False), images()
    total = model(x).sum(1)
    for method in ("input_x_gradient", "epsilon_lrp", "deep_lift"):
        found = attribute(model, x, method, eps=1e-9).flatten(1).sum(1)
        torch.testing.assert_close(found, total, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("act", [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.ELU])
def test_deep_lift_and_integrated_gradients_are_complete(act: type[nn.Module]) -> None:
    model, x, x0 = cnn(act=act), images(), images()
    gap = model(x).sum(1) - model(x0).sum(1)
    found = attribute(model, x, "deep_lift", baseline=x0, batch_size=2).flatten(1).sum(1)
    torch.testing.assert_close(found, gap)
    found = attribute(model, x, "integrated_gradients", baseline=x0, steps=200, batch_size=3)
    torch.testing.assert_close(found.flatten(1).sum(1), gap, rtol=0.02, atol=1e-3)


def test_epsilon_lrp_becomes_input_x_gradient() -> None:
    model, x = cnn(), images()
    plain = attribute(model, x, "input_x_gradient")
    gaps = [
        float((attribute(model, x, "epsilon_lrp", eps=eps) - plain).norm() / plain.norm())
        for eps in (1e-2, 1e-4, 1e-6)
    ]
    assert gaps[2] < 1e-3
    assert gaps[0] > gaps[1] > gaps[2]


def test_epsilon_leads_away_from_zero_on_both_sides() -> None:
    z = torch.tensor([[-2.0, -0.3, 0.0, 0.3, 2.0]])
    model = nn.Sequential(nn.Tanh(), nn.Linear(5, 1, bias=False))
    nn.init.ones_(model[1].weight)
    found = attribute(model, z, "epsilon_lrp", target=torch.tensor([0]), eps=0.5)
    torch.testing.assert_close(found, z * z.tanh() / (z + torch.tensor([-1, -1, 1, 1, 1]) * 0.5))


def test_captum_agrees() -> None:
    from captum.attr import LRP, DeepLift

    model, x, target = cnn(act=nn.Tanh), images().requires_grad_(), torch.tensor([0, 4, 1, 1, 2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = DeepLift(model).attribute(x, target=target)
    torch.testing.assert_close(attribute(model, x, "deep_lift", target=target), expected.detach())
    model = nn.Sequential(nn.Linear(6, 8, bias=False), nn.ReLU(), nn.Linear(8, 5, bias=False))
    x = torch.randn(5, 6)
    expected = LRP(model).attribute(x.clone().requires_grad_(), target=target).detach()
    found = attribute(model, x, "epsilon_lrp", target=target, eps=1e-9)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_functions_and_modules_are_the_same_to_the_rules() -> None:
    import torch.nn.functional as F

    model, x = cnn(), images()

    def functional(x: torch.Tensor) -> torch.Tensor:
        x = F.relu(model[0](x), inplace=True)
        return model[5](model[2](x).relu_().flatten(1))

    model[1] = nn.ReLU(inplace=True)
    for method in METHODS:
        torch.testing.assert_close(attribute(functional, x, method), attribute(model, x, method))


def test_targets() -> None:
    model, x = cnn(), images()
    each = torch.stack([attribute(model, x, target=c) for c in range(5)])
    torch.testing.assert_close(each.sum(0), attribute(model, x))
    torch.testing.assert_close(each.mean(0), attribute(model, x, target="mean"))
    chosen = torch.tensor([2, 0, 4, 4, 1])
    found = attribute(model, x, "integrated_gradients", target=chosen, batch_size=2)
    for row, c in enumerate(chosen.tolist()):
        one = attribute(model, x[[row]], "integrated_gradients", target=c)
        torch.testing.assert_close(found[[row]], one)
    norm = attribute(model, x, target="norm")
    torch.testing.assert_close(norm, attribute(model, x, target=lambda out: out.norm(dim=1)))


def test_a_layer_does_not_depend_on_the_layers_before() -> None:
    model, x = cnn(), images()
    alone = attribute(model, x, layer="3")
    for layer in ("0", "1", "2"):
        attribute(model, x, layer=layer)
    assert torch.equal(attribute(model, x, layer="3"), alone)
    torch.testing.assert_close(alone, attribute(model[:4], x))


@pytest.mark.parametrize("kind", [GCN, GAT, GIN, GraphSAGE])
def test_graphs(kind: type[nn.Module]) -> None:
    data = graph()
    model = kind(6, 8, 2, 3).double()
    x = data.x.clone().requires_grad_()
    expected = x * torch.autograd.grad(model.eval()(x, data.edge_index).sum(), x)[0]
    torch.testing.assert_close(attribute(model, data), expected.detach())
    gap = model(data.x, data.edge_index).sum() - model(0 * data.x, data.edge_index).sum()
    found = attribute(model, data, "integrated_gradients", steps=300)
    torch.testing.assert_close(found.sum(), gap, rtol=0.02, atol=1e-3)
    if kind is not GAT:
        torch.testing.assert_close(attribute(model, data, "deep_lift").sum(), gap)
    for method in METHODS:
        both = attribute(model, Batch.from_data_list([data, data]), method)
        torch.testing.assert_close(both, attribute(model, data, method).repeat(2, 1))


def test_a_graph_passes_what_the_model_names() -> None:
    data = graph()
    data.edge_weight, data.batch = torch.rand(5, dtype=torch.double), torch.tensor([0, 0, 0, 1, 1])

    def model(x: torch.Tensor, edge_index: torch.Tensor, edge_weight: torch.Tensor) -> torch.Tensor:
        return edge_weight[:, None] * x[edge_index[0]]

    expected = torch.zeros(5, dtype=torch.double)
    expected.index_add_(0, data.edge_index[0], data.edge_weight)
    torch.testing.assert_close(attribute(model, data), expected[:, None] * data.x)


def test_nothing_to_attribute() -> None:
    assert attribute(cnn(), images(0)).shape == (0, 3, 8, 8)
    lonely = Data(x=torch.randn(1, 6), edge_index=torch.empty(2, 0, dtype=torch.long))
    assert attribute(GCN(6, 4, 1), lonely).shape == (1, 6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "salency"}, "'method' must be one of"),
        ({"x": torch.ones(2, 3, dtype=torch.long)}, "'x' must be a dense tensor of floating"),
        ({"x": torch.tensor([[1.0, torch.nan]])}, "'x' holds 1 values that are not finite"),
        ({"batch_size": 0}, "'batch_size' must be at least 1, got 0"),
        ({"steps": 0}, "'steps' must be at least 1, got 0"),
        ({"eps": 0.0}, "'eps' must be positive"),
        ({"target": 7}, "'target' must lie between 0 and 1"),
        ({"target": torch.tensor([0, 2, 1])}, "got values from 0 to 2"),
        ({"target": torch.tensor([1, -1, 0])}, "got values from -1 to 1"),
        ({"target": "total"}, "'target' must be one of"),
        ({"layer": "9"}, "no submodule '9'"),
    ],
)
def test_faults_are_named(change: dict, message: str) -> None:
    arguments = {"x": torch.rand(3, 4), **change}
    with pytest.raises(ValueError, match=message):
        attribute(nn.Sequential(nn.Linear(4, 2)), **arguments)


ACTIVATIONS = [
    nn.CELU(),
    nn.ELU(inplace=True),
    nn.GELU("tanh"),
    nn.Hardshrink(),
    nn.Hardsigmoid(inplace=True),
    nn.Hardswish(inplace=True),
    nn.Hardtanh(-2, 3, inplace=True),
    nn.LeakyReLU(0.2, inplace=True),
    nn.LogSigmoid(),
    nn.Mish(inplace=True),
    nn.PReLU(),
    nn.RReLU(inplace=True),
    nn.ReLU(inplace=True),
    nn.ReLU6(inplace=True),
    nn.SELU(inplace=True),
    nn.SiLU(inplace=True),
    nn.Sigmoid(),
    nn.Softplus(2.0),
    nn.Softshrink(),
    nn.Softsign(),
    nn.Tanh(),
    nn.Tanhshrink(),
    nn.Threshold(0.1, 20.0, inplace=True),
]


@pytest.mark.parametrize("act", ACTIVATIONS, ids=lambda act: type(act).__name__)
def test_each_activation_gives_what_it_adds(act: nn.Module) -> None:
    """DeepLIFT of one number is exactly f(x) - f(x0), whatever the activation f is."""
    model = act.double().eval()
    x = torch.linspace(-8, 8, 41, dtype=torch.double)[:, None]
    expected = model(x.clone()) - model(torch.full_like(x, 0.3))
    torch.testing.assert_close(attribute(model, x, "deep_lift", baseline=0.3), expected.detach())
    if model(torch.zeros(1, dtype=torch.double)).item() == 0.0:
        found = attribute(model, x, "epsilon_lrp", eps=1e-12)
        torch.testing.assert_close(found, model(x.clone()).detach(), rtol=1e-6, atol=1e-6)


@pytest.mark.vision
@pytest.mark.parametrize("name", torchvision_networks.NETWORKS)
def test_torchvision_networks_are_attributed_image_by_image(name: str) -> None:
    model, x = torchvision_networks.network(name).train(), torchvision_networks.images()
    for method in ("input_x_gradient", "epsilon_lrp", "deep_lift"):
        with assert_no_trace(model), assert_not_mutated(x=x):
            whole = attribute(model, x, method)
        torch.testing.assert_close(attribute(model, x[1:2], method), whole[1:2])
        assert bool((whole.flatten(1).abs().sum(1) > 0).all())


@pytest.mark.vision
@pytest.mark.parametrize("name", ["resnet", "bottlenecks"])
def test_deep_lift_of_a_residual_network_is_complete(name: str) -> None:
    """All but the pooling by maximum is linear or elementwise."""
    model, x = torchvision_networks.network(name), torchvision_networks.images()
    model.maxpool = nn.AvgPool2d(3, 2, 1)
    gap = model(x)[:, 2] - model(torch.full_like(x, 0.5))[:, 2]
    found = attribute(model, x, "deep_lift", target=2, baseline=0.5)
    torch.testing.assert_close(found.flatten(1).sum(1), gap)


@pytest.mark.vision
def test_a_network_that_gives_no_tensor_is_refused() -> None:
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    model = lraspp_mobilenet_v3_large(weights_backbone=None, num_classes=2)
    with pytest.raises(ValueError, match="the model gave OrderedDict, not a tensor"):
        attribute(model, torch.rand(1, 3, 32, 32))
    found = attribute(lambda x: model(x)["out"], torch.rand(1, 3, 32, 32))
    assert bool((found != 0).any())


def test_in_place_by_position_leaves_the_input_alone() -> None:
    z = torch.tensor([-1.0, 2.0])
    with Nonlinearities(lambda function, z, call: function(z)):
        found = torch.nn.functional.leaky_relu(z, 0.5, True)
        again = torch.nn.functional.hardtanh(z, -0.5, 0.25, True)
    assert found.tolist() == [-0.5, 2.0]
    assert again.tolist() == [-0.5, 0.25]
    assert z.tolist() == [-1.0, 2.0]
