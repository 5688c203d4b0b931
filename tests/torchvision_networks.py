"""Networks of torchvision with random weights, small enough for tests marked ``vision``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CLASSES = 5
NETWORKS = ("resnet", "bottlenecks", "mobilenet", "shufflenet", "squeezenet", "densenet", "vit")


def network(name: str) -> nn.Module:
    """A network in double precision and evaluation mode, for images of 32 x 32 pixels."""
    from torchvision import models
    from torchvision.models import resnet

    torch.manual_seed(0)
    makers = {
        "resnet": lambda: resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1], CLASSES),
        "bottlenecks": lambda: resnet.ResNet(
            resnet.Bottleneck, [1, 1, 1, 1], CLASSES, groups=4, width_per_group=4
        ),
        "mobilenet": lambda: models.mobilenet_v3_small(num_classes=CLASSES),
        "shufflenet": lambda: models.shufflenet_v2_x0_5(num_classes=CLASSES),
        "squeezenet": lambda: models.squeezenet1_1(num_classes=CLASSES),
        "densenet": lambda: models.DenseNet(8, (2, 2), 16, num_classes=CLASSES),
        "vit": lambda: models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=CLASSES),
    }
    return settled(makers[name]()).double().eval()


def settled(model: nn.Module) -> nn.Module:
    """Gives batch norms statistics of their own, so that evaluation mode is not the identity."""
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(4, 3, 32, 32))
    for name, weight in model.named_parameters():
        if name.startswith("heads."):
            nn.init.normal_(weight)
    return model


def images(count: int = 3) -> Tensor:
    """Images with values in [0, 1]."""
    return torch.rand(count, 3, 32, 32, dtype=torch.double)
