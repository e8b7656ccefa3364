"""Events about creators' files, the asset library and recordings."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from shared.events.base import Event


class CreatorFileUploaded(Event, name="creator.file.uploaded", from_apps=True):
    """A creator uploaded a file (`step` process), or its video may be ready at Mux (`step` poll)."""

    file_id: str
    """project_files.id"""
    creator_id: str
    project_id: str
    """creator_projects.id"""
    file_type: Literal["video", "image", "document", "audio", "archive"] | None = None
    """What the uploader claims."""
    file_size: int | None = None
    """Bytes, as the uploader claims."""
    step: Literal["process", "poll"] = "process"
    attempt: int | None = None
    """Number of the poll."""
    force: bool = False
    """Process a failed or rejected file again."""


class DamMuxBackfill(Event, name="dam.muxBackfill", from_apps=True):
    """Create Mux assets for library videos that have none (`step` create), or ask how they stand (`step` poll)."""

    limit: Annotated[int, Field(ge=1, le=200)] | None = None
    asset_ids: Annotated[list[UUID], Field(max_length=200)] | None = None
    step: Literal["create", "poll"] = "create"
    attempt: int | None = None
    source: str | None = None


class VideoUploadCompleted(Event, name="video.uploadCompleted", from_apps=True):
    """A recording is ready to be transcribed (`step` start), or its transcript may be ready (`step` poll)."""

    video_id: str
    """videos.id"""
    project_id: str | None = None
    creator_id: str | None = None
    playback_id: str | None = None
    """Older field, ignored."""
    duration: float | None = None
    """Seconds."""
    size: int | None = None
    """Bytes."""
    source: str | None = None
    step: Literal["start", "poll"] = "start"
    attempt: int | None = None
    force: bool = False
