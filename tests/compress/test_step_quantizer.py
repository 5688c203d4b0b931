import pytest
import torch

from graphkit.compress import StepQuantizer

LEVELS = [(-1, 0, 1), (-4, -2, -1, 0, 1, 2, 4), (0, 1, 2, 3), (-1, 1)]


def fitted(levels=(-1, 0, 1), **options):
    torch.manual_seed(0)
    x = torch.randn(400)
    return StepQuantizer(levels, **options).fit(x), x


@pytest.mark.parametrize("levels", LEVELS)
def test_hard_values_are_the_levels_and_never_fall(levels):
    quantizer, x = fitted(levels)
    y = quantizer.eval()(x.sort().values)
    expected = quantizer.alpha * torch.tensor(levels, dtype=torch.float)
    assert torch.equal(y.unique(), expected[torch.isin(expected, y)])
    assert (y.diff() >= 0).all()
    # By the definition: the number of thresholds below.
    below = (quantizer.beta * x.sort().values).unsqueeze(1) > quantizer.thresholds
    assert torch.equal(y, expected[below.sum(1)])


def test_soft_steps_become_hard_ones_but_at_thresholds():
    quantizer, x = fitted()
    hard, near = quantizer.eval()(x), None
    for temperature, bound in ((1.0, 1.0), (10.0, 0.5), (100.0, 0.05), (10_000.0, 1e-6)):
        quantizer.train().temperature.fill_(temperature)
        far = ((quantizer.beta * x).unsqueeze(1) - quantizer.thresholds).abs().amin(1) > 0.03
        apart = ((quantizer(x) - hard) / quantizer.alpha).abs()[far].max()
        assert apart < bound
        assert near is None or apart < near
        near = apart
    assert (quantizer(x.sort().values).diff() >= -1e-7).all()


def test_gradients_are_those_of_the_formula():
    quantizer, _ = fitted((-2, -1, 0, 1, 2), temperature=1.5)
    quantizer = quantizer.double().train()
    x = torch.randn(6, dtype=torch.double, requires_grad=True)
    names = dict(quantizer.named_parameters())

    def function(x, alpha, beta):
        return torch.func.functional_call(quantizer, {"alpha": alpha, "beta": beta}, (x,))

    assert torch.autograd.gradcheck(function, (x, names["alpha"], names["beta"]))
    y = function(x, names["alpha"], names["beta"])
    z = quantizer.beta * x.detach()
    total = sum(torch.sigmoid(1.5 * (z - b)) for b in quantizer.thresholds) - 2
    torch.testing.assert_close(y.detach(), (quantizer.alpha * total).detach())


def test_symmetric_levels_make_an_odd_function_with_an_exact_zero():
    quantizer = StepQuantizer((-1, 0, 1)).fit(torch.tensor([-1.0, 1.0]), "midpoints")
    x = torch.linspace(-1, 1, 41)
    for mode in (True, False):
        y = quantizer.train(mode)(x)
        # Thresholds themselves belong to the lower level.
        inner = ((quantizer.beta * x).abs() - 0.5).abs() > 1e-3
        assert torch.allclose(y[inner], -y.flip(0)[inner], atol=1e-6)
    assert quantizer(torch.zeros(1)).item() == 0.0


def test_thresholds_lie_between_clusters():
    x = torch.cat([torch.full((9,), c) + torch.linspace(-0.01, 0.01, 9) for c in (-1.0, 0.3, 0.9)])
    quantizer = StepQuantizer((-1, 0, 1)).fit(x)
    borders = quantizer.thresholds / quantizer.beta
    assert torch.allclose(borders, torch.tensor([-0.35, 0.6]), atol=1e-3)
    assert quantizer.alpha.item() == pytest.approx(x.abs().max().item() / 1.25, rel=1e-5)


@pytest.mark.parametrize(
    "x", [torch.zeros(5), torch.ones(4), torch.tensor([0.0, 1.0]), torch.ones(0)]
)
def test_few_values_are_no_trouble(x):
    quantizer = StepQuantizer((-1, 0, 1)).fit(x)
    for mode in (True, False):
        assert quantizer.train(mode)(x).isfinite().all()
    assert torch.allclose(quantizer(x), x, atol=0.21)


def test_nan_stays_nan():
    x = torch.tensor([0.5, torch.nan, -0.5])
    for mode in (True, False):
        assert StepQuantizer((-1, 0, 1)).train(mode)(x).isnan().tolist() == [False, True, False]


def test_released_code_cuts_arguments_off_and_smooths_binary_gradients():
    paper, x = fitted((-1, 1), temperature=40.0)
    released, _ = fitted((-1, 1), temperature=40.0, variant="released")
    x = x.requires_grad_()
    argument = 40 * (released.beta * x - released.thresholds)
    expected = released.alpha * (2 * torch.sigmoid(argument.clamp(-10, 10)) - 1)
    assert torch.allclose(released(x), expected, atol=1e-6)
    assert not torch.allclose(paper(x), released(x), atol=1e-6)
    smooth = released.alpha * (2 * torch.sigmoid(released.beta * x - released.thresholds) - 1)
    slope = 40 * torch.autograd.grad(smooth.sum(), x)[0]
    assert torch.allclose(torch.autograd.grad(released(x).sum(), x)[0], slope, rtol=1e-4)
    assert not torch.allclose(torch.autograd.grad(paper(x).sum(), x)[0], slope, rtol=1e-1)


def test_clipping_acts_before_the_chain_rule():
    quantizer, x = fitted(clip=0.5, temperature=2.0)
    free, _ = fitted(temperature=2.0)
    for module, factor in ((quantizer, 3.0), (free, 0.5)):
        module.beta.grad = None
        (factor * module(x)).sum().backward()
    assert torch.allclose(quantizer.beta.grad, free.beta.grad)


def test_wrong_arguments_are_named():
    for levels in ((1,), (0, 0), (1, 0), (0, torch.inf), [[0, 1]]):
        with pytest.raises(ValueError, match="'levels' must"):
            StepQuantizer(levels)
    for options in ({"temperature": 0.0}, {"clip": -1.0}, {"variant": "code"}):
        with pytest.raises(ValueError, match=f"'{next(iter(options))}' must"):
            StepQuantizer((0, 1), **options)
    with pytest.raises(ValueError, match="holds NaN"):
        StepQuantizer((0, 1)).fit(torch.tensor([torch.nan]))
    with pytest.raises(ValueError, match="'thresholds' must be"):
        StepQuantizer((0, 1)).fit(torch.ones(2), "means")
    with pytest.raises(TypeError, match="floating"):
        StepQuantizer((0, 1))(torch.ones(2).long())
