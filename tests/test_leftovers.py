"""A dropped engine leaves behind only what torch.export itself does."""

import gc
import linecache
import warnings

import pytest
import torch
from torch import nn
from torch.fx.experimental.symbolic_shapes import ShapeEnv

import lrp_engine as lrp

ENGINES = 5
X = torch.ones(3, 4)


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.LayerNorm(5), nn.Linear(5, 2)).eval()


def export() -> None:
    dynamic = ({0: torch.export.Dim.DYNAMIC},)
    torch.export.export(model(), (X,), dynamic_shapes=dynamic, strict=False)


def explain() -> None:
    _ = lrp.Engine(model(), X).explain(X[:2], target=1).ledger


def count() -> dict[str, int]:
    gc.collect()
    things = gc.get_objects()
    sizes = [x for x in things if type(x) is ShapeEnv]
    return {
        "sizes": len(sizes),
        "cached results": sum(len(x.fake_tensor_cache) for x in sizes),
        "storages": sum(type(x) is torch.UntypedStorage for x in things),
        "tensors": sum(isinstance(x, torch.Tensor) for x in things),
        "graphs": sum(isinstance(x, (torch.fx.Graph, torch.fx.GraphModule)) for x in things),
        "sources": len(linecache.cache),
        "filters": len(warnings.filters),
    }


def left_by(run: object, times: int) -> dict[str, int]:
    assert callable(run)
    run()
    before = count()
    for _ in range(times):
        run()
    return {name: n - before[name] for name, n in count().items()}


def test_dropped_engines_leave_no_more_than_their_exports() -> None:
    ours, torchs = left_by(explain, ENGINES), left_by(export, ENGINES)
    for name, n in ours.items():
        assert n <= max(torchs[name], 0), (name, n, torchs[name])
    assert ours["graphs"] == ours["filters"] == ours["cached results"] == 0


def test_without_the_release_they_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrp_engine.graphs.leftovers._finally", lambda *_: None)
    left = left_by(explain, 2)
    assert left["sources"] > 2 * 6
    assert left["cached results"] > 0
