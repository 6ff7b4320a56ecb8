"""The pages: lists of jobs, dead letters and workers, for staff with the permission to view them. They change nothing.

Arguments, headers, results and errors are read from the database only for users with `view_job_contents`. The list of
jobs starts with live ones: ended jobs can be millions.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator

from penstock.contrib.django.config import config

from .models import VIEW_CONTENTS, DeadLetterEntry, JobEntry, WorkerEntry

CONTENTS = ("args", "headers", "errors", "result")
LIVE = ("queued", "scheduled", "running")
ENDED = ("completed", "cancelled", "dead")
MAX_COUNT = 10_000


class CappedPaginator(Paginator):
    """Counts no more than 10,000 rows: a list of jobs has no useful end."""

    @property
    def count(self) -> int:
        """Rows, at most 10,000."""
        return int(self.object_list[:MAX_COUNT].count())


class StateFilter(admin.SimpleListFilter):
    """By state; live jobs unless one is chosen."""

    title = "state"
    parameter_name = "state"

    def lookups(self, _request: Any, _model_admin: Any) -> list[tuple[str, str]]:
        """The states."""
        return [(state, state) for state in (*LIVE, *ENDED)]

    def queryset(self, _request: Any, queryset: Any) -> Any:
        """The rows of the chosen state."""
        states = (self.value(),) if self.value() else LIVE
        return queryset.filter(state__in=states)

    def choices(self, changelist: Any) -> Any:
        """As Django's, but without a choice the live ones are listed, not all."""
        for choice in super().choices(changelist):
            yield {**choice, "display": "live"} if choice["display"] == "All" else choice


class ReadOnlyAdmin(admin.ModelAdmin):
    """Nothing can be added, changed or deleted; rows come from the database of the settings."""

    actions = None
    paginator = CappedPaginator
    show_full_result_count = False
    list_display_links: Any = ("id",)

    def get_queryset(self, request: Any) -> Any:
        """From Penstock's database."""
        return super().get_queryset(request).using(config().database)

    def has_add_permission(self, *_given: Any) -> bool:
        """Never."""
        return False

    def has_change_permission(self, *_given: Any) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, *_given: Any) -> bool:
        """Never."""
        return False


@admin.register(JobEntry)
class JobAdmin(ReadOnlyAdmin):
    """Jobs, newest first."""

    list_display: Any = ("id", "state", "queue", "task", "attempt", "created_at", "finished_at")
    list_filter: Any = (StateFilter,)
    search_fields = ("=id", "=task", "=queue")
    ordering = ("-id",)

    @staticmethod
    def _may_see_contents(request: Any) -> bool:
        return bool(request.user.has_perm(f"penstock_admin.{VIEW_CONTENTS}"))

    def get_queryset(self, request: Any) -> Any:
        """Without contents for users who may not see them, and in lists."""
        return super().get_queryset(request).defer(*CONTENTS)

    def get_fields(self, request: Any, obj: Any = None) -> list[str]:
        """The contents are last."""
        found = [field for field in super().get_fields(request, obj) if field not in CONTENTS]
        return [*found, *CONTENTS] if self._may_see_contents(request) else found


@admin.register(DeadLetterEntry)
class DeadLetterAdmin(JobAdmin):
    """Dead letters, newest first; `penstock dead` redrives them."""

    list_display = ("id", "queue", "task", "reason", "attempt", "finished_at")
    list_filter = ()

    def get_queryset(self, request: Any) -> Any:
        """Dead letters only."""
        return super().get_queryset(request).filter(state="dead")


@admin.register(WorkerEntry)
class WorkerAdmin(ReadOnlyAdmin):
    """Workers, newest first."""

    list_display = ("id", "identity", "state", "version", "concurrency", "started_at", "renewed_at")
    ordering = ("-id",)
