"""`execution`, and the environment variable that goes before it."""

from __future__ import annotations

import pytest

from stages.settings import common
from tests.helpers.params import SMOKE, changed


def test_the_environment_replaces_values_of_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    params = changed("execution/slots", 2)
    monkeypatch.setenv(common.ENVIRONMENT, '{engine: ray, address: "10.0.0.1:6379"}')
    found = common.execution(params)
    assert (found.engine, found.address, found.slots) == ("ray", "10.0.0.1:6379", 2)
    assert params["execution"]["engine"] == "local"
    for empty in ("", "# nothing", "{}"):
        monkeypatch.setenv(common.ENVIRONMENT, empty)
        assert common.execution(params).engine == "local"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ray", r"MIMICNETS_EXECUTION is 'ray': allowed is a YAML mapping"),
        ("[engine]", "allowed is a YAML mapping"),
        ("{engine: ", "MIMICNETS_EXECUTION is not valid YAML"),
        ("{engine: serial, engine: local}", "is not valid YAML"),
        ("x" * 10_001, "allowed is a YAML mapping"),
        (
            "{engines: ray}",
            "MIMICNETS_EXECUTION: unknown key 'execution.engines'; did you mean 'engine'",
        ),
        ("{slots: 0}", "MIMICNETS_EXECUTION: execution.slots is 0: "),
        ("{engine: ray}", "MIMICNETS_EXECUTION: execution is .*address is null"),
    ],
)
def test_a_bad_environment_is_one_line_with_its_name(
    text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(common.ENVIRONMENT, text)
    with pytest.raises(ValueError, match=message) as caught:
        common.execution(SMOKE)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000
    with pytest.raises(ValueError, match="^params.yaml: execution.slots is 0: "):
        common.execution(changed("execution/slots", 0))
