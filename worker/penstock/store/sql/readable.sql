-- Used by Reader: which of jobs and outcome this login may read whole. Index: none. Locks: none.
SELECT has_table_privilege('penstock.jobs', 'SELECT'), has_table_privilege('penstock.outcome', 'SELECT')
