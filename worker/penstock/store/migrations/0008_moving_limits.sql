-- Why: under a held snapshot every version of a limit's row stays, and a look-up by the queue alone walked over all of
-- them. The row moves up in its index now and is found from the top; returns are found by transaction id.
-- Locks: ACCESS EXCLUSIVE on queue_limit and limit_return, which are small, for an instant.

ALTER TABLE penstock.queue_limit
  ADD COLUMN seq bigint NOT NULL DEFAULT 0,  -- one more at each change of in_flight
  ADD COLUMN folded pg_snapshot,             -- what the last fold of returns saw
  DROP CONSTRAINT queue_limit_pkey, ADD PRIMARY KEY (queue, seq),
  SET (autovacuum_vacuum_threshold = 100, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX queue_limit_uncounted ON penstock.queue_limit (queue) WHERE in_flight IS NULL;

ALTER TABLE penstock.limit_return
  ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  SET (autovacuum_vacuum_threshold = 100, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX limit_return_queue ON penstock.limit_return (queue, xid);
