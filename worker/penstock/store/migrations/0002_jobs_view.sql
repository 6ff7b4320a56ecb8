-- Why: one place to look up any job, ended ones too, with one state column.
-- Locks: creates only. The retention of a queue hides its ended jobs even while their partition is still there.

CREATE VIEW penstock.jobs AS
SELECT j.id, CASE WHEN j.token IS NOT NULL THEN 'running' WHEN j.ord IS NOT NULL THEN 'queued' ELSE 'scheduled' END AS state,
       q.name AS queue, j.task, j.priority, j.attempt, j.max_attempts, j.crashes, j.created_at, j.ready_at, j.due_at,
       j.claimed_at, NULL::timestamptz AS finished_at, j.worker, j.reason, j.args, j.headers, j.errors,
       NULL::jsonb AS result,             -- progress is what the worker's last renewal of its lease told
       (SELECT jsonb_path_query_first(w.report, '$.jobs[*] ? (@.id == $id).progress', jsonb_build_object('id', j.id))
        FROM penstock.worker AS w WHERE w.id = j.worker) AS progress
FROM penstock.job AS j JOIN penstock.queue AS q ON q.id = j.queue
UNION ALL
SELECT d.id, 'dead', q.name, d.task, d.priority, d.attempt, d.max_attempts, d.crashes, d.created_at, NULL, NULL, NULL,
       d.died_at, d.worker, d.reason, d.args, d.headers,
       CASE WHEN d.error IS NULL THEN d.errors ELSE coalesce(d.errors, '[]') || d.error END, NULL, NULL
FROM penstock.dead AS d JOIN penstock.queue AS q ON q.id = d.queue
UNION ALL
SELECT o.job_id, o.state, q.name, o.task, o.priority, o.attempt, o.max_attempts, o.crashes, o.created_at, o.ready_at,
       NULL, o.claimed_at, o.finished_at, o.worker, o.reason, o.args, o.headers, o.error, o.result, NULL
FROM penstock.outcome AS o JOIN penstock.queue AS q ON q.id = o.queue
WHERE o.final AND o.state IN ('completed', 'cancelled') AND o.finished_at > clock_timestamp() - q.retention;
