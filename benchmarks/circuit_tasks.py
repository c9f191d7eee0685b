"""Tasks for small word-level language models: pairs of prompts, and text to train on.

Words of `ioi`, `sva` and `induction` are in the vocabulary of the models that solve IOI; the rest
(`greater_than`, `docstring`) needs a model of `benchmarks.train_task_models`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lrp_engine.circuits import Pairs, logit_difference
from lrp_engine.demo import ioi

NUMBERS = [f"{n:02d}" for n in range(100)]
EXTRA = [*NUMBERS, "war", "lasted", "from", "def", "f", "(", ")", ":", "param"]


@dataclass(frozen=True)
class Prompt:
    """One pair of prompts of equal length, as words. Several answers count together."""

    clean: list[str]
    corrupt: list[str]
    answer: list[str]
    wrong: list[str]


def vocabulary() -> dict[str, int]:
    """Word -> id: the words of the IOI models, then those of the other tasks."""
    from lrp_engine.demo.ioi.data import vocabulary as known

    words = dict(known())
    return words | {word: len(words) + i for i, word in enumerate(EXTRA)}


def between(first: str, last: str) -> list[str]:
    """The words of the vocabulary from one to another."""
    words = list(vocabulary())
    return words[words.index(first) : words.index(last) + 1]


NAMES = between("John", "Toby")
THINGS = between("bag", "coin")
SINGULAR = ["boy", "girl", "cat", "dog", "car", "tree", "house", "bird", "teacher", "author"]
PLURAL = [f"{noun}s" for noun in SINGULAR]


def ioi_prompt(rng: random.Random) -> Prompt:
    """An indirect object, in one of the five templates of the IOI models."""
    p = rng.choice(ioi.ioi_prompts())
    swap = dict(zip([p["answer"], p["wrong"]], rng.sample(NAMES, 2), strict=True))
    clean, corrupt = ([swap.get(word, word) for word in p[side]] for side in ("clean", "corrupt"))
    return Prompt(clean, corrupt, [swap[p["answer"]]], [swap[p["wrong"]]])


def sva_prompt(rng: random.Random) -> Prompt:
    """The number of a verb, behind a noun of either number that is not its subject."""
    n, m = rng.sample(range(len(SINGULAR)), 2)
    other, where = rng.choice([SINGULAR, PLURAL])[m], rng.choice(["near", "behind", "beside"])
    sides = [["<bos>", "The", noun, where, "the", other] for noun in (SINGULAR[n], PLURAL[n])]
    verbs = [["is"], ["are"]]
    if rng.random() < 0.5:
        sides, verbs = sides[::-1], verbs[::-1]
    return Prompt(*sides, *verbs)


def induction_prompt(rng: random.Random) -> Prompt:
    """A word that followed another earlier follows it again."""
    words = rng.sample(NAMES, 7)
    place, wrong = rng.randrange(5), words.pop()
    sides = [["<bos>", *words, words[place]] for _ in range(2)]
    sides[1][place + 2] = wrong
    return Prompt(*sides, [words[place + 1]], [wrong])


def greater_than_prompt(rng: random.Random) -> Prompt:
    """A war ends in a later year than it begins; the corrupt one begins in the first year."""
    century, year = rng.choice(NUMBERS[11:18]), rng.randrange(20, 80)
    sides = [
        ["<bos>", "The", "war", "lasted", "from", century, start, "to", century]
        for start in (NUMBERS[year], NUMBERS[1])
    ]
    return Prompt(*sides, NUMBERS[year + 1 :], NUMBERS[: year + 1])


def docstring_prompt(rng: random.Random) -> Prompt:
    """The next parameter that a docstring describes; the corrupt function has others."""
    names, text = rng.sample(NAMES, 6), rng.sample(THINGS, 2)
    told = ["param", names[0], ":", text[0], "param", names[1], ":", text[1], "param"]
    sides = [
        ["<bos>", "def", "f", "(", *given, ")", ":", *told] for given in (names[:3], names[3:])
    ]
    return Prompt(*sides, [names[2]], [names[5]])


TASKS: dict[str, Callable[[random.Random], Prompt]] = {
    "ioi": ioi_prompt,
    "sva": sva_prompt,
    "induction": induction_prompt,
    "greater_than": greater_than_prompt,
    "docstring": docstring_prompt,
}


def ids(words: list[str]) -> list[int]:
    """Token ids of words."""
    known = vocabulary()
    return [known[word] for word in words]


def task_pairs(task: str, count: int, seed: int = 0) -> Pairs:
    """Prompts of one task and one length, with its metric.

    The metric is a difference of logits; for `greater_than`, of the probabilities of all later and
    of all other years, as in the paper (Hanna et al. 2023).
    """
    rng = random.Random(f"{task} {seed}")
    prompts: list[Prompt] = []
    while len(prompts) < count:
        made = TASKS[task](rng)
        if not prompts or len(made.clean) == len(prompts[0].clean):
            prompts.append(made)
    clean, corrupt = (
        {"input_ids": torch.tensor([ids(getattr(p, side)) for p in prompts])}
        for side in ("clean", "corrupt")
    )
    if task == "greater_than":
        weights = torch.zeros(count, len(vocabulary()))
        for row, p in zip(weights, prompts, strict=True):
            row[ids(p.answer)], row[ids(p.wrong)] = 1.0, -1.0
        return Pairs(clean, corrupt, ProbabilityDifference(weights))
    answers, wrong = (
        torch.tensor([ids(getattr(p, k))[0] for p in prompts]) for k in ("answer", "wrong")
    )
    return Pairs(clean, corrupt, logit_difference(answers, wrong))


@dataclass(frozen=True)
class ProbabilityDifference:
    """Probabilities at the last position times `weights`, (batch, vocabulary)."""

    weights: Tensor

    def __call__(self, logits: Tensor) -> Tensor:
        return (logits[:, -1].softmax(-1) * self.weights.to(logits)).sum(-1)
