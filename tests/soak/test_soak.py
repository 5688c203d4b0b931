"""A minute less of it in CI, and proofs that it sees what is left behind."""

import threading

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import seed as seeded
from hypothesis.stateful import rule, run_state_machine_as_test

from tests.soak.scripts import Scripts
from tests.soak.traces import drift, traces


def play(machine, scripts):
    options = settings(
        max_examples=scripts,
        stateful_step_count=6,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seeded(0)(machine), settings=options)


def test_scripts_leave_nothing_behind():
    play(type("Short", (Scripts,), {}), 6)


class Hooks(Scripts):
    @rule()
    def left(self):
        self.model.register_forward_hook(lambda *_: None)


class Files(Scripts):
    kept = []

    @rule()
    def left(self):
        self.kept.append(open("/proc/self/status"))  # noqa: SIM115 It is what is looked for.


class Threads(Scripts):
    done = threading.Event()

    @rule()
    def left(self):
        threading.Thread(target=self.done.wait, name="left", daemon=True).start()


@pytest.mark.parametrize(
    ("machine", "words"), [(Hooks, "hooks are left"), (Files, "files"), (Threads, "threads")]
)
def test_what_is_left_is_seen(machine, words):
    # Only what leaves something, so that it is soon found.
    mark = "hypothesis_stateful_rule"
    names = [name for name, each in vars(Scripts).items() if hasattr(each, mark)]
    alone = type(machine.__name__, (machine,), dict.fromkeys(names))
    try:
        with pytest.raises(AssertionError, match=words):
            play(alone, 3)
    finally:
        Threads.done.set()
        while Files.kept:
            Files.kept.pop().close()


def test_traces_of_nothing_are_equal():
    assert traces() == traces()


def test_drift_is_that_of_the_last_quarter():
    assert drift([100.0] * 40) == 0
    assert drift([1.0, 50, 90, 99, 100, 100, 100, 100]) == pytest.approx(0)
    assert drift([*[100.0] * 6, 110.0, 110.0]) == pytest.approx(0.1)
    assert drift([100.0]) == 0
