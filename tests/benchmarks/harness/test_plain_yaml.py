"""YAML whose size, depth, references and keys are looked at before it is believed."""

import json
from pathlib import Path

import pytest

from benchmarks.harness import recipe
from benchmarks.harness.plain_yaml import DEEPEST, LONGEST, read_file, read_text

GOOD = "about: x\nprotocol: node_classification\nseeds: 1\n"
LAUGHS = "a0: &a0 [ha]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x [1, *x]", r"'\*x' refers to another part"),
        ("a: &x {b: 1}\nc: {<<: *x}", "refers to another part"),
        (LAUGHS, "refers to another part"),
        ("[" * 3000, "more than 64 lists"),
        ("{a: " * 3000, "more than 64 lists"),
        ("- " * 3000 + "a", "more than 64 lists"),
        ("a: 1\nb: 2\na: 3", "key 'a' comes twice"),
        ("x: {lr: 1, lr: 2}", "key 'lr' comes twice"),
        ("? [1, 2]\n: 3", "is a list or a mapping"),
        ("a: 9223372036854775808", "9223372036854775808 is too large"),
        ("a: [-9223372036854775809]", "-9223372036854775809 is too large"),
        ("a: !!set {x, y}", "could not determine a constructor"),
        ("a: !!binary aGk=", "could not determine a constructor"),
        ("a: " + "9" * 5000, "4300 digits"),
        ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a: !!int ''", "."),
        ("a: \0", "special characters"),
        ("a: " + "b" * LONGEST, "at most 131,072 are read"),
    ],
)
def test_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        read_text(text)


def test_depth_is_allowed_to_the_bound():
    assert read_text("[" * (DEEPEST - 1) + "1" + "]" * (DEEPEST - 1))
    with pytest.raises(ValueError, match="more than 64"):
        read_text("[" * DEEPEST + "1" + "]" * DEEPEST)


def test_plain_values_are_as_pyyaml_reads_them():
    days = "a: 2020-01-31\nb: 2020-13-45\nc: 2020-01-31 10:30:00"
    words = {"a": "2020-01-31", "b": "2020-13-45", "c": "2020-01-31 10:30:00"}
    assert json.loads(json.dumps(read_text(days))) == words
    text = "a: [1, 2.5, true, null, 'x: y']\nb: {c: -1, d: {e: []}}\nf: 0x10"
    bounds = [2**63 - 1, -(2**63)]
    assert read_text(str(bounds)) == bounds
    assert read_text(text) == {
        "a": [1, 2.5, True, None, "x: y"],
        "b": {"c": -1, "d": {"e": []}},
        "f": 16,
    }


def test_a_file_with_a_byte_order_mark(tmp_path: Path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert read_file(path) == {"a": 1, "b": 2}


def test_a_large_file_is_not_read_to_its_end(tmp_path: Path):
    path = tmp_path / "a.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 36)
    # Sixty-four gigabytes of zeros are refused for the kilobytes that were looked at.
    with pytest.raises(ValueError, match="are read"):
        read_file(path)


@pytest.mark.parametrize("text", [LAUGHS, "[" * 3000, GOOD + "about: y\n", GOOD + "1: 2\n"])
def test_a_recipe_with_it_is_an_error_that_names_the_recipe(tmp_path: Path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(recipe.RecipeError, match="recipe 'mine'"):
        recipe.load(str(path))


@pytest.mark.parametrize("line", ["about: [1]", "protocol: {a: 1}", "group: 3", "reported: high"])
def test_heads_of_another_kind_are_named(tmp_path: Path, line):
    key = line.partition(":")[0]
    kept = [each for each in GOOD.splitlines() if not each.startswith(f"{key}:")]
    path = tmp_path / "mine.yaml"
    path.write_text("\n".join([*kept, line]))
    with pytest.raises(recipe.RecipeError, match=f"'{key}' takes"):
        recipe.load(str(path))


def test_settings_of_the_command_line_are_bounded():
    with pytest.raises(recipe.RecipeError, match="refers to another part"):
        recipe.parse("&x [*x]")
