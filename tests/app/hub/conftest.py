from collections.abc import Iterator

import pytest

from app.base.settings import Settings
from app.process import Context
from tests.fixtures.factories import Tenant, make_tenant
from tests.fixtures.sockets import Server, serving


@pytest.fixture
def server(settings: Settings) -> Iterator[Server]:
    with serving(settings) as running:
        yield running


@pytest.fixture
async def tenant(context: Context) -> Tenant:
    return await make_tenant(context)
