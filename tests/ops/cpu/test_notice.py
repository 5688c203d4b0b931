"""What is said while kernels are compiled, to whom, and how often."""

import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from numba.core import event

from graphkit.ops.cpu import notice
from graphkit.ops.cpu.kernels import compiling as compiling_module
from graphkit.ops.cpu.kernels.compiling import cache_folder, kernel


def compiling(module="graphkit.ops.cpu.kernels.sums"):
    function = SimpleNamespace(__module__=module)
    return SimpleNamespace(data={"dispatcher": SimpleNamespace(py_func=function)})


@pytest.fixture
def teller(monkeypatch):
    """A notice that somebody sees; ``wait`` waits for its timer, if there is one."""
    monkeypatch.setattr(notice, "has_reader", lambda: True)
    made = notice.CompileNotice("graphkit.", delay=0.01)

    def wait():
        if made.timer is not None:
            made.timer.join()

    made.wait = wait
    return made


def test_a_kernel_that_takes_long_is_announced_once(teller, capsys):
    teller.on_start(compiling())
    # A helper inside: what it begins and ends is part of the kernel.
    teller.on_start(compiling())
    teller.on_end(compiling())
    teller.wait()
    teller.on_end(compiling())
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("graphkit compiles its kernels") == 1
    assert str(cache_folder()) in said.err
    teller.on_start(compiling())
    assert teller.timer is None
    teller.on_end(compiling())
    assert capsys.readouterr().err == ""


def test_nothing_is_said_of_a_kernel_that_is_soon_done(teller, capsys):
    teller.delay = 60.0
    teller.on_start(compiling())
    timer = teller.timer
    teller.on_end(compiling())
    timer.join(10)
    assert not timer.is_alive()
    assert teller.timer is None
    assert capsys.readouterr().err == ""
    # The next one may still take long.
    teller.delay = 0.01
    teller.on_start(compiling())
    teller.wait()
    teller.on_end(compiling())
    assert "graphkit compiles" in capsys.readouterr().err


def test_kernels_of_others_are_none_of_our_business(teller):
    teller.on_start(compiling("mine.kernels"))
    assert teller.timer is None
    teller.on_end(compiling("mine.kernels"))
    assert teller.depth == 0


def test_a_log_is_spared(monkeypatch):
    monkeypatch.setattr(notice, "has_reader", lambda: False)
    silent = notice.CompileNotice("graphkit.", delay=0.0)
    silent.on_start(compiling())
    assert silent.timer is None


@pytest.mark.parametrize(
    ("modules", "terminal", "seen"),
    [([], False, False), ([], True, True), (["ipykernel"], False, True)],
)
def test_who_watches(modules, terminal, seen, monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    for name in modules:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(notice.sys, "stderr", SimpleNamespace(isatty=lambda: terminal))
    assert notice.has_reader() is seen


def test_without_a_folder_no_promise_is_made(teller, monkeypatch, capsys):
    monkeypatch.setattr(notice, "cache_folder", lambda: None)
    teller.say()
    assert "once" not in capsys.readouterr().err


def test_compiling_a_kernel_is_noticed(teller, monkeypatch):
    # What an earlier run of this test kept would be loaded, not compiled.
    monkeypatch.setattr(compiling_module, "cache_folder", lambda: None)
    begun = threading.Event()
    teller.package, teller.delay = __name__, 60.0
    before = teller.on_start
    teller.on_start = lambda started: (before(started), begun.set())

    @kernel
    def doubled(x):
        for i in range(x.shape[0]):
            x[i] *= 2

    with event.install_listener("numba:compile", teller):
        doubled(np.ones(2))
    assert begun.is_set()
    assert teller.depth == 0
    assert teller.timer is None


def test_the_backend_listens():
    listeners = event._registered["numba:compile"]
    assert any(isinstance(each, notice.CompileNotice) for each in listeners)
