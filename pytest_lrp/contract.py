"""Contract checks as test items: one per case of a file of checks and per check."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lrp_engine.checks import Finding, Report
    from lrp_engine.checks.config import CheckCase

_UPDATE = "update"


class Broken(Exception):
    """A check that failed; its text is all that there is to say."""


class ContractItem(pytest.Item):
    """One check of one case. Items of a case share its report."""

    def __init__(self, *, case: CheckCase, check: str, **given: Any) -> None:
        super().__init__(**given)
        self.case, self.check = case, check
        self.add_marker("lrp")
        if self.config.pluginmanager.hasplugin("xdist"):
            # With --dist=loadgroup one worker computes a case's report once.
            self.add_marker(pytest.mark.xdist_group(f"lrp-{case.name}"))

    def runtest(self) -> None:
        """Hold one finding of the case's report to its budget."""
        report = self.config.stash[_REPORTS].of(self.case, update=self.check == _UPDATE)
        if self.check == _UPDATE:
            _judge(report.findings[-1])
            return
        (finding,) = [f for f in report.findings if f.check == self.check]
        _judge(finding)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show the message alone where it says enough."""
        if excinfo.errisinstance((Broken, *_expected())):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return the file of the case, and its name."""
        return self.path, None, self.name


class Reports:
    """The reports of this process by case, each computed once; so are the errors."""

    def __init__(self) -> None:
        self._found: dict[str, Report | Exception] = {}

    def of(self, case: CheckCase, *, update: bool) -> Report:
        """Compute a case's report, or return it again. Raise what went wrong, every time."""
        from lrp_engine.cli.check_cases import run_case

        if case.name not in self._found:
            try:
                self._found[case.name] = run_case(case, update=update)
            except _expected() as error:
                self._found[case.name] = error
        found = self._found[case.name]
        if isinstance(found, Exception):
            raise found
        return found


_REPORTS = pytest.StashKey[Reports]()


def items(session: pytest.Session, config: pytest.Config) -> Iterator[ContractItem]:
    """Return the items that the options ask for. Nothing is imported if they ask for none.

    Raises UsageError for a file of checks that cannot be read.
    """
    asked = config.getoption("--lrp-model") or _file(config)
    if asked is None:
        return
    from lrp_engine.checks import CHECKS
    from lrp_engine.checks.config import read_cases
    from lrp_engine.errors import BudgetError

    try:
        cases = read_cases(asked) if isinstance(asked, Path) else list(_named(config, asked))
    except BudgetError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[_REPORTS] = Reports()
    update = config.getoption("--lrp-update")
    for case in cases:
        for check in (_UPDATE,) if update else CHECKS:
            name = f"{case.name}: {check}"
            yield ContractItem.from_parent(
                session, name=name, nodeid=f"lrp::{name}", case=case, check=check
            )


def _file(config: pytest.Config) -> Path | None:
    """Return the file of checks: by option, or by the ini file if no test was asked for by name."""
    named, ini = config.getoption("--lrp-config"), config.getini("lrp_config")
    if named:
        return Path(config.invocation_params.dir / named)
    whole_run = config.args_source is not pytest.Config.ArgsSource.ARGS
    return config.rootpath / ini if ini and whole_run else None


def _named(config: pytest.Config, model: str) -> Iterator[CheckCase]:
    """Return the case of --lrp-model, once per preset, within the file's budget if there is one."""
    from lrp_engine.checks import Budget
    from lrp_engine.checks.config import DEFAULT_PRESET, CheckCase, read_budget
    from lrp_engine.cli.data_options import named_target_of

    file = _file(config)
    budget = Budget() if file is None else read_budget(file)
    presets = config.getoption("--lrp-preset") or [DEFAULT_PRESET]
    golden = config.getoption("--lrp-golden")
    folder = config.invocation_params.dir
    for preset in presets:
        stem = Path(preset).stem
        name = f"{model}[{stem}]"
        path = golden and folder / (golden if len(presets) == 1 else f"{golden}-{stem}")
        yield CheckCase(
            name=name,
            model=model,
            inputs=config.getoption("--lrp-inputs"),
            target=named_target_of(config.getoption("--lrp-target"), None, None),
            position=config.getoption("--lrp-position"),
            preset=preset,
            golden=path or None,
            budget=budget,
            folder=folder,
        )


def _judge(finding: Finding) -> None:
    if finding.status.name == "SKIPPED":
        pytest.skip(finding.message)
    if not finding.ok:
        raise Broken(finding.text())


def _expected() -> tuple[type[Exception], ...]:
    """Return what a wrong model, input or target raises: its message says enough."""
    from lrp_engine.cli.console import UsageFault
    from lrp_engine.errors import LrpError

    return (LrpError, UsageFault)
