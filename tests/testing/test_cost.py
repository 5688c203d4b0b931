"""Counts are exact, and growth that is faster than linear is seen wherever it happens."""

import gc
import sys

import pytest
import torch

from graphkit.testing import assert_grows_linearly, cost_of


def quadratic_lines(n):
    def call():
        return [0 for _ in range(n) for _ in range(n)]

    return call


def quadratic_entries(n):
    x = torch.ones(n)
    return lambda: x[:, None] * x


def quadratic_operations(n):
    """Without a line of Python for each."""
    x = torch.ones(1)
    return lambda: list(map(x.add, range(n * n)))


def quadratic_backward(n):
    """Its forward pass gives one number, its backward pass a matrix."""
    x = torch.ones(n, n, requires_grad=True)
    return lambda: torch.autograd.grad(x.sum(), x)


def linear(n):
    x = torch.ones(n, requires_grad=True)
    return lambda: (sum(range(n)), [x[i] for i in range(n)], x.sort().values.sum().backward())


def test_what_garbage_collection_calls_back_does_not_count():
    def chatter(phase, info):
        for _ in range(50):
            phase = phase + "."

    def many_objects():
        return [[i] for i in range(5000)]

    lines = cost_of(many_objects).lines
    gc.callbacks.append(chatter)
    try:
        assert cost_of(many_objects).lines == lines
    finally:
        gc.callbacks.remove(chatter)
    assert gc.isenabled()


def test_linear_work_passes():
    assert_grows_linearly(linear, 50)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (quadratic_lines, "lines grow"),
        (quadratic_entries, "entries grow"),
        (quadratic_operations, "operations grow"),
        (quadratic_backward, "entries grow"),
    ],
)
def test_faster_growth_is_named(prepare, message):
    with pytest.raises(AssertionError, match=message):
        assert_grows_linearly(prepare, 20)


def test_work_of_the_first_call_alone_is_left_out():
    seen = []

    def prepare(n):
        def call():
            if not seen:
                seen.append(torch.ones(10**6))

        return call

    assert_grows_linearly(prepare, 1)
    assert cost_of(prepare(1)).entries == 0


def test_the_tracer_comes_back_after_an_error():
    def tracer(frame, event, argument):
        return None

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        with pytest.raises(ZeroDivisionError):
            cost_of(lambda: 1 / 0)
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)
    assert cost_of(lambda: torch.ones(3)).entries == 3


def test_counts_are_the_same_again():
    def call():
        return [(x @ x.T).relu() for _ in range(3)]

    x = torch.ones(4, 3)
    call()
    (cost,) = {cost_of(call) for _ in range(3)}
    assert cost.lines > 0
    assert (cost.operations, cost.largest) == (9, 16)
