import json
import math

import numpy as np
import pytest

from graphkit.json_values import finite, number, shown, single, whole


@pytest.mark.parametrize("dtype", ["f2", "<f4", ">f4", "f8", "g"])
@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_in_single_precision(dtype, wrong):
    """Half precision turns the largest single number into infinity, which infinity equals."""
    values = np.ones(3, dtype)
    assert single(values)
    values[1] = wrong
    assert not single(values)


def test_what_overflows_single_precision():
    assert single(np.array([3.4e38, -3.4e38]))
    assert not single(np.array([0, 1e39]))
    assert single(np.array([2**63 - 1]))
    assert single(np.array([True, False]))


def test_whole_numbers():
    assert whole(3) == 3
    assert [whole(sign * 2**62) for sign in (1, -1)] == [2**62, -(2**62)]
    for value in (2**62 + 1, -(2**62) - 1, True, 1.0, "1", None):
        with pytest.raises(ValueError, match=r"it is .*, expected a whole number"):
            whole(value, "it")
    with pytest.raises(ValueError, match=r"^a number is None, expected"):
        whole(None)


def test_finite_numbers():
    largest = float(np.finfo(np.float32).max)
    assert [number(value) for value in (2, -0.5, largest, -largest)] == [2, -0.5, largest, -largest]
    assert isinstance(number(2), float)
    for value in (2 * largest, -1e39, float("nan"), float("inf"), False, "1", None, 10**400):
        with pytest.raises(ValueError, match=r"it is .*, expected a finite number"):
            number(value, "it")


def test_values_are_shown_as_far_as_they_can_be():
    assert [shown(value) for value in ([1], {"a": 1})] == ["a list", "a dict"]
    assert shown(2**62) == str(2**62)
    assert shown(-(2**62) - 1) == shown(2**62 + 1) == "a very long number"
    assert shown("a" * 58) == repr("a" * 58)
    assert shown("a" * 59) == f"'{'a' * 59} …"
    assert shown(True) == "True"
    assert single(np.array([0.5, 65504.0], "f2"))


def test_a_file_for_everyone_holds_no_word_that_is_no_json():
    odd = {"a": [1, 0.5, math.nan, {"b": math.inf, "c": -math.inf}], "d": (True, None, "NaN")}
    text = json.dumps(finite(odd), allow_nan=False)
    assert text == '{"a": [1, 0.5, null, {"b": null, "c": null}], "d": [true, null, "NaN"]}'
