"""stub"""


async def report_search(*, misses: bool) -> None: ...
