"""Values of the command line's options: checked before any work, and refused in a line."""

# fingerprint: not counted

from __future__ import annotations

from collections.abc import Sequence

from graphkit.words import did_you_mean

__all__ = ["WrongOptionError", "launch_options", "seed_numbers", "whole_number"]

ACCELERATORS = ("cpu", "cuda", "gpu", "mps", "auto")
PRECISIONS = (
    *("32-true", "64-true", "16-true", "bf16-true", "16-mixed", "bf16-mixed"),
    *("32", "64", "16", "bf16"),
)
LARGEST_SEED = 2**32 - 1
"""NumPy's generator takes no more."""


class WrongOptionError(ValueError):
    """An option of the command line has a value that it cannot have."""

    def __init__(self, option: str, value: object, wanted: str) -> None:
        super().__init__(f"{option} takes {wanted}, got '{value}'")


def whole_number(option: str, text: str, auto: bool = False) -> int | str:
    """The number of at least 1 that a text gives, or ``auto`` where that may be said.

    Raises:
        WrongOptionError: For any other text.
    """
    if auto and text == "auto":
        return text
    # No computer has as many of anything as ten digits say.
    if not text.isdecimal() or len(text) > 9 or int(text) < 1:
        wanted = "a number of at least 1" + (" or 'auto'" if auto else "")
        raise WrongOptionError(option, text, wanted)
    return int(text)


def seed_numbers(number: str | None, seeds: str | None) -> int | tuple[int, ...] | None:
    """What ``--seeds`` and ``--seed`` say together."""
    count = None if number is None else int(whole_number("--seeds", number))
    if seeds is None:
        return count
    if number is not None:
        raise WrongOptionError(
            "--seed", seeds, f"seeds, --seeds their number ({number}): give one of the two"
        )
    words = [word.strip() for word in seeds.split(",")]
    right = (w.isdecimal() and len(w) <= 10 and int(w) <= LARGEST_SEED for w in words)
    if not all(right):
        raise WrongOptionError("--seed", seeds, "whole numbers below 2**32, such as 42 or 1,2,3")
    return tuple(dict.fromkeys(map(int, words)))


def launch_options(devices: str, nodes: str, accelerator: str, precision: str) -> dict[str, object]:
    """What Lightning Fabric is made of, if this machine can do it.

    Raises:
        WrongOptionError: If a value is none that there is, or there is no such device here.
    """
    import torch

    choose("--accelerator", accelerator, ACCELERATORS)
    choose("--precision", precision, PRECISIONS)
    count, number = whole_number("--devices", devices, auto=True), whole_number("--nodes", nodes)
    gpus = torch.cuda.device_count()
    if accelerator in ("cuda", "gpu") and not gpus:
        raise WrongOptionError("--accelerator", accelerator, "what is here: there is no CUDA GPU")
    if accelerator == "mps" and not torch.backends.mps.is_available():
        raise WrongOptionError("--accelerator", accelerator, "what is here: there is no Apple GPU")
    if accelerator in ("cuda", "gpu") and isinstance(count, int) and count > gpus:
        raise WrongOptionError("--devices", devices, f"at most the {gpus} GPUs that are here")
    return {
        "accelerator": accelerator,
        "devices": count,
        "num_nodes": number,
        "precision": precision,
    }


def choose(option: str, value: str, choices: Sequence[str]) -> None:
    """Raises unless a value is one of some, of which it names the nearest."""
    if value not in choices:
        wanted = f"one of {', '.join(choices)} ({did_you_mean(value, choices)})"
        raise WrongOptionError(option, value, wanted)
