"""What failed tries leave and what nobody claims goes; what is in use stays."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import select, update

from app.base.ids import utc_now
from app.domain.operations.models import Operation
from app.domain.operations.service import (
    OperationKind,
    finish,
    request_operation,
    restart_operation,
    take_lease,
)
from app.domain.uploads.models import Upload
from app.domain.uploads.service import add_upload
from app.process import Context
from app.storage.keys import asset_key, download_key, upload_key
from tests.fixtures.factories import jobs_of, make_asset, make_tenant
from workers.tasks.keep_house import keep_house
from workers.tasks.tidy_operation import tidy_operation

RENDER = OperationKind.RENDER_TIMELINE


async def asked(context: Context, account_id: str, kind: OperationKind, **request: str) -> str:
    async with context.db.transaction() as session:
        return (await request_operation(session, account_id, kind, f"test:{request}", dict(request))).id


async def age_uploads(context: Context, hours: float) -> None:
    async with context.db.transaction() as session:
        await session.execute(update(Upload).values(created_at=utc_now() - timedelta(hours=hours)))


async def kept(context: Context) -> set[str]:
    async with context.db.transaction() as session:
        return set(await session.scalars(select(Upload.id)))


async def test_uploads_that_nobody_claims_go_after_their_hours(context: Context) -> None:
    account_id = (await make_tenant(context)).account_id
    for upload_id in ("up-left", "up-claimed"):
        async with context.db.transaction() as session:
            await add_upload(session, account_id, upload_id)
        await context.storage.put_bytes(upload_key(account_id, upload_id), b"data")
    await asked(context, account_id, OperationKind.IMPORT_UPLOAD, upload_id="up-claimed")
    await age_uploads(context, 23)
    await keep_house(context, "")
    assert await kept(context) == {"up-left", "up-claimed"}
    await age_uploads(context, 25)
    await keep_house(context, "")
    assert await kept(context) == {"up-claimed"}
    assert await context.storage.list_keys(f"{account_id}/") == [upload_key(account_id, "up-claimed")]


async def test_an_upload_that_never_came_is_forgotten_too(context: Context) -> None:
    account_id = (await make_tenant(context)).account_id
    async with context.db.transaction() as session:
        await add_upload(session, account_id, "up-never")
    await age_uploads(context, 25)
    await keep_house(context, "")
    assert await kept(context) == set()


async def test_a_render_that_died_leaves_nothing(context: Context) -> None:
    tenant = await make_tenant(context)
    operation_id = await asked(context, tenant.account_id, RENDER)
    asset_id = f"m-{operation_id.partition('-')[2]}"
    stray = asset_key(tenant.account_id, asset_id, "r-dead", "mp4")
    await context.storage.put_bytes(stray, b"half")
    other = asset_key(tenant.account_id, "m-other", "r-1", "mp4")
    await context.storage.put_bytes(other, b"whole")

    await tidy_operation(context, operation_id)  # too early: it may still run
    assert await context.storage.size_bytes(stray) == 4
    async with context.db.transaction() as session:
        for worker in ("w-dead", "w-2"):
            await session.execute(update(Operation).values(leased_until=None))
            assert await take_lease(session, operation_id, worker=worker, seconds=20)
        await finish(session, operation_id, worker="w-2", result={})
    assert await jobs_of(context, "tidy_operation") == [operation_id]
    await tidy_operation(context, operation_id)
    assert await context.storage.list_keys(f"{tenant.account_id}/") == [other]
    await tidy_operation(context, operation_id)


async def test_what_a_render_made_stays(context: Context) -> None:
    tenant = await make_tenant(context)
    asset = await make_asset(context, tenant)
    await context.storage.put_bytes(asset.storage_key, b"video")
    operation_id = f"op-{asset.id.partition('-')[2]}"
    first_id = await asked(context, tenant.account_id, RENDER)
    async with context.db.transaction() as session:
        await session.execute(
            update(Operation).where(Operation.id == first_id).values(id=operation_id, status="done")
        )
    await tidy_operation(context, operation_id)
    assert await context.storage.size_bytes(asset.storage_key) == 5


async def test_a_render_that_is_begun_again_is_left_alone(context: Context) -> None:
    tenant = await make_tenant(context)
    operation_id = await asked(context, tenant.account_id, RENDER)
    key = asset_key(tenant.account_id, f"m-{operation_id.partition('-')[2]}", "r-new", "mp4")
    await context.storage.put_bytes(key, b"new")
    async with context.db.transaction() as session:
        await restart_operation(session, await session.get_one(Operation, operation_id))
    await tidy_operation(context, operation_id)
    assert await context.storage.size_bytes(key) == 3


async def test_old_downloads_go(context: Context) -> None:
    hasty = replace(context, settings=context.settings.model_copy(update={"download_hours": 1.0}))
    account_id = (await make_tenant(hasty)).account_id
    ids = [await asked(hasty, account_id, OperationKind.MAKE_DOWNLOAD, name=name) for name in ("old", "new")]
    for operation_id in ids:
        await hasty.storage.put_bytes(download_key(account_id, operation_id, "r-1", "mp4"), b"file")
    async with hasty.db.transaction() as session:
        await session.execute(update(Operation).values(status="done"))
        past = utc_now() - timedelta(hours=2)
        await session.execute(update(Operation).where(Operation.id == ids[0]).values(created_at=past))
    await keep_house(hasty, "")
    async with hasty.db.transaction() as session:
        assert list(await session.scalars(select(Operation.id))) == [ids[1]]
    assert len(await hasty.storage.list_keys(f"{account_id}/downloads/")) == 1
