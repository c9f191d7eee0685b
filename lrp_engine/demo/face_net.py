"""The last of the three nets of MTCNN (Zhang et al., 2016), as far as faces are concerned."""

from __future__ import annotations

from torch import Tensor, nn


class FaceNet(nn.Module):
    """Images (N, 3, 48, 48) in -1..1 to logits (N, 2) of no face and a face.

    Names are those of the weights of facenet-pytorch; its boxes and landmarks are computed nowhere.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1: nn.Module = nn.Conv2d(3, 32, 3)
        self.prelu1: nn.Module = nn.PReLU(32)
        self.pool1: nn.Module = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2: nn.Module = nn.Conv2d(32, 64, 3)
        self.prelu2: nn.Module = nn.PReLU(64)
        self.pool2: nn.Module = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3: nn.Module = nn.Conv2d(64, 64, 3)
        self.prelu3: nn.Module = nn.PReLU(64)
        self.pool3: nn.Module = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv4: nn.Module = nn.Conv2d(64, 128, 2)
        self.prelu4: nn.Module = nn.PReLU(128)
        self.dense5: nn.Module = nn.Linear(1152, 256)
        self.prelu5: nn.Module = nn.PReLU(256)
        self.dense6_1: nn.Module = nn.Linear(256, 2)
        self.dense6_2: nn.Module = nn.Linear(256, 4)
        self.dense6_3: nn.Module = nn.Linear(256, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 2)."""
        x = self.pool1(self.prelu1(self.conv1(images)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = self.prelu4(self.conv4(x)).permute(0, 3, 2, 1).flatten(1)
        logits: Tensor = self.dense6_1(self.prelu5(self.dense5(x)))
        return logits
