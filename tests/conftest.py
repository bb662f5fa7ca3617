"""Fixtures of the whole suite, and the option for tests with models of gigabytes."""

import pytest

pytest_plugins = [
    "tests.fixtures.image_text",
    "tests.fixtures.language_model",
    "tests.fixtures.s3",
    "tests.fixtures.servers",
    "tests.fixtures.stack",
    "tests.fixtures.web",
    "tests.fixtures.webhooks",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--models", action="store_true", help="also run what downloads models of gigabytes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is asked for alone, and put files that take minutes first: a file goes to one worker of
    several, which would run on alone with them."""
    for item in items if not config.getoption("--models") else ():
        if item.get_closest_marker("models"):
            item.add_marker(pytest.mark.skip(reason="downloads 1.1 GB: --models runs it"))
    items.sort(key=lambda item: not {"flows", "conformance"} & set(item.path.parts))
