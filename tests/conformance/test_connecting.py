"""Checks 1, 2 and 3: the SDKs reach the server, with a base URL or by environment alone."""

import pytest

from tests.fixtures.sdks import NEWEST, OLDEST, Sdk, node_sdk, python_sdk
from tests.fixtures.stack import RunningStack


@pytest.fixture
def default_collection_id(stack: RunningStack) -> str:
    with stack.client() as client:
        found: str = client.get("/collection/default").json()["data"]["id"]
    return found


def test_check_01_the_key_opens_the_default_collection(py: Sdk, default_collection_id: str) -> None:
    found = py.run("emit(videodb.connect(api_key=api_key, base_url=base_url).get_collection().id)")
    assert found == default_collection_id != ""


def test_check_01_a_wrong_key_is_an_authentication_error(py: Sdk) -> None:
    said = py.run(
        """
        try:
            videodb.connect(api_key="sk-wrong", base_url=base_url).get_collection()
        except videodb.AuthenticationError as error:
            emit(str(error).strip())
        """
    )
    assert said == "Error: unknown or revoked API key or token"


def test_check_02_a_base_url_may_end_in_a_slash_in_python(py: Sdk, default_collection_id: str) -> None:
    found = py.run(
        "emit(videodb.connect(api_key=api_key, base_url=base_url + '/').get_collection('default').id)"
    )
    assert found == default_collection_id


def test_check_02_a_base_url_may_end_in_a_slash_in_node(node: Sdk, default_collection_id: str) -> None:
    found = node.run(
        """
        const conn = videodb.connect({ apiKey: api_key, baseUrl: base_url + '/' });
        emit((await conn.getCollection()).id);
        """
    )
    assert found == default_collection_id


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_check_03_python_arrives_by_environment_alone(
    version: str, redirected: dict[str, str], stack: RunningStack, default_collection_id: str
) -> None:
    sdk = python_sdk(version).given({**redirected, "VIDEO_DB_API_KEY": stack.api_key})
    assert sdk.run("emit(videodb.connect().get_collection().id)") == default_collection_id


def test_check_03_node_arrives_by_environment_alone(
    redirected: dict[str, str], stack: RunningStack, default_collection_id: str
) -> None:
    sdk = node_sdk().given({**redirected, "VIDEO_DB_API_KEY": stack.api_key})
    assert sdk.run("emit((await videodb.connect().getCollection()).id)") == default_collection_id
