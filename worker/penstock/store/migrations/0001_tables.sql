-- Why: every table of Penstock, with the columns that later versions need, so that none has to be rewritten.
-- Locks: creates only; nothing that exists is touched.

CREATE SCHEMA IF NOT EXISTS penstock;

-- Uncached on purpose: an id or an ord drawn by a session must not lie below one that another session has published.
CREATE SEQUENCE penstock.job_id_seq AS bigint CACHE 1;
CREATE SEQUENCE penstock.job_ord_seq AS bigint CACHE 1;

CREATE TABLE penstock.queue (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE CHECK (name ~ '^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$'),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  declared_by text,                      -- who mirrors settings here: a JobQueue's uid, or the local mode; NULL: undeclared
  generation bigint NOT NULL DEFAULT 0,  -- of the JobQueue last mirrored
  paused_at timestamptz,                 -- NOT NULL: claims come back empty
  paused_by text,                        -- the declarer, or the login of whoever paused: then only a login resumes
  max_attempts smallint NOT NULL DEFAULT 5 CHECK (max_attempts BETWEEN 1 AND 1000),
  retry jsonb,                           -- {strategy, base_seconds, max_seconds}
  job_deadline interval,
  retention interval NOT NULL DEFAULT '1 day',
  keep_body boolean NOT NULL DEFAULT true,
  settings jsonb NOT NULL DEFAULT '{}',
  workers_waiting_until timestamptz,     -- somebody sleeps: enqueue sends a wake-up while this lies ahead
  operator_waiting_until timestamptz,
  marks bigint[], marks_at timestamptz,  -- one per priority: below it no unclaimed row is left
  heads bigint[]                         -- one per priority: below it no row is left
) WITH (fillfactor = 50);

-- What a claim changes comes first and args last: the update's WAL stays small. The fillfactor leaves room for every row
-- of a page once more and longer by what a claim fills in, so that claims stay HOT (at 50 one in six did not).
CREATE TABLE penstock.job (
  id bigint PRIMARY KEY DEFAULT nextval('penstock.job_id_seq'),
  ord bigint,                            -- NOT NULL: ready or running, in this order; NULL: deferred
  token bigint, worker bigint,           -- NOT NULL: running
  claimed_at timestamptz, deadline timestamptz,
  due_at timestamptz,                    -- NOT NULL: deferred until then
  ready_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  attempt smallint NOT NULL DEFAULT 0, crashes smallint NOT NULL DEFAULT 0, cancel boolean NOT NULL DEFAULT false,
  queue integer NOT NULL,
  priority smallint NOT NULL DEFAULT 1 CHECK (priority BETWEEN 0 AND 3),
  max_attempts smallint NOT NULL DEFAULT 5 CHECK (max_attempts BETWEEN 1 AND 1000),
  reason text,                           -- why it is deferred
  task text NOT NULL CHECK (length(task) BETWEEN 1 AND 255),
  unique_key text, unique_kept text, unique_until timestamptz,
  headers jsonb, errors jsonb, args jsonb NOT NULL,
  CHECK ((ord IS NULL) <> (due_at IS NULL)),
  CHECK ((token IS NULL) = (worker IS NULL) AND (token IS NULL OR ord IS NOT NULL))
) WITH (fillfactor = 44, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX job_pick ON penstock.job (queue, priority, ord) WHERE ord IS NOT NULL;
CREATE INDEX job_due ON penstock.job (queue, due_at) WHERE due_at IS NOT NULL;
CREATE UNIQUE INDEX job_unique ON penstock.job (unique_key) WHERE unique_key IS NOT NULL;

CREATE TABLE penstock.outcome (
  job_id bigint NOT NULL, token bigint, worker bigint,
  created_at timestamptz NOT NULL, ready_at timestamptz, claimed_at timestamptz,
  finished_at timestamptz NOT NULL,
  duration double precision,             -- seconds, on the worker's monotonic clock
  queue integer NOT NULL, attempt smallint NOT NULL, max_attempts smallint NOT NULL, crashes smallint NOT NULL,
  priority smallint NOT NULL, final boolean NOT NULL,
  state text NOT NULL CHECK (state IN ('completed', 'retry', 'cancelled', 'failed')),
  reason text, task text NOT NULL, error jsonb, result jsonb,
  headers jsonb, args jsonb              -- the final outcome's copy of the body
) PARTITION BY RANGE (finished_at);
CREATE INDEX outcome_job ON penstock.outcome (job_id);

CREATE TABLE penstock.dead (
  id bigint PRIMARY KEY,
  queue integer NOT NULL, priority smallint NOT NULL, attempt smallint NOT NULL, max_attempts smallint NOT NULL,
  crashes smallint NOT NULL, created_at timestamptz NOT NULL, died_at timestamptz NOT NULL, worker bigint,
  reason text NOT NULL,                  -- exhausted, non_retryable, poison, ...
  task text NOT NULL, unique_key text, unique_kept text, unique_until timestamptz, headers jsonb, args jsonb NOT NULL,
  error jsonb, errors jsonb, forensics jsonb
);
CREATE INDEX dead_queue ON penstock.dead (queue, died_at);

CREATE TABLE penstock.worker (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  identity text NOT NULL,                -- for people; never used to recognise a worker
  pod text, node text, version text NOT NULL, queues integer[] NOT NULL, concurrency integer NOT NULL,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(), renewed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  unbroken_since timestamptz NOT NULL DEFAULT clock_timestamp(),  -- renewed since then with no gap of half a lease
  lease_until timestamptz NOT NULL,
  state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'cordoned', 'drained', 'lost')),
  swept boolean NOT NULL DEFAULT false,  -- lost, and its claims were taken back
  revoked bigint[] NOT NULL DEFAULT '{}',-- tokens that were given up after a lost reply: a claim with one is refused
  in_flight jsonb NOT NULL DEFAULT '{}', done jsonb NOT NULL DEFAULT '{}', info jsonb NOT NULL DEFAULT '{}',
  report jsonb NOT NULL DEFAULT '{}'     -- for people: what it works on, since when, how far, and its last job
) WITH (fillfactor = 50);                -- no index on what a renewal changes: renewals stay HOT

CREATE TABLE penstock.queue_limit (
  queue integer PRIMARY KEY, max_in_flight integer NOT NULL CHECK (max_in_flight > 0),
  in_flight integer,                     -- NULL: being counted, claims wait
  horizon bigint                         -- counted once every transaction up to this id is over; NULL: not seen yet
) WITH (fillfactor = 50);
CREATE TABLE penstock.limit_return (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, queue integer NOT NULL, amount integer NOT NULL
);

CREATE TABLE penstock.leader (
  name text PRIMARY KEY, holder text NOT NULL, held_since timestamptz NOT NULL, lease_until timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE penstock.schema_version (
  version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE penstock.schema_function (  -- one row: the set of functions that is installed
  one boolean PRIMARY KEY DEFAULT true CHECK (one), checksum text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- An xid before the first ord is drawn, COPY included: marks rely on it.
CREATE FUNCTION penstock.take_xid() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_current_xact_id();
  RETURN NULL;
END $$;
CREATE TRIGGER job_take_xid BEFORE INSERT ON penstock.job FOR EACH STATEMENT EXECUTE FUNCTION penstock.take_xid();
