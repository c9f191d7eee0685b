"""The public face: Engine and explain(). Errors gain their context here, once."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from .aot import write_package
from .aot.write import Start
from .capture import Captured
from .capture.signature import as_call
from .errors import InputError, TargetError
from .graphs.nodes import value
from .method.op import Op
from .method.references import bibtex
from .method.registry import standard
from .method.rule import Rule
from .plan.plan import Coverage, Plan
from .plan.prepare import Model, Question, planned
from .plan.provenance import Provenance
from .presets.preset import Preset
from .presets.preset_file import complete, load
from .programs.compiled import check_mode
from .programs.program import Program
from .promises.costs import Costs
from .promises.memory import Timeline
from .promises.policy import Choice, Policy, policy_of
from .promises.promise import Promises
from .results.explanation import Explanation
from .run import validate
from .run.forward import Forward
from .run.program_pairs import Way, Ways
from .run.target import (
    Position,
    Target,
    is_class,
    is_rows,
    rows_of,
)


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
            "reduce-overhead" for CUDA graphs. The first run is compared with the plain programs.
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
        check_mode(compile)
        registry = standard().with_entries(rules) if rules else standard()
        chosen = complete(load(preset, registry))
        self._question = Question.of(
            model,
            example_inputs,
            dynamic=dynamic,
            registry=registry,
            sources=sources,
            output=output,
        )
        self._ways = Ways(
            plan=planned(self._question, chosen),
            policy=policy_of(policy),
            compile=compile,
            cache={},
            sizes=_sizes(self._question.captured, example_inputs),
        )
        self._proved: set[frozenset[str]] = set()

    @property
    def plan(self) -> Plan:
        """Which rule serves which op, and where relevance stops."""
        return self._ways.plan

    @property
    def policy(self) -> Choice:
        """What is kept between the forward pass and the relevance program."""
        return self._ways.policy

    @property
    def captured(self) -> Captured:
        """The model as one graph of primitive ops."""
        return self.plan.captured

    def with_policy(self, policy: str | int | Choice) -> Engine:
        """An engine that shares this one's capture, plan and traces, under another policy."""
        return self._with(policy=policy_of(policy))

    def with_preset(self, preset: str | Path | Preset) -> Engine:
        """The same model, sources and output under another preset; nothing is captured again.

        Example:
            >>> import torch, lrp_engine as lrp
            >>> engine = lrp.Engine(torch.nn.Linear(4, 3).eval(), torch.ones(1, 4))
            >>> engine.with_preset("epsilon").plan.preset.name
            'epsilon'
        """
        chosen = complete(load(preset, self._question.registry))
        return self._with(plan=planned(self._question, chosen))

    def _with(self, **changes: Any) -> Engine:
        """Shares the capture, what was proved of it, and traces; programs are left behind."""
        other = copy.copy(self)
        other._ways = replace(self._ways, **changes, _within_budget=set())
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
        """The forward and the relevance program that serve any target.

        A class at one position has a pair of its own: `row_program`.
        """
        return self._ways.whole.wanted.program

    @property
    def row_program(self) -> Program:
        """The pair that serves a class at one position per sample: it computes the output there
        alone. Its forward program is told the rows after the inputs.

        Raises InputError if the output has no rows that are computed by themselves.
        """
        return self._ways.only_row.wanted.program

    @property
    def promises(self) -> Promises:
        """Which values of the forward pass the rules asked for, and what became of them.

        Of a class at one position: `engine.row_program.promises`.
        """
        return self.program.promises

    def memory(self, inputs: Any = None, *, full_output: bool = True) -> Timeline:
        """Bytes alive at every step of an explanation, foretold for inputs of these sizes.

        Default: the example's sizes. Parameters, inputs and kernels' own workspace not counted.
        `full_output=False`: of a class at one position, explained without the rest of the output.
        """
        program = self.program if full_output else self.row_program
        if inputs is None:
            return program.memory
        return program.foretell(self.captured.shapes.sizes(self._leaves(inputs)))

    def forward(self, inputs: Any) -> Forward:
        """Runs the model once and keeps its promises: any number of targets can follow.

        Raises InputError if the inputs do not fit the capture or hold NaN.
        """
        return self._forward(inputs, self._ways.whole)

    def explain(
        self,
        inputs: Any,
        target: Target = None,
        *,
        position: Position = None,
        ledger: bool = False,
        create_graph: bool = False,
        full_output: bool | None = None,
    ) -> Explanation:
        """Explains one target per sample.

        `target` and `position` as in `seed_of`. With `ledger`, the ledger is computed in the same
        pass; without, when it is first asked for. With `create_graph`, relevance, coefficients,
        explained numbers and the output can be differentiated, by the inputs and by the model's
        parameters, so that they can be part of a loss; attention is then written out, and nothing
        is compiled.

        For a class at one position per sample the output is computed at that position only, if its
        rows allow it (a language model's logits are often its largest value); `output` is computed
        when it is asked for, by another forward pass. `full_output=True` computes it at once,
        `full_output=False` refuses what needs it and leaves it None. Raises InputError and
        TargetError.
        """
        if full_output is False and (ledger or create_graph):
            raise InputError("full_output=False goes with neither ledger nor create_graph")
        lean = not (ledger or create_graph) and is_class(target) and is_rows(position)
        if full_output is False or (full_output is None and lean and self._ways.rows_by_default):
            return self._explain_rows(inputs, target, position, later=full_output is None)
        if create_graph:
            found = self._forward(inputs, self._ways.differentiable).last(target, position)
            return replace(found, known_ledger=found.ledger) if ledger else found
        way = self._ways.audited if ledger else self._way_to(is_rows(position))
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
        run = self._forward(inputs, self._way_to(is_rows(position) or _paired(chosen)))
        if chosen is None:
            chosen = list(range(run.explained_output.shape[-1]))
        pairs = chosen if _paired(chosen) else [(target, position) for target in chosen]
        return run.explain_all(pairs, max(1, at_once))  # type: ignore[arg-type]

    def package(
        self,
        path: str | Path,
        inputs: Any,
        *,
        start: Start = None,
        tolerance: float | None = None,
        inductor_configs: Mapping[str, Any] | None = None,
    ) -> Path:
        """Compiles the programs ahead of time into one `.pt2` file, for `load_package`.

        Every size that is free stays free. `inputs`: what the compiled programs are tried on, at
        their own and at other sizes; nothing is written unless they give what the engine gives, to
        `tolerance` (default: the root of the dtype's precision) times the largest entry.
        `start="output"` packages the programs for any target, `"row"` those for a class at one
        position per sample, None both, where both exist. `inductor_configs` are handed to
        torch. Needs a C++ compiler. Raises PackageError.

        Example:
            >>> engine.package("explain.pt2", inputs)  # doctest: +SKIP
            >>> lrp.load_package("explain.pt2").explain(inputs, 3)  # doctest: +SKIP
        """
        write_package(
            Path(path),
            self._with(compile=True)._ways,
            self._with(compile=False).explain,
            self._leaves(inputs),
            start=start,
            tolerance=tolerance,
            settings=inductor_configs or {},
        )
        return Path(path)

    @property
    def provenance(self) -> Provenance:
        """Versions and hashes that every result carries."""
        return self._ways.provenance

    def _way_to(self, rows: bool) -> Way:
        """The programs that serve targets at single rows, or anywhere."""
        return (self._ways.at_row if rows else None) or self._ways.whole

    def _forward(self, inputs: Any, way: Way) -> Forward:
        leaves = self._leaves(inputs)
        self._ways.hold_to_budget(way, leaves)
        count = way.wanted.program.outputs
        with torch.set_grad_enabled(way.with_grad), validate.at_run_time(self.captured, leaves):
            own = self._models_own(leaves)
            values = list(way.forward(*leaves))
            self._agree(leaves, values[:count], own)
        return Forward(self._ways, way, leaves, values[:count], values[count:])

    def _explain_rows(
        self, inputs: Any, target: Target, position: Position, *, later: bool
    ) -> Explanation:
        """Explains a class where the output is computed at one row per sample only."""
        if not is_rows(position):
            raise TargetError("full_output=False needs a position: one, or one per sample")
        way, leaves = self._ways.only_row, self._leaves(inputs)
        self._ways.hold_to_budget(way, leaves)
        sizes = Costs(self.captured.shapes.sizes(leaves))
        example = value(self.plan.output.node)
        batch, positions = (sizes.count(size) for size in example.shape[:2])
        rows = rows_of(position, batch, positions, example.device)
        with torch.no_grad(), validate.at_run_time(self.captured, leaves):
            own = self._models_own(leaves)
            if own is not None:  # before anything is kept
                self._agree(leaves, list(self._ways.output_alone(*leaves)), own)
                own.clear()
            row, *kept = way.forward(*leaves, rows)
        run = Forward(self._ways, way, leaves, [row], kept, rows, output_later=later)
        return run.at_rows(target, positions)

    def _models_own(self, leaves: list[Any]) -> list[Any] | None:
        """What the model itself returns, where the trace may not hold; for sizes of 1 only once."""
        if validate.unproved(self.captured, leaves) in {None, *self._proved}:
            return None
        with torch.no_grad():
            return validate.models_own(self.captured, leaves)

    def _agree(self, leaves: list[Any], outputs: list[Any], own: list[Any] | None) -> None:
        """Compares with what the model returned, and remembers that it was the same."""
        if own is None:
            return
        with torch.no_grad():
            validate.agree(self.captured, outputs, own)
        doubt = validate.unproved(self.captured, leaves)
        if doubt is not None and "recorded" not in doubt:
            self._proved.add(doubt)

    def _leaves(self, inputs: Any) -> list[Any]:
        args, kwargs = as_call(inputs)
        try:
            leaves = self.captured.flatten_inputs(args, kwargs)
        except ValueError as error:
            raise InputError(str(error)) from error
        validate.inputs(self.captured, leaves)
        return leaves


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


def _paired(targets: Sequence[Any] | None) -> bool:
    """Whether targets come with positions of their own."""
    return bool(targets) and all(isinstance(t, tuple) for t in targets or ())


def _sizes(captured: Captured, inputs: Any) -> dict[Any, int]:
    """The user's own sizes, which capture may have changed: bytes are counted at them."""
    if inputs is None:
        return {}
    return captured.shapes.sizes(captured.flatten_inputs(*as_call(inputs)))
