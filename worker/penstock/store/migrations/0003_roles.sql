-- Why: what the roles need of the tables: a view without contents, and a job that a COPY can make.
-- Locks: ACCESS EXCLUSIVE on job for an instant (two defaults; no row is touched).

-- A job that names neither ord nor due_at is ready now. Drawn by the insert, after its trigger has taken the
-- transaction id: whoever may COPY must not choose an ord, because marks rely on it.
ALTER TABLE penstock.job
  ALTER ord SET DEFAULT nextval('penstock.job_ord_seq'),
  ALTER ready_at SET DEFAULT clock_timestamp();

-- jobs, without arguments, results, headers, messages and tracebacks: what may be shown on a screen.
CREATE VIEW penstock.jobs_redacted AS
SELECT j.id, j.state, j.queue, j.task, j.priority, j.attempt, j.max_attempts, j.crashes, j.created_at, j.ready_at,
       j.due_at, j.claimed_at, j.finished_at, j.worker, j.reason,
       CASE jsonb_typeof(j.errors) WHEN 'array' THEN j.errors -> -1 ELSE j.errors END ->> 'type' AS error
FROM penstock.jobs AS j;
