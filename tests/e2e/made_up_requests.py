"""What schemathesis does not try, and why."""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis import GenerationMode


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Whether a case is to be tried."""
    is_misfit = case.meta is not None and case.meta.generation.mode == GenerationMode.NEGATIVE
    # A part of a form is text, so a value of another type looks as one of the right type.
    if is_misfit and case.media_type == "multipart/form-data":
        return False
    # The text of a part that holds JSON is made up as any text.
    if case.media_type == "multipart/form-data" and "anything" in case.body:
        return False
    # A request in a batch that does not fit is an outcome of the batch.
    if is_misfit and case.operation.path.endswith("/batch"):
        return False
    # Tokens come from the page before; none that fits can be made up.
    return not (case.query or {}).get("page_token")
