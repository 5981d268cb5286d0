"""What steps give to the flows that they run, held against the annotations of those flows' requests, as callers are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from promptflow_core.coercion import CoercionError
from promptflow_core.errors import Violation
from promptflow_core.values import FileRef, NativeValue
from promptflow_server.engine.program import InputCheck
from promptflow_server.services.codec import encode_message
from promptflow_server.services.contracts import FlowContract
from promptflow_server.services.requests import violations_of
from promptflow_server.services.run_views import ContractOf
from promptflow_server.services.submission import file_limit, files_in, too_large


class CalleeChecks:
    """Finds the check of a flow's inputs in the bundle that a run pins."""

    def __init__(self, contract_of: ContractOf, *, max_file_bytes: int) -> None:
        self._contract_of = contract_of
        self._max_file_bytes = max_file_bytes

    async def find(self, digest: str, flow: str, version: int) -> InputCheck:
        """See `engine.program.InputCheckOf`."""
        contract = await self._contract_of(digest, flow, version)
        return partial(_violations_in, contract, self._max_file_bytes)


def _violations_in(
    contract: FlowContract, max_file_bytes: int, inputs: Mapping[str, NativeValue]
) -> Sequence[Violation]:
    request = contract.execute_request()
    try:
        encode_message(inputs, request)
    except CoercionError as error:
        return [Violation(error.path, error.message)]
    large: list[Violation] = []
    for name, value in inputs.items():
        limit_bytes = file_limit(contract.plan, name, max_file_bytes)
        for path, file in files_in(value, name):
            if isinstance(file, FileRef) and file.size_bytes > limit_bytes:
                large.append(too_large(path, limit_bytes))
    return [*violations_of(request, contract), *large]
