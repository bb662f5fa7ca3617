"""What search can find: each utterance, and each record of an index in one passage or several."""

from datetime import datetime
from typing import Any

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import CheckConstraint, Computed, ForeignKey, Index, literal_column, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, Created

DIMENSIONS = 384
# Picture vectors so long have a graph to be searched by: those of ViT-B models, and of the one that is built
# of packages. Others are all read, some microseconds each.
PICTURE_DIMENSIONS = (384, 512)


class Passage(Created, Base):
    """A text and its vector, with all that searches filter by in the same row: a filter in another table
    would be asked for each neighbour that the vector index offers.

    Times are on the owner's clock in microseconds. `vector` has length 1, and is None while `due_at` says
    from when on housekeeping rings for it; both are None where it was given up. A passage without text is a
    picture of its record: `picture_vector` is of length 1, and only to be compared with those of the same
    `picture_space`, a model and its weights.
    """

    __tablename__ = "passages"
    __table_args__ = (
        CheckConstraint("num_nonnulls(stream_id, asset_id) = 1", name="one_owner"),
        CheckConstraint("num_nonnulls(utterance_id, record_id) = 1", name="one_source"),
        CheckConstraint("kind in ('spoken', 'visual', 'audio')", name="kind"),
        Index("ix_passages_search_vector", "search_vector", postgresql_using="gin"),
        Index(
            "ix_passages_vector",
            "vector",
            postgresql_using="hnsw",
            # At a million the graph with 16 and 64 found 0.92 of the nearest, whatever the search spent.
            postgresql_with={"m": 24, "ef_construction": 128},
            postgresql_ops={"vector": "halfvec_ip_ops"},
        ),
        # With all that a search of few passages reads, which is so read in a row.
        Index(
            "ix_passages_account_id_start_us",
            "account_id",
            "start_us",
            postgresql_include=["end_us", "kind", "stream_id", "asset_id", "index_id", "id", "vector"],
        ),
        Index("ix_passages_stream_id_start_us", "stream_id", "start_us"),
        Index("ix_passages_asset_id_start_us", "asset_id", "start_us"),
        Index("ix_passages_due_at", "due_at", postgresql_where=text("due_at is not null")),
        Index(
            "ix_passages_account_id_picture_space",
            "account_id",
            "picture_space",
            postgresql_where=text("picture_space is not null"),
        ),
        *(
            Index(
                f"ix_passages_picture_vector_{dimensions}",
                literal_column(f"(picture_vector::halfvec({dimensions}))").label("picture"),
                postgresql_using="hnsw",
                postgresql_ops={"picture": "halfvec_ip_ops"},
                postgresql_where=text(f"vector_dims(picture_vector) = {dimensions}"),
            )
            for dimensions in PICTURE_DIMENSIONS
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="cascade"))
    stream_id: Mapped[str | None] = mapped_column(ForeignKey("streams.id", ondelete="cascade"))
    asset_id: Mapped[str | None] = mapped_column(ForeignKey("assets.id", ondelete="cascade"))
    utterance_id: Mapped[str | None] = mapped_column(
        ForeignKey("utterances.id", ondelete="cascade"), index=True
    )
    record_id: Mapped[str | None] = mapped_column(
        ForeignKey("index_records.id", ondelete="cascade"), index=True
    )
    index_id: Mapped[str | None] = mapped_column(
        ForeignKey("scene_indexes.id", ondelete="cascade"), index=True
    )
    kind: Mapped[str]
    start_us: Mapped[int]
    end_us: Mapped[int]
    text: Mapped[str]
    search_vector: Mapped[Any] = mapped_column(
        TSVECTOR, Computed("to_tsvector('english', text)", persisted=True), deferred=True
    )
    vector: Mapped[Any | None] = mapped_column(HALFVEC(DIMENSIONS), deferred=True)
    # As long as the model makes them: two models, two lengths.
    picture_vector: Mapped[Any | None] = mapped_column(HALFVEC(), deferred=True)
    picture_space: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime | None]
