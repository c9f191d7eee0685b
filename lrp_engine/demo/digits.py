"""A small convolutional classifier for scikit-learn's 8x8 digits, with its weights."""

from pathlib import Path

import torch
from torch import Tensor, nn

from ..boundary.arrays import read_safetensors

WEIGHTS = Path(__file__).with_name("digits.safetensors")

# Every third image is held out. No random numbers: the split stays the same in every version of
# every library, so the shipped weights never meet a training image in a test.
HOLD_OUT_EVERY = 3


class DigitsNet(nn.Module):
    """Plain convolutions, biases and ReLU: images (N, 1, 8, 8) in 0..1 to logits (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.features: nn.Sequential = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier: nn.Linear = nn.Linear(32 * 2 * 2, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 10) of images (N, 1, 8, 8)."""
        features: Tensor = self.features(images)
        logits: Tensor = self.classifier(features.flatten(1))
        return logits


def load_digits_net() -> DigitsNet:
    """Return the trained classifier in eval mode, from the weights in the package."""
    net = DigitsNet()
    net.load_state_dict(read_safetensors(WEIGHTS).tensors)
    return net.eval()


def digits_train_split() -> tuple[Tensor, Tensor]:
    """Return training images (N, 1, 8, 8) in 0..1 and their labels (N,)."""
    images, labels = _all_digits()
    keep = torch.arange(len(labels)) % HOLD_OUT_EVERY != 0
    return images[keep], labels[keep]


def digits_test_split() -> tuple[Tensor, Tensor]:
    """Return held-out images (N, 1, 8, 8) in 0..1 and their labels (N,)."""
    images, labels = _all_digits()
    return images[::HOLD_OUT_EVERY], labels[::HOLD_OUT_EVERY]


def _all_digits() -> tuple[Tensor, Tensor]:
    """All images (1797, 1, 8, 8) in 0..1 and labels (1797,), in scikit-learn's order."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("the digits come with scikit-learn: pip install scikit-learn") from error
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16.0
    return images, torch.tensor(digits.target, dtype=torch.int64)
