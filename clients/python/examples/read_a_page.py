"""Read a page and show what happens as it happens: `python read_a_page.py page.jpg [host:port]`."""

import asyncio
import sys
from pathlib import Path

from promptflow_api.client import PromptFlow
from promptflow_api.flows.document_insight.v1.client import OcrOutput
from promptflow_client import Done, StepCompleted, StepStarted


async def main(page: Path, target: str) -> None:
    async with PromptFlow(target) as pf:
        async for event in pf.document_insight.stream(document=page, timeout=60):
            match event:
                case StepStarted(step=step, item=None):
                    print(f"{step} …")
                case StepCompleted(output=OcrOutput(text=text)):
                    print(text)
                case Done(execution=execution):
                    if execution.error is not None:
                        raise execution.error
                    print(f"mood: {execution.result.mood if execution.result else None}")
                case _:
                    pass


asyncio.run(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "localhost:50051"))
