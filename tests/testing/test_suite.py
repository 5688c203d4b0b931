"""The mechanism of declining checks: loud, reasoned, never silent."""

import pytest
import torch

from graphkit.testing import LayerSuite, Suite, seed_everything
from tests.processes import run_pytest


def test_an_unknown_check_is_an_error():
    with pytest.raises(ValueError, match="'gradchek', which is no check"):
        type("TestFoo", (LayerSuite,), {"not_claimed": {"gradchek": "typing error"}})


@pytest.mark.parametrize("reason", ["", "  ", None])
def test_a_missing_reason_is_an_error(reason):
    with pytest.raises(ValueError, match="gives no reason"):
        type("TestFoo", (LayerSuite,), {"not_claimed": {"gradcheck": reason}})


def test_a_layer_suite_without_oracle_cannot_run():
    kind = type("TestFoo", (LayerSuite,), {"make": lambda self: None})
    with pytest.raises(TypeError, match="dense_reference"):
        kind.check("gradcheck")


def test_unknown_checks_cannot_be_run():
    with pytest.raises(ValueError, match="no check 'speed'"):
        LayerSuite.check("speed")


DECLINING = """
from graphkit.testing import Suite

class Base(Suite):
    def test_speed(self):
        raise AssertionError("slow")
    def test_speed_twice(self):
        raise AssertionError("slow")
    def test_speedup(self):
        raise AssertionError("slow")
    def test_size(self):
        assert True

class TestDeclined(Base):
    not_claimed = {"speed": "never measured"}
"""


def test_declined_checks_are_reported_with_the_reason(tmp_path):
    (tmp_path / "test_declining.py").write_text(DECLINING)
    run = run_pytest(tmp_path, "-rsf", "-p", "no:cacheprovider", str(tmp_path))
    assert run.returncode == 1
    assert "1 failed, 1 passed, 2 skipped" in run.stdout
    assert "speed is not claimed: never measured" in run.stdout
    assert "speed_twice is not claimed: never measured" in run.stdout
    assert "TestDeclined::test_speedup" in run.stdout


def test_seeds_can_be_unlocked(monkeypatch):
    seed_everything(1)
    first = torch.rand(4)
    seed_everything(1)
    assert torch.equal(first, torch.rand(4))
    monkeypatch.setenv("UNLOCK_SEED", "1")
    seed_everything(1)
    assert not torch.equal(first, torch.rand(4))


def test_suites_list_their_checks():
    assert Suite.checks() == []
    assert {"dense_value_and_gradient", "compile", "gnn_explainer"} <= set(LayerSuite.checks())
