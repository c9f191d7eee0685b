"""The demo's classifier: small, accurate on digits it never saw, and not perfect."""

import pytest
import torch

from lrp_engine.demo.digits import (
    WEIGHTS,
    digits_test_split,
    digits_train_split,
    load_digits_net,
)

pytest.importorskip("sklearn")


def said() -> torch.Tensor:
    """The predicted class (N,) of every held-out digit."""
    images, _ = digits_test_split()
    with torch.no_grad():
        return load_digits_net()(images).argmax(dim=1)


def test_accuracy_on_the_held_out_split() -> None:
    _, labels = digits_test_split()
    assert (said() == labels).double().mean() > 0.97


def test_some_held_out_digits_are_misclassified() -> None:
    _, labels = digits_test_split()
    assert (said() != labels).sum() >= 3


def test_weights_are_small() -> None:
    assert WEIGHTS.stat().st_size < 500_000


def test_net_is_in_eval_mode() -> None:
    assert not any(module.training for module in load_digits_net().modules())


def test_splits_cover_all_digits_without_overlap() -> None:
    images, labels = digits_test_split()
    train_images, train_labels = digits_train_split()
    assert len(labels) + len(train_labels) == 1797
    assert images.shape[1:] == (1, 8, 8)
    assert labels.bincount(minlength=10).min() >= 50
    assert (images.min(), images.max()) == (0, 1)
    seen = {image.numpy().tobytes() for image in train_images}
    assert not any(image.numpy().tobytes() in seen for image in images)
