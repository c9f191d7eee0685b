"""Write the title of a picture, and the quiet line below it."""

from __future__ import annotations

from ..markup.numbers import plain, signed
from .labels import Labels


def title_of(labels: Labels, sample: int, explained: float) -> str:
    """Return what was asked and the number it is about: `why "5"? logit 4.40, p 0.99`.

    Args:
        labels: Of the explanation.
        sample: Its place in the batch.
        explained: Its explained number.
    """
    question = labels.question(sample)
    asked = question.text(labels.class_names)
    if len(question.classes) > 1:
        return f"{asked} {signed(explained)}"
    said = f"{labels.unit or 'explained'} {plain(explained)}"
    if question.probability is not None:
        said += f", p {question.probability:.2f}"
    return f"{asked} {said}".strip()


def subtitle_of(labels: Labels, sample: int, samples: int, preset: str) -> str:
    """Return preset, data, sample and truth: `epsilon, images, sample 0 of 8, truth 9`."""
    question = labels.question(sample)
    parts = [preset, labels.title]
    parts.append(f"sample {sample} of {samples}" if samples > 1 else "")
    parts.append(labels.samples[sample] if sample < len(labels.samples) else "")
    parts.append("" if question.position is None else f"position {question.position}")
    parts.append(f"truth {labels.truth[sample]}" if sample < len(labels.truth) else "")
    return ", ".join(filter(None, parts))
