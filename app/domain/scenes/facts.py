"""Scenes as clients read them (contract §2, Videos)."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.assets.links import Links
from app.domain.assets.models import Asset
from app.domain.scenes.models import Scene, SceneCollection

Json = dict[str, Any]


def scene_collection_facts(
    collection: SceneCollection,
    scenes: Sequence[Scene],
    asset: Asset,
    links: Links,
    told: Mapping[str, str | None],
) -> Json:
    """A collection with its scenes, times in seconds; `told` are the descriptions of frames by their ids."""
    return collection_head(collection) | {
        "scenes": [
            {
                "scene_id": scene.id,
                "start": scene.start_us / 1e6,
                "end": scene.end_us / 1e6,
                "description": scene.description,
                "metadata": {},
                "frames": [
                    {
                        "frame_id": look["frame_id"],
                        "url": links.frame_url(asset, look["frame_id"]),
                        "frame_time": look["at_us"] / 1e6,
                        "description": told.get(look["frame_id"]),
                    }
                    for look in scene.frames
                ],
            }
            for scene in scenes
        ]
    }


def collection_head(collection: SceneCollection) -> Json:
    """A collection without its scenes."""
    return {
        "scene_collection_id": collection.id,
        "config": collection.extraction["config"] | {"extraction_type": collection.extraction["type"]},
        "status": collection.status,
    }
