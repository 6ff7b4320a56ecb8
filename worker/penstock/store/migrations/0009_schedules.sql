-- Why: schedules enqueue a job at each of their ticks, exactly one: a tick has a row of its own, under a key that outlives
-- the job, and next_at only moves on under the schedule's row lock.
-- Locks: creates only; nothing that exists is touched.

CREATE TABLE penstock.schedule (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  queue text NOT NULL, name text NOT NULL,
  source text NOT NULL CHECK (source IN ('code', 'jobqueue')),
  generation bigint NOT NULL DEFAULT 1,  -- one more at each change of the declaration, a removal and a return
  spec text NOT NULL CHECK (length(spec) BETWEEN 1 AND 200),  -- a cron expression, or @every and seconds
  zone text NOT NULL, starts_at timestamptz, ends_at timestamptz,
  jitter integer NOT NULL CHECK (jitter >= 0), lead integer NOT NULL CHECK (lead >= 0),  -- seconds
  task text NOT NULL CHECK (length(task) BETWEEN 1 AND 255), args jsonb NOT NULL,
  priority smallint CHECK (priority BETWEEN 0 AND 3), max_attempts smallint CHECK (max_attempts BETWEEN 1 AND 1000),
  missed text NOT NULL CHECK (missed IN ('Skip', 'Once', 'All')),
  missed_limit integer NOT NULL CHECK (missed_limit BETWEEN 1 AND 1000),
  overlap text NOT NULL CHECK (overlap IN ('Allow', 'Skip', 'Queue')),
  suspended boolean NOT NULL DEFAULT false,  -- by the declaration
  paused_at timestamptz, paused_by text,     -- by a login
  removed_at timestamptz,                    -- no longer declared; the row keeps the history
  declared_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  next_at timestamptz,                       -- nothing before it is left to decide; NULL: no tick comes any more
  last_tick timestamptz,                     -- nothing up to it is ever fired again
  last_job bigint, fired bigint NOT NULL DEFAULT 0,
  last_success_at timestamptz,               -- when the last completed job ended
  unsuccessful_since timestamptz,            -- the first tick after the last success; NULL: none
  expected_by timestamptz,                   -- the tick after that one
  last_error text, retry_at timestamptz,     -- NOT NULL: its ticks could not be computed or enqueued
  UNIQUE (queue, name)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX schedule_next ON penstock.schedule (next_at) WHERE removed_at IS NULL AND paused_at IS NULL AND NOT suspended;

CREATE TABLE penstock.schedule_tick (
  schedule bigint NOT NULL, tick timestamptz NOT NULL,
  manual boolean NOT NULL DEFAULT false,     -- run now, by a person: not a tick of the schedule
  state text NOT NULL CHECK (state IN ('due', 'waiting', 'enqueued', 'completed', 'failed', 'cancelled', 'gone', 'missed', 'overlapped')),
  job bigint, decided_at timestamptz NOT NULL DEFAULT clock_timestamp(), ended_at timestamptz,
  PRIMARY KEY (schedule, tick, manual)
) WITH (fillfactor = 70);
CREATE INDEX schedule_tick_open ON penstock.schedule_tick (schedule, tick) WHERE state IN ('due', 'waiting', 'enqueued');
CREATE INDEX schedule_tick_decided ON penstock.schedule_tick (decided_at) WHERE state NOT IN ('due', 'waiting', 'enqueued');
