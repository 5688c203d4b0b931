import math

import pytest
import torch

from graphkit.vision import batch_nuclear_norm, multi_similarity_loss, smoothed_cross_entropy


def looped(x, y, variant, alpha=2.0, beta=40.0, threshold=0.5, margin=0.1):
    """The published loss, anchor by anchor."""
    unit = x / x.norm(dim=1, keepdim=True)
    total = torch.zeros((), dtype=x.dtype)
    for i in range(len(y)):
        s = (unit @ unit[i]).tolist()
        positive = [j for j in range(len(y)) if j != i and y[j] == y[i]]
        if variant == "released":
            positive = [j for j in positive if s[j] < 1 - 1e-5]
        negative = [j for j in range(len(y)) if y[j] != y[i]]
        hard_p = [j for j in positive if negative and s[j] - margin < max(s[k] for k in negative)]
        hard_n = [j for j in negative if positive and s[j] + margin > min(s[k] for k in positive)]
        if variant == "released" and not (hard_p and hard_n):
            continue
        pull = sum((-alpha * (unit[i] @ unit[j] - threshold)).exp() for j in hard_p)
        push = sum((beta * (unit[i] @ unit[j] - threshold)).exp() for j in hard_n)
        total = total + torch.log1p(torch.as_tensor(pull)) / alpha
        total = total + torch.log1p(torch.as_tensor(push)) / beta
    return total / len(y)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_value_and_gradient_of_the_multi_similarity_loss(variant):
    torch.manual_seed(0)
    x = torch.randn(24, 5, dtype=torch.double, requires_grad=True)
    y = torch.arange(24) % 6
    y[0] = 9
    loss, expected = multi_similarity_loss(x, y, variant=variant), looped(x, y, variant)
    assert loss > 0.1
    assert torch.allclose(loss, expected)
    grads = [torch.autograd.grad(value, x)[0] for value in (loss, expected)]
    assert torch.allclose(*grads)


def test_variants_differ_where_anchors_lack_a_pair_and_where_positives_coincide():
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.99, 0.1]])
    y = torch.tensor([0, 0, 1])
    # Coinciding positives are no pairs in the released program, so no anchor has both kinds.
    assert multi_similarity_loss(x, y, variant="released") == 0
    assert multi_similarity_loss(x, y) > 0.1


def test_by_hand():
    x, y = torch.eye(2)[[0, 1]], torch.tensor([0, 0])
    assert multi_similarity_loss(x, y) == 0, "no negative, nothing to be harder than"
    x, y = torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 1]]), torch.tensor([0, 0, 1, 1])
    pull, push = math.log1p(math.exp(1.0)) / 2, math.log1p(math.exp(20.0) + math.exp(-20.0)) / 40
    assert multi_similarity_loss(x, y).item() == pytest.approx(pull + push, rel=1e-6)


def test_no_pair_gives_zero_with_a_gradient():
    x = torch.randn(4, 3, requires_grad=True)
    loss = multi_similarity_loss(x, torch.zeros(4).long())
    assert loss == 0
    loss.backward()
    assert torch.equal(x.grad, torch.zeros_like(x))
    assert multi_similarity_loss(x[:0], torch.zeros(0).long()) == 0


def test_half_precision_does_not_overflow():
    x = torch.randn(12, 4)
    y = torch.arange(12) % 3
    loss = multi_similarity_loss(x.half(), y)
    assert loss.dtype == torch.float16
    assert loss.item() == pytest.approx(multi_similarity_loss(x, y).item(), rel=0.01)


def test_nuclear_norm_of_sure_and_of_even_predictions():
    sure = 1e3 * torch.eye(3)[torch.arange(12) % 3]
    assert batch_nuclear_norm(sure).item() == pytest.approx(-math.sqrt(3 / 12), rel=1e-5)
    even = batch_nuclear_norm(torch.zeros(12, 3))
    assert even.item() == pytest.approx(-1 / math.sqrt(12 * 3), rel=1e-5)
    off = torch.full((12, 2), -torch.inf)
    assert torch.allclose(batch_nuclear_norm(torch.cat([sure, off], 1)), batch_nuclear_norm(sure))
    z = torch.randn(6, 4, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(batch_nuclear_norm, (z,))
    with pytest.raises(ValueError, match="'logits'"):
        batch_nuclear_norm(torch.empty(0, 3))


def test_smoothing_is_over_the_classes_in_use():
    z, y = torch.randn(7, 4), torch.tensor([0, 1, 3, 3, 0, -1, -1])
    every = torch.ones(4, dtype=torch.bool)
    expected = torch.nn.functional.cross_entropy(z, y, ignore_index=-1, label_smoothing=0.1)
    assert torch.allclose(smoothed_cross_entropy(z, y, every), expected)
    part = torch.tensor([True, True, False, True])
    masked = z.masked_fill(~part, -torch.inf).requires_grad_()
    small = torch.nn.functional.cross_entropy(
        z[:, part], torch.tensor([0, 1, 2, 2, 0, -1, -1]), ignore_index=-1, label_smoothing=0.1
    )
    loss = smoothed_cross_entropy(masked, y, part)
    assert torch.allclose(loss, small)
    loss.backward()
    assert masked.grad.isfinite().all()


def test_one_class_and_no_label():
    z = torch.randn(3, 2, requires_grad=True)
    only = torch.tensor([True, False])
    one = smoothed_cross_entropy(z.masked_fill(~only, -torch.inf), torch.zeros(3).long(), only)
    assert one == 0
    none = smoothed_cross_entropy(z, torch.full((3,), -1), torch.tensor([True, True]))
    none.backward()
    assert none == 0


def test_wrong_arguments_are_named():
    x, y = torch.rand(4, 2), torch.zeros(4).long()
    for name, arguments in (
        ("'y'", (x, y[:2])),
        ("'alpha'", (x, y, 0.0)),
        ("'variant'", (x, y, 2.0, 40.0, 0.5, 0.1, "code")),
    ):
        with pytest.raises(ValueError, match=name):
            multi_similarity_loss(*arguments)
