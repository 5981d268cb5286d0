"""The Python client of all flows: a class with an attribute per flow, asynchronous and blocking."""

from __future__ import annotations

from collections.abc import Sequence

from promptflow_codegen.emit.client_model import GENERATED, client_members, client_root
from promptflow_codegen.emit.python_types import docstring, identifier
from promptflow_codegen.naming import camel
from promptflow_codegen.plan import FlowPlan

CLIENT_ATTRIBUTES = ("cached_property", "close", "connection", "executions", "flows")
"""Names that `PromptFlow` uses beside the flows' own."""


def index_module(package: str, plans: Sequence[FlowPlan], module: str) -> str:
    """The module `client` or `sync` of all flows of a package; `plans` are sorted."""
    below = package.removeprefix(client_root(package))
    attributes = client_members(plans, _attribute, CLIENT_ATTRIBUTES, "_")
    summary = "One client for all flows." if module == "client" else "One client for all flows, without asyncio."
    lines = [*docstring([f"{summary} {GENERATED}"], 0), "", "from __future__ import annotations", ""]
    runtime = "promptflow_client" if module == "client" else "promptflow_client.sync"
    lines += ["from functools import cached_property", "", f"from {runtime} import PromptFlowBase", ""]
    lines += [
        f"from {below}.{plan.name}.v{plan.version} import {module} as _{plan.name}_v{plan.version}" for plan in plans
    ]
    lines += ["", "", "class PromptFlow(PromptFlowBase):"]
    lines += docstring(["One PromptFlow at one address; an attribute per flow, of the flow's latest version."], 4)
    for plan in plans:
        client = f"_{plan.name}_v{plan.version}.{client_name(plan)}"
        about = f"Flow `{plan.name}`, version {plan.version}. {plan.description}"
        lines += ["", "    @cached_property", f"    def {attributes[plan.name, plan.version]}(self) -> {client}:"]
        lines += [*docstring([about], 8), f"        return {client}(self)"]
    return "\n".join(lines) + "\n"


def attribute_of(plan: FlowPlan) -> str:
    """The attribute of `PromptFlow` that the latest version of a flow has."""
    return identifier(plan.name, CLIENT_ATTRIBUTES)


def client_name(plan: FlowPlan) -> str:
    """The class of one flow."""
    return f"{camel(plan.name)}Client"


def _attribute(name: str, version: int | None) -> str:
    return identifier(name) if version is None else f"{name}_v{version}"
