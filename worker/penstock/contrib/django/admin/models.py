"""The view of jobs and the table of workers as unmanaged models, for the admin alone.

Reading them needs SELECT on `penstock.jobs` and `penstock.worker`, as the schema's owner has it: the login of Django if
`manage.py migrate` installed the schema.
"""

from __future__ import annotations

from django.db import models

VIEW_CONTENTS = "view_job_contents"
"""The permission to see arguments, headers, results and errors of jobs."""


class JobEntry(models.Model):
    """A job, live or ended."""

    id = models.BigIntegerField(primary_key=True)
    state = models.TextField()
    queue = models.TextField()
    task = models.TextField()
    priority = models.SmallIntegerField()
    attempt = models.SmallIntegerField()
    max_attempts = models.SmallIntegerField()
    crashes = models.SmallIntegerField()
    created_at = models.DateTimeField()
    ready_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)
    claimed_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    worker = models.BigIntegerField(null=True)
    reason = models.TextField()
    args = models.JSONField(null=True)
    headers = models.JSONField(null=True)
    errors = models.JSONField(null=True)
    result = models.JSONField(null=True)

    class Meta:
        """No table of Django's."""

        managed = False
        db_table = '"penstock"."jobs"'
        verbose_name = "job"
        default_permissions = ("view",)
        permissions = ((VIEW_CONTENTS, "Can view arguments, results and errors of jobs"),)

    def __str__(self) -> str:
        return f"job {self.id}, {self.task}"


class DeadLetterEntry(JobEntry):
    """A job that will not run again by itself."""

    class Meta:
        """The rows of jobs with the state `dead`."""

        proxy = True
        verbose_name = "dead letter"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"dead letter {self.id}, {self.task}"


class WorkerEntry(models.Model):
    """A worker process."""

    id = models.BigIntegerField(primary_key=True)
    identity = models.TextField()
    pod = models.TextField()
    node = models.TextField()
    version = models.TextField()
    state = models.TextField()
    concurrency = models.IntegerField()
    started_at = models.DateTimeField()
    renewed_at = models.DateTimeField()
    lease_until = models.DateTimeField()

    class Meta:
        """No table of Django's."""

        managed = False
        db_table = '"penstock"."worker"'
        verbose_name = "worker"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"worker {self.id}, {self.identity}"
