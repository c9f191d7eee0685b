"""Trains a small language model on subject-verb agreement, and a sparse autoencoder per layer.

python examples/train_feature_circuit.py            # writes ./agreement/; some minutes on a CPU

`benchmarks/feature_circuits.py` finds feature circuits in it (docs/feature-circuits.md).
"""

import argparse
import random
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel

from lrp_engine.circuits import Pairs, Splice, logit_difference

NOUNS = ["boy", "girl", "cat", "dog", "car", "tree", "house", "bird", "teacher", "author"]
VERBS = ["like", "see", "know", "help", "follow", "hear"]
PLACES = ["near", "behind", "beside"]
WORDS = ["<bos>", "the", "that", *PLACES, *NOUNS, *(n + "s" for n in NOUNS)]
WORDS += [*VERBS, *(v + "s" for v in VERBS)]
IDS = {word: i for i, word in enumerate(WORDS)}
LAYERS, WIDTH, FEATURES, LONGEST = 4, 64, 256, 8
PLACES_OF_DICTIONARIES = tuple(f"blocks.{i}.hook_resid_post" for i in range(LAYERS))
KINDS = ("simple", "behind a place", "behind a clause", "inside a clause")


def noun(name: str, plural: bool) -> str:
    """A noun in one number."""
    return name + "s" * plural


def verb(name: str, plural: bool) -> str:
    """A verb in one number: `boy likes`, `boys like`."""
    return name + "s" * (not plural)


def phrase(kind: str, rng: random.Random, plural: bool) -> list[str]:
    """The words before a verb whose subject is plural or not."""
    subject, other = rng.sample(NOUNS, 2)
    second = rng.random() < 0.5
    start = ["<bos>", "the"]
    if kind == "simple":
        return [*start, noun(subject, plural)]
    if kind == "behind a place":
        tail = [rng.choice(PLACES), "the", noun(other, second)]
    elif kind == "behind a clause":
        tail = ["that", "the", noun(other, second), verb(rng.choice(VERBS), second)]
    else:
        return [*start, noun(other, second), "that", "the", noun(subject, plural)]
    return [*start, noun(subject, plural), *tail]


def agreement_pairs(kind: str, count: int, seed: int) -> Pairs:
    """Phrases with a subject of either number; the corrupt ones have it in the other.

    The metric is the mean logit of all verbs of the right number less that of the wrong one.
    """
    sides: tuple[list[list[int]], list[list[int]]] = ([], [])
    right = []
    for i in range(count):
        plural = i % 2 == 1
        right.append([IDS[verb(v, plural)] for v in VERBS])
        for side, number in zip(sides, (plural, not plural), strict=True):
            # The same draws: only the subject's number differs.
            words = phrase(kind, random.Random(f"{kind} {seed} {i}"), number)
            side.append([IDS[word] for word in words])
    wrong = [right[1 - i % 2] for i in range(count)]
    clean, corrupt = ({"input_ids": torch.tensor(side)} for side in sides)
    return Pairs(clean, corrupt, logit_difference(right, wrong))


def sentences(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Ids, (count, 8), padded with <bos>, and the place of the last verb, (count,)."""
    rng = random.Random(seed)
    rows, last = torch.zeros(count, LONGEST, dtype=torch.long), torch.zeros(count, dtype=torch.long)
    for i in range(count):
        plural, kind = rng.random() < 0.5, rng.choice(KINDS)
        words = [*phrase(kind, rng, plural), verb(rng.choice(VERBS), plural)]
        rows[i, : len(words)] = torch.tensor([IDS[word] for word in words])
        last[i] = len(words) - 1
    return rows, last


def new_model() -> GPT2LMHeadModel:
    """A GPT-2 of four layers, with its weights drawn."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(WORDS), n_positions=LONGEST, n_embd=WIDTH, n_layer=LAYERS, n_head=4,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
        )
    )  # fmt: skip


def train_model(steps: int) -> GPT2LMHeadModel:
    """A model fitted to the next word of sentences; verbs at their ends count four times more."""
    model, (rows, last) = new_model(), sentences(30_000, 0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    inside = torch.arange(1, LONGEST) <= last[:, None]
    for _ in range(steps):
        batch = torch.randint(0, len(rows), (256,))
        logits = model(input_ids=rows[batch, :-1]).logits
        targets = rows[batch, 1:].masked_fill(~inside[batch], -100)
        loss = cross_entropy(logits.flatten(0, 1), targets.flatten())
        ends = torch.arange(256), last[batch] - 1
        loss = loss + 4 * cross_entropy(logits[ends], targets[ends])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


class SparseAutoencoder(nn.Module):
    """f = relu((x - b) E + e), x = f D + b; rows of D have length 1."""

    def __init__(self, width: int = WIDTH, features: int = FEATURES) -> None:
        super().__init__()
        decoder = torch.randn(features, width)
        self.decoder = nn.Parameter(decoder / decoder.norm(dim=1, keepdim=True))
        self.encoder = nn.Parameter(self.decoder.detach().T.clone().contiguous())
        self.encoder_bias = nn.Parameter(torch.zeros(features))
        self.bias = nn.Parameter(torch.zeros(width))

    def encode(self, x: Tensor) -> Tensor:
        """Return features, (..., feature), of activations, (..., width)."""
        return ((x - self.bias) @ self.encoder + self.encoder_bias).relu()

    def decode(self, features: Tensor) -> Tensor:
        """Return activations, (..., width), of features, (..., feature)."""
        return features @ self.decoder + self.bias


def train_dictionary(x: Tensor, steps: int, sparsity: float) -> SparseAutoencoder:
    """A dictionary of activations, (sample, width), with few features at a time."""
    dictionary = SparseAutoencoder()
    dictionary.bias.data = x.mean(0)
    scale = float((x - x.mean(0)).square().sum(1).mean())
    optimiser = torch.optim.Adam(dictionary.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    for _ in range(steps):
        batch = x[torch.randint(0, len(x), (1024,))]
        features = dictionary.encode(batch)
        error = (dictionary.decode(features) - batch).square().sum(1).mean() / scale
        size = features.sum(1).mean() / scale**0.5
        optimiser.zero_grad()
        (error + sparsity * size).backward()
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            dictionary.decoder /= dictionary.decoder.norm(dim=1, keepdim=True)
    return dictionary.eval()


def activations(model: GPT2LMHeadModel, seed: int) -> list[Tensor]:
    """The residual stream after each layer, (sample, width), before the ends of sentences."""
    rows, last = sentences(8_000, seed)
    inside = torch.arange(LONGEST) < last[:, None]
    found: list[Tensor] = []
    handles = [
        block.register_forward_hook(
            lambda _m, _x, out: found.append((out[0] if isinstance(out, tuple) else out)[inside])
        )
        for block in model.transformer.h
    ]
    with torch.no_grad():
        model(input_ids=rows)
    for handle in handles:
        handle.remove()
    return found


def describe(dictionary: SparseAutoencoder, x: Tensor) -> str:
    """The variance that a dictionary keeps, and how many features are active at once."""
    with torch.no_grad():
        features = dictionary.encode(x)
        left = (dictionary.decode(features) - x).square().sum() / (x - x.mean(0)).square().sum()
    active = (features > 0).float()
    used = int((active.mean(0) > 1e-4).sum())
    return f"variance kept {1 - left:.1%}, {active.sum(1).mean():.1f} of {used} features at a time"


def load_subject(folder: Path) -> tuple[GPT2LMHeadModel, list[Splice]]:
    """The model and its dictionaries, at the residual stream after each layer."""
    model = new_model()
    model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    model.tie_weights()
    splices = []
    for i, place in enumerate(PLACES_OF_DICTIONARIES):
        dictionary = SparseAutoencoder()
        dictionary.load_state_dict(load_file(folder / f"dictionary{i}.safetensors"))
        splices.append(Splice(place, dictionary.eval()))
    return model.eval(), splices


def save_dictionaries(model: GPT2LMHeadModel, folder: Path, steps: int, sparsity: float) -> None:
    """Trains one dictionary per layer and reports on sentences that it was not trained on."""
    seen = zip(PLACES_OF_DICTIONARIES, activations(model, 1), activations(model, 2), strict=True)
    for i, (place, x, held_out) in enumerate(seen):
        dictionary = train_dictionary(x, steps, sparsity)
        print(f"{place}: {describe(dictionary, held_out)}", flush=True)
        save_file(dictionary.state_dict(), folder / f"dictionary{i}.safetensors")


def report(model: GPT2LMHeadModel) -> None:
    """Prints how often the right number has the larger mean logit."""
    for kind in KINDS:
        pairs = agreement_pairs(kind, 128, seed=1)
        with torch.no_grad():
            metric = pairs.metric(model(**pairs.clean).logits)
        share = float((metric > 0).float().mean())
        print(f"{kind}: right {share:.0%}, metric {metric.mean():.2f}", flush=True)


def main() -> None:
    """Trains with a fixed seed, reports, saves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("agreement"))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--sparsity", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    started = time.perf_counter()
    model = train_model(arguments.steps)
    arguments.output.mkdir(parents=True, exist_ok=True)
    weights = {n: w.detach().contiguous() for n, w in model.named_parameters()}
    save_file(weights, arguments.output / "model.safetensors")
    report(model)
    torch.manual_seed(arguments.seed)
    save_dictionaries(model, arguments.output, arguments.steps, arguments.sparsity)
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
