"""The community's pickle of skeleton annotations, read without executing code."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from graphkit.datasets.store.reading.pickles import read_pickle
from graphkit.guard import DamagedDataError, reading
from graphkit.json_values import single

__all__ = ["read_annotations"]


def read_annotations(path: str | os.PathLike[str]) -> dict[str, Any]:
    r"""Reads a pickle of the format of `"PYSKL: Towards Good Practices for Skeleton Action
    Recognition" <https://arxiv.org/abs/2205.09443>`_.

    It holds ``split``, lists of names, and ``annotations``, dictionaries with ``frame_dir``
    (the name, once), ``label``, ``keypoint`` ``[M, T, V, C]`` and, for 2-D skeletons,
    ``keypoint_score`` ``[M, T, V]`` and ``img_shape``, height and width of the video in pixels.
    Names and labels come back as Python's own, also where NumPy's were saved. Nothing but NumPy
    arrays and plain values is unpickled; whatever else a pickle would call is refused before it
    is called.

    Args:
        path (str or Path): The pickle.

    Raises:
        DamagedDataError: If the file cannot be read, would execute code, or does not hold what
            it should; the message names the entry.

    Example:
        >>> import pickle, tempfile
        >>> import numpy as np
        >>> from graphkit.datasets.skeletons.annotations import read_annotations
        >>> clip = {"frame_dir": "a", "label": 3, "keypoint": np.zeros((1, 9, 25, 3))}
        >>> with tempfile.NamedTemporaryFile(suffix=".pkl") as file:
        ...     pickle.dump({"split": {"train": ["a"]}, "annotations": [clip]}, file)
        ...     file.flush()
        ...     read_annotations(file.name)["annotations"][0]["label"]
        3
    """
    content = read_pickle(path)
    with reading(path):
        check_content(content, path)
        for clip in content["annotations"]:
            if clip.get("keypoint_score") is None:
                clip.pop("keypoint_score", None)
            clip["frame_dir"], clip["label"] = str(clip["frame_dir"]), int(clip["label"])
        splits = content["split"].items()
        content["split"] = {str(name): [str(one) for one in members] for name, members in splits}
    return content


def check_content(content: Any, path: str | os.PathLike[str]) -> None:
    """Raises unless a pickle holds clips, and splits of them."""
    check(isinstance(content, dict), path, "no dictionary")
    for key, kind in (("split", dict), ("annotations", list)):
        check(isinstance(content.get(key), kind), path, f"no {kind.__name__} {key!r}")
    check(bool(content["annotations"]), path, "no clip")
    shapes = [check_clip(clip, path, i) for i, clip in enumerate(content["annotations"])]
    check(len(set(shapes)) == 1, path, f"clips of several skeletons: {sorted(set(shapes))}")
    known: set[str] = set()
    for clip in content["annotations"]:
        check(clip["frame_dir"] not in known, path, f"clip {clip['frame_dir']!r} twice")
        known.add(clip["frame_dir"])
    for name, members in content["split"].items():
        listed = isinstance(members, list | tuple | np.ndarray)
        listed = listed and all(isinstance(member, str) for member in members)
        check(listed, path, f"split {name!r} that is no list of names")
        lost = next((member for member in members if member not in known), None)
        check(lost is None, path, f"{lost!r} of split {name!r} without a clip")


def check_clip(clip: Any, path: str | os.PathLike[str], position: int) -> tuple[int, int, bool]:
    """The joints and coordinates of a clip, and whether it has scores, if it is one."""
    where = f"annotation {position}"
    check(isinstance(clip, dict), path, f"{where} that is no dictionary")
    tests: dict[str, Callable[[Any], bool]] = {
        "frame_dir": lambda value: isinstance(value, str),
        "label": is_label,
        "keypoint": lambda value: is_array(value, 4) and value.shape[-1] in (2, 3),
    }
    for key, test in tests.items():
        check(key in clip and test(clip[key]), path, f"{where} with a wrong {key!r}")
    if "img_shape" in clip:
        check(is_image(clip["img_shape"]), path, f"{where} with a wrong 'img_shape'")
    keypoint, score = clip["keypoint"], clip.get("keypoint_score")
    fits = score is None or (is_array(score, 3) and score.shape == keypoint.shape[:3])
    check(fits, path, f"{where} with a wrong 'keypoint_score'")
    return keypoint.shape[2], keypoint.shape[3], score is not None


def is_label(value: Any) -> bool:
    """Whether this is a whole number that a class may have."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return whole and 0 <= int(value) < 2**31


def is_image(value: Any) -> bool:
    """Whether this is a height and a width."""
    sides = isinstance(value, list | tuple | np.ndarray) and len(value) == 2
    return sides and all(is_label(side) and side > 0 for side in value)


def is_array(value: Any, dimensions: int) -> bool:
    """Whether this is an array with so many dimensions, none of length 0, of numbers that are
    finite in single precision, in which they are kept."""
    return (
        isinstance(value, np.ndarray)
        and value.dtype.kind in "fiu"
        and value.ndim == dimensions
        and value.size > 0
        and single(value)
    )


def check(right: bool, path: str | os.PathLike[str], what: str) -> None:
    """Raises unless something is as it should be."""
    if not right:
        raise DamagedDataError(f"'{path}' holds {what}")
