import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE

from graphkit.compress import PackedLayer, QuantizationNetwork, StepQuantizer, stored_bytes
from graphkit.nn import FactorConv
from graphkit.testing.asserts import assert_no_trace


def convolutions():
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(54, 3)),
    )


X, EDGES = torch.randn(7, 6), torch.randint(7, (2, 25))
IMAGES = torch.randn(5, 1, 7, 7)


def network(**options):
    return QuantizationNetwork(convolutions(), **{"layers": ["0", "3", "6"]} | options)


CASES = {
    "images": (lambda: network(), (IMAGES,)),
    "gcn": (lambda: QuantizationNetwork(GCN(6, 8, 3, 3)), (X, EDGES)),
    "gat": (lambda: QuantizationNetwork(GAT(6, 8, 3, 3, heads=2)), (X, EDGES)),
    "sage": (lambda: QuantizationNetwork(GraphSAGE(6, 8, 2, 3)), (X, EDGES)),
    "gin": (lambda: QuantizationNetwork(GIN(6, 8, 2, 3)), (X, EDGES)),
    "factor": (lambda: QuantizationNetwork(FactorConv(6, 8, 2), layers=["lin"]), (X, EDGES)),
    "attention": (
        lambda: QuantizationNetwork(GAT(6, 8, 2, 3), layers=["convs.0.att_src", "convs.1.lin"]),
        (X, EDGES),
    ),
}


@pytest.mark.parametrize("kind", ["images", "gcn", "gat", "sage", "gin", "factor", "attention"])
def test_any_layer_is_soft_in_training_and_hard_afterwards(kind):
    make, args = CASES[kind]
    net = make()
    values = {}
    for mode in (True, False):
        net.train(mode)
        for name in net.quantizers():
            path, _, weight = name.rpartition(".")
            values[name, mode] = getattr(net.model.get_submodule(path), weight).detach().clone()
    for name in net.quantizers():
        assert values[name, False].unique().numel() <= 3 < values[name, True].unique().numel()
    net.train()(*args).square().sum().backward()
    for quantizer in net.quantizers().values():
        assert quantizer.alpha.grad.isfinite()
        assert quantizer.beta.grad.abs() > 0
    assert all(p.grad is not None for n, p in net.named_parameters() if n.endswith("original"))


@pytest.mark.parametrize("kind", ["images", "gcn", "gat", "gin"])
def test_every_form_and_copy_gives_the_same(kind):
    make, args = CASES[kind]
    net = make().eval()
    expected = net(*args)
    copies = [copy.deepcopy(net), pickle.loads(pickle.dumps(net)), net.harden(), net.pack()]
    copies.append(pickle.loads(pickle.dumps(net.pack())))
    if kind != "images":
        copies.append(net.pack("edges"))
    torch.manual_seed(9)
    other = make().eval()
    assert kind == "images" or not torch.allclose(other(*args), expected)
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    for each in [*copies, other, net]:
        assert torch.allclose(each(*args), expected, atol=1e-5)


def test_soft_and_hard_networks_compile():
    net, x = QuantizationNetwork(nn.Sequential(nn.Linear(4, 3)), layers=["0"]), torch.randn(5, 4)
    for mode, backend in ((True, "aot_eager"), (False, "eager")):
        compiled = torch.compile(net.train(mode), backend=backend, fullgraph=True)
        grads = []
        for each in (compiled, net):
            out = each(x)
            grads.append(
                torch.autograd.grad(out.square().sum(), net.quantizers()["0.weight"].alpha)
            )
        assert torch.allclose(compiled(x), net(x), atol=1e-5)
        assert torch.allclose(*(grad for (grad,) in grads), rtol=1e-4)
    # PyG's layers break the graph at their self loops; values are the same all the same.
    graphs = QuantizationNetwork(GCN(6, 8, 2, 3), layers=["convs.0.lin"]).eval()
    with torch.no_grad():
        compiled = torch.compile(graphs, backend="eager")
        assert torch.allclose(compiled(X, EDGES), graphs(X, EDGES), atol=1e-5)


def test_copies_are_apart():
    net = network().eval()
    expected = net(IMAGES)
    twin = copy.deepcopy(net)
    with torch.no_grad():
        twin.model[0].parametrizations.weight.original.neg_()
    twin.harden()
    assert torch.equal(net(IMAGES), expected)
    assert not torch.allclose(twin(IMAGES), expected)


def test_the_given_model_is_left_alone():
    model = convolutions()
    with assert_no_trace(model):
        net = QuantizationNetwork(model, layers=["3"])
        net.pack()
        net.harden()
    assert type(model[3]) is nn.Conv2d


def test_first_and_last_layer_are_left_out():
    assert list(network(layers=None).quantizers()) == ["3.weight"]
    with pytest.raises(ValueError, match="has 2 layers; the first and the last"):
        QuantizationNetwork(GCN(6, 8, 2, 3))


def test_activations_have_levels_as_well():
    net = network(layers=["3"], activations=["2", "4"], sample=(IMAGES,)).eval()
    for name in ("2", "4"):
        sequence = net.model.get_submodule(name)
        inside = sequence[0](torch.linspace(-2, 2, 50))
        assert sequence(inside).unique().numel() <= 4
    net.train()
    net.anneal(2)
    found = [m.temperature.item() for m in net.modules() if isinstance(m, StepQuantizer)]
    assert sorted(found) == [15.0, 30.0, 30.0]
    net(IMAGES).sum().backward()
    assert net.model[2][1].alpha.grad.abs() > 0
    for each in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), net.pack()):
        assert torch.allclose(each.eval()(IMAGES), net.eval()(IMAGES), atol=1e-5)


def test_scales_are_never_decayed():
    rest, scales = network().groups(0.1, weight_decay=0.5, scale_lr=0.01)
    assert (rest["weight_decay"], scales["weight_decay"]) == (0.5, 0.0)
    assert (rest["lr"], scales["lr"], len(scales["params"])) == (0.1, 0.01, 6)
    net = network()
    assert len(rest["params"]) + 6 == len(list(net.parameters()))


def test_stored_size():
    net = QuantizationNetwork(GCN(300, 64, 2, 3), layers=["convs.0.lin"])
    packed = net.pack()
    full = stored_bytes(GCN(300, 64, 2, 3))
    assert stored_bytes(packed) == full - 4 * 300 * 64 + 300 * 64 // 4 + 4 * 3
    assert isinstance(packed.convs[0].lin, PackedLayer)


def test_training_turns_a_ternary_network_right():
    torch.manual_seed(0)
    x = torch.randn(300, 8)
    y = (x[:, :4].sum(1) > x[:, 4:].sum(1)).long()
    full = nn.Sequential(
        nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2)
    )
    net = QuantizationNetwork(full)
    optimizer = torch.optim.Adam(net.groups(0.01))
    for epoch in range(60):
        net.train().anneal(epoch)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    assert (net.eval()(x).argmax(1) == y).float().mean() > 0.9


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"no layer with weights is called 'con'; did you mean"):
        QuantizationNetwork(GCN(6, 8, 2, 3), layers=["con"])
    with pytest.raises(ValueError, match="'layers' must be a sequence"):
        QuantizationNetwork(GCN(6, 8, 2, 3), layers="convs.0.lin")
    with pytest.raises(ValueError, match="are lazy"):
        QuantizationNetwork(GCN(-1, 8, 2, 3), layers=["convs.0.lin"])
    with pytest.raises(ValueError, match="'sample' is needed"):
        network(activations=["2"])
    with pytest.raises(ValueError, match="'max_temperature' must"):
        network(max_temperature=0.0)
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    with pytest.raises(ValueError, match="share their weights"):
        QuantizationNetwork(tied, layers=["0"])
    with pytest.raises(ValueError, match="parametrized already"):
        QuantizationNetwork(network().model, layers=["0"])


@pytest.mark.parametrize(
    ("layers", "activations"),
    [
        (["convs.1.lin"], ["convs.1"]),
        (["convs.1.lin"], ["convs.1.lin", "convs.1"]),
        (["convs.0.lin", "convs.1.lin"], ["convs.0", "convs.0.lin", "convs.1"]),
    ],
)
def test_the_output_of_a_quantised_layer_is_quantised_too(layers, activations):
    torch.manual_seed(0)
    model, weight = GCN(6, 8, 2, 3).eval(), torch.rand(25)
    net = QuantizationNetwork(model, layers=layers, activations=activations, sample=(X, EDGES))
    wanted = net.eval()(X, EDGES, edge_weight=weight)
    assert wanted.unique().numel() <= 4
    for other in (net.harden(), net.pack(), pickle.loads(pickle.dumps(net))):
        torch.testing.assert_close(other(X, EDGES, edge_weight=weight), wanted)
    inner = net.model.convs[1]
    assert inner.in_channels == 8
    assert not torch.equal(net(X, EDGES), wanted), "the weights of edges count"


def test_outputs_that_are_no_tensor_are_refused_by_name():
    lstm = nn.Sequential(nn.Linear(3, 4), nn.LSTM(4, 4))
    with pytest.raises(ValueError, match="'1' gives tuple"):
        QuantizationNetwork(lstm, layers=["0"], activations=["1"], sample=(torch.randn(5, 3),))


def test_several_parameters_of_one_module_are_packed():
    torch.manual_seed(0)
    gat = QuantizationNetwork(
        GAT(6, 8, 2, 3), layers=["convs.0.att_src", "convs.0.lin", "convs.0.att_dst", "convs.1.lin"]
    )
    attention = QuantizationNetwork(
        nn.MultiheadAttention(8, 2, batch_first=True), layers=["in_proj_weight", "out_proj.weight"]
    )
    x = torch.randn(2, 5, 8)
    for net, args in ((gat, (X, EDGES)), (attention, (x, x, x))):
        packed = net.pack()
        wanted, found = net.eval()(*args), packed(*args)
        if isinstance(wanted, tuple):
            wanted, found = wanted[0], found[0]
        torch.testing.assert_close(found, wanted)
        layers = [module for module in packed.modules() if isinstance(module, PackedLayer)]
        assert len(layers) == len(net.places)
        weights = sum(getattr(net.model.get_submodule(p), n).numel() for p, n in net.places)
        assert stored_bytes(packed) < stored_bytes(net.harden()) - 3 * weights


@pytest.mark.parametrize("layers", [["0", "0.bias"], ["0.bias", "0"]])
@pytest.mark.parametrize("execution", ["unpack", "edges"])
def test_weight_and_bias_of_a_linear_layer_are_packed_however_it_runs(layers, execution):
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(5, 6)
    net = QuantizationNetwork(model, layers=layers).eval()
    packed = net.pack(execution)
    torch.testing.assert_close(packed(x), net(x))
    # Two bits for each of 48 weights and 8 biases, three levels for either, and the last layer.
    assert stored_bytes(packed) == 48 // 4 + 8 // 4 + 2 * 3 * 4 + 4 * (8 * 3 + 3)


@pytest.mark.parametrize("layers", [["0", "0"], ["0", "0.weight"]])
def test_a_layer_that_is_named_twice_is_quantised_once(layers):
    net = QuantizationNetwork(nn.Sequential(nn.Linear(6, 8)), layers=layers)
    assert len(net.model[0].parametrizations.weight) == 1
    assert net.pack().get_submodule("0").layer.in_features == 6
