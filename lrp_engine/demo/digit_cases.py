"""Choose the demo's held-out digits and classes, explain them, and draw the sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..engine import Engine
from ..results.explanation import Explanation
from .digits import DigitsNet, digits_test_split, load_digits_net
from .exhibit import Credit
from .sheet import ExplainedClass, SheetRow, draw_heatmap_sheet

CORRECT = (0, 3, 7)
MISTAKES = 2

# A net of ReLUs shares out its answer under epsilon almost as the gradient times the image does.
# So the sheet shows the gradient by itself, which says something else.
ABOUT_DIGITS = (
    "A small classifier of handwritten digits, trained by us, on digits that it has never seen."
    " Of two that it gets wrong, its answer is explained, and the truth."
)
DIGITS_CREDIT: Credit = Credit(
    "digits: scikit-learn, load_digits", "E. Alpaydin, C. Kaynak (UCI)", "CC BY 4.0"
)
ABOUT = "epsilon shares the answer out over the ink; gradient asks what more ink would do."


@dataclass(frozen=True)
class HeldOutDigits:
    """The classifier and its answers on the held-out digits."""

    net: DigitsNet
    images: Tensor
    labels: Tensor
    said: Tensor
    confidence: Tensor

    def mistakes(self) -> list[int]:
        """List the digits that the net gets wrong, the most confident mistakes first."""
        wrong = (self.said != self.labels).nonzero().flatten().tolist()
        return sorted(wrong, key=lambda i: -float(self.confidence[i]))

    def correct(self, digit: int) -> int:
        """Return the index of the correct digit of a class that the net is most sure of."""
        right = (self.said == self.labels) & (self.labels == digit)
        return int(self.confidence.masked_fill(~right, 0).argmax())

    def summary(self) -> str:
        """Say the net's accuracy in words."""
        wrong, total = len(self.mistakes()), len(self.labels)
        return (
            f"the classifier gets {total - wrong} of {total} handwritten digits right that it has"
            f" never seen ({1 - wrong / total:.1%})"
        )


@dataclass(frozen=True)
class DigitCase:
    """One question: the pixels of digit number `index` that speak for the class `answer`."""

    index: int
    answer: int
    note: str


def load_held_out() -> HeldOutDigits:
    """Run the shipped classifier on the held-out digits."""
    net = load_digits_net()
    images, labels = digits_test_split()
    with torch.no_grad():
        confidence, said = net(images).softmax(dim=1).max(dim=1)
    return HeldOutDigits(net, images, labels, said, confidence)


def choose_cases(digits: HeldOutDigits) -> list[DigitCase]:
    """Choose digits that the net gets right, and mistakes with its answer and the truth."""
    right = [DigitCase(digits.correct(digit), digit, "its answer") for digit in CORRECT]
    wrong = [
        DigitCase(i, int(answer[i]), note)
        for i in digits.mistakes()[:MISTAKES]
        for answer, note in ((digits.said, "its answer"), (digits.labels, "the truth"))
    ]
    return right + wrong


def explain_cases(digits: HeldOutDigits, cases: Sequence[DigitCase], preset: str) -> Explanation:
    """Explain all cases in one batch, with the ledger."""
    images = digits.images[[case.index for case in cases]]
    engine = Engine(digits.net, images, preset=preset)
    explanation = engine.explain(images, [case.answer for case in cases], ledger=True)
    return explanation.with_labels(
        axes="batch channel height width",
        images=1 - images,  # ink is dark on paper
        class_names=[str(digit) for digit in range(10)],
        truth=digits.labels[[case.index for case in cases]].tolist(),
        samples=[case.note for case in cases],
    )


def draw_sheet(
    digits: HeldOutDigits,
    cases: Sequence[DigitCase],
    explained: Mapping[str, Explanation],
    path: Path,
) -> Path:
    """Draw one sheet: a band per digit, a line per case, a column per preset."""
    lines: dict[int, list[ExplainedClass]] = {}
    for line, case in enumerate(cases):
        maps = {name: _map(e, name, line).numpy() for name, e in explained.items()}
        lines.setdefault(case.index, []).append(ExplainedClass(str(case.answer), maps, case.note))
    rows = [SheetRow(digits.images[i, 0].numpy(), _title(digits, i), lines[i]) for i in lines]
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = draw_heatmap_sheet(rows, list(explained), ABOUT)
    figure.savefig(path, dpi=110, pil_kwargs={"optimize": True})
    return path


def _map(explanation: Explanation, preset: str, line: int) -> Tensor:
    """Return what a sheet shows of one case, (H, W)."""
    shown = explanation.coefficient if preset == "gradient" else explanation.relevance
    return shown["images"][line, 0]


def _title(digits: HeldOutDigits, index: int) -> str:
    said, truth = int(digits.said[index]), int(digits.labels[index])
    return f"a {truth}, said {said} ({digits.confidence[index]:.0%})"
