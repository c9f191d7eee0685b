"""Sparse features at a place: scores, exact patches, and circuits of features."""

import pytest
import torch
from torch import Tensor, nn

from lrp_engine.circuits import CircuitModel, Pairs, score
from lrp_engine.circuits.feature_ablation import feature_curve
from lrp_engine.circuits.features import Splice, patch_features, score_features
from lrp_engine.errors import InputError
from tests.circuits import references as slow


class Dictionary(nn.Module):
    """A random SAE: relu(x W + b), and back."""

    def __init__(self, width: int, count: int, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.inward = nn.Linear(width, count).double()
        self.outward = nn.Linear(count, width).double()

    def encode(self, x: Tensor) -> Tensor:
        return torch.relu(self.inward(x))

    def decode(self, features: Tensor) -> Tensor:
        return self.outward(features)


class Curved(Dictionary):
    def decode(self, features: Tensor) -> Tensor:
        return torch.tanh(self.outward(features))


PLACE = "blocks.2.hook_mlp_out"
SAE = Splice(PLACE, Dictionary(96, 40))
TRANSCODER = Splice("transformer.h.1.mlp", Dictionary(96, 30, seed=1), reads="transformer.h.1.ln_2")


@pytest.mark.parametrize("estimator", ["gradient", "relp", "relp_ig"])
def test_features_and_error_sum_to_the_sites_score(
    model: CircuitModel, pairs: Pairs, estimator: str
) -> None:
    found = score_features(model, pairs, [SAE, TRANSCODER], estimator=estimator)
    whole = score(model, pairs, [PLACE, TRANSCODER.at], estimator=estimator)
    for name in (PLACE, TRANSCODER.at):
        total = found.features[name].sum(-1) + found.errors[name]
        torch.testing.assert_close(total, whole[name])
    sizes = [abs(s) for _, s in found.top(8)]
    assert sizes == sorted(sizes, reverse=True)


def test_feature_scores_are_gradients_by_autograd(
    model: CircuitModel, hf_model: nn.Module, pairs: Pairs
) -> None:
    path = "transformer.h.2.mlp"
    c = slow.gradients(hf_model, pairs.corrupt, [path], pairs.metric)[path]
    sae = SAE.dictionary
    with torch.no_grad():
        runs = [slow.recorded(hf_model, x, [path])[path] for x in (pairs.clean, pairs.corrupt)]
        clean, corrupt = (sae.encode(x) for x in runs)
        expected = (c @ sae.outward.weight) * (clean - corrupt)
    found = score_features(model, pairs, [SAE], estimator="gradient")
    torch.testing.assert_close(found.features[PLACE], expected)


def test_patching_a_feature_is_what_a_hook_gives(
    model: CircuitModel, hf_model: nn.Module, pairs: Pairs
) -> None:
    path, sae = "transformer.h.2.mlp", SAE.dictionary
    strongest = score_features(model, pairs, [SAE]).features[PLACE].abs().sum((0, 1)).argmax()
    index = int(strongest)
    found = patch_features(model, pairs, SAE, [index, None])
    with torch.no_grad():
        runs = [slow.recorded(hf_model, x, [path])[path] for x in (pairs.clean, pairs.corrupt)]
        (f_clean, f_corrupt) = (sae.encode(x) for x in runs)
        mixed = f_corrupt.clone()
        mixed[..., index] = f_clean[..., index]
        donor = sae.decode(mixed) + runs[1] - sae.decode(f_corrupt)
        start = pairs.metric(hf_model(**pairs.corrupt).logits)
    output = slow.patched_output(hf_model, pairs.corrupt, path, (slice(None),), donor)
    expected = pairs.metric(output) - start
    torch.testing.assert_close(found[index], expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("ablation", ["resample", "mean"])
def test_all_features_are_the_model(model: CircuitModel, pairs: Pairs, ablation: str) -> None:
    splices = [TRANSCODER, SAE]
    scores = score_features(model, pairs, splices)
    every = len(scores.ranking())
    curve = feature_curve(model, pairs, splices, scores, [0, every], ablation=ablation)
    assert curve.faithfulness[0] == pytest.approx(0)
    assert curve.without[0] == pytest.approx(1)
    if ablation == "resample":  # features that never differ may be ablated without effect
        assert curve.faithfulness[1] == pytest.approx(1)
        assert curve.without[1] == pytest.approx(0)


def test_bad_dictionaries(model: CircuitModel, pairs: Pairs) -> None:
    with pytest.raises(InputError, match="not affine"):
        score_features(model, pairs, [Splice(PLACE, Curved(96, 20))])
    with pytest.raises(InputError, match="one"):
        score_features(model, pairs, [Splice("mlp_out", Dictionary(96, 20))])
