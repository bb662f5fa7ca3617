"""Fixtures of the whole suite."""

pytest_plugins = [
    "tests.fixtures.s3",
    "tests.fixtures.servers",
    "tests.fixtures.stack",
    "tests.fixtures.web",
    "tests.fixtures.webhooks",
]
