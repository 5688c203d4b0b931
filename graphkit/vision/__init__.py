"""Image, video and audio methods themselves; torch only, no PyG."""

from graphkit.vision.density import gaussian_rows, render_density
from graphkit.vision.patch_reordering import PatchReorder, PatchReorderCNN
from graphkit.vision.tensor_task import TensorTask
from graphkit.vision.tracking_by_counting import TrackingByCounting, TrackingSolution
from graphkit.vision.tracking_problem import TrackingProblem
from graphkit.vision.tracking_program import ProgramResult
from graphkit.vision.layout import boxes_to_layout, masks_to_layout
from graphkit.vision.layout_to_image import LayoutToImage
from graphkit.vision.scene_layout import SceneLayout
from graphkit.vision.scene_to_image import SceneToImage, scene_image_loss

__all__ = [
    "PatchReorder",
    "PatchReorderCNN",
    "ProgramResult",
    "TensorTask",
    "TrackingByCounting",
    "TrackingProblem",
    "TrackingSolution",
    "gaussian_rows",
    "render_density",
    "boxes_to_layout",
    "masks_to_layout",
    "LayoutToImage",
    "SceneLayout",
    "SceneToImage",
    "scene_image_loss",
]
