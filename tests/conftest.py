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
    if config.getoption("--models"):
        return
    for item in items:
        if item.get_closest_marker("models"):
            item.add_marker(pytest.mark.skip(reason="downloads 1.1 GB: --models runs it"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole files go to one worker of several: those that take minutes come first, or one runs on alone."""
    items.sort(key=lambda item: not {"flows", "conformance"} & set(item.path.parts))
