"""Fixtures of the whole suite."""

pytest_plugins = [
    "tests.fixtures.image_text",
    "tests.fixtures.s3",
    "tests.fixtures.servers",
    "tests.fixtures.stack",
    "tests.fixtures.web",
    "tests.fixtures.webhooks",
]
