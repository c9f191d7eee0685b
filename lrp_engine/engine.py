"""The public face: Engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .aot.write import PackageStart, write_package
from .capture import Captured
from .capture.signature import as_call
from .markup import Overview, Shown
from .method.op import Op
from .method.references import bibtex
from .method.rule import Rule
from .plan.plan import Coverage, Plan
from .plan.prepare import ModelRecipe, ModelSource, prepare
from .plan.provenance import Provenance
from .preset.preset import Preset
from .programs.compiled import check_mode
from .programs.program import Program
from .promises.memory import Timeline
from .promises.policy import Policy, PolicyOrBudget, parse_policy
from .promises.promise import Promises
from .propagate.trace_cache import TraceCache
from .results.explanation import Explanation
from .run.explainer import Explainer
from .run.forward import Forward
from .run.inputs import flatten_inputs
from .run.overviews import engine_overview
from .run.program_pairs import ProgramPairs
from .run.proof import Proof
from .run.request import Request
from .run.target import Position, Target
from .run.traces import Tracer


class Engine(Shown):
    """A model captured once, with the plan of its relevance propagation.

    For the explained number y = sum(c * output), relevance R = c * a is propagated to the
    sources so that y = sum of R at the sources + what the ledger books as absorbed.

    Args:
        model: a torch module in eval mode, an ExportedProgram, a function of tensors, or the path
            of an ONNX file.
        example_inputs: a tensor, a tuple of arguments, or a mapping of keyword arguments. An ONNX
            file needs none: it says what its inputs look like.
        preset: name of a preset, path of a preset file, or a `Preset`. The default, "auto", takes
            the one that suits the model's structure, and says in the notes which and why.
        sources: where relevance is wanted: input names, module paths or globs, node names.
            Default: every floating-point input, and the embedding of every integer input.
        output: name of an output, of a module or node inside the model, or of a value of an ONNX
            file; `scores` is what a last softmax or sigmoid reads, `all` is for a metric of all
            outputs. Default: `logits` if there is one, else the first with floating-point numbers.
        policy: "keep" (fastest), "balanced" (computes again what is cheap for its bytes),
            "low_memory" (checkpoints), or a budget for the peak: bytes, "500 MB", "2 GiB".
        dynamic: False fixes all sizes; a torch.export `dynamic_shapes` spec is passed on.
        compile: run both programs through torch.compile; a string is its `mode`, for instance
            "reduce-overhead" for CUDA graphs. The first run is compared with the plain programs.
        rules: a user's own `Op` and `Rule` records.

    An engine can be copied, pickled and sent to other processes if its model can: the copy captures
    the model again. It holds on to the example inputs for that. Unpickling runs code that the data
    name, as ever: unpickle only what you trust.

    Raises:
        CaptureError: torch cannot capture the model.
        InputError: example inputs are missing or do not fit.
        SourceError: a source does not exist, or no relevance reaches it.
        PresetError: the preset does not exist, or names a place that the model has not.
        CoverageError: live ops have no rule; all are listed, and no tensor is computed.
        PromiseError: a budget is too small (raised when programs are written); the message names
            the smallest that would do.

    Example:
        >>> import torch, lrp_engine as lrp
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()).eval()
        >>> engine = lrp.Engine(model, torch.ones(1, 4), preset="epsilon")
        >>> engine.explain(torch.ones(2, 4), target=0).relevance["input"].shape
        torch.Size([2, 4])
    """

    def __init__(
        self,
        model: ModelSource,
        example_inputs: Any = None,
        *,
        preset: str | Path | Preset = "auto",
        sources: Sequence[str] | None = None,
        output: str | None = None,
        policy: str | int | PolicyOrBudget = Policy.KEEP,
        dynamic: Any = True,
        compile: bool | str = False,
        rules: Iterable[Op | Rule] = (),
    ) -> None:
        check_mode(compile)
        self._prepared = prepare(model, example_inputs, output=output, dynamic=dynamic, rules=rules)
        self._sources = (
            None
            if sources is None
            else ((sources,) if isinstance(sources, str) else tuple(sources))
        )
        pairs = ProgramPairs(
            plan=self._plan(preset),
            policy=parse_policy(policy),
            compile=compile,
            traces=TraceCache(),
            sizes=_sizes(self._prepared.captured, example_inputs),
        )
        self._explainer = Explainer(pairs, Proof())

    def __reduce__(self) -> tuple[object, ...]:
        """Return what the engine was made of: another process captures the model again."""
        pairs = self._explainer.pairs
        made_of = self._prepared.recipe
        return _restore, (made_of, pairs.plan.preset, self._sources, pairs.policy, pairs.compile)

    @property
    def plan(self) -> Plan:
        """The plan: the rule of every op, and the places where relevance stops."""
        return self._explainer.pairs.plan

    @property
    def policy(self) -> PolicyOrBudget:
        """The policy: the values that are kept between the forward and the relevance program."""
        return self._explainer.pairs.policy

    @property
    def captured(self) -> Captured:
        """The model as one graph of primitive ops."""
        return self.plan.captured

    def with_policy(self, policy: str | int | PolicyOrBudget) -> Engine:
        """Return an engine under another policy; capture, plan and traces are shared.

        Raises InputError for a policy that does not exist.
        """
        return self._with(self._explainer.pairs.with_policy(parse_policy(policy)))

    def with_preset(self, preset: str | Path | Preset) -> Engine:
        """Return an engine under another preset; nothing is captured again.

        Raises PresetError for a preset that does not exist or is incomplete.

        Example:
            >>> import torch, lrp_engine as lrp
            >>> engine = lrp.Engine(torch.nn.Linear(4, 3).eval(), torch.ones(1, 4))
            >>> engine.with_preset("epsilon").plan.preset.name
            'epsilon'
        """
        return self._with(self._explainer.pairs.with_plan(self._plan(preset)))

    def with_sources(self, sources: Sequence[str] | None) -> Engine:
        """Return an engine that reports relevance at other places; nothing is captured again.

        Raises SourceError for a source that does not exist or that no relevance reaches.
        """
        names = [sources] if isinstance(sources, str) else sources
        plan = self._prepared.plan(self.plan.preset, names)
        other = self._with(self._explainer.pairs.with_plan(plan))
        other._sources = None if names is None else tuple(names)
        return other

    def trace(self, inputs: Any, *, seed: int | None = None) -> Tracer:
        """Run the model once, to trace relevance through inner sources.

        Args:
            inputs: as for `explain`.
            seed: as for `explain`.

        Returns:
            A `Tracer`: it explains targets, and splits relevance by what it passed through.

        Raises:
            InputError: the inputs do not fit, the preset compares two runs, or torch cannot
                differentiate what a rule reads.
        """
        return self._explainer.trace(inputs, seed=seed)

    def _plan(self, preset: str | Path | Preset) -> Plan:
        return self._prepared.plan(self._prepared.load_preset(preset), self._sources)

    def _with(self, pairs: ProgramPairs) -> Engine:
        """Return an engine of other programs; capture, traces and what was proved are shared."""
        other = object.__new__(Engine)
        other._prepared, other._sources = self._prepared, self._sources
        other._explainer = Explainer(pairs, self._explainer.proof)
        return other

    def overview(self) -> Overview:
        """Return what the engine explains, and how: its text in a terminal or a notebook."""
        return engine_overview(self._explainer.pairs)

    def coverage(self) -> Coverage:
        """Count live ops per op, family and rule, and name where relevance stops on purpose."""
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
        return self._explainer.pairs.whole.wanted.program

    @property
    def row_program(self) -> Program:
        """The pair that serves a class at one position per sample.

        It computes the output there alone; its forward program is told the rows after the inputs.

        Raises InputError if the output has no rows that are computed by themselves.
        """
        return self._explainer.pairs.only_row.wanted.program

    @property
    def promises(self) -> Promises:
        """The values of the forward pass that rules asked for, and how each is honoured.

        Of a class at one position: `engine.row_program.promises`.
        """
        return self.program.promises

    def memory(self, inputs: Any = None, *, full_output: bool = True) -> Timeline:
        """Predict the bytes alive at every step of an explanation.

        Parameters, inputs and the kernels' own workspace are not counted.

        Args:
            inputs: inputs of the sizes to predict for. Default: the example's sizes.
            full_output: False predicts for a class at one position, explained without the rest of
                the output.
        """
        program = self.program if full_output else self.row_program
        if inputs is None:
            return program.memory
        leaves = flatten_inputs(self.captured, inputs)
        return program.predict_memory(self.captured.shapes.sizes(leaves))

    def forward(self, inputs: Any, *, seed: int | None = None, reference: Any = None) -> Forward:
        """Run the model once and keep its promises: any number of targets can follow.

        `seed` and `reference` are those of `explain`; all targets share the random draws.

        Raises InputError if the inputs do not fit the capture or hold NaN.
        """
        return self._explainer.forward(inputs, seed=seed, reference=reference)

    def explain(
        self,
        inputs: Any,
        target: Target = None,
        *,
        position: Position = None,
        ledger: bool = False,
        create_graph: bool = False,
        full_output: bool | None = None,
        seed: int | None = None,
        reference: Any = None,
    ) -> Explanation:
        """Explain one target per sample.

        For a class at one position per sample, the output is computed at that position only if its
        rows allow it: a language model's logits are often its largest value.

        Args:
            inputs: what the model is called with: a tensor, a tuple, or a mapping.
            target: a class, one class per sample, {class: weight}, a metric of the output (its
                gradient is the coefficient), or a coefficient of the output's shape. Default: the
                one number that the output has per sample.
            position: where a class sits in an output (batch, positions, classes): one position, one
                per sample, or a slice, over which the target is summed.
            ledger: compute the ledger in the same pass; else it is computed when first asked for.
            create_graph: let results be differentiated by inputs and parameters, so that they can
                be part of a loss. Attention is then written out, and nothing is compiled.
            full_output: True computes the whole output at once, False leaves it None, None
                computes it by another forward pass when `output` is asked for.
            seed: of the random numbers that the model draws, if it draws any; torch's generators
                then stay as they are. Default: they are drawn from, as by one call of the model.
                Relevance, ledger and output of one explanation always share their draws.
            reference: what the inputs are compared with, for presets of two runs (`delta`): of the
                inputs' structure, one per sample or one (1, ...) for all; arguments that a mapping
                omits are as in the inputs; a number fills every floating-point input; a
                `Background` is averaged over. The explained number is then that of the inputs less
                that of the reference, and relevance is c * (input - reference).

        Returns:
            Relevance and coefficients with the shapes of the sources. Relevance has the unit of the
            explained number: per sample, explained = sum of relevance + what the ledger books.

        Raises:
            InputError: inputs do not fit the capture, hold NaN, or take another path through the
                model than the captured one; or options exclude each other.
            TargetError: the target does not fit the output, or the explained number is not finite.
        """
        request = Request(target, position, ledger, create_graph, full_output, seed, reference)
        return self._explainer.explain(inputs, request)

    def explain_each(
        self,
        inputs: Any,
        targets: Iterable[Target],
        *,
        position: Position = None,
        seed: int | None = None,
        reference: Any = None,
    ) -> Iterator[Explanation]:
        """Run the model once, then explain one target after the other.

        Args:
            inputs: as for `explain`.
            targets: as for `explain`, one explanation each.
            position: as for `explain`, for all targets.
            seed: as for `explain`; all targets share the random draws.
            reference: as for `explain`, but no `Background`.

        Yields:
            One explanation per target, in order.

        Raises:
            InputError: inputs do not fit the capture.
            TargetError: a target does not fit the output.
        """
        run = self.forward(inputs, seed=seed, reference=reference)
        for target in targets:
            yield run.explain(target, position=position)

    def explain_all(
        self,
        inputs: Any,
        targets: Iterable[Target] | None = None,
        *,
        position: Position = None,
        at_once: int = 32,
        seed: int | None = None,
        reference: Any = None,
    ) -> list[Explanation]:
        """Run the model once, then explain all targets together.

        Args:
            inputs: as for `explain`.
            targets: as for `explain`, or (target, position) pairs. Default: every class.
            position: as for `explain`, for all targets.
            at_once: targets that travel through the relevance program together, which takes that
                many times the memory of one.
            seed: as for `explain`; all targets share the random draws.
            reference: as for `explain`.

        Returns:
            One explanation per target, in order.

        Raises:
            InputError: inputs do not fit the capture.
            TargetError: a target does not fit the output.
            RuleError: an op cannot be run for several targets together.

        Example:
            >>> import torch, lrp_engine as lrp
            >>> engine = lrp.Engine(torch.nn.Linear(4, 3).eval(), torch.ones(1, 4))
            >>> [float(e.explained[0]) for e in engine.explain_all(torch.zeros(1, 4), [2, 0])]
            ... # doctest: +ELLIPSIS
            [...]
        """
        chosen = None if targets is None else list(targets)
        return self._explainer.explain_all(inputs, chosen, position, at_once, seed, reference)

    def package(
        self,
        path: str | Path,
        inputs: Any,
        *,
        start: PackageStart = None,
        tolerance: float | None = None,
        inductor_configs: Mapping[str, Any] | None = None,
    ) -> Path:
        """Compile the programs ahead of time into one `.pt2` file, for `load_package`.

        Every size that is free stays free. Needs a C++ compiler.

        Args:
            path: of the file; nothing is written unless the compiled programs give what the engine
                gives.
            inputs: what the compiled programs are tried on, at their own and at other sizes.
            start: "output" packages the programs for any target, "row" those for a class at one
                position per sample, None both, where both exist.
            tolerance: largest difference, relative to the largest entry. Default: the square root
                of the dtype's precision.
            inductor_configs: handed to torch.

        Returns:
            The path.

        Raises:
            PackageError: the programs cannot be packaged, or the package differs from the engine.

        Example:
            >>> engine.package("explain.pt2", inputs)  # doctest: +SKIP
            >>> lrp.load_package("explain.pt2").explain(inputs, 3)  # doctest: +SKIP
        """
        write_package(
            Path(path),
            self._explainer.pairs.with_compile(True),
            self._with(self._explainer.pairs.with_compile(False)).explain,
            flatten_inputs(self.captured, inputs),
            start=start,
            tolerance=tolerance,
            settings=inductor_configs or {},
        )
        return Path(path)

    @property
    def provenance(self) -> Provenance:
        """Versions and hashes that every result carries."""
        return self._explainer.pairs.provenance


def _restore(
    made_of: ModelRecipe,
    preset: Preset,
    sources: tuple[str, ...] | None,
    policy: PolicyOrBudget,
    compile: bool | str,
) -> Engine:
    """Make an engine anew from what one was made of."""
    return Engine(
        made_of.model,
        made_of.example_inputs,
        preset=preset,
        sources=sources,
        output=made_of.output,
        policy=policy,
        dynamic=made_of.dynamic,
        compile=compile,
        rules=made_of.rules,
    )


def _sizes(captured: Captured, inputs: Any) -> dict[Any, int]:
    """Return the user's own sizes, which capture may have changed: bytes are counted at them."""
    if inputs is None:
        return {}
    return captured.shapes.sizes(captured.flatten_inputs(*as_call(inputs)))
