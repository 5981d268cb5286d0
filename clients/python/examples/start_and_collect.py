"""Start a run in one process and collect its result in another, or after a restart.

python start_and_collect.py start "I love this!" [host:port]
python start_and_collect.py collect EXECUTION_ID [host:port]
python start_and_collect.py list [host:port]
"""

import asyncio
import sys

from promptflow_api.client import PromptFlow


async def main(command: str, argument: str, target: str) -> None:
    async with PromptFlow(target) as pf:
        match command:
            case "start":
                handle = await pf.sentiment_analysis.start(text=argument)
                print(handle.execution_id)
            case "collect":
                result = await pf.sentiment_analysis.handle(argument).result(timeout=60)
                print(result.analyze.label)
            case _:
                async for execution in pf.executions(flow="sentiment_analysis"):
                    print(execution.execution_id, execution.status)


command, *rest = sys.argv[1:]
argument = rest.pop(0) if command in ("start", "collect") else ""
asyncio.run(main(command, argument, rest[0] if rest else "localhost:50051"))
