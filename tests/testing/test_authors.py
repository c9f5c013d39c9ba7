"""What the contract tells the author of a broker who drops some of it, or forgets something."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from streamy_core import testing
from streamy_core.testing import BrokerContract, FaultContract

pytest_plugins = ["pytester"]

WHOLE = "test_nothing_of_the_contract_is_dropped_without_a_reason"
APPEND = "test_an_append_after_add_makes_a_wait_name_the_stream"

AUTHORS_FILE = """
import pytest
from streamy_backends.memory import Limits, MemoryBroker
from streamy_core.testing import BrokerContract

class Mixin:
    def {APPEND}(self): pass

class TestMine({bases}):
    {body}

    @pytest.fixture
    def make_broker(self):
        return lambda log="log", *, history=10_000: MemoryBroker(Limits(history=history))
"""

Outcome = Callable[..., pytest.RunResult]


@pytest.fixture
def outcome(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """Runs two tests of an author's contract, the one about dropping and one that may be dropped."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(body: str = "", *, bases: str = "BrokerContract", file: str = AUTHORS_FILE) -> pytest.RunResult:
        pytester.makepyfile(file.format(APPEND=APPEND, bases=bases, body=body.format(APPEND=APPEND)))
        return pytester.runpytest("-p", "no:cacheprovider", "-rs", "-k", f"{WHOLE} or {APPEND}")

    return run


def test_a_contract_that_is_kept_whole_passes(outcome: Outcome) -> None:
    outcome().assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("body", "bases", "run"),
    [
        ("def {APPEND}(self): pass", "BrokerContract", {"passed": 1, "failed": 1}),
        ("{APPEND} = None", "BrokerContract", {"failed": 1}),
        ("", "Mixin, BrokerContract", {"passed": 1, "failed": 1}),
        ("left_out = {{'{APPEND}': ''}}; {APPEND} = None", "BrokerContract", {"failed": 1}),
    ],
    ids=["overridden", "set to None", "overridden by a mixin", "for an empty reason"],
)
def test_a_test_that_is_dropped_without_a_reason_is_named(
    outcome: Outcome, body: str, bases: str, run: dict[str, int]
) -> None:
    result = outcome(body, bases=bases)
    result.assert_outcomes(**run)
    said = (
        f"*TestMine overrides or removes {APPEND}: leave the test as it is, and state the reason in left_out*"
    )
    result.stdout.fnmatch_lines(said)


def test_a_test_left_out_for_a_reason_is_skipped_and_the_reason_shown(outcome: Outcome) -> None:
    result = outcome("left_out = {{'{APPEND}': 'this backend has no bell'}}")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines("SKIPPED*left out: this backend has no bell*")


def test_leaving_out_what_is_no_test_fails(outcome: Outcome) -> None:
    result = outcome("left_out = {{'test_the_bel_rings': 'a slip'}}")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines("*left_out of TestMine names what is no test: test_the_bel_rings*")


def test_without_make_broker_the_contract_says_what_to_define(outcome: Outcome) -> None:
    result = outcome(
        file="from streamy_core.testing import BrokerContract\nclass TestMine(BrokerContract): pass"
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines("*define the fixture make_broker: a function that takes the name of a log*")


def test_without_faults_the_contract_says_what_to_define(outcome: Outcome) -> None:
    result = outcome(
        file="from streamy_core.testing import FaultContract\n"
        "class TestMine(FaultContract):\n"
        f"    def {APPEND}(self, faults): pass"
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines("*define the fixture faults: an object whose stop() takes the backend away*")


@pytest.mark.parametrize("contract", [BrokerContract, FaultContract])
@pytest.mark.parametrize(
    "attributes",
    [{WHOLE: lambda self: None}, {WHOLE: None}, {"left_out": {WHOLE: "it is in the way"}}],
    ids=["overridden", "set to None", "left out"],
)
def test_the_test_that_guards_the_others_cannot_be_dropped(
    contract: type, attributes: dict[str, object]
) -> None:
    with pytest.raises(TypeError, match=f"TestMine overrides or leaves out {WHOLE}"):
        type("TestMine", (contract,), attributes)


def test_a_mixin_cannot_drop_the_test_that_guards_the_others() -> None:
    mixin = type("Mixin", (), {WHOLE: None})
    with pytest.raises(TypeError, match=f"TestMine overrides or leaves out {WHOLE}"):
        type("TestMine", (mixin, BrokerContract), {})


@pytest.mark.parametrize(
    "file", sorted(Path(testing.__file__).parent.glob("*contract.py")), ids=lambda file: file.stem
)
def test_no_promise_is_broken_by_a_mere_true_or_false(file: Path) -> None:
    asserts = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Assert)]
    assert not [ast.unparse(each) for each in asserts if each.msg is None and _is_a_mere_truth(each.test)]


def _is_a_mere_truth(test: ast.expr) -> bool:
    """Whether pytest, when it fails, shows no data that differs, or a True or False that nothing names."""
    return not isinstance(test, ast.Compare) or any(
        isinstance(node, ast.Constant) and isinstance(node.value, bool) for node in ast.walk(test)
    )
