"""Edges between features: their sums, autograd by hand, ablation by hand, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lrp_engine.circuits import (
    CircuitModel,
    Feature,
    Pairs,
    Splice,
    feature_curve,
    feature_edge_curve,
    feature_edges,
    logit_difference,
    score_features,
)
from lrp_engine.circuits.feature_edge_ablation import prepare_feature_ablation
from lrp_engine.circuits.feature_edge_scores import FeatureEdges
from lrp_engine.errors import InputError
from tests.circuits.nets import WIDTH, LanguageModel, draw

PLACES = ["blocks.0.hook_resid_pre", "blocks.0.hook_resid_post", "blocks.1.hook_resid_post"]
METRIC = logit_difference(torch.tensor([1, 2, 3]), torch.tensor([4, 5, 6]))


class Dictionary(nn.Module):
    """relu(x E + e) and back, of few features: most of x is error."""

    def __init__(self, seed: int, count: int = 5, act: Callable[[Tensor], Tensor] = torch.relu):
        super().__init__()
        made = torch.Generator().manual_seed(seed)
        self.inward, self.outward = (
            0.5 * torch.randn(*size, generator=made, dtype=torch.float64)
            for size in ((WIDTH, count), (count, WIDTH))
        )
        self.act = act
        self.eval()

    def encode(self, x: Tensor) -> Tensor:
        return self.act(x @ self.inward + 0.1)

    def decode(self, features: Tensor) -> Tensor:
        return features @ self.outward + 1


SPLICES = [Splice(place, Dictionary(seed)) for seed, place in enumerate(PLACES)]
NODES = [Feature(place, i) for place in PLACES for i in (0, 2, 3)]


def close(a: Tensor, b: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module")
def drawn() -> tuple[CircuitModel, Pairs, LanguageModel]:
    net, clean, corrupt = draw("sequential")
    return CircuitModel(net, clean), Pairs(clean, corrupt, METRIC), net


def out_of(edges: FeatureEdges, name: str) -> Tensor:
    return edges.values[:, [w.name for w in edges.writers].index(name)].sum(-1)


def into(edges: FeatureEdges, name: str) -> Tensor:
    return edges.values[:, :, [r.name for r in edges.readers].index(name)].sum(-1)


@pytest.mark.parametrize("estimator", ["gradient", "relp", "relp_ig", "delta", "delta_plus"])
@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_edges_out_of_a_feature_sum_to_its_score(
    drawn: tuple[CircuitModel, Pairs, LanguageModel], estimator: str, direction: str
) -> None:
    model, pairs, net = drawn
    edges = feature_edges(
        model, pairs, SPLICES, NODES, estimator=estimator, direction=direction, at_once=4
    )
    scores = score_features(model, pairs, SPLICES, estimator=estimator, direction=direction)
    with torch.no_grad():
        gap = METRIC(net(pairs.clean)) - METRIC(net(pairs.corrupt))
    for place in PLACES:
        features, error = scores.features[place].sum(1), scores.errors[place].sum(1)
        for i in (0, 2, 3):
            close(out_of(edges, f"{place}/f{i}"), features[:, i])
        close(out_of(edges, f"{place}/error"), error)
        if estimator != "delta":
            continue
        close(out_of(edges, f"{place}/rest"), features[:, [1, 4]].sum(1))
        # Of two runs, what comes in is what goes out, the error term included.
        for i in (0, 2, 3):
            close(into(edges, f"{place}/f{i}"), features[:, i])
        close(into(edges, f"{place}/error"), error)
    if estimator == "delta":
        close(into(edges, "output"), gap)
        close(out_of(edges, "hook_embed"), gap)
        assert edges.cut_sums.error < 1e-9


def spliced(net: LanguageModel, ids: Tensor, kept: dict[str, Tensor]) -> Tensor:
    """The net with its three dictionaries written out; `kept` gets every feature and error.

    Each is a leaf of autograd to what comes after, and `/in` is the same value before the cut.
    """

    def cut(name: str, x: Tensor) -> Tensor:
        kept[f"{name}/in"] = x
        kept[name] = x.detach().requires_grad_()
        return kept[name]

    def splice(i: int, x: Tensor) -> Tensor:
        d = SPLICES[i].dictionary
        f = d.encode(x)
        return d.decode(cut(f"{i}/f", f)) + cut(f"{i}/error", x - d.decode(f))

    kept["embed"] = net.tokens(ids).detach().requires_grad_()
    x = splice(0, kept["embed"] + net.places.weight[: ids.shape[1]])
    for i, layer in enumerate(net.layers):
        x = splice(i + 1, layer(x))
    return METRIC(net.head(net.norm(x)))


def test_edges_are_gradients_by_autograd_on_a_net_that_is_cut(
    drawn: tuple[CircuitModel, Pairs, LanguageModel],
) -> None:
    model, pairs, net = drawn
    found = feature_edges(model, pairs, SPLICES, NODES, estimator="gradient")
    clean, corrupt = dict[str, Tensor](), dict[str, Tensor]()
    spliced(net, pairs.clean, clean)
    metric = spliced(net, pairs.corrupt, corrupt)
    names = {w.name: i for i, w in enumerate(found.writers)}
    # From the back: the whole coefficient of each value, then its parts through one reader.
    (metric.sum()).backward(retain_graph=True)
    for layer in (2, 1, 0):
        writers = (
            {"embed": "embed"}
            if layer == 0
            else {k: k for k in (f"{layer - 1}/f", f"{layer - 1}/error")}
        )
        totals = {k: torch.zeros_like(corrupt[k]) for k in writers}
        place = PLACES[layer]
        readers = [(f"{place}/f{i}", f"{layer}/f", i) for i in (0, 2, 3)]
        readers += [
            (f"{place}/rest", f"{layer}/f", [1, 4]),
            (f"{place}/error", f"{layer}/error", None),
        ]
        for reader, key, index in readers:
            c = corrupt[key].grad
            seed = c if index is None else torch.zeros_like(c)
            if index is not None:
                seed[..., index] = c[..., index]
            parts = torch.autograd.grad(
                corrupt[f"{key}/in"], [corrupt[k] for k in writers], seed, retain_graph=True
            )
            column = [r.name for r in found.readers].index(reader)
            for k, part in zip(writers, parts, strict=True):
                totals[k] += part
                expected = (part * (clean[k] - corrupt[k])).detach().sum(1)
                if k == "embed":
                    close(found.values[:, names["hook_embed"], column], expected.sum(-1))
                elif k.endswith("error"):
                    row = names[f"{PLACES[layer - 1]}/error"]
                    close(found.values[:, row, column], expected.sum(-1))
                else:
                    for i in (0, 2, 3):
                        row = names[f"{PLACES[layer - 1]}/f{i}"]
                        close(found.values[:, row, column], expected[:, i])
        for k, total in totals.items():
            corrupt[k].grad = total


class Ladder(nn.Module):
    """A residual stream of linear blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(WIDTH, WIDTH, dtype=torch.float64) for _ in range(2))
        self.head = nn.Linear(WIDTH, 2, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return self.head(x).sum(1)


@pytest.mark.parametrize("estimator", ["gradient", "relp", "eap_ig", "delta"])
def test_edges_of_a_linear_net_are_effects_by_ablation(estimator: str) -> None:
    torch.manual_seed(0)
    clean, corrupt = torch.randn(2, 4, 3, WIDTH, dtype=torch.float64)
    net = Ladder().eval()
    pairs = Pairs(clean, corrupt, lambda out: out[:, 0] - out[:, 1])
    first, second = (Dictionary(seed, act=lambda x: 1 * x) for seed in (5, 6))
    places = ["blocks.0.hook_resid_post", "blocks.1.hook_resid_post"]
    splices = [Splice(p, d) for p, d in zip(places, (first, second), strict=True)]
    nodes = [Feature(places[0], 1), Feature(places[1], 4)]
    edges = feature_edges(CircuitModel(net, clean), pairs, splices, nodes, estimator=estimator)
    with torch.no_grad():
        one = [x + net.blocks[0](x) for x in (corrupt, clean)]
        changed = first.encode(one[0])
        changed[..., 1] = first.encode(one[1])[..., 1]
        patched = one[0] + first.decode(changed) - first.decode(first.encode(one[0]))
        two = [x + net.blocks[1](x) for x in (one[0], patched)]
        seen = second.encode(two[0])
        seen[..., 4] = second.encode(two[1])[..., 4]
        moved = two[0] + second.decode(seen) - second.decode(second.encode(two[0]))
        metrics = [pairs.metric(net.head(x).sum(1)) for x in (two[0], moved)]
    names = [n.name for n in edges.writers], [n.name for n in edges.readers]
    row, column = names[0].index(f"{places[0]}/f1"), names[1].index(f"{places[1]}/f4")
    close(edges.values[:, row, column], metrics[1] - metrics[0])


def kept_by_hand(net: LanguageModel, pairs: Pairs, seen: Callable[[int, str], Tensor]) -> Tensor:
    """The metric where reader `r` of dictionary d sees features by seen(d, r), 1 or 0 each.

    Errors are those of the run, and the first dictionary sees the clean embedding.
    """

    def embed(ids: Tensor) -> Tensor:
        return net.tokens(ids) + net.places.weight[: ids.shape[1]]

    ablated, x = [], embed(pairs.corrupt)
    for i, splice in enumerate(SPLICES):
        x = x if i == 0 else net.layers[i - 1](x)
        ablated.append(splice.dictionary.encode(x))
    f = error = torch.empty(0)
    for i, splice in enumerate(SPLICES):
        d = splice.dictionary

        def stream(reader: str, i: int = i, f: Tensor = f, error: Tensor = error) -> Tensor:
            if i == 0:
                return embed(pairs.clean)
            mask = seen(i - 1, reader)
            given = mask * f + (1 - mask) * ablated[i - 1]
            return net.layers[i - 1](SPLICES[i - 1].dictionary.decode(given) + error)

        parts = [d.encode(stream(f"{i}/f{j}"))[..., j] for j in range(5)]
        x = stream(f"{i}/error")
        f, error = torch.stack(parts, -1), x - d.decode(d.encode(x))
    mask = seen(2, "logits")
    last = SPLICES[2].dictionary.decode(mask * f + (1 - mask) * ablated[2]) + error
    return METRIC(net.head(net.norm(last)))


@pytest.mark.parametrize("single", [True, False])
def test_cut_edges_are_cut_by_hand(
    drawn: tuple[CircuitModel, Pairs, LanguageModel], single: bool
) -> None:
    """One edge between two features; and all edges out of one feature."""
    model, pairs, net = drawn
    ablator = prepare_feature_ablation(model, pairs, SPLICES, NODES)
    graph = ablator.graph
    writers, readers = ([n.name for n in nodes] for nodes in (graph.writers, graph.readers))
    keep = graph.possible.clone()
    row = writers.index(f"{PLACES[0]}/f2")
    keep[row, [readers.index(f"{PLACES[1]}/f2")] if single else slice(None)] = False

    def seen(at: int, reader: str) -> Tensor:
        mask = torch.ones(5, dtype=torch.float64)
        mask[2] = at != 0 or (single and reader != "1/f2")
        return mask

    with torch.no_grad():
        expected = kept_by_hand(net, pairs, seen)
        whole = METRIC(net(pairs.clean))
    close(ablator.run(keep), expected)
    assert float((whole - expected).abs().max()) > 1e-3


@pytest.mark.parametrize("ablation", ["resample", "mean"])
def test_curves_begin_with_nothing_and_end_with_the_model(
    drawn: tuple[CircuitModel, Pairs, LanguageModel], ablation: str
) -> None:
    model, pairs, _ = drawn
    edges = feature_edges(model, pairs, SPLICES, NODES, estimator="delta")
    every = len(edges)
    found = feature_edge_curve(
        model, pairs, SPLICES, edges, [0, every // 2, every], ablation=ablation
    )
    assert (found.faithfulness[0], found.without[0]) == pytest.approx((0, 1))
    assert (found.faithfulness[2], found.without[2]) == pytest.approx((1, 0))
    assert found.faithfulness[1] != pytest.approx(found.without[1])
    sizes = [abs(value) for _, _, value in edges.top(10)]
    assert sizes == sorted(sizes, reverse=True)


def test_keeping_all_edges_of_nodes_is_keeping_the_nodes(
    drawn: tuple[CircuitModel, Pairs, LanguageModel],
) -> None:
    model, pairs, _ = drawn
    scores = score_features(model, pairs, SPLICES, estimator="delta")
    kept = [feature for feature, _ in scores.top(7)]
    ablator = prepare_feature_ablation(model, pairs, SPLICES, kept)
    names = {feature.name for feature in kept} | {"hook_embed"}
    rows = torch.tensor([w.name in names for w in ablator.graph.writers])
    every = ablator.graph.possible
    whole, none, alone = (
        float(ablator.run(keep).mean())
        for keep in (every, torch.zeros_like(every), every & rows[:, None])
    )
    found = feature_curve(model, pairs, SPLICES, scores, [7]).faithfulness[0]
    assert found == pytest.approx((alone - none) / (whole - none))


def transcoders() -> tuple[CircuitModel, Pairs, list[Splice]]:
    """An SAE in the stream, and a transcoder from an MLP's input to its output behind it."""
    net, clean, corrupt = draw("sequential")
    model, pairs = CircuitModel(net, clean), Pairs(clean, corrupt, METRIC)
    over_mlp = Splice("layers.1.mlp", Dictionary(8), reads="layers.1.second")
    return model, pairs, [over_mlp, Splice(PLACES[1], Dictionary(9))]


def test_transcoders_read_one_place_and_write_another() -> None:
    model, pairs, splices = transcoders()
    nodes = [Feature("layers.1.mlp", 1), Feature(PLACES[1], 1)]
    edges = feature_edges(model, pairs, splices, nodes, estimator="delta")
    scores = score_features(model, pairs, splices, estimator="delta")
    for splice in splices:
        close(out_of(edges, f"{splice.at}/f1"), scores.features[splice.at][..., 1].sum(1))
        close(into(edges, f"{splice.at}/f1"), scores.features[splice.at][..., 1].sum(1))
        close(out_of(edges, f"{splice.at}/error"), scores.errors[splice.at].sum(1))
        close(into(edges, f"{splice.at}/error"), scores.errors[splice.at].sum(1))
    ablator = prepare_feature_ablation(model, pairs, splices, nodes)
    close(ablator.run(edges.possible), edges.clean)
    close(ablator.run(torch.zeros_like(edges.possible)), edges.corrupt)


def test_a_dictionary_of_the_embedding_is_the_only_reader_of_it(
    drawn: tuple[CircuitModel, Pairs, LanguageModel],
) -> None:
    model, pairs, _ = drawn
    splices = [Splice("hook_embed", Dictionary(3)), SPLICES[2]]
    nodes = [Feature("hook_embed", 1), Feature(PLACES[2], 1)]
    edges = feature_edges(model, pairs, splices, nodes, estimator="delta")
    readers = [r.name for r in edges.readers]
    reached = {readers[i] for i in edges.possible[0].nonzero()[:, 0].tolist()}
    assert reached == {f"hook_embed/{part}" for part in ("f1", "rest", "error")}
    close(out_of(edges, "hook_embed"), edges.clean - edges.corrupt)
    close(into(edges, "output"), edges.clean - edges.corrupt)
    ablator = prepare_feature_ablation(model, pairs, splices, nodes)
    close(ablator.run(edges.possible), edges.clean)
    close(ablator.run(torch.zeros_like(edges.possible)), edges.corrupt)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_onnx_file_has_the_same_edges(
    drawn: tuple[CircuitModel, Pairs, LanguageModel], tmp_path: Path
) -> None:
    model, pairs, net = drawn
    path = tmp_path / "model.onnx"
    torch.onnx.export(
        net, (pairs.clean,), path, dynamo=False, input_names=["ids"], output_names=["logits"],
        dynamic_axes={"ids": {0: "batch"}},
    )  # fmt: skip
    own, found = (
        feature_edges(m, pairs, SPLICES, NODES, estimator="delta")
        for m in (model, CircuitModel(path))
    )
    close(found.values, own.values)


def test_what_is_refused(drawn: tuple[CircuitModel, Pairs, LanguageModel]) -> None:
    model, pairs, _ = drawn
    with pytest.raises(InputError, match="two dictionaries are at one place"):
        feature_edges(model, pairs, [SPLICES[0], SPLICES[0]], [])
    with pytest.raises(InputError, match="two dictionaries are at one place"):
        score_features(model, pairs, [SPLICES[0], SPLICES[0]])
    with pytest.raises(InputError, match="5 features, from 0"):
        feature_edges(model, pairs, SPLICES, [Feature(PLACES[0], 5)])
    with pytest.raises(InputError, match="no dictionary is at"):
        feature_edges(model, pairs, SPLICES[:1], [Feature(PLACES[1], 0)])
    training = Splice(PLACES[0], Dictionary(0).train())
    with pytest.raises(InputError, match="training mode"):
        feature_edges(model, pairs, [training], [])


class Plain:
    """A dictionary that is no module."""

    def __init__(self) -> None:
        made = Dictionary(0)
        self.inward, self.decode = made.inward, made.decode

    def encode(self, x: Tensor) -> Tensor:
        return torch.relu(x @ self.inward + 0.1)


def test_a_dictionary_that_has_changed_is_an_error(
    drawn: tuple[CircuitModel, Pairs, LanguageModel],
) -> None:
    model, pairs, _ = drawn
    plain, own = Plain(), Dictionary(0)
    for dictionary, advice in ((plain, "make a new CircuitModel"), (own, "capture again")):
        splices = [Splice(PLACES[0], dictionary)]
        with torch.inference_mode():
            edges = feature_edges(model, pairs, splices, [], estimator="delta")
        close(into(edges, f"{PLACES[0]}/rest"), out_of(edges, f"{PLACES[0]}/rest"))
        dictionary.inward = 2 * dictionary.inward
        with pytest.raises(InputError, match=advice):
            feature_edges(model, pairs, splices, [], estimator="delta")
