-- Why: a job whose arguments the workers of one release do not accept waits for another release, but not without bound.
-- Locks: ACCESS EXCLUSIVE on job for an instant; a column without a default rewrites nothing. Older workers never read or
-- write it.

ALTER TABLE penstock.job ADD COLUMN incompatible_since timestamptz;  -- when a worker first refused the arguments
