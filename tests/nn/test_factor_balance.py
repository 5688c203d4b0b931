import pytest
import torch

from graphkit.nn import FactorBalance

EDGES = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


def test_value_by_hand():
    gate = torch.tensor([[0.2, 0.4], [0.6, 0.0], [0.1, 0.9], [0.3, 0.3]], dtype=torch.float64)
    mean = [1.2 / 4, 1.6 / 4]
    uneven = sum((m - 0.5) ** 2 for m in mean)
    surplus = (0.4**2 + 0.4**2 + 0.0 + 0.4**2) / 4
    loss = FactorBalance(usage=2.0, cover=3.0)(gate, EDGES)
    assert float(loss) == pytest.approx(2 * uneven + 3 * surplus)


def test_collapse_costs_and_sharing_does_not():
    balance = FactorBalance()
    collapsed = torch.tensor([[1.0, 0.0]]).expand(4, 2)
    shared = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert float(balance(shared, EDGES)) == 0.0
    assert float(balance(collapsed, EDGES)) == pytest.approx(0.5)


def test_gradient_pulls_collapsed_factors_apart():
    score = torch.tensor([[2.0, -2.0]]).repeat(4, 1).requires_grad_()
    FactorBalance(cover=0.0)(score.sigmoid(), EDGES).backward()
    assert (score.grad[:, 0] > 0).all()
    assert (score.grad[:, 1] < 0).all()


def test_self_loops_do_not_count():
    gate = torch.rand(4, 3)
    loops = torch.arange(3).expand(2, -1)
    padded = torch.cat([gate, torch.ones(3, 3)])
    balance = FactorBalance()
    assert torch.allclose(balance(padded, torch.cat([EDGES, loops], 1)), balance(gate, EDGES))


def test_no_edges_cost_nothing():
    assert float(FactorBalance()(torch.empty(0, 3), EDGES[:, :0])) == 0.0


def test_gradcheck():
    gate = torch.rand(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda g: FactorBalance()(g, EDGES), gate)


def test_refusals():
    with pytest.raises(ValueError, match="usage"):
        FactorBalance(usage=-1.0)
    with pytest.raises(ValueError, match="gate"):
        FactorBalance()(torch.rand(3, 2), EDGES)


def test_half_gates_of_many_edges() -> None:
    edges = torch.randint(50, (2, 200_000))
    gates = torch.tensor([0.25, 0.25, 0.25, 0.125]).expand(200_000, 4)
    loss = FactorBalance()(gates.half(), edges)
    assert loss.dtype == torch.float16
    torch.testing.assert_close(loss.float(), FactorBalance()(gates, edges), rtol=1e-3, atol=0)
