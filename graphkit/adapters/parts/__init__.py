"""Adapters whose nodes are parts: blocks of feature maps, objects in an image, bones of a face."""

from graphkit.adapters.parts.bones import FaceGraphAdapter
from graphkit.adapters.parts.continuous_dropout import CoadaptationGraphAdapter
from graphkit.adapters.parts.dynamic_instance_norm import StyledPixelAdapter
from graphkit.adapters.parts.patch_reordering import PatchGraphAdapter
from graphkit.adapters.parts.udor import ObjectGraphAdapter

__all__ = [
    "CoadaptationGraphAdapter",
    "FaceGraphAdapter",
    "ObjectGraphAdapter",
    "PatchGraphAdapter",
    "StyledPixelAdapter",
]
