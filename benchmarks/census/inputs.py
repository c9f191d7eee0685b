"""Make up inputs for a model from the parameters of its forward, by name.

What shape a parameter has is not written down anywhere, so each name has some makers, and callers
try their combinations until the model runs.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
from torch import Tensor

BATCH, LENGTH = 2, 10
Inputs = dict[str, Tensor]
Maker = Callable[["Facts"], Tensor]

# Beside the main input, what belongs to a picture, and what is asked for in so many words.
BESIDE_PIXELS = ("image_grid_thw", "image_sizes", "pixel_position_ids", "image_position_ids")
TOKEN_KINDS = ("mm_token_type_ids",)  # 1 at image tokens
MOST_COMBINATIONS = 24


class Facts:
    """What a config says of its inputs, here or in one of its parts."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.parts = list(_parts(config))

    def number(self, *names: str, default: int, of: str = "") -> int:
        """The first of these fields that is there, the outermost first."""
        parts = [p for p in self.parts if of in getattr(p, "model_type", "")] or self.parts
        for name in names:
            for part in parts:
                found = getattr(part, name, None)
                if isinstance(found, (list, tuple)) and found:
                    found = found[-1]
                if isinstance(found, int) and found > 0:
                    return found
        return default

    @property
    def channels(self) -> int:
        return self.number(
            "num_channels", "in_channels", "in_chans", "num_input_channels", default=3
        )

    @property
    def side(self) -> int:
        return self.number("image_size", "input_size", default=64)

    @property
    def patch(self) -> int:
        return self.number("patch_size", default=8)


def _parts(config: Any) -> Iterator[Any]:
    yield config
    for value in vars(config).values():
        if hasattr(value, "model_type") and hasattr(value, "to_dict"):
            yield from _parts(value)


def _images(f: Facts) -> Tensor:
    return torch.randn(BATCH, f.channels, f.side, f.side)


def _large_images(f: Facts) -> Tensor:
    return torch.randn(BATCH, f.channels, 224, 224)


def _clips(f: Facts) -> Tensor:
    frames = f.number("num_frames", "frames_per_clip", default=2)
    return torch.randn(BATCH, frames, f.channels, f.side, f.side)


def _single_tiles(f: Facts) -> Tensor:
    return torch.randn(BATCH, 1, f.channels, f.side, f.side)


def _flat_patches(f: Facts) -> Tensor:
    per_patch = f.channels * f.number("temporal_patch_size", default=1) * f.patch**2
    return torch.randn(BATCH * 16, per_patch)


def _sequence_of_patches(f: Facts) -> Tensor:
    return torch.randn(BATCH, 16, f.channels * f.patch**2)


def _words(f: Facts) -> Tensor:
    most = f.number("vocab_size", default=100)
    return torch.randint(min(3, most - 1), max(most - 40, min(4, most)), (BATCH, LENGTH))


def _mel_first(f: Facts) -> Tensor:
    return torch.randn(BATCH, _mels(f), 2 * f.number("max_source_positions", default=64))


def _time_first(f: Facts) -> Tensor:
    return torch.randn(
        BATCH, 2 * f.number("max_source_positions", "max_length", default=64), _mels(f)
    )


def _mels(f: Facts) -> int:
    return f.number(
        "num_mel_bins", "feature_size", "input_feat_per_channel", "n_mels", "input_dim", default=80
    )


def _wave(f: Facts) -> Tensor:
    return torch.randn(BATCH, 4000)


def _wave_of_channel(f: Facts) -> Tensor:
    return torch.randn(BATCH, f.number("audio_channels", default=1), 4000)


def _grid(f: Facts) -> Tensor:
    return torch.tensor([[1, 4, 4]] * BATCH)


def _series(f: Facts) -> Tensor:
    steps = f.number("context_length", default=32)
    lags = max(getattr(f.config, "lags_sequence", None) or [0])
    return torch.rand(BATCH, steps + lags) + 1


def _series_of_channels(f: Facts) -> Tensor:
    return torch.randn(
        BATCH, f.number("context_length", default=32), f.number("num_input_channels", default=1)
    )


def _series_features(f: Facts) -> Tensor:
    steps = _series(f).shape[1]
    return torch.randn(BATCH, steps, max(1, f.number("num_time_features", default=0)))


MAKERS: dict[str, tuple[Maker, ...]] = {
    "input_ids": (_words,),
    "decoder_input_ids": (_words,),
    "pixel_values": (
        _images,
        _flat_patches,
        _clips,
        _single_tiles,
        _sequence_of_patches,
        _large_images,
    ),
    "pixel_values_videos": (_clips,),
    "hidden_states": (
        _flat_patches,
        lambda f: torch.randn(BATCH, LENGTH, f.number("hidden_size", default=32)),
    ),
    "inputs_embeds": (
        lambda f: torch.randn(BATCH, LENGTH, f.number("hidden_size", "d_model", default=32)),
    ),
    "flattened_patches": (lambda f: torch.randn(BATCH, 16, 2 + f.channels * f.patch**2),),
    "input_features": (_mel_first, _time_first),
    "input_values": (_wave, _time_first, _wave_of_channel, _mel_first),
    "audio_values": (_wave_of_channel, _wave),
    "audio": (_wave_of_channel, _wave),
    "waveform": (_wave, _wave_of_channel),
    "input_points": (lambda f: torch.rand(BATCH, 1, 1, 2) * f.side,),
    "image_grid_thw": (_grid,),
    "grid_thw": (_grid,),
    "image_sizes": (lambda f: torch.tensor([[f.side, f.side]] * BATCH),),
    "bbox": (lambda f: torch.randint(0, 100, (BATCH, LENGTH, 4)).cumsum(2).clamp(max=120),),
    "past_values": (_series, _series_of_channels),
    "past_time_features": (_series_features,),
    "past_observed_mask": (lambda f: torch.ones_like(_series(f)),),
    "attention_mask": (lambda f: torch.ones(BATCH, LENGTH, dtype=torch.long),),
    "states": (lambda f: torch.randn(BATCH, 4, f.number("state_dim", default=17)),),
    "actions": (lambda f: torch.randn(BATCH, 4, f.number("act_dim", default=4)),),
    "rewards": (lambda f: torch.randn(BATCH, 4, 1),),
    "returns_to_go": (lambda f: torch.randn(BATCH, 4, 1),),
    "timesteps": (lambda f: torch.arange(4).repeat(BATCH, 1),),
    "codes": (lambda f: torch.randint(0, 16, (BATCH, f.number("num_codebooks", default=1), 8)),),
    "audio_codes": (
        lambda f: torch.randint(0, 16, (BATCH, f.number("num_codebooks", default=1), 8)),
    ),
    "visual_feats": (lambda f: torch.randn(BATCH, 5, f.number("visual_feat_dim", default=8)),),
    "visual_pos": (lambda f: torch.rand(BATCH, 5, 4),),
    "images": (_images,),
    "image": (_images,),
}


def candidates(model: Any, config: Any) -> Iterator[Inputs]:
    """Yield inputs that the model may take, the fullest first."""
    facts = Facts(config)
    parameters = inspect.signature(model.forward).parameters
    known = [name for name in parameters if name in MAKERS]
    required = [
        n
        for n, p in parameters.items()
        if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    for names in _choices(model, config, known, required):
        makers = [MAKERS[name] for name in names]
        for chosen in itertools.islice(itertools.product(*makers), MOST_COMBINATIONS):
            yield {name: make(facts) for name, make in zip(names, chosen, strict=True)}


def _choices(model: Any, config: Any, known: list[str], required: list[str]) -> list[list[str]]:
    """Return sets of parameters to give, without those that nothing is known of."""
    main = getattr(model, "main_input_name", "input_ids")
    needed = [n for n in known if n in required or n == main] or known[:1]
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in known:
        needed = [*needed, "decoder_input_ids"]
    found = []
    if "pixel_values" in known and "input_ids" in known:
        beside = [n for n in BESIDE_PIXELS if n in known]
        found.append(list(dict.fromkeys(["input_ids", "pixel_values", *beside, *needed])))
        found.append(list(dict.fromkeys(["input_ids", "pixel_values", *needed])))
    if "input_features" in known and "input_ids" in known:
        found.append(list(dict.fromkeys(["input_ids", "input_features", *needed])))
    more = [n for n in known if n not in ("inputs_embeds", "attention_mask", "codes")]
    return [*found, list(dict.fromkeys(needed)), more]


def with_image_tokens(
    inputs: Inputs, config: Any, fault: BaseException, accepted: Collection[str]
) -> Inputs | None:
    """Return inputs with as many image tokens per sample as an error says there are features."""
    told = re.search(r"tokens: (\d+),.*?features:? (\d+)", str(fault))
    token = next(
        (
            t
            for n in ("image_token_id", "image_token_index", "audio_token_id", "audio_token_index")
            if isinstance(t := getattr(config, n, None), int)
        ),
        None,
    )
    if told is None or token is None or int(told[2]) % BATCH:
        return None
    ids = inputs["input_ids"]
    ids = ids[:, -LENGTH:].masked_fill(ids[:, -LENGTH:] == token, 5)
    pictures = torch.full((BATCH, int(told[2]) // BATCH), token)
    longer = torch.cat([ids[:, :1], pictures, ids[:, 1:]], 1)
    kinds = {n: (longer == token).long() for n in TOKEN_KINDS if n in accepted}
    return inputs | {"input_ids": longer} | kinds


def redrawn(inputs: Inputs, config: Any) -> Inputs:
    """Return inputs of the same sizes and other values; what steers a model stays."""
    facts = Facts(config)
    other = {}
    for name, tensor in inputs.items():
        if tensor.is_floating_point() and name not in ("past_observed_mask",):
            other[name] = tensor.flip(0) * 0.9 + 0.05 * torch.randn_like(tensor)
        elif name in ("input_ids", "decoder_input_ids"):
            fresh = _words(facts)
            new = tensor.clone()
            new[:, -4:] = fresh[:, -4:]
            other[name] = new
        else:
            other[name] = tensor
    return other
