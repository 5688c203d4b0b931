"""What the package itself gives: its rooms, when they are asked for."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

import graphkit

ROOMS = sorted(room.name for room in pkgutil.iter_modules(graphkit.__path__))


def test_rooms_load_when_they_are_asked_for() -> None:
    program = (
        "import sys, graphkit\n"
        "assert 'graphkit.words' not in sys.modules\n"
        "print(graphkit.words.__name__, graphkit.catalog.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "graphkit.words graphkit.catalog\n", done.stderr
    for name in ROOMS:
        if name != "__main__":
            assert graphkit.__getattr__(name) is importlib.import_module(f"graphkit.{name}")


def test_one_function_of_a_room_stands_here() -> None:
    assert graphkit.accelerate is graphkit.nn.accelerate


def test_an_unknown_name_is_told_what_there_is_in_order() -> None:
    with pytest.raises(AttributeError) as caught:
        graphkit.fooboo  # noqa: B018
    rooms = ", ".join(name for name in ROOMS if name[0] != "_")
    assert str(caught.value) == f"graphkit has no 'fooboo'; it has: {rooms}"


def test_all_names_are_listed() -> None:
    names = dir(graphkit)
    assert {"accelerate", "nn", "words", "__version__"} <= set(names)
    assert "__main__" not in graphkit._ROOMS
