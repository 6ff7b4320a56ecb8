-- Why: a worker that was told to stop says so, so that its jobs hold no replica and nobody calls it back.
-- Locks: ACCESS EXCLUSIVE on worker for an instant; its few rows are checked. Older workers and operators never write
-- the new state, and to them it is one that is not running.

ALTER TABLE penstock.worker DROP CONSTRAINT worker_state_check,
  ADD CONSTRAINT worker_state_check CHECK (state IN ('running', 'cordoned', 'drained', 'draining', 'lost'));
