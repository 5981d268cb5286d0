from __future__ import annotations

import shlex
from pathlib import Path

from promptflow_codegen.plan import FlowPlan
from promptflow_core.types import ObjectType
from promptflow_server.cli.invitation import invitation
from promptflow_server.supervisor.ports import Ports

PORTS = Ports(7000, 7001, 7002, 7003)


def plan(name: str, service: str) -> FlowPlan:
    nothing = ObjectType(())
    return FlowPlan(name, 1, f"promptflow_api.flows.{name}.v1", service, nothing, (), nothing)


PLANS = (plan("document_insight", "DocumentInsightService"), plan("sentiment_analysis", "SentimentAnalysisService"))


def invite(plans: tuple[FlowPlan, ...] = PLANS, *, with_gateway: bool = True) -> str:
    letter = Path("samples/letter.jpg")
    return invitation(plans, PORTS, python=".venv/bin/python", letter=letter, with_gateway=with_gateway)


def test_it_names_every_address_and_flow() -> None:
    text = invite()
    for expected in ("http://localhost:7000 ", "localhost:7001", "http://localhost:7003/metrics"):
        assert expected in text
    for name in ("document-insight", "sentiment-analysis"):
        assert f"/api/v1/{name}/..." in text


def test_each_command_is_one_line_that_a_shell_takes_as_it_stands() -> None:
    commands = [line for line in invite().splitlines() if line.startswith(("curl", "grpcurl"))]
    words = [shlex.split(command) for command in commands]
    assert [line[0] for line in words] == ["curl", "curl", "curl", "grpcurl"]
    assert '{"text": "I love this!", "execution_mode": "SYNC"}' in words[0]
    assert '{"text": "I love this!"}' in words[1]
    assert words[2][-2:] == ["-F", "document=@samples/letter.jpg"]
    assert words[3][-1] == "promptflow_api.flows.sentiment_analysis.v1.SentimentAnalysisService/Execute"


def test_commands_stand_under_headings_that_a_shell_ignores() -> None:
    headings = [line for line in invite().splitlines() if line.startswith("# ")]
    assert headings == ["# JSON", "# server-sent events", "# a file", "# grpcurl", "# Python"]


def test_the_python_client_goes_to_the_server_itself() -> None:
    assert 'PromptFlow("localhost:7001")' in invite()


def test_without_the_gateway_only_grpc_is_offered() -> None:
    text = invite(with_gateway=False)
    assert "curl -s" not in text
    assert "7000" not in text
    assert "localhost:7001 promptflow_api.flows.sentiment_analysis.v1" in text


def test_commands_for_flows_that_are_not_there_are_left_out() -> None:
    text = invite((plan("mine", "MineService"),))
    assert "/api/v1/mine/..." in text
    assert "curl" not in text
