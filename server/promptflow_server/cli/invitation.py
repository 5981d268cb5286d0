"""What to try on a running PromptFlow: addresses, and commands to copy that work as they stand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from promptflow_codegen.plan import FlowPlan
from promptflow_server.cli.run import api_path
from promptflow_server.supervisor.ports import Ports

_PYTHON = """\
{python} - <<'END'
import asyncio
from promptflow_api.client import PromptFlow

async def main():
    async with PromptFlow("localhost:{grpc}") as pf:
        print(await pf.sentiment_analysis.run(text="I love this!"))

asyncio.run(main())
END"""


def invitation(plans: Sequence[FlowPlan], ports: Ports, *, python: str, letter: Path | None, with_gateway: bool) -> str:
    """Addresses, flows and commands; a command is left out where this project lacks its flow or file."""
    flows = {plan.name: plan for plan in plans}
    sections = [_addresses(ports, with_gateway=with_gateway), _flows(plans)]
    sentiment = flows.get("sentiment_analysis")
    if with_gateway and sentiment is not None:
        sections += _sentiment_over_http(ports, api_path(sentiment.name, sentiment.version))
    if with_gateway and letter is not None and (insight := flows.get("document_insight")) is not None:
        sections.append(_letter_over_http(ports, api_path(insight.name, insight.version), letter))
    if sentiment is not None:
        method = f"{sentiment.package}.{sentiment.service}/Execute"
        sections.append(
            "# grpcurl\n"
            f"""grpcurl -plaintext -d '{{"text": "I love this!", "execution_mode": "SYNC"}}' """
            f"localhost:{ports.gateway if with_gateway else ports.grpc} {method}"
        )
        sections.append("# Python\n" + _PYTHON.format(python=python, grpc=ports.grpc))
    return "\n\n".join(sections)


def _addresses(ports: Ports, *, with_gateway: bool) -> str:
    lines = [f"  gRPC server   localhost:{ports.grpc}"]
    if with_gateway:
        lines = [
            f"  gateway       http://localhost:{ports.gateway}   (REST, NDJSON, SSE, gRPC, grpc-web)",
            f"  API pages     http://localhost:{ports.gateway}/docs",
            *lines,
            f"  metrics       http://localhost:{ports.metrics}/metrics",
        ]
    return "\n".join(["listening on", *lines])


def _flows(plans: Sequence[FlowPlan]) -> str:
    return "\n".join(["flows", *(f"  {plan.name:<24}{api_path(plan.name, plan.version)}/..." for plan in plans)])


def _sentiment_over_http(ports: Ports, path: str) -> list[str]:
    url = f"http://localhost:{ports.gateway}{path}"
    headers, body = "-H 'content-type: application/json'", '"text": "I love this!"'
    return [
        f'# JSON\ncurl -s {url}/execute {headers} -d \'{{{body}, "execution_mode": "SYNC"}}\'',
        f"# server-sent events\ncurl -sN {url}/execute/stream -H 'accept: text/event-stream' {headers} -d '{{{body}}}'",
    ]


def _letter_over_http(ports: Ports, path: str, letter: Path) -> str:
    url = f"http://localhost:{ports.gateway}{path}/execute/stream"
    return f"# a file\ncurl -sN {url} -H 'accept: text/event-stream' -F document=@{letter}"
