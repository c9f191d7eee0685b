"""Random nets over the functional API are served rightly, or refused; nothing else happens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.conftest import few, many
from tests.fuzz.generate import alone, nets
from tests.fuzz.gradients import gradient_is_autograds
from tests.fuzz.ops import ROWS
from tests.fuzz.oracles import (
    ALWAYS,
    SIZES,
    Case,
    other_data_are_served,
    other_preset,
    policies_agree,
)
from tests.fuzz.ways import (
    compiled_by,
    scores_are_coefficients_times_differences,
    threads_agree,
)

EACH = (*ALWAYS, gradient_is_autograds)
PRESETS = st.sampled_from(
    ["attnlrp_gamma", "cp_lrp", "dynamiclrp", "epsilon_plus", "excitation_backprop", "gamma",
     "lstm_all", "mambalrp", "relp"]
)  # fmt: skip


def of(case, *oracles):
    """Run oracles on a case, one after the other."""

    def run():
        for oracle in oracles:
            oracle(case())

    return run


def once(make):
    """Make the case when it is first asked for, inside the judge's time limit."""
    made = []

    def case():
        if not made:
            made.append(make())
        return made[0]

    return case


def fixed(net):
    return once(lambda: Case(net))


def free(net):
    return once(lambda: Case(net, dynamic=True))


# --- CI: few cases, always the same --------------------------------------------------------------


@few(20)
@given(net=nets(longest=5))
def test_nets(net, judged):
    judged(of(fixed(net), *EACH))


@few(4)
@given(net=nets(longest=3))
def test_nets_of_free_sizes(net, judged):
    judged(of(free(net), *EACH, *SIZES))


@few(4)
@given(net=nets(longest=3), preset=PRESETS)
def test_nets_under_other_presets_and_policies(net, preset, judged):
    judged(of(fixed(net), policies_agree, other_preset("epsilon"), other_preset(preset)))


@few(3)
@given(net=nets(longest=3))
def test_nets_in_threads(net, judged):
    judged(of(fixed(net), threads_agree))


@few(3)
@given(net=nets(longest=3))
def test_nets_as_circuits(net, judged):
    judged(of(fixed(net), scores_are_coefficients_times_differences))


# --- slow: as many as FUZZ_CASES says -------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_row_alone(row, judged):
    @few(3 if row.options else 1)
    @given(net=alone(row))
    def each(net):
        judged(of(fixed(net), *EACH, other_preset("epsilon")))

    each()


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_row_alone_with_free_sizes(row, judged):
    @few(1)
    @given(net=alone(row))
    def each(net):
        judged(of(free(net), *EACH, *SIZES))

    each()


@pytest.mark.slow
@many()
@given(net=nets(), preset=PRESETS)
def test_many_nets(net, preset, judged):
    judged(
        of(
            fixed(net),
            *EACH,
            other_data_are_served,
            other_preset("epsilon"),
            other_preset(preset),
        )
    )


@pytest.mark.slow
@many(0.2)
@given(net=nets(), preset=PRESETS)
def test_many_nets_of_free_sizes(net, preset, judged):
    judged(of(free(net), *EACH, *SIZES, policies_agree))


@pytest.mark.slow
@many(0.1)
@given(net=nets())
def test_many_nets_in_other_ways(net, judged):
    judged(of(fixed(net), threads_agree, scores_are_coefficients_times_differences))


@pytest.mark.slow
@many(0.1)
@given(net=nets(), backend=st.sampled_from(["eager", "aot_eager"]))
def test_many_nets_compiled(net, backend, judged):
    judged(of(fixed(net), compiled_by(backend)))


@pytest.mark.slow
@few(5)
@given(net=nets(longest=4))
def test_nets_compiled_by_the_real_compiler(net, judged):
    judged(of(fixed(net), compiled_by("inductor")))
