-- The complete rights of each role. The roles are groups without a login, `penstock_ROLE`; the owner is the login that runs
-- `penstock migrate`. A section belongs to the role in its heading; `penstock grants` prints it, also for another grantee,
-- `penstock migrate --roles` runs it, and every later `penstock migrate` runs it again for the roles in use.
-- Tables stay closed: a function that is named here runs as the owner (roles.py). Each statement is idempotent.

-- role: enqueuer
-- Enqueues jobs; reads nothing.
GRANT USAGE ON SCHEMA penstock TO penstock_enqueuer;
GRANT EXECUTE ON FUNCTION penstock.enqueue, penstock.enqueue_many, penstock.enqueue_quietly TO penstock_enqueuer;

-- role: client
-- An application that also reads the state and the result of its jobs, and cancels them.
GRANT USAGE ON SCHEMA penstock TO penstock_client;
GRANT EXECUTE ON FUNCTION penstock.enqueue, penstock.enqueue_many, penstock.enqueue_quietly, penstock.cancel_jobs, penstock.list_jobs,
  penstock.why_job TO penstock_client;
GRANT SELECT ON penstock.jobs TO penstock_client;

-- role: bulk_enqueuer
-- COPY of ready jobs between open_copy and close_copy: the table draws ids, ord and times. Never writes an id, a token, a
-- worker, an ord or a unique key.
GRANT USAGE ON SCHEMA penstock TO penstock_bulk_enqueuer;
GRANT EXECUTE ON FUNCTION penstock.enqueue, penstock.enqueue_many, penstock.enqueue_quietly, penstock.begin_copy, penstock.open_copy,
  penstock.close_copy, penstock.wake TO penstock_bulk_enqueuer;
GRANT INSERT (queue, priority, max_attempts, task, headers, args) ON penstock.job TO penstock_bulk_enqueuer;
GRANT USAGE ON SEQUENCE penstock.job_id_seq, penstock.job_ord_seq TO penstock_bulk_enqueuer;
GRANT SELECT (id, name, workers_waiting_until, operator_waiting_until) ON penstock.queue TO penstock_bulk_enqueuer;

-- role: worker
-- The whole life of a job, and maintenance; its tasks enqueue.
GRANT USAGE ON SCHEMA penstock TO penstock_worker;
GRANT EXECUTE ON FUNCTION penstock.register, penstock.renew, penstock.begin_drain, penstock.grace_left, penstock.deregister, penstock.claim, penstock.bury_unreadable, penstock.ack,
  penstock.ack_unlocked, penstock.complete, penstock.release, penstock.release_unlocked, penstock.release_claim, penstock.release_unknown, penstock.wait_mark, penstock.lead, penstock.lead_ends,
  penstock.promote, penstock.rescue, penstock.rescue_overdue, penstock.begin_marks, penstock.publish_marks,
  penstock.count_limits,
  penstock.make_partitions, penstock.drop_partitions, penstock.prune_workers, penstock.prune_queues, penstock.audit, penstock.end_refused,
  penstock.depth, penstock.tell_dead, penstock.declare_schedules, penstock.schedule_due, penstock.schedule_fire,
  penstock.schedule_failed, penstock.settle_schedules, penstock.prune_ticks,
  penstock.enqueue, penstock.enqueue_many, penstock.enqueue_quietly TO penstock_worker;
GRANT SELECT ON penstock.schema_version, penstock.queue_limit TO penstock_worker;

-- role: operator
-- Samples, scales, does maintenance if no worker lives, and acts on jobs by id for people. Reads no arguments.
GRANT USAGE ON SCHEMA penstock TO penstock_operator;
GRANT EXECUTE ON FUNCTION penstock.sample, penstock.snapshot, penstock.held_by, penstock.lost_workers, penstock.note_end,
  penstock.shorten_grace,
  penstock.recent_waits, penstock.wait_mark,
  penstock.declarations, penstock.declare_queue, penstock.set_limit,
  penstock.cordon, penstock.pause, penstock.remove_queue, penstock.cancel_jobs, penstock.retry_now, penstock.find_dead, penstock.redrive,
  penstock.discard, penstock.lead, penstock.lead_ends, penstock.promote, penstock.rescue, penstock.rescue_overdue,
  penstock.begin_marks,
  penstock.publish_marks, penstock.count_limits, penstock.make_partitions, penstock.drop_partitions,
  penstock.prune_workers, penstock.prune_queues, penstock.audit, penstock.list_queues, penstock.queue_stats, penstock.list_workers,
  penstock.list_jobs, penstock.why_job, penstock.checkup, penstock.declare_schedules, penstock.schedule_due, penstock.schedule_fire,
  penstock.schedule_failed, penstock.settle_schedules, penstock.prune_ticks, penstock.list_schedules, penstock.pause_schedule,
  penstock.run_schedule TO penstock_operator;
GRANT SELECT ON penstock.schema_version, penstock.queue_limit, penstock.jobs_redacted TO penstock_operator;

-- role: observer
-- Reads everything except arguments, results, headers, messages and tracebacks.
GRANT USAGE ON SCHEMA penstock TO penstock_observer;
GRANT EXECUTE ON FUNCTION penstock.sample, penstock.snapshot, penstock.list_queues, penstock.queue_stats, penstock.list_workers,
  penstock.list_jobs, penstock.why_job, penstock.find_dead, penstock.checkup, penstock.list_schedules TO penstock_observer;
GRANT SELECT ON penstock.schema_version, penstock.jobs_redacted TO penstock_observer;
