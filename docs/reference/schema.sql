-- The schema after `penstock migrate`. Made by `make generate`; edits here are lost.
-- Without the partitions of outcome, whose names are dates, and without the bodies of the functions, which are in
-- worker/penstock/store/functions/.

CREATE TABLE penstock.queue_limit (
    queue integer NOT NULL,
    max_in_flight integer NOT NULL,
    in_flight integer,
    horizon bigint,
    seq bigint DEFAULT 0 NOT NULL,
    folded pg_snapshot,
    CONSTRAINT queue_limit_max_in_flight_check CHECK ((max_in_flight > 0))
)
WITH (fillfactor='50', autovacuum_vacuum_threshold='100', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_cost_delay='0');

CREATE TABLE penstock.dead (
    id bigint NOT NULL,
    queue integer NOT NULL,
    priority smallint NOT NULL,
    attempt smallint NOT NULL,
    max_attempts smallint NOT NULL,
    crashes smallint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    died_at timestamp with time zone NOT NULL,
    worker bigint,
    reason text NOT NULL,
    task text NOT NULL,
    unique_key text,
    unique_kept text,
    unique_until timestamp with time zone,
    headers jsonb,
    args jsonb NOT NULL,
    error jsonb,
    errors jsonb,
    forensics jsonb
);

CREATE SEQUENCE penstock.job_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE SEQUENCE penstock.job_ord_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE penstock.job (
    id bigint DEFAULT nextval('penstock.job_id_seq'::regclass) NOT NULL,
    ord bigint DEFAULT nextval('penstock.job_ord_seq'::regclass),
    token bigint,
    worker bigint,
    claimed_at timestamp with time zone,
    deadline timestamp with time zone,
    due_at timestamp with time zone,
    ready_at timestamp with time zone DEFAULT clock_timestamp(),
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    attempt smallint DEFAULT 0 NOT NULL,
    crashes smallint DEFAULT 0 NOT NULL,
    cancel boolean DEFAULT false NOT NULL,
    queue integer NOT NULL,
    priority smallint DEFAULT 1 NOT NULL,
    max_attempts smallint DEFAULT 5 NOT NULL,
    reason text,
    task text NOT NULL,
    unique_key text,
    unique_kept text,
    unique_until timestamp with time zone,
    headers jsonb,
    errors jsonb,
    args jsonb NOT NULL,
    incompatible_since timestamp with time zone,
    CONSTRAINT job_check CHECK (((ord IS NULL) <> (due_at IS NULL))),
    CONSTRAINT job_check1 CHECK ((((token IS NULL) = (worker IS NULL)) AND ((token IS NULL) OR (ord IS NOT NULL)))),
    CONSTRAINT job_max_attempts_check CHECK (((max_attempts >= 1) AND (max_attempts <= 1000))),
    CONSTRAINT job_priority_check CHECK (((priority >= 0) AND (priority <= 3))),
    CONSTRAINT job_task_check CHECK (((length(task) >= 1) AND (length(task) <= 255)))
)
WITH (fillfactor='44', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_cost_delay='0', autovacuum_analyze_scale_factor='0.05');

CREATE TABLE penstock.outcome (
    job_id bigint NOT NULL,
    token bigint,
    worker bigint,
    created_at timestamp with time zone NOT NULL,
    ready_at timestamp with time zone,
    claimed_at timestamp with time zone,
    finished_at timestamp with time zone NOT NULL,
    duration double precision,
    queue integer NOT NULL,
    attempt smallint NOT NULL,
    max_attempts smallint NOT NULL,
    crashes smallint NOT NULL,
    priority smallint NOT NULL,
    final boolean NOT NULL,
    state text NOT NULL,
    reason text,
    task text NOT NULL,
    error jsonb,
    result jsonb,
    headers jsonb,
    args jsonb,
    CONSTRAINT outcome_state_check CHECK ((state = ANY (ARRAY['completed'::text, 'retry'::text, 'cancelled'::text, 'failed'::text])))
)
PARTITION BY RANGE (finished_at);

CREATE TABLE penstock.queue (
    id integer NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    declared_by text,
    generation bigint DEFAULT 0 NOT NULL,
    paused_at timestamp with time zone,
    paused_by text,
    max_attempts smallint DEFAULT 5 NOT NULL,
    retry jsonb,
    job_deadline interval,
    retention interval DEFAULT '1 day'::interval NOT NULL,
    keep_body boolean DEFAULT true NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    workers_waiting_until timestamp with time zone,
    operator_waiting_until timestamp with time zone,
    marks bigint[],
    marks_at timestamp with time zone,
    heads bigint[],
    idle_since timestamp with time zone,
    idle_horizon bigint,
    CONSTRAINT queue_max_attempts_check CHECK (((max_attempts >= 1) AND (max_attempts <= 1000))),
    CONSTRAINT queue_name_check CHECK ((name ~ '^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$'::text))
)
WITH (fillfactor='50');

CREATE TABLE penstock.worker (
    id bigint NOT NULL,
    identity text NOT NULL,
    pod text,
    node text,
    version text NOT NULL,
    queues integer[] NOT NULL,
    concurrency integer NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    renewed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    unbroken_since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    lease_until timestamp with time zone NOT NULL,
    state text DEFAULT 'running'::text NOT NULL,
    swept boolean DEFAULT false NOT NULL,
    revoked bigint[] DEFAULT '{}'::bigint[] NOT NULL,
    in_flight jsonb DEFAULT '{}'::jsonb NOT NULL,
    done jsonb DEFAULT '{}'::jsonb NOT NULL,
    info jsonb DEFAULT '{}'::jsonb NOT NULL,
    report jsonb DEFAULT '{}'::jsonb NOT NULL,
    lease interval,
    CONSTRAINT worker_state_check CHECK ((state = ANY (ARRAY['running'::text, 'cordoned'::text, 'drained'::text, 'draining'::text, 'lost'::text])))
)
WITH (fillfactor='50');

CREATE VIEW penstock.jobs AS
 SELECT j.id,
        CASE
            WHEN (j.token IS NOT NULL) THEN 'running'::text
            WHEN (j.ord IS NOT NULL) THEN 'queued'::text
            ELSE 'scheduled'::text
        END AS state,
    q.name AS queue,
    j.task,
    j.priority,
    j.attempt,
    j.max_attempts,
    j.crashes,
    j.created_at,
    j.ready_at,
    j.due_at,
    j.claimed_at,
    NULL::timestamp with time zone AS finished_at,
    j.worker,
    j.reason,
    j.args,
    j.headers,
    j.errors,
    NULL::jsonb AS result,
    ( SELECT jsonb_path_query_first(w.report, '$."jobs"[*]?(@."id" == $"id")."progress"'::jsonpath, jsonb_build_object('id', j.id)) AS jsonb_path_query_first
           FROM penstock.worker w
          WHERE (w.id = j.worker)) AS progress
   FROM (penstock.job j
     JOIN penstock.queue q ON ((q.id = j.queue)))
UNION ALL
 SELECT d.id,
    'dead'::text AS state,
    q.name AS queue,
    d.task,
    d.priority,
    d.attempt,
    d.max_attempts,
    d.crashes,
    d.created_at,
    NULL::timestamp with time zone AS ready_at,
    NULL::timestamp with time zone AS due_at,
    NULL::timestamp with time zone AS claimed_at,
    d.died_at AS finished_at,
    d.worker,
    d.reason,
    d.args,
    d.headers,
        CASE
            WHEN (d.error IS NULL) THEN d.errors
            ELSE (COALESCE(d.errors, '[]'::jsonb) || d.error)
        END AS errors,
    NULL::jsonb AS result,
    NULL::jsonb AS progress
   FROM (penstock.dead d
     JOIN penstock.queue q ON ((q.id = d.queue)))
UNION ALL
 SELECT o.job_id AS id,
    o.state,
    q.name AS queue,
    o.task,
    o.priority,
    o.attempt,
    o.max_attempts,
    o.crashes,
    o.created_at,
    o.ready_at,
    NULL::timestamp with time zone AS due_at,
    o.claimed_at,
    o.finished_at,
    o.worker,
    o.reason,
    o.args,
    o.headers,
    o.error AS errors,
    o.result,
    NULL::jsonb AS progress
   FROM (penstock.outcome o
     JOIN penstock.queue q ON ((q.id = o.queue)))
  WHERE (o.final AND (o.state = ANY (ARRAY['completed'::text, 'cancelled'::text])) AND (o.finished_at > (clock_timestamp() - q.retention)));

CREATE VIEW penstock.jobs_redacted AS
 SELECT id,
    state,
    queue,
    task,
    priority,
    attempt,
    max_attempts,
    crashes,
    created_at,
    ready_at,
    due_at,
    claimed_at,
    finished_at,
    worker,
    reason,
    (
        CASE jsonb_typeof(errors)
            WHEN 'array'::text THEN (errors -> '-1'::integer)
            ELSE errors
        END ->> 'type'::text) AS error
   FROM penstock.jobs j;

CREATE TABLE penstock.leader (
    name text NOT NULL,
    holder text NOT NULL,
    held_since timestamp with time zone NOT NULL,
    lease_until timestamp with time zone NOT NULL,
    lease interval
)
WITH (fillfactor='50');

CREATE TABLE penstock.limit_return (
    id bigint NOT NULL,
    queue integer NOT NULL,
    amount integer NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL
)
WITH (autovacuum_vacuum_threshold='100', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_cost_delay='0');

ALTER TABLE penstock.limit_return ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME penstock.limit_return_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE penstock.queue ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME penstock.queue_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE penstock.queue_slot (
    slot integer NOT NULL,
    queue integer,
    used_at timestamp with time zone
)
WITH (fillfactor='50');

CREATE TABLE penstock.schedule (
    id bigint NOT NULL,
    queue text NOT NULL,
    name text NOT NULL,
    source text NOT NULL,
    generation bigint DEFAULT 1 NOT NULL,
    spec text NOT NULL,
    zone text NOT NULL,
    starts_at timestamp with time zone,
    ends_at timestamp with time zone,
    jitter integer NOT NULL,
    lead integer NOT NULL,
    task text NOT NULL,
    args jsonb NOT NULL,
    priority smallint,
    max_attempts smallint,
    missed text NOT NULL,
    missed_limit integer NOT NULL,
    overlap text NOT NULL,
    suspended boolean DEFAULT false NOT NULL,
    paused_at timestamp with time zone,
    paused_by text,
    removed_at timestamp with time zone,
    declared_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    next_at timestamp with time zone,
    last_tick timestamp with time zone,
    last_job bigint,
    fired bigint DEFAULT 0 NOT NULL,
    last_success_at timestamp with time zone,
    unsuccessful_since timestamp with time zone,
    expected_by timestamp with time zone,
    last_error text,
    retry_at timestamp with time zone,
    CONSTRAINT schedule_jitter_check CHECK ((jitter >= 0)),
    CONSTRAINT schedule_lead_check CHECK ((lead >= 0)),
    CONSTRAINT schedule_max_attempts_check CHECK (((max_attempts >= 1) AND (max_attempts <= 1000))),
    CONSTRAINT schedule_missed_check CHECK ((missed = ANY (ARRAY['Skip'::text, 'Once'::text, 'All'::text]))),
    CONSTRAINT schedule_missed_limit_check CHECK (((missed_limit >= 1) AND (missed_limit <= 1000))),
    CONSTRAINT schedule_overlap_check CHECK ((overlap = ANY (ARRAY['Allow'::text, 'Skip'::text, 'Queue'::text]))),
    CONSTRAINT schedule_priority_check CHECK (((priority >= 0) AND (priority <= 3))),
    CONSTRAINT schedule_source_check CHECK ((source = ANY (ARRAY['code'::text, 'jobqueue'::text]))),
    CONSTRAINT schedule_spec_check CHECK (((length(spec) >= 1) AND (length(spec) <= 200))),
    CONSTRAINT schedule_task_check CHECK (((length(task) >= 1) AND (length(task) <= 255)))
)
WITH (fillfactor='50', autovacuum_vacuum_threshold='500', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_cost_delay='0');

ALTER TABLE penstock.schedule ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME penstock.schedule_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE penstock.schedule_tick (
    schedule bigint NOT NULL,
    tick timestamp with time zone NOT NULL,
    manual boolean DEFAULT false NOT NULL,
    state text NOT NULL,
    job bigint,
    decided_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT schedule_tick_state_check CHECK ((state = ANY (ARRAY['due'::text, 'waiting'::text, 'enqueued'::text, 'completed'::text, 'failed'::text, 'cancelled'::text, 'gone'::text, 'missed'::text, 'overlapped'::text])))
)
WITH (fillfactor='70');

CREATE TABLE penstock.schema_function (
    one boolean DEFAULT true NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT schema_function_one_check CHECK (one)
);

CREATE TABLE penstock.schema_version (
    version integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE VIEW penstock.served_queue AS
 SELECT q.id
   FROM penstock.queue q
  WHERE (q.declared_by IS NOT NULL)
UNION
 SELECT unnest(w.queues) AS id
   FROM penstock.worker w
  WHERE (w.state <> 'lost'::text);

CREATE VIEW penstock.tended_queue AS
 SELECT s.id
   FROM penstock.served_queue s
UNION
( SELECT q.id
   FROM penstock.queue q
  WHERE (q.declared_by IS NULL)
  ORDER BY q.id
 LIMIT 1000);

ALTER TABLE penstock.worker ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME penstock.worker_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE ONLY penstock.dead
    ADD CONSTRAINT dead_pkey PRIMARY KEY (id);

ALTER TABLE ONLY penstock.job
    ADD CONSTRAINT job_pkey PRIMARY KEY (id);

ALTER TABLE ONLY penstock.leader
    ADD CONSTRAINT leader_pkey PRIMARY KEY (name);

ALTER TABLE ONLY penstock.limit_return
    ADD CONSTRAINT limit_return_pkey PRIMARY KEY (id);

ALTER TABLE ONLY penstock.queue_limit
    ADD CONSTRAINT queue_limit_pkey PRIMARY KEY (queue, seq);

ALTER TABLE ONLY penstock.queue
    ADD CONSTRAINT queue_name_key UNIQUE (name);

ALTER TABLE ONLY penstock.queue
    ADD CONSTRAINT queue_pkey PRIMARY KEY (id);

ALTER TABLE ONLY penstock.queue_slot
    ADD CONSTRAINT queue_slot_pkey PRIMARY KEY (slot);

ALTER TABLE ONLY penstock.queue_slot
    ADD CONSTRAINT queue_slot_queue_key UNIQUE (queue);

ALTER TABLE ONLY penstock.schedule
    ADD CONSTRAINT schedule_pkey PRIMARY KEY (id);

ALTER TABLE ONLY penstock.schedule
    ADD CONSTRAINT schedule_queue_name_key UNIQUE (queue, name);

ALTER TABLE ONLY penstock.schedule_tick
    ADD CONSTRAINT schedule_tick_pkey PRIMARY KEY (schedule, tick, manual);

ALTER TABLE ONLY penstock.schema_function
    ADD CONSTRAINT schema_function_pkey PRIMARY KEY (one);

ALTER TABLE ONLY penstock.schema_version
    ADD CONSTRAINT schema_version_pkey PRIMARY KEY (version);

ALTER TABLE ONLY penstock.worker
    ADD CONSTRAINT worker_pkey PRIMARY KEY (id);

CREATE INDEX dead_queue ON penstock.dead USING btree (queue, died_at);

CREATE INDEX job_due ON penstock.job USING btree (queue, due_at) WHERE (due_at IS NOT NULL);

CREATE INDEX job_pick ON penstock.job USING btree (queue, priority, ord) WHERE (ord IS NOT NULL);

CREATE UNIQUE INDEX job_unique ON penstock.job USING btree (unique_key) WHERE (unique_key IS NOT NULL);

CREATE INDEX limit_return_queue ON penstock.limit_return USING btree (queue, xid);

CREATE INDEX outcome_job ON ONLY penstock.outcome USING btree (job_id);

CREATE INDEX queue_deadline ON penstock.queue USING btree (id) WHERE (job_deadline IS NOT NULL);

CREATE INDEX queue_declared ON penstock.queue USING btree (name) WHERE (declared_by IS NOT NULL);

CREATE INDEX queue_idle ON penstock.queue USING btree (idle_since) WHERE (idle_since IS NOT NULL);

CREATE INDEX queue_limit_uncounted ON penstock.queue_limit USING btree (queue) WHERE (in_flight IS NULL);

CREATE INDEX queue_retention ON penstock.queue USING btree (retention);

CREATE INDEX queue_slot_free ON penstock.queue_slot USING btree (slot) WHERE (queue IS NULL);

CREATE INDEX queue_undeclared ON penstock.queue USING btree (id) WHERE (declared_by IS NULL);

CREATE INDEX schedule_next ON penstock.schedule USING btree (next_at) WHERE ((removed_at IS NULL) AND (paused_at IS NULL) AND (NOT suspended));

CREATE INDEX schedule_tick_decided ON penstock.schedule_tick USING btree (decided_at) WHERE (state <> ALL (ARRAY['due'::text, 'waiting'::text, 'enqueued'::text]));

CREATE INDEX schedule_tick_open ON penstock.schedule_tick USING btree (schedule, tick) WHERE (state = ANY (ARRAY['due'::text, 'waiting'::text, 'enqueued'::text]));

CREATE TRIGGER job_take_xid BEFORE INSERT ON penstock.job FOR EACH STATEMENT EXECUTE FUNCTION penstock.take_xid();

CREATE TRIGGER queue_keeps_all_jobs AFTER TRUNCATE ON penstock.queue FOR EACH STATEMENT EXECUTE FUNCTION penstock.refuse_orphans();

CREATE TRIGGER queue_keeps_jobs AFTER DELETE ON penstock.queue FOR EACH ROW EXECUTE FUNCTION penstock.refuse_orphans();

-- Functions:
-- penstock.ack(p_worker bigint, p_ids bigint[], p_tokens bigint[], p_states text[], p_durations double precision[], p_delays double precision[], p_reasons text[], p_errors jsonb[], p_results jsonb[], p_forensics jsonb[]) -> TABLE(id bigint, token bigint, state text), as its owner
-- penstock.ack_completed(p_worker bigint, p_ids bigint[], p_tokens bigint[], p_durations double precision[], p_results jsonb[]) -> integer
-- penstock.ack_deferred(p_worker bigint, p_ids bigint[], p_tokens bigint[], p_states text[], p_durations double precision[], p_delays double precision[], p_reasons text[], p_errors jsonb[], OUT snoozed bigint[], OUT tokens bigint[]) -> record
-- penstock.ack_ended(p_worker bigint, p_ids bigint[], p_tokens bigint[], p_states text[], p_durations double precision[], p_reasons text[], p_errors jsonb[], p_results jsonb[], p_forensics jsonb[]) -> integer
-- penstock.ack_unlocked(p_worker bigint, p_ids bigint[], p_tokens bigint[], p_states text[], p_durations double precision[], p_delays double precision[], p_reasons text[], p_errors jsonb[], p_results jsonb[], p_forensics jsonb[]) -> TABLE(id bigint, token bigint, state text), as its owner
-- penstock.append_worker_loss(p_errors jsonb, p_worker bigint, p_attempt smallint) -> jsonb
-- penstock.audit(p_part text) -> integer, as its owner
-- penstock.begin_copy(p_queues text[], p_jobs integer, OUT ids bigint[], OUT queues integer[], OUT max_attempts smallint[]) -> record, as its owner
-- penstock.begin_drain(p_worker bigint) -> text, as its owner
-- penstock.begin_marks(OUT last_ord bigint, OUT horizon bigint) -> record, as its owner
-- penstock.bury_unreadable(p_queue integer, p_limit integer) -> bigint[], as its owner
-- penstock.cancel_jobs(p_ids bigint[], p_reason text) -> TABLE(id bigint, verdict text), as its owner
-- penstock.check_size(p_what text, p_bodies jsonb[]) -> integer
-- penstock.checkup() -> jsonb, as its owner
-- penstock.claim(p_worker bigint, p_queue integer, p_limit integer, p_token bigint) -> TABLE(id bigint, attempt smallint, max_attempts smallint, crashes smallint, priority smallint, ord bigint, task text, args text, headers text, wait double precision), as its owner
-- penstock.close_copy(p_after bigint, p_jobs integer, p_queues integer[]) -> bigint[], as its owner
-- penstock.complete(p_worker bigint, p_id bigint, p_token bigint, p_duration double precision) -> boolean, as its owner
-- penstock.cordon(p_workers bigint[], p_cordon boolean) -> SETOF bigint, as its owner
-- penstock.count_limits() -> integer, as its owner
-- penstock.deadline_error(p_attempt smallint, p_allowed interval) -> jsonb
-- penstock.declarations() -> TABLE(name text, declared_by text, generation bigint, paused boolean, paused_by text, max_attempts smallint, max_in_flight integer, retry jsonb, job_deadline double precision, retention double precision, settings jsonb), as its owner
-- penstock.declare_queue(p_name text, p_declared_by text, p_generation bigint, p_paused boolean, p_max_attempts smallint, p_retry jsonb, p_job_deadline double precision, p_retention double precision, p_settings jsonb) -> integer, as its owner
-- penstock.declare_schedules(p_queue text, p_source text, p_schedules jsonb) -> TABLE(schedule text, verdict text), as its owner
-- penstock.depth(p_queue integer, p_cap integer) -> TABLE(ready bigint, deferred bigint, in_flight bigint, dead bigint, oldest double precision), as its owner
-- penstock.deregister(p_worker bigint, p_empty boolean) -> void, as its owner
-- penstock.discard(p_ids bigint[]) -> integer, as its owner
-- penstock.drop_partitions() -> integer, as its owner
-- penstock.end_cancelled(p_ids bigint[], p_reason text) -> void
-- penstock.end_incompatible(p_worker bigint, p_ids bigint[], p_tokens bigint[], INOUT p_states text[], INOUT p_reasons text[], p_errors jsonb[]) -> record
-- penstock.end_refused(p_worker bigint, p_id bigint, p_token bigint, p_error jsonb) -> double precision, as its owner
-- penstock.enqueue(p_queue text, p_task text, p_args jsonb, p_priority smallint, p_max_attempts smallint, p_delay double precision, p_at timestamp with time zone, p_headers jsonb) -> bigint, as its owner
-- penstock.enqueue_many(p_queues text[], p_tasks text[], p_args jsonb[], p_priorities smallint[], p_max_attempts smallint[], p_delays double precision[], p_ats timestamp with time zone[], p_headers jsonb[], p_unique_keys text[], p_until_start boolean[], p_unique_seconds double precision[], p_refuse boolean[]) -> bigint[], as its owner
-- penstock.enqueue_quietly(p_queues text[], p_tasks text[], p_args jsonb[], p_priorities smallint[], p_max_attempts smallint[], p_delays double precision[], p_ats timestamp with time zone[], p_headers jsonb[], p_unique_keys text[], p_until_start boolean[], p_unique_seconds double precision[], p_refuse boolean[]) -> bigint[], as its owner
-- penstock.enqueue_unique(p_id bigint, p_queue text, p_task text, p_args jsonb, p_priority smallint, p_max_attempts smallint, p_delay double precision, p_at timestamp with time zone, p_headers jsonb, p_key text, p_until_start boolean, p_seconds double precision, p_refuse boolean) -> bigint
-- penstock.ensure_partition() -> void
-- penstock.expire_keys(p_queues text[], p_keys text[]) -> void
-- penstock.find_dead(p_ids bigint[], p_queue text, p_task text, p_reason text, p_contains text, p_since timestamp with time zone, p_before timestamp with time zone, p_after bigint, p_newest boolean, p_limit integer) -> TABLE(id bigint, queue text, task text, reason text, attempt smallint, max_attempts smallint, crashes smallint, created_at timestamp with time zone, died_at timestamp with time zone, error text, message text), as its owner
-- penstock.grace_left(p_worker bigint) -> double precision, as its owner
-- penstock.have_queues(p_names text[]) -> void
-- penstock.held_by(p_queue integer, p_cap integer) -> TABLE(worker bigint, jobs bigint), as its owner
-- penstock.idle_queues(p_slots integer[]) -> integer[]
-- penstock.integrity() -> jsonb
-- penstock.keep_queue(p_queue integer) -> boolean
-- penstock.lagging_sequences(OUT sequence text, OUT last bigint, OUT highest bigint) -> SETOF record
-- penstock.lead(p_name text, p_holder text, p_lease double precision) -> double precision, as its owner
-- penstock.lead_ends(p_name text) -> double precision, as its owner
-- penstock.limit_give_back(p_queues integer[]) -> void
-- penstock.limit_room(p_queue integer) -> integer
-- penstock.limit_take(p_queue integer, p_jobs integer) -> void
-- penstock.limit_undeclared(p_most integer) -> integer
-- penstock.limit_wait(p_queue integer) -> queue_limit
-- penstock.list_jobs(p_states text[], p_queue text, p_task text, p_error text, p_since timestamp with time zone, p_before bigint, p_limit integer) -> TABLE(id bigint, state text, queue text, task text, priority smallint, attempt smallint, max_attempts smallint, crashes smallint, created_at timestamp with time zone, ready_at timestamp with time zone, due_at timestamp with time zone, claimed_at timestamp with time zone, finished_at timestamp with time zone, worker bigint, reason text, error text, message text), as its owner
-- penstock.list_queues(p_cap integer) -> TABLE(name text, declared_by text, paused double precision, paused_by text, ready bigint, capped boolean, deferred bigint, in_flight bigint, dead bigint, oldest double precision, workers integer, slots bigint, max_in_flight integer, limit_in_flight integer, max_attempts smallint, retention double precision, job_deadline double precision), as its owner
-- penstock.list_schedules(p_queues text[]) -> TABLE(id bigint, queue text, name text, source text, generation bigint, spec text, zone text, starts_at timestamp with time zone, ends_at timestamp with time zone, jitter integer, lead_seconds integer, task text, missed text, missed_limit integer, overlap text, paused boolean, suspended boolean, paused_at timestamp with time zone, paused_by text, next_at timestamp with time zone, last_tick timestamp with time zone, last_job bigint, fired bigint, last_success_at timestamp with time zone, late double precision, last_error text, waiting bigint, busy boolean, now timestamp with time zone), as its owner
-- penstock.list_workers(p_queue text, p_cap integer) -> TABLE(id bigint, identity text, pod text, node text, version text, queues text[], state text, concurrency integer, in_flight bigint, done bigint, up double precision, renewed double precision, lease_left double precision, oldest_job bigint, oldest_task text, oldest_claimed double precision, http text, report jsonb), as its owner
-- penstock.lock_holders() -> jsonb
-- penstock.lost_workers(p_queue integer) -> TABLE(pod text, node text, silent double precision), as its owner
-- penstock.make_partitions(p_days integer) -> integer, as its owner
-- penstock.make_queue(p_name text, p_slotless boolean) -> void
-- penstock.may_rescue(p_holder text, p_lease double precision) -> boolean
-- penstock.miscounted_limits() -> SETOF integer
-- penstock.note_end(p_queue integer, p_pod text, p_at timestamp with time zone, p_how text) -> void, as its owner
-- penstock.open_copy(p_queues text[], OUT queues integer[], OUT max_attempts smallint[], OUT after bigint) -> record, as its owner
-- penstock.orphan_queues() -> SETOF integer
-- penstock.pause(p_queue text, p_paused boolean) -> boolean, as its owner
-- penstock.pause_schedule(p_queue text, p_name text, p_paused boolean, p_generation bigint, p_next timestamp with time zone, OUT present boolean, OUT done boolean) -> record, as its owner
-- penstock.pick(p_queue integer, p_limit integer, p_first bigint[]) -> tid[]
-- penstock.promote(p_limit integer, OUT promoted integer, OUT next_due double precision) -> record, as its owner
-- penstock.prune_queues() -> integer, as its owner
-- penstock.prune_ticks(p_limit integer) -> integer, as its owner
-- penstock.prune_workers() -> integer, as its owner
-- penstock.publish_marks(p_last_ord bigint, p_horizon bigint) -> integer, as its owner
-- penstock.queue_stats(p_queue text, p_seconds double precision) -> TABLE(name text, completed bigint, retried bigint, dead bigint, cancelled bigint, wait_p50 double precision, wait_p95 double precision, run_p50 double precision, run_p95 double precision), as its owner
-- penstock.queues_below_marks() -> SETOF integer
-- penstock.recent_waits(p_seconds double precision, p_blocks integer) -> TABLE(queue integer, attempts bigint, p95 double precision), as its owner
-- penstock.reclaim(p_lost bigint[], OUT rescued integer, OUT poisoned integer) -> record
-- penstock.redrive(p_ids bigint[], p_drop_key boolean) -> TABLE(id bigint, holder bigint), as its owner
-- penstock.refuse_orphans() -> trigger
-- penstock.register(p_queue text, p_identity text, p_pod text, p_node text, p_version text, p_concurrency integer, p_lease double precision, p_info jsonb, OUT worker bigint, OUT queue integer) -> record, as its owner
-- penstock.release(p_worker bigint, p_ids bigint[], p_tokens bigint[]) -> integer, as its owner
-- penstock.release_claim(p_worker bigint, p_queue integer, p_token bigint) -> integer, as its owner
-- penstock.release_unknown(p_worker bigint, p_queue integer, p_ids bigint[], p_tokens bigint[]) -> integer, as its owner
-- penstock.release_unlocked(p_worker bigint, p_ids bigint[], p_tokens bigint[], OUT released integer, OUT locked bigint[]) -> record, as its owner
-- penstock.remove_queue(p_queue text, p_dry_run boolean, OUT verdict text, OUT number bigint) -> record, as its owner
-- penstock.renew(p_worker bigint, p_lease double precision, p_ids bigint[], p_tokens bigint[], p_in_flight jsonb, p_done jsonb, p_drained boolean, p_report jsonb, OUT state text, OUT fenced_ids bigint[], OUT fenced_tokens bigint[], OUT cancelled_ids bigint[]) -> record, as its owner
-- penstock.rescue(p_holder text, p_lease double precision, p_strays boolean, OUT lost integer, OUT rescued integer, OUT poisoned integer) -> record, as its owner
-- penstock.rescue_overdue(p_holder text, p_lease double precision, OUT retried integer, OUT buried integer) -> record, as its owner
-- penstock.retake_key(p_id bigint) -> boolean
-- penstock.retry_delay(p_retry jsonb, p_attempt smallint) -> double precision
-- penstock.retry_now(p_ids bigint[]) -> integer, as its owner
-- penstock.row_holder(p_xmax xid) -> jsonb
-- penstock.run_schedule(p_queue text, p_name text) -> bigint, as its owner
-- penstock.sample(p_names text[], p_cap integer, p_soon double precision) -> TABLE(queue integer, name text, paused boolean, declared boolean, ready bigint, capped boolean, deferred bigint, due_soon bigint, in_flight bigint, dead bigint, oldest double precision, workers jsonb), as its owner
-- penstock.schedule_busy(p_schedule bigint) -> boolean
-- penstock.schedule_due(p_limit integer) -> TABLE(id bigint, queue text, name text, task text, spec text, zone text, starts_at timestamp with time zone, ends_at timestamp with time zone, jitter integer, missed text, missed_limit integer, generation bigint, next_at timestamp with time zone, now timestamp with time zone), as its owner
-- penstock.schedule_failed(p_id bigint, p_generation bigint, p_error text) -> boolean, as its owner
-- penstock.schedule_fire(p_ids bigint[], p_generations bigint[], p_seen timestamp with time zone[], p_next timestamp with time zone[], p_of bigint[], p_ticks timestamp with time zone[]) -> TABLE(id bigint, fired integer), as its owner
-- penstock.set_limit(p_queue integer, p_max_in_flight integer) -> void, as its owner
-- penstock.settle_schedules(p_limit integer, OUT settled integer, OUT still_open integer) -> record, as its owner
-- penstock.shorten_grace(p_queue integer, p_pod text, p_seconds double precision) -> void, as its owner
-- penstock.snapshot(p_cap integer, p_soon double precision) -> TABLE(queue integer, name text, paused boolean, declared boolean, ready bigint, capped boolean, deferred bigint, due_soon bigint, in_flight bigint, dead bigint, oldest double precision, workers jsonb), as its owner
-- penstock.start_ticks(p_ids bigint[]) -> TABLE(schedule bigint, jobs integer)
-- penstock.take_xid() -> trigger
-- penstock.tell_dead(p_holder text, p_limit integer) -> TABLE(id bigint, queue text, task text, reason text, attempt smallint, error text, message text), as its owner
-- penstock.undeclared() -> jsonb
-- penstock.wait_mark(p_queues integer[], p_seconds double precision, p_operator boolean) -> double precision, as its owner
-- penstock.wake(p_queues integer[]) -> void
-- penstock.why_job(p_id bigint) -> jsonb, as its owner
