"""The collapsed penalty against the sum over tasks, spelled out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphkit.continual import QuadraticPenalty
from tests.spoiled import spoiled


def history(tasks: int, seed: int = 1) -> list[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"weight": (3, 4), "bias": (4,)}

    def draw(name: str) -> Tensor:
        return torch.randn(shapes[name], generator=generator, dtype=torch.float64)

    found = []
    for _ in range(tasks):
        importance = {name: draw(name).square() for name in shapes}
        importance["bias"][0] = 0.0
        found.append((importance, {name: draw(name) for name in shapes}))
    return found


def test_twenty_tasks_equal_the_sum_over_tasks_in_value_and_gradient() -> None:
    tasks = history(20)
    collapsed = QuadraticPenalty()
    for importance, place in tasks:
        collapsed.add(importance, place)
    here = {
        name: value.clone().requires_grad_() for name, value in history(1, seed=9)[0][1].items()
    }
    expected = sum(
        (importance[name] * (here[name] - place[name]).square()).sum()
        for importance, place in tasks
        for name in here
    )
    found = collapsed(here)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    wanted = torch.autograd.grad(expected, list(here.values()))
    gradients = torch.autograd.grad(found, list(here.values()))
    for gradient, one in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, one, rtol=1e-10, atol=1e-10)


def test_memory_does_not_grow_with_the_number_of_tasks() -> None:
    collapsed = QuadraticPenalty()
    sizes = set()
    for importance, place in history(5):
        collapsed.add(importance, place)
        state = collapsed.state_dict()
        sizes.add(sum(t.numel() for kind in ("weight", "anchor") for t in state[kind].values()))
    assert sizes == {2 * (12 + 4)}


def test_after_one_task_value_and_gradient_are_exactly_zero() -> None:
    (importance, place), *_ = history(1)
    collapsed = QuadraticPenalty()
    collapsed.add(importance, place)
    here = {name: value.clone().requires_grad_() for name, value in place.items()}
    value = collapsed(here)
    assert value.item() == 0.0
    for gradient in torch.autograd.grad(value, list(here.values())):
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_move_centres_all_tasks_at_one_place() -> None:
    tasks = history(3)
    collapsed = QuadraticPenalty()
    for importance, place in tasks:
        collapsed.add(importance, place)
    collapsed.move(tasks[0][1])
    assert collapsed(tasks[0][1]).item() == 0.0
    away = {name: value + 2.0 for name, value in tasks[0][1].items()}
    expected = 4.0 * sum(i.sum() for importance, _ in tasks for i in importance.values())
    torch.testing.assert_close(collapsed(away), expected)


def test_it_follows_parameters_to_another_device() -> None:
    ((importance, parameters),) = history(1)
    penalty = QuadraticPenalty()
    penalty.add(importance, parameters)
    moved = {name: value.to("meta") for name, value in parameters.items()}
    assert penalty(moved).device.type == "meta"
    assert {value.device.type for value in penalty.weight.values()} == {"meta"}


def test_state_round_trip() -> None:
    collapsed, other = QuadraticPenalty(), QuadraticPenalty()
    for importance, place in history(3):
        collapsed.add(importance, place)
    other.load_state_dict(collapsed.state_dict())
    here = history(1, seed=4)[0][1]
    assert torch.equal(collapsed(here), other(here))


def test_two_branches_from_one_state_do_not_share_it() -> None:
    start = QuadraticPenalty()
    first, second, third = history(3)
    start.add(*first)
    state = start.state_dict()
    branches = [QuadraticPenalty() for _ in range(2)]
    for branch in branches:
        branch.load_state_dict(state)
    here = history(1, seed=4)[0][1]
    expected = start(here)
    branches[0].add(*second)
    start.add(*third)
    assert torch.equal(branches[1](here), expected)
    fresh = QuadraticPenalty()
    fresh.load_state_dict(state)
    assert torch.equal(fresh(here), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_adds_up_in_float32(dtype: torch.dtype) -> None:
    """70,000 and its products are beyond float16, and 1e-9 is below it."""
    place = torch.tensor([1.0, 2.0], dtype=dtype)
    collapsed = QuadraticPenalty()
    for _ in range(3):
        collapsed.add({"w": torch.tensor([7e4, 1e-9])}, {"w": place})
    value = collapsed({"w": place + 0.5})
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(3 * 7e4 * 0.25, rel=1e-6)


@pytest.mark.parametrize(
    ("importance", "message"),
    [
        (torch.full((4,), -1.0), "at least 0"),
        (spoiled((4,)), "finite"),
        (torch.ones(3), "shape"),
    ],
)
def test_wrong_importances_are_refused_by_name(importance: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=f"'bias'.*{message}"):
        QuadraticPenalty().add({"bias": importance}, {"bias": torch.zeros(4)})


def test_a_resized_parameter_is_refused_by_name() -> None:
    collapsed = QuadraticPenalty()
    collapsed.add({"w": torch.ones(2)}, {"w": torch.zeros(2)})
    with pytest.raises(ValueError, match="'w'"):
        collapsed({"w": torch.zeros(3)})


@pytest.mark.parametrize(
    ("bad", "place"),
    [
        ({"bias": torch.full((4,), -1.0)}, {"bias": torch.zeros(4)}),
        ({"bias": torch.ones(3)}, {"bias": torch.zeros(3)}),
        ({"other": torch.ones(4)}, {}),
    ],
)
def test_of_a_task_that_is_refused_nothing_is_added(
    bad: dict[str, Tensor], place: dict[str, Tensor]
) -> None:
    """The good importance comes first: a refusal on the way left it behind."""
    collapsed = QuadraticPenalty()
    collapsed.add(
        {"w": torch.ones(2), "bias": torch.ones(4)}, {"w": torch.ones(2), "bias": torch.ones(4)}
    )
    with pytest.raises((ValueError, KeyError), match=r"bias|other"):
        collapsed.add({"w": torch.ones(2), **bad}, {"w": torch.zeros(2), **place})
    assert collapsed.weight["w"].tolist() == [1, 1]
    assert collapsed.anchor["w"].tolist() == [1, 1]
    assert collapsed.constant == 0


def test_weights_of_channels_last_have_the_same_penalty() -> None:
    torch.manual_seed(0)
    penalty, weight = QuadraticPenalty(), torch.randn(4, 3, 2, 2)
    penalty.add({"w": weight.square()}, {"w": torch.zeros(4, 3, 2, 2)})
    other = weight.to(memory_format=torch.channels_last).requires_grad_()
    value = penalty({"w": other})
    torch.testing.assert_close(value, weight.pow(4).sum())
    value.backward()
    torch.testing.assert_close(other.grad, 2 * weight.pow(3))
