"""The `capture` command: runs the product, one of its processes, or an errand."""

import asyncio
import os
import shlex
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click
from pydantic import SecretStr

from app.base.errors import CaptureError, Conflict, Unavailable
from app.base.settings import Settings, get_settings
from app.embedded.postgres import kept_postgres_url
from app.embedded.private_files import kept_secret
from app.embedded.stack import (
    Stack,
    check_media_port,
    models_argv,
    relay_argv,
    run_stack,
    sender_argv,
    web_argv,
    worker_argv,
)

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

# SQLAlchemy and Alembic are imported by the errands that need them: `up` is there sooner.

T = TypeVar("T")


class _Commands(click.Group):
    """Shows an expected failure as one message and exit status 1, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except CaptureError as error:
            raise click.ClickException(error.message) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """OpenCapture: self-hosted screen and audio capture. Settings are CAPTURE_… environment variables."""


@main.command()
def up() -> None:
    """Run everything on this machine until Ctrl-C."""
    settings = get_settings()
    run_stack(settings, click.echo, lambda stack: _announce_and_watch(settings, stack))


def _announce_and_watch(settings: Settings, stack: Stack) -> None:
    # A key that was given is not repeated: what a terminal shows may be kept in a log.
    key = "as given in CAPTURE_API_KEY" if settings.api_key else stack.api_key
    click.echo(
        f"\nOpenCapture is ready. Ctrl-C stops it.\n\n"
        f"  base URL  {stack.base_url}\n"
        f"  API key   {key}\n"
        f"  logs      {stack.supervisor.logs_dir}\n"
    )
    stack.supervisor.watch()


@main.command()
def demo() -> None:
    """Capture a drawn screen and two voices with the official SDK, and check everything that comes of it."""
    from app.demo.run import run_demo

    if not run_demo(get_settings(), click.echo):
        raise click.ClickException("the demo did not hold what it promises: see the FAIL lines above")


@main.command()
def web() -> None:
    """Run the web process alone (DATABASE_URL and REDIS_URL must be set)."""
    check_media_port(get_settings())
    _become(web_argv(get_settings()))


@main.command()
@click.option("--pool", default="prefork", show_default=True, type=click.Choice(["prefork", "threads"]))
def worker(pool: str) -> None:
    """Run a worker alone."""
    _become(worker_argv(get_settings(), pool))


@main.command()
def relay() -> None:
    """Run the relay alone."""
    _become(relay_argv())


@main.command()
def sender() -> None:
    """Run the process that sends webhooks alone."""
    _become(sender_argv())


@main.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def models(arguments: tuple[str, ...]) -> None:
    """List, fetch and check the models of the engines."""
    _become(models_argv(*arguments))


def _become(argv: tuple[str, ...]) -> None:
    # Replaced, not spawned: signals of a container's init reach the process itself.
    os.execv(argv[0], argv)


@main.command()
def migrate() -> None:
    """Bring the database to this version, and make CAPTURE_API_KEY, where set, a working key."""
    from alembic import command
    from alembic.config import Config

    from app.domain.accounts.credentials import ensure_first_key

    config = Config()
    config.set_main_option("script_location", "migrations:")
    command.upgrade(config, "head")
    given = get_settings().api_key
    if given is not None:
        _in_transaction(lambda session: ensure_first_key(session, given.get_secret_value()))


@main.group()
def keys() -> None:
    """API keys of this server."""


@keys.command("create")
@click.option("--name", default="cli", show_default=True, help="What to call the key.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["read", "write", "admin"]),
    help="What it may do; given several times for several. Not given: everything.",
)
def create_key(name: str, scopes: tuple[str, ...]) -> None:
    """Make an API key for the first account and print it, once."""
    from app.domain.accounts import audit
    from app.domain.accounts.credentials import ALL_SCOPES, Scope, add_api_key, first_account

    async def create(session: "AsyncSession") -> str:
        account_id = await first_account(session)
        wanted = [Scope(scope) for scope in scopes] or ALL_SCOPES
        secret, key = await add_api_key(session, account_id, name=name, scopes=wanted)
        await audit.record(session, account_id, "api_key.created", key.id, caller=None, address=None)
        return secret

    click.echo(_in_transaction(create))


@keys.command("list")
def list_keys() -> None:
    """Show the keys of all accounts: never what they are, only how they end."""
    from sqlalchemy import select

    from app.domain.accounts.models import ApiKey

    async def read(session: "AsyncSession") -> list[ApiKey]:
        return list(await session.scalars(select(ApiKey).order_by(ApiKey.created_at)))

    for key in _in_transaction(read):
        state = "revoked" if key.revoked_at else f"until {key.expires_at:%F %T}" if key.expires_at else "good"
        used = f"{key.last_used_at:%F %T}" if key.last_used_at else "never"
        ending = f"…{key.hint}" if key.hint else "…"
        click.echo(f"{key.id}  {ending}  {','.join(key.scopes)}  {state}  used {used}  {key.name}")


@keys.command("rotate")
@click.argument("key_id")
@click.option(
    "--grace-seconds", default=86_400, show_default=True, help="How long the old one is still good."
)
def rotate_key(key_id: str, grace_seconds: int) -> None:
    """Make a key that replaces KEY_ID and print it, once."""
    from app.domain.accounts import audit
    from app.domain.accounts.keys import account_of_key, rotate_api_key

    async def rotate(session: "AsyncSession") -> str:
        account_id = await account_of_key(session, key_id)
        secret, _, old = await rotate_api_key(session, account_id, key_id, grace_seconds=grace_seconds)
        await audit.record(session, account_id, "api_key.rotated", old.id, caller=None, address=None)
        return secret

    click.echo(_in_transaction(rotate))


@keys.command("revoke")
@click.argument("key_id")
def revoke_key(key_id: str) -> None:
    """Refuse KEY_ID from now on. Sockets that are open with it stay so until they close."""
    from app.domain.accounts import audit
    from app.domain.accounts.keys import account_of_key, revoke_api_key

    async def revoke(session: "AsyncSession") -> None:
        account_id = await account_of_key(session, key_id)
        await revoke_api_key(session, account_id, key_id)
        await audit.record(session, account_id, "api_key.revoked", key_id, caller=None, address=None)

    _in_transaction(revoke)
    click.echo(f"{key_id} is revoked")


@main.group()
def webhooks() -> None:
    """The secrets of webhooks."""


@webhooks.command("secret")
@click.option("--rotate", "is_new", is_flag=True, help="Make a new one; the old one signs too for a day.")
def webhook_secret(is_new: bool) -> None:
    """Print what the webhooks to callback URLs of the first account are signed with."""
    from sqlalchemy import select

    from app.base.ids import utc_now
    from app.domain.accounts.models import Account
    from app.domain.webhooks.secrets import DEFAULT_OVERLAP_SECONDS, rotate, valid_secrets

    settings = get_settings()
    secret_key = settings.secret_key or SecretStr(kept_secret(settings.data_dir / "secret_key"))

    async def find(session: "AsyncSession") -> str:
        account_id = await session.scalar(select(Account.id).order_by(Account.created_at).limit(1))
        if account_id is None:
            raise Unavailable("there is no account yet: `capture migrate` or `capture up` makes one")
        owner = account_id, None
        if is_new:
            return (await rotate(session, secret_key, owner, utc_now(), DEFAULT_OVERLAP_SECONDS))[0].text
        return (await valid_secrets(session, secret_key, [owner], utc_now()))[owner][0].text

    click.echo(_in_transaction(find))


def _in_transaction(work: Callable[["AsyncSession"], Awaitable[T]]) -> T:
    """Run `work` in one transaction of the database that is set, else of the one `capture up` keeps."""
    from app.base.db import Database

    settings = get_settings()
    url = settings.database_url or kept_postgres_url(settings.data_dir)

    async def run() -> T:
        database = Database(url)
        try:
            async with database.transaction() as session:
                return await work(session)
        except OSError:
            raise Unavailable("the database does not answer: is `capture up` running?") from None
        finally:
            await database.close()

    return asyncio.run(run())


@main.command()
@click.option("--port", default=8079, show_default=True, type=click.IntRange(0, 65535))
def redirect(port: int) -> None:
    """Lead SDK snippets that call api.videodb.io to this server, by environment variables alone."""
    asyncio.run(_serve_redirect(get_settings(), port))


async def _serve_redirect(settings: Settings, port: int) -> None:
    from app.embedded.redirector import serve_redirect

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with serve_redirect(settings.data_dir, settings.base_url, port) as serving:
            click.echo(f"# Leads api.videodb.io to {settings.base_url} until Ctrl-C. In the client's shell:")
            for name, value in serving.environment.items():
                click.echo(f"export {name}={shlex.quote(value)}")
            await stop.wait()
    except OSError as error:
        raise Conflict(f"cannot listen on port {port}: {error.strerror or error}") from None


if __name__ == "__main__":
    main()
