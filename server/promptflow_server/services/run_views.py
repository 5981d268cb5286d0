"""Runs as messages, each by the contract of the bundle that it began with.

Numbers never move, so clients of a newer contract read the bytes of an older one; what a newer flow no longer has is
still told.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from promptflow_core.errors import FlowError, Reason
from promptflow_core.records import ExecutionRecord
from promptflow_server.services.contracts import FlowContract, Message
from promptflow_server.services.requests import masked
from promptflow_server.services.views import FlowViews

KEPT = 8

ContractOf = Callable[[str, str, int], Awaitable[FlowContract]]
"""(digest, flow, version) -> the contract that a run pins; raises FlowError: FLOW_NOT_FOUND, STORE_UNAVAILABLE."""


class RunViews:
    """The views of one flow's runs, of this bundle and of others. `prepare` comes before all else."""

    def __init__(self, contract: FlowContract, contract_of: ContractOf | None = None) -> None:
        self._contract = contract
        self._contract_of = contract_of
        self._own = FlowViews(contract)
        self._others: OrderedDict[str, FlowViews] = OrderedDict()

    async def prepare(self, run: ExecutionRecord) -> None:
        """Have the contract of a run at hand; where its bundle is nowhere any more, this one's has to do.

        Raises:
            FlowError: STORE_UNAVAILABLE.
        """
        digest = run.bundle_digest
        if digest == self._contract.digest or self._contract_of is None:
            return
        if digest in self._others:
            self._others.move_to_end(digest)
            return
        try:
            contract = await self._contract_of(digest, run.flow, run.version)
        except FlowError as error:
            if error.record.reason is not Reason.FLOW_NOT_FOUND:
                raise
            return
        self._others[digest] = FlowViews(contract)
        if len(self._others) > KEPT:
            self._others.popitem(last=False)

    def of(self, run: ExecutionRecord) -> FlowViews:
        """What writes the messages of a run."""
        return self._others.get(run.bundle_digest, self._own)

    def show(self, run: ExecutionRecord, read_mask: Message | None) -> Message:
        """The `Execution` of a run, cut to what a mask of this bundle's contract names."""
        return self.cut(self.of(run).execution(run), read_mask)

    def cut(self, execution: Message, read_mask: Message | None) -> Message:
        """The part of an `Execution` of any bundle that a mask of this bundle's contract names."""
        if read_mask is None or not read_mask.paths or "*" in read_mask.paths:
            return execution
        new: Any = type(read_mask)  # pyright: ignore[reportUnknownVariableType]
        known = [path for path in read_mask.paths if new(paths=[path]).IsValidForDescriptor(execution.DESCRIPTOR)]
        return masked(execution, new(paths=known or ["status"]))
