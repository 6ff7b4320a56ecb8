-- Why: whoever may enqueue makes queues by naming them. What looks at queues must cost the same however many such names
-- there are, their number must have a limit, and those that nobody uses must go again.
-- Locks: ACCESS EXCLUSIVE on queue for two columns without a default and five small indexes.

ALTER TABLE penstock.queue
  ADD COLUMN idle_since timestamptz,     -- undeclared, and found empty then; an enqueue that sees it locks the queue's slot
  ADD COLUMN idle_horizon bigint;        -- every enqueue with a higher transaction id sees idle_since; NULL: not taken yet
CREATE INDEX queue_declared ON penstock.queue (name) WHERE declared_by IS NOT NULL;
CREATE INDEX queue_undeclared ON penstock.queue (id) WHERE declared_by IS NULL;
CREATE INDEX queue_idle ON penstock.queue (idle_since) WHERE idle_since IS NOT NULL;
CREATE INDEX queue_retention ON penstock.queue (retention);
CREATE INDEX queue_deadline ON penstock.queue (id) WHERE job_deadline IS NOT NULL;

-- One row for each undeclared queue that may exist: an enqueue to an unknown name takes a free one, and steps over those
-- that open transactions hold. A worker's queue needs none: without a free one it gets a row of its own, numbered -id.
CREATE TABLE penstock.queue_slot (
  slot integer PRIMARY KEY, queue integer UNIQUE,
  used_at timestamptz                    -- an enqueue found the queue idle
) WITH (fillfactor = 50);
CREATE INDEX queue_slot_free ON penstock.queue_slot (slot) WHERE queue IS NULL;
INSERT INTO penstock.queue_slot (slot) SELECT generate_series(1, 1000);
INSERT INTO penstock.queue_slot AS s (slot, queue)
  SELECT CASE WHEN u.n <= 1000 THEN u.n ELSE -u.id END, u.id
  FROM (SELECT q.id, row_number() OVER (ORDER BY q.id) AS n FROM penstock.queue AS q WHERE q.declared_by IS NULL) AS u
  ON CONFLICT (slot) DO UPDATE SET queue = excluded.queue;

-- What chores look after at every turn: queues with a JobQueue, and those that a worker serves.
CREATE VIEW penstock.served_queue AS
SELECT q.id FROM penstock.queue AS q WHERE q.declared_by IS NOT NULL
UNION SELECT unnest(w.queues) FROM penstock.worker AS w WHERE w.state <> 'lost';
-- And a bounded number of the others, the oldest.
CREATE VIEW penstock.tended_queue AS
SELECT s.id FROM penstock.served_queue AS s
UNION (SELECT q.id FROM penstock.queue AS q WHERE q.declared_by IS NULL ORDER BY q.id LIMIT 1000);
