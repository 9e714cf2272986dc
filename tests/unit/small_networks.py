"""Convolutional networks written out small, for what is drawn of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)


class Vgg16(nn.Module):
    """VGG16 (Simonyan & Zisserman 2015), its channels divided by ``narrow``; 0 is a pooling."""

    def __init__(self, narrow: int = 16, classes: int = 10, pool: type = nn.MaxPool2d) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for channels in _VGG16:
            if channels == 0:
                layers.append(pool(2, 2))
                continue
            layers += [nn.Conv2d(before, channels // narrow, 3, padding=1), nn.ReLU(inplace=True)]
            before = channels // narrow
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(before * 49, 4096 // narrow), nn.ReLU(True), nn.Dropout(),
            nn.Linear(4096 // narrow, 4096 // narrow), nn.ReLU(True), nn.Dropout(),
            nn.Linear(4096 // narrow, classes),
        )  # fmt: skip

    def forward(self, image: Tensor) -> Tensor:
        maps = self.avgpool(self.features(image))
        return self.classifier(torch.flatten(maps, 1))


class Digits(nn.Module):
    """The classic small CNN: everything but the layers with weights is functional."""

    forwards = 0

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(256, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, image: Tensor) -> Tensor:
        Digits.forwards += 1
        maps = self.pool(self.conv1(image).relu())
        maps = self.pool(self.conv2(maps).relu())
        return self.fc3(self.fc2(self.fc1(maps.flatten(1)).relu()).relu())


class Residual(nn.Module):
    """A block of a ResNet."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.act = nn.LeakyReLU(0.2)
        same = stride == 1 and before == after
        self.shortcut = nn.Identity() if same else nn.Conv2d(before, after, 1, stride)

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(self.act(self.bn1(self.conv1(maps)))))
        return self.act(inner + self.shortcut(maps))


class ResNet(nn.Module):
    """Stem, three blocks, global mean, classes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 7, 2, 3), nn.BatchNorm2d(8), nn.LeakyReLU(0.2), nn.AvgPool2d(3, 2, 1)
        )
        self.blocks = nn.Sequential(Residual(8, 8, 1), Residual(8, 12, 2), Residual(12, 12, 1))
        self.head = nn.Linear(12, 5)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(image)).mean((2, 3)))
