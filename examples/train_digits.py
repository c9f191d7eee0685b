"""Trains the demo's digits classifier and saves its weights. Takes about ten seconds on a CPU.

python examples/train_digits.py              # writes ./digits.safetensors
python examples/train_digits.py --output lrp_engine/demo/digits.safetensors
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy

from lrp_engine.demo.digits import DigitsNet, digits_test_split, digits_train_split


def noisy(images: Tensor) -> Tensor:
    """Images (N, 1, 8, 8) with a little noise, which keeps so small a data set from overfitting."""
    return images + 0.1 * torch.randn_like(images)


def train(epochs: int, batch_size: int = 64) -> DigitsNet:
    """A net fitted to the training split, in eval mode."""
    images, labels = digits_train_split()
    net = DigitsNet()
    steps = epochs * -(-len(labels) // batch_size)
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=3e-3, total_steps=steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels)).split(batch_size):
            optimiser.zero_grad()
            cross_entropy(net(noisy(images[batch])), labels[batch]).backward()
            optimiser.step()
            schedule.step()
    return net.eval()


def report(net: DigitsNet) -> None:
    """Prints the accuracy on the held-out split and every mistake."""
    images, labels = digits_test_split()
    with torch.no_grad():
        probabilities = net(images).softmax(dim=1)
    confidence, said = probabilities.max(dim=1)
    wrong = (said != labels).nonzero().flatten().tolist()
    print(f"accuracy on {len(labels)} held-out digits: {1 - len(wrong) / len(labels):.2%}")
    for i in wrong:
        print(f"  number {i}: true {labels[i]}, said {said[i]} ({confidence[i]:.0%})")


def main() -> None:
    """Trains with a fixed seed, reports, saves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("digits.safetensors"))
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    net = train(arguments.epochs)
    report(net)
    save_file(net.state_dict(), arguments.output)
    print(f"saved {arguments.output} ({arguments.output.stat().st_size / 1000:.0f} kB)")


if __name__ == "__main__":
    main()
