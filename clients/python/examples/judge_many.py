"""Judge each line of standard input in one call, without asyncio: `python judge_many.py [host:port] < lines.txt`."""

import sys

from promptflow_api.sync import PromptFlow
from promptflow_client import PromptFlowError


def main(target: str) -> None:
    lines = [line.strip() for line in sys.stdin if line.strip()]
    with PromptFlow(target) as pf:
        outcomes = pf.sentiment_analysis.run_batch([{"text": line} for line in lines], timeout=60)
    for line, outcome in zip(lines, outcomes, strict=True):
        label = f"failed: {outcome.message}" if isinstance(outcome, PromptFlowError) else outcome.analyze.label
        print(f"{label}: {line}")


main(sys.argv[1] if len(sys.argv) > 1 else "localhost:50051")
