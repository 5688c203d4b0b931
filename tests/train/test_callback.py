"""A callback that overrides nothing changes nothing."""

from graphkit.train import Callback


def test_everything_is_neutral() -> None:
    neutral = Callback()
    hooks = ("on_fit_start", "on_backward_end", "on_step_end", "on_epoch_end", "on_fit_end")
    assert [getattr(neutral, hook)(None) for hook in hooks] == [None] * 5
    assert neutral.penalty(None) is None
    assert neutral.on_stage_end(None) is False
    assert neutral.state_dict() == {}
    assert neutral.load_state_dict({}) is None
