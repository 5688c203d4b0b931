"""Landmarks of faces in video frames: numbers, no pixels."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphkit.datasets.store.dataset_card import DatasetCard
from graphkit.datasets.store.loading import locate
from graphkit.datasets.store.reading.archives import read_arrays
from graphkit.guard import DamagedDataError
from graphkit.json_values import single

__all__ = ["FaceLandmarks", "face_landmarks"]

CARD = DatasetCard(
    name="FaceLandmarks",
    about="68 landmarks of 4,232 video frames of 347 people",
    loader="graphkit.datasets.media.face_landmarks:face_landmarks",
    folder="faces",
    files=("landmarks68.npz",),
    raw="",
    source=(
        "the training and test keypoints of https://github.com/udacity/P1_Facial_Keypoints, "
        "joined in landmarks68.npz"
    ),
    terms="MIT (repository); frames of YouTube Faces, for research",
)


@dataclass(frozen=True)
class FaceLandmarks:
    """Landmarks of frames.

    Args:
        points (torch.Tensor): Column and row in pixels, ``[N, 68, 2]``.
        subject (torch.Tensor): Number of the person, ``[N]``.
    """

    points: Tensor
    subject: Tensor


def face_landmarks(root: str | os.PathLike[str] | None = None) -> FaceLandmarks:
    r"""The 68 landmarks of video frames of people who speak, from the `"Face Recognition in
    Unconstrained Videos with Matched Background Similarity"
    <https://doi.org/10.1109/CVPR.2011.5995566>`_ paper's videos. The published parts share all
    people: split by ``subject``.

    Args:
        root (str or Path, optional): Folder of the data sets.
            (default: ``GRAPHKIT_DATA``, else ``data`` in the cache folder)

    Raises:
        MissingDataError: If the file is missing; the message says where to get it.
        DamagedDataError: If it cannot be read, or a frame has no face.

    Example:
        .. code-block:: python

            from graphkit.datasets import face_landmarks

            faces = face_landmarks()
    """
    path = locate(CARD, root, fetch=False) / "landmarks68.npz"
    arrays = read_arrays(path, ("points", "subject"))
    points, subject = arrays["points"], arrays["subject"]
    if points.dtype.kind not in "fiu" or subject.dtype.kind not in "iu":
        raise DamagedDataError(f"'{path}' holds points {points.dtype} of {subject.dtype} subjects")
    if points.shape[1:] != (68, 2) or subject.shape != points.shape[:1] or not len(points):
        raise DamagedDataError(
            f"'{path}' holds points {points.shape} of subjects {subject.shape}, not [N, 68, 2] "
            "and [N]"
        )
    if not single(points[np.isfinite(points)]):
        raise DamagedDataError(f"'{path}' holds points beyond single precision")
    faceless = np.flatnonzero(~np.isfinite(points).all((1, 2)) | (np.ptp(points, 1) <= 0).any(1))
    if len(faceless):
        raise DamagedDataError(f"'{path}' has no face in frame {faceless[0]}")
    return FaceLandmarks(
        torch.from_numpy(points.astype(np.float32)), torch.from_numpy(subject.astype(np.int64))
    )
