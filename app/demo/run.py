"""Runs the demo against a server of its own, or against the one that runs on this data folder."""

import asyncio
import threading

from app.base.settings import Settings
from app.demo.story import Show, tell
from app.embedded.instance_lock import is_held
from app.embedded.stack import Stack, run_stack

JOIN_SECONDS = 0.2


def run_demo(settings: Settings, show: Show) -> bool:
    """True when everything that the demo shows was verified."""
    if is_held(settings.data_dir):
        key = (settings.data_dir / "api_key").read_text().strip()
        show(f"using the server that already runs at {settings.base_url}")
        return asyncio.run(tell(settings.base_url, key, show))
    verdicts: list[bool] = []
    run_stack(settings, show, lambda stack: verdicts.append(_tell(stack, show)))
    return verdicts == [True]


def _tell(stack: Stack, show: Show) -> bool:
    """Tell the story in a thread: the main one belongs to signals and the supervisor."""
    verdicts: list[bool] = []
    story = threading.Thread(
        target=lambda: verdicts.append(asyncio.run(tell(stack.base_url, stack.api_key, show))), daemon=True
    )
    story.start()
    while story.is_alive():
        stack.supervisor.check_stop()
        story.join(JOIN_SECONDS)
    if verdicts == [True]:
        show("\nThe server stops now. Start it again with `python3 run.py`: the links above work then.")
    return verdicts == [True]
