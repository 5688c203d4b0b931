"""Videos with THUMOS14's timelines and the pixels of real digits, for want of the videos.

A frame of action number ``a`` shows two handwritten digits, ``a % 10`` and ``a // 10``, other
images in each frame; a frame of background shows the same with its pixels shuffled. Actions
fade in and out, and all frames are noisy. Training and test frames use disjoint images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphkit.datasets import ActionVideo, thumos14

__all__ = ["Clips", "clips"]

FADE = 3


@dataclass
class Clips:
    """Windows of videos.

    Args:
        x (torch.Tensor): Pixels of the frames, ``[B, 128, T]``.
        truth (list): For each, actions' segments as shares of the window, and their numbers.
    """

    x: Tensor
    truth: list[tuple[Tensor, Tensor]]


def clips(
    split: str, count: int, frames: int, fps: float, noise: float, generator: torch.Generator
) -> Clips:
    """Windows of a split's videos that hold an action, at random places.

    Args:
        split (str): ``"val"`` or ``"test"``.
        count (int): Number of windows.
        frames (int): Frames of a window.
        fps (float): Frames per second.
        noise (float): Deviation of the noise.
        generator (torch.Generator): For places, images and noise.
    """
    videos = [video for video in thumos14(split) if len(video.action)]
    pixels, labels = digit_images(split)
    x: list[Any] = []
    truth: list[Any] = []
    while len(truth) < count:
        video = videos[int(torch.randint(len(videos), (1,), generator=generator))]
        segments, action = window(video, frames / fps, generator)
        x.append(draw(segments * frames, action, frames, pixels, labels, generator))
        truth.append((segments, action))
    noisy = torch.stack(x)
    noisy += noise * torch.randn(noisy.shape, generator=generator)
    return Clips(noisy, truth)


def window(video: ActionVideo, seconds: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A window around one of the actions: what is at least half inside, cut, as shares."""
    chosen = int(torch.randint(len(video.action), (1,), generator=generator))
    middle = float(video.segments[chosen].mean())
    start = middle - seconds * float(torch.rand(1, generator=generator) * 0.8 + 0.1)
    shares = (video.segments - start) / seconds
    inside = shares.clamp(0, 1)
    length = shares[:, 1] - shares[:, 0]
    kept = (inside[:, 1] - inside[:, 0]) >= 0.5 * length
    return inside[kept], video.action[kept]


def digit_images(split: str) -> tuple[Tensor, Tensor]:
    """Scikit-learn's digits in [-1, 1], the first 60 % of each class for training."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    train, test, ours, theirs = train_test_split(
        pixels / 8 - 1, labels, train_size=0.6, stratify=labels, random_state=0
    )
    chosen = (train, ours) if split == "val" else (test, theirs)
    return torch.from_numpy(chosen[0]).float(), torch.from_numpy(chosen[1])


def draw(
    segments: Tensor,
    action: Tensor,
    frames: int,
    pixels: Tensor,
    labels: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Frames of one window, ``[128, T]``; later actions cover earlier ones."""
    any_two = torch.randint(len(pixels), (frames, 2), generator=generator)
    shuffled = torch.rand(frames, 2, 64, generator=generator).argsort(-1)
    x = pixels[any_two].gather(-1, shuffled)
    time = torch.arange(frames) + 0.5
    for (start, end), number in zip(segments.tolist(), action.tolist(), strict=True):
        weight = (torch.minimum(time - start, end - time) / FADE + 0.5).clamp(0, 1)
        for place, digit in enumerate((number % 10, number // 10)):
            images = (labels == digit).nonzero().squeeze(1)
            shown = images[torch.randint(len(images), (frames,), generator=generator)]
            fade = weight.unsqueeze(1)
            x[:, place] = (1 - fade) * x[:, place] + fade * pixels[shown]
    return x.flatten(1).t()
