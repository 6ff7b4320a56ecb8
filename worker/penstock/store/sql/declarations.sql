-- Used by queue_declarations.py. See functions/declarations.sql.
SELECT name, declared_by, generation, paused, paused_by, max_attempts, max_in_flight, retry, job_deadline, retention, settings
FROM penstock.declarations()
