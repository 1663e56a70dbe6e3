"""The interface keeps to its own document, whatever it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.web.asked import NOTHING, SPAM, asking
from tests.web.test_knowledge import keep

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]


QUESTIONS = 25
"""For each kind of answer; a page lets nobody ask more than 30 times a minute."""


@pytest.mark.parametrize("suffix", ["", ".txt", ".ics"])
def test_any_question_is_answered_as_the_document_says(tmp_path: Path, suffix: str) -> None:
    keep(tmp_path)
    with asking(None, tmp_path) as browser:
        schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", browser.app)
        operation = schema["/api/v1/ip/{address}" + suffix]["GET"]

        @settings(max_examples=QUESTIONS, derandomize=True, database=None, phases=[Phase.generate])
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(checks=CHECKS)

        ask()
        for address in (SPAM, NOTHING, "2001:db8::1"):
            operation.Case(path_parameters={"address": address}).call_and_validate(checks=CHECKS)
