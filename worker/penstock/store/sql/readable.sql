-- Used by Reader: whether this login may read jobs and outcome. Index: none. Locks: none.
SELECT has_table_privilege('penstock.jobs', 'SELECT'), has_table_privilege('penstock.outcome', 'SELECT')
