"""The public face: Engine and explain(). Errors gain their context here, once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import _pytree as pytree

from . import onnx, validate
from .accounts import read_accounts
from .assign import Uncovered, assign
from .bibliography import bibtex
from .canonicalise import canonicalise, decompose, fold_batch_norm
from .capture import Captured, OutputPort, capture
from .capture.inputs import as_call
from .differentiable import made_differentiable
from .errors import InputError, SourceError, TargetError
from .explanation import Explanation, Provenance, provenance_of
from .ledger import Ledger, ledger_of
from .many import run_many
from .memory import Timeline
from .op import Op
from .plan import Coverage, Plan
from .policy import Budget, Choice, Policy, policy_of, readable
from .preset import Preset
from .preset_file import complete, load
from .program import Program, Run
from .promise import Promises
from .propagate import Cache
from .registry import Registry, standard
from .relevance import Wanted, ends, write_program
from .rows import can_start_at_row, start_at_row
from .rule import Rule
from .sources import resolve_sources
from .target import Position, Seed, Target, seed_of

Model = nn.Module | ExportedProgram | Callable[..., Any] | str | Path


class Engine:
    """Captures a model once, plans its relevance propagation, and explains its outputs.

    For the explained number y = sum(c * output), relevance R = c * a is propagated to the
    sources so that y = sum of R at the sources + what the ledger books as absorbed.

    Args:
        model: a torch module in eval mode, an ExportedProgram, a function of tensors, or the path
            of an ONNX file.
        example_inputs: a tensor, a tuple of arguments, or a mapping of keyword arguments. An ONNX
            file needs none: it says what its inputs look like.
        preset: name of a preset, path of a preset file, or a `Preset`.
        sources: where relevance is wanted: input names, module paths or globs, node names.
            Default: every floating-point input, and the embedding of every integer input.
        output: name of the output to explain; default `logits` if there is one, else the first
            with floating-point numbers. Of an ONNX file, any value that a node computes.
        policy: "keep" (fastest), "balanced" (computes again what is cheap for its bytes),
            "low_memory" (checkpoints), or a budget for the peak: bytes, "500 MB", "2 GiB".
        dynamic: False fixes all sizes; a torch.export `dynamic_shapes` spec is passed on.
        compile: run both programs through torch.compile; a string is its `mode`, for instance
            "reduce-overhead" for CUDA graphs.
        rules: a user's own `Op` and `Rule` records.

    Raises:
        CaptureError, InputError, SourceError, PresetError; CoverageError listing every live op
        without a rule, before any tensor is computed. PromiseError, when the programs are
        written, if a budget is too small: it names the smallest that would do.

    Example:
        >>> import torch, lrp_engine as lrp
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()).eval()
        >>> engine = lrp.Engine(model, torch.ones(1, 4), preset="epsilon")
        >>> engine.explain(torch.ones(2, 4), target=0).relevance["input"].shape
        torch.Size([2, 4])
    """

    def __init__(
        self,
        model: Model,
        example_inputs: Any = None,
        *,
        preset: str | Path | Preset = "attnlrp",
        sources: Sequence[str] | None = None,
        output: str | None = None,
        policy: str | int | Choice = Policy.KEEP,
        dynamic: Any = True,
        compile: bool | str = False,
        rules: Iterable[Op | Rule] = (),
    ) -> None:
        registry = standard().with_entries(rules) if rules else standard()
        chosen = complete(load(preset, registry))
        captured = canonicalise(_captured(model, example_inputs, dynamic, output), registry)
        self._question = Question(captured, registry, sources, output)
        self.plan: Plan = _planned(self._question, chosen)
        self.policy: Choice = policy_of(policy)
        self._sizes = _sizes(captured, example_inputs)
        self._compile = compile
        self._cache: Cache = {}
        self._proved: set[frozenset[str]] = set()
        self._within_budget: set[tuple[int, tuple[int, ...]]] = set()

    @property
    def captured(self) -> Captured:
        """The model as one graph of primitive ops."""
        return self.plan.captured

    def with_policy(self, policy: str | int | Choice) -> Engine:
        """An engine that shares this one's capture, plan and traces, under another policy."""
        other = self._without_programs()
        other.policy = policy_of(policy)
        return other

    def with_preset(self, preset: str | Path | Preset) -> Engine:
        """The same model, sources and output under another preset; nothing is captured again.

        Example:
            >>> import torch, lrp_engine as lrp
            >>> engine = lrp.Engine(torch.nn.Linear(4, 3).eval(), torch.ones(1, 4))
            >>> engine.with_preset("epsilon").plan.preset.name
            'epsilon'
        """
        other = self._without_programs()
        other.plan = _planned(self._question, complete(load(preset, self._question.registry)))
        return other

    def _without_programs(self) -> Engine:
        """Shares capture and traces; what was written or checked for one plan is left behind."""
        other = copy.copy(self)
        for name in ("_whole", "_at_row", "_audited", "_differentiable", "provenance"):
            other.__dict__.pop(name, None)
        other._proved, other._within_budget = set(), set()
        return other

    def coverage(self) -> Coverage:
        """Counts of live ops per op, family and rule, and where relevance stops on purpose."""
        return self.plan.coverage()

    def cite(self) -> str:
        """BibTeX of the papers whose rules this plan uses, and of the preset's own."""
        used = [a.rule.cites for a in self.plan.assignments]
        return bibtex([*self.plan.preset.cites, *dict.fromkeys(used)])

    @property
    def program(self) -> Program:
        """The forward and the relevance program."""
        return self._whole.wanted.program

    @property
    def promises(self) -> Promises:
        """Which values of the forward pass the rules asked for, and what became of them."""
        return self.program.promises

    def memory(self, inputs: Any = None) -> Timeline:
        """Bytes alive at every step of an explanation, foretold for inputs of these sizes.

        Default: the example's sizes. Parameters, inputs and kernels' own workspace not counted.
        """
        program = self.program
        if inputs is None:
            return program.memory
        return program.foretell(self.captured.shapes.sizes(self._leaves(inputs)))

    def forward(self, inputs: Any) -> Forward:
        """Runs the model once and keeps its promises: any number of targets can follow.

        Raises InputError if the inputs do not fit the capture or hold NaN.
        """
        return self._forward(inputs, self._whole)

    def explain(
        self,
        inputs: Any,
        target: Target = None,
        *,
        position: Position = None,
        ledger: bool = False,
        create_graph: bool = False,
    ) -> Explanation:
        """Explains one target per sample.

        `target` and `position` as in `seed_of`. With `ledger`, the ledger is computed in the same
        pass; without, when it is first asked for. With `create_graph`, relevance, coefficients,
        explained numbers and the output can be differentiated, by the inputs and by the model's
        parameters, so that they can be part of a loss; attention is then written out, and nothing
        is compiled. Raises InputError and TargetError.
        """
        if create_graph:
            found = self._forward(inputs, self._differentiable).last(target, position)
            return replace(found, known_ledger=found.ledger) if ledger else found
        at_row = not ledger and isinstance(position, (int, Sequence, Tensor))
        way = self._audited if ledger else (self._at_row if at_row else None) or self._whole
        return self._forward(inputs, way).last(target, position)

    def explain_each(
        self, inputs: Any, targets: Iterable[Target], *, position: Position = None
    ) -> Iterator[Explanation]:
        """One forward pass, then one explanation per target."""
        run = self.forward(inputs)
        for target in targets:
            yield run.explain(target, position=position)

    def explain_all(
        self,
        inputs: Any,
        targets: Iterable[Target] | None = None,
        *,
        position: Position = None,
        at_once: int = 32,
    ) -> list[Explanation]:
        """One forward pass, then all targets together: one explanation each, in order.

        `targets`: default is every class of the output. `at_once` of them travel through the
        relevance program together, which takes that many times the memory of one. For one target
        at several positions give (target, position) pairs. Raises InputError, TargetError;
        RuleError if an op cannot be run for several targets together.

        Example:
            >>> import torch, lrp_engine as lrp
            >>> engine = lrp.Engine(torch.nn.Linear(4, 3).eval(), torch.ones(1, 4))
            >>> [float(e.explained[0]) for e in engine.explain_all(torch.zeros(1, 4), [2, 0])]
            ... # doctest: +ELLIPSIS
            [...]
        """
        chosen = None if targets is None else list(targets)
        rows = isinstance(position, (int, Sequence, Tensor)) or _paired(chosen)
        way = (self._at_row if rows else None) or self._whole
        run = self._forward(inputs, way)
        if chosen is None:
            chosen = list(range(run.explained_output.shape[-1]))
        pairs = chosen if _paired(chosen) else [(target, position) for target in chosen]
        return run.explain_all(pairs, max(1, at_once))  # type: ignore[arg-type]

    @cached_property
    def provenance(self) -> Provenance:
        """Versions and hashes that every result carries."""
        return provenance_of(self.plan)

    @cached_property
    def _whole(self) -> Way:
        """Programs that start from the whole output."""
        wanted = self._written()
        return Way.of(wanted, compiled=self._compile)

    @cached_property
    def _at_row(self) -> Way | None:
        """Programs that start from one row of the output, if the output has independent rows."""
        if not can_start_at_row(self.plan):
            return None
        wanted = self._written(start=start_at_row)
        return Way.of(wanted, compiled=self._compile, at_row=True)

    @cached_property
    def _audited(self) -> Way:
        """Programs that compute the ledger in the same pass."""
        wanted = self._written(accounts=True)
        return Way.of(wanted, compiled=False)

    @cached_property
    def _differentiable(self) -> Way:
        """Programs whose every op torch can differentiate: fused attention's backward is not one.

        The rules are traced anew, with attention as products and a softmax.
        """
        with sdpa_kernel(SDPBackend.MATH):
            wanted = write_program(self.plan, self.policy, {}, sizes=self._sizes)
        made_differentiable(wanted.program)
        return replace(Way.of(wanted, compiled=False), with_grad=True)

    def _written(self, **options: Any) -> Wanted:
        return write_program(self.plan, self.policy, self._cache, sizes=self._sizes, **options)

    def _hold_to_budget(self, program: Program, leaves: list[Any]) -> None:
        """A budget was met at the example's sizes; larger inputs may need more."""
        if not isinstance(self.policy, Budget):
            return
        sizes = self.captured.shapes.sizes(leaves)
        key = (id(program), tuple(sizes.values()))
        if key in self._within_budget or sizes == self._sizes:
            return
        peak = program.foretell(sizes).peak
        if peak > self.policy.bytes:
            raise InputError(
                f"inputs of these sizes need {peak} bytes ({readable(peak)}), the budget is"
                f" {self.policy.bytes}: explain fewer at a time, or make an Engine with these"
                " inputs as its example, or with a larger budget"
            )
        self._within_budget.add(key)

    def _forward(self, inputs: Any, way: Way) -> Forward:
        leaves = self._leaves(inputs)
        self._hold_to_budget(way.wanted.program, leaves)
        count = way.wanted.program.outputs
        with torch.set_grad_enabled(way.with_grad), validate.at_run_time(self.captured):
            values = list(way.forward(*leaves))
            with torch.no_grad():
                self._prove(leaves, values[:count])
        return Forward(self, way, leaves, values[:count], values[count:])

    def _prove(self, leaves: list[Any], outputs: list[Any]) -> None:
        """Compares with the model itself where the trace may not hold; sizes of 1 only once."""
        doubt = validate.unproved(self.captured, leaves)
        if doubt is None or doubt in self._proved:
            return
        validate.prove(self.captured, leaves, outputs)
        if "recorded" not in doubt:
            self._proved.add(doubt)

    def _leaves(self, inputs: Any) -> list[Any]:
        args, kwargs = as_call(inputs)
        try:
            leaves = self.captured.flatten_inputs(args, kwargs)
        except ValueError as error:
            raise InputError(str(error)) from error
        validate.inputs(self.captured, leaves)
        return leaves


@dataclass(frozen=True)
class Question:
    """A captured model, and from where to where relevance is wanted: all but the preset."""

    captured: Captured
    registry: Registry
    sources: Sequence[str] | None
    output: str | None


@dataclass(frozen=True)
class Way:
    """One pair of programs, ready to run, and how to read their results."""

    wanted: Wanted
    forward: Run
    relevance: Run
    at_row: bool = False
    with_grad: bool = False

    @classmethod
    def of(cls, wanted: Wanted, *, compiled: bool | str, at_row: bool = False) -> Way:
        """The programs as they are, or through torch.compile."""
        program = wanted.program
        mode = compiled if isinstance(compiled, str) else None
        runs = program.compiled(mode=mode) if compiled else (program.forward, program.relevance)
        return cls(wanted, runs[0], runs[1], at_row)

    def seeds(self, seed: Seed) -> list[Tensor]:
        """What the relevance program starts from."""
        if not self.at_row:
            return [seed.dense()]
        assert seed.row is not None
        return [seed.row.weights.unsqueeze(1), seed.row.rows]


@dataclass(frozen=True)
class Forward:
    """One forward pass with its promises kept, from which many targets can be explained."""

    engine: Engine
    way: Way
    leaves: list[Any]
    outputs: list[Any]
    kept: list[Any]

    @property
    def output(self) -> Any:
        """The model's output, in the model's own structure."""
        return pytree.tree_unflatten(self.outputs, self.engine.captured.out_spec)

    def explain(self, target: Target = None, *, position: Position = None) -> Explanation:
        """Explains one target; the promises stay for the next."""
        return self._explain(target, position, list(self.kept))

    def last(self, target: Target, position: Position) -> Explanation:
        """Explains one target and lets every promise go after its last use."""
        kept = list(self.kept)
        self.kept.clear()
        return self._explain(target, position, kept)

    def explain_all(
        self, targets: Sequence[tuple[Target, Position]], at_once: int
    ) -> list[Explanation]:
        """Explains (target, position) pairs, `at_once` of them together."""
        # Compiled programs are not for vmap: the plain one is taken.
        relevance = self.way.wanted.program.batched
        with torch.set_grad_enabled(self.way.with_grad):
            seeds = [seed_of(self.explained_output, *pair) for pair in targets]
            dense = [self.way.seeds(seed) for seed in seeds]
            found = run_many(relevance, dense, [*self.leaves, *self.kept], at_once)
        return [self._explanation(s, results) for s, results in zip(seeds, found, strict=True)]

    @property
    def explained_output(self) -> Tensor:
        """The output that targets speak of."""
        return self.outputs[self.engine.plan.output.position]

    def _explain(self, target: Target, position: Position, kept: list[Any]) -> Explanation:
        with torch.set_grad_enabled(self.way.with_grad):
            seed = seed_of(self.explained_output, target, position)
        values = [*self.way.seeds(seed), *self.leaves, *kept]
        kept.clear()
        with torch.set_grad_enabled(self.way.with_grad):
            results = list(self.way.relevance(values))
        return self._explanation(seed, results)

    def _explanation(self, seed: Seed, results: list[Tensor]) -> Explanation:
        if not torch.isfinite(seed.explained).all():
            raise TargetError(f"the explained output is not finite: {seed.explained.tolist()}")
        wanted = self.way.wanted
        versions = validate.versions(self.engine.captured, self.leaves)
        return Explanation(
            output=self.output,
            explained=seed.explained,
            relevance=wanted.relevance(results),
            coefficient=wanted.coefficients(results),
            provenance=self.engine.provenance,
            known_ledger=self._ledger(wanted, results, seed) if wanted.entries else None,
            recount=lambda: self._recount(seed.detached(), versions),
        )

    def _recount(self, seed: Seed, versions: tuple[int, ...]) -> Ledger:
        """Runs the explanation again with the ledger's sums."""
        if validate.versions(self.engine.captured, self.leaves) != versions:
            raise InputError(
                "inputs or parameters were changed in place since this explanation was computed;"
                " ask for the ledger at once with explain(..., ledger=True)"
            )
        way = self.engine._audited
        with torch.no_grad():
            kept = list(way.forward(*self.leaves))[way.wanted.program.outputs :]
            results = list(way.relevance([*way.seeds(seed), *self.leaves, *kept]))
        return self._ledger(way.wanted, results, seed)

    def _ledger(self, wanted: Wanted, results: list[Tensor], seed: Seed) -> Ledger:
        plan = self.engine.plan
        found = wanted.relevance(results)
        arrived = {name: float(found[name].double().sum()) for name in ends(plan)}
        accounts = read_accounts(wanted.entries, wanted.sums(results), plan)
        total = float(seed.explained.sum())
        return ledger_of(total, arrived, accounts, validate.coarsest_dtype(plan))


def explain(
    model: Model,
    inputs: Any,
    target: Target = None,
    *,
    position: Position = None,
    ledger: bool = False,
    **options: Any,
) -> Explanation:
    """Captures, plans and explains in one call; `options` are those of `Engine`.

    Use an Engine to explain more than one batch: it captures once.
    """
    engine = Engine(model, inputs, **options)
    return engine.explain(inputs, target, position=position, ledger=ledger)


def _captured(model: Model, example: Any, dynamic: Any, output: str | None) -> Captured:
    """The capture of a model, whatever kind of model it is."""
    if isinstance(model, (str, Path)):
        model = onnx.load(model)
    if isinstance(model, onnx.OnnxModule):
        module = onnx.with_output(model, output) if output else model
        return onnx.capture_onnx(module, example, dynamic=dynamic)
    if example is None and not isinstance(model, ExportedProgram):
        raise InputError("example inputs are needed to capture the model")
    return capture(model, example, dynamic=dynamic)


def _planned(question: Question, preset: Preset) -> Plan:
    """Assigns rules; ops without one are decomposed, a level at a time, until all have one."""
    captured = question.captured
    while True:
        try:
            plan = _assigned(captured, question, preset)
        except Uncovered as gap:
            simpler = decompose(captured, gap.nodes)
            if simpler is None:
                raise
            captured = simpler
            continue
        if not preset.fold_batch_norm:
            return plan
        return _assigned(fold_batch_norm(captured), question, preset)


def _assigned(captured: Captured, question: Question, preset: Preset) -> Plan:
    registry, names = question.registry, question.sources
    sources = resolve_sources(captured, registry, names)
    plan = assign(captured, preset, registry, sources, _output(captured, question.output))
    if names is not None and len(plan.sources) < len(sources):
        lost = [s.name for s in sources if s not in plan.sources]
        raise SourceError(f"no relevance from {plan.output.name!r} reaches {', '.join(lost)}")
    return plan


def _paired(targets: Sequence[Any] | None) -> bool:
    """Whether targets come with positions of their own."""
    return bool(targets) and all(isinstance(t, tuple) for t in targets or ())


def _sizes(captured: Captured, inputs: Any) -> dict[Any, int]:
    """The user's own sizes, which capture may have changed: bytes are counted at them."""
    if inputs is None:
        return {}
    return captured.shapes.sizes(captured.flatten_inputs(*as_call(inputs)))


def _output(captured: Captured, name: str | None) -> OutputPort:
    ports = [p for p in captured.outputs if p.node.meta["val"].dtype.is_floating_point]
    known = [p.name for p in ports]
    if not ports:
        raise TargetError("the model returns no floating-point tensor: there is nothing to explain")
    wanted = name or ("logits" if "logits" in known else known[0])
    for port in ports:
        if port.name == wanted:
            return port
    raise TargetError(
        f"the model has no floating-point output {name!r}; there is {', '.join(known)}"
    )
