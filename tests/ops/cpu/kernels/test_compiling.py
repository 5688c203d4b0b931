"""How kernels are compiled, and where what was compiled is kept."""

import threading
import time
from pathlib import Path

import numba
import numpy as np
import pytest

from graphkit.ops.cpu.kernels import compiling


@compiling.kernel
def _quotients(a, b, out):
    for i in range(a.shape[0]):
        out[i] = a[i] / b[i]


@compiling.kernel
def _spin(flag, limit):
    n = 0
    while flag[0] == 0 and n < limit:
        n += 1
    return flag[0]


def test_division_by_zero_and_nan_keep_their_meaning():
    a, b = np.array([1.0, -1.0, 0.0, np.nan]), np.array([0.0, 0.0, 0.0, 2.0])
    out = np.empty(4)
    _quotients(a, b, out)
    assert out[:2].tolist() == [np.inf, -np.inf]
    assert np.isnan(out[2:]).all()


def test_other_threads_run_while_a_kernel_does():
    """Someone else ends a loop that would hold the lock of the interpreter for a minute."""
    flag = np.zeros(1, np.int64)
    _spin(np.ones(1, np.int64), 1)
    ender = threading.Timer(0.05, lambda: flag.__setitem__(0, 1))
    ender.start()
    begin = time.monotonic()
    _spin(flag, 1 << 31)
    ender.join()
    options = _spin.targetoptions
    assert options["nogil"]
    assert time.monotonic() - begin < 60


@pytest.mark.parametrize("function", [compiling.kernel, compiling.helper])
def test_only_the_order_of_operations_is_free(function):
    options = function(lambda x: x).targetoptions
    assert options["fastmath"] == {"reassoc", "contract", "arcp", "nsz"}
    assert options["error_model"] == "numpy"


def test_helpers_are_compiled_into_their_callers():
    assert compiling.helper(lambda x: x).targetoptions["forceinline"]


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.delenv("GRAPHKIT_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    return compiling.cache_folder.__wrapped__


def test_the_folder_is_the_first_that_is_named(folder, monkeypatch, tmp_path):
    name = f"kernels-{compiling._digest()}"
    assert folder() == str(tmp_path / "home" / ".cache" / "graphkit" / name)
    assert folder() == str(tmp_path / "home" / ".cache" / "graphkit" / name)
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "a" / "b"))
    assert folder() == str(tmp_path / "a" / "b" / name)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "c"))
    assert folder() == str(tmp_path / "c" / name)
    assert (tmp_path / "c" / name).is_dir()
    assert not list((tmp_path / "c" / name).iterdir())


def test_without_a_folder_nothing_is_kept(monkeypatch):
    monkeypatch.setattr(compiling, "cache_folder", lambda: None)
    before = numba.config.CACHE_DIR

    def plain(x):
        return x + 1

    function = compiling.kernel(plain)
    assert function(1) == 2
    assert function.stats.cache_path is None
    assert before == numba.config.CACHE_DIR


def test_code_is_kept_in_the_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(compiling, "cache_folder", lambda: str(tmp_path))
    before = numba.config.CACHE_DIR

    def plain(x):
        return x + 1

    function = compiling.kernel(plain)
    assert function(1) == 2
    assert function.stats.cache_path.startswith(str(tmp_path))
    assert list(tmp_path.rglob("*.nbc"))
    assert before == numba.config.CACHE_DIR


def test_the_digest_hears_every_source(monkeypatch, tmp_path):
    for name, text in (("a.py", "one"), ("b.py", "two"), ("c.txt", "three")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(compiling, "__file__", str(tmp_path / "a.py"))
    first = compiling._digest()
    assert len(first) == 12
    (tmp_path / "c.txt").write_text("other")
    assert compiling._digest() == first
    (tmp_path / "b.py").write_text("other")
    assert compiling._digest() != first
