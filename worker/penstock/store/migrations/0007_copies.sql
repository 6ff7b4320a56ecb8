-- Why: a lease is believed only as far ahead as it is long, so its length must be known; a queue that has jobs must not be
-- deleted by hand, because no tool reaches jobs whose queue has no row.
-- Locks: ACCESS EXCLUSIVE on worker and leader for an instant, SHARE ROW EXCLUSIVE on queue for two triggers. No row is touched.

ALTER TABLE penstock.worker ADD COLUMN lease interval;  -- NULL: renewed by an older release
ALTER TABLE penstock.leader ADD COLUMN lease interval;

CREATE FUNCTION penstock.refuse_orphans() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    IF EXISTS (SELECT FROM penstock.job) OR EXISTS (SELECT FROM penstock.dead) THEN
      RAISE EXCEPTION 'penstock.queue cannot be emptied while there are jobs or dead letters' USING ERRCODE = '23503',
        HINT = 'Truncate penstock.job and penstock.dead in the same statement.';
    END IF;
  ELSIF EXISTS (SELECT FROM penstock.job AS j WHERE j.queue = OLD.id AND j.ord IS NOT NULL)
     OR EXISTS (SELECT FROM penstock.job AS j WHERE j.queue = OLD.id AND j.due_at IS NOT NULL)
     OR EXISTS (SELECT FROM penstock.dead AS d WHERE d.queue = OLD.id) THEN
    RAISE EXCEPTION 'queue % has jobs or dead letters and cannot be deleted', OLD.name USING ERRCODE = '23503',
      HINT = format('First: penstock jobs cancel --queue %s, penstock dead discard --queue %s; then penstock queues remove %s.',
                    OLD.name, OLD.name, OLD.name);
  END IF;
  RETURN NULL;
END $$;
-- After the statement, so that one statement may remove a queue and its jobs.
CREATE TRIGGER queue_keeps_jobs AFTER DELETE ON penstock.queue FOR EACH ROW EXECUTE FUNCTION penstock.refuse_orphans();
CREATE TRIGGER queue_keeps_all_jobs AFTER TRUNCATE ON penstock.queue FOR EACH STATEMENT
  EXECUTE FUNCTION penstock.refuse_orphans();
