-- Used by Reader.why. See functions/why_job.sql.
SELECT penstock.why_job(%s::bigint)
