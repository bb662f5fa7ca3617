"""Reads one stretch of a stored asset: its header, and the fragments of a piece of it."""

from app.domain.assets.models import Asset
from app.media.hls import Piece
from app.storage.contract import Storage


async def read_piece(storage: Storage, asset: Asset, piece: Piece) -> bytes:
    """The piece as a file of its own. Raises `ObjectMissing`, `StorageUnavailable`."""
    header_bytes = int((asset.hls_index or {})["init_length_bytes"])
    ranges = [(0, header_bytes), (piece.range.offset_bytes, piece.range.length_bytes)]
    data = bytearray()
    for start, length in ranges:
        async for block in storage.read(asset.storage_key, start, length):
            data += block
    return bytes(data)
