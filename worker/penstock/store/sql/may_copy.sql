-- Used by copy_enqueue: whether this login may COPY jobs; false also if the schema has no open_copy. Index: the catalog's own.
-- Locks: none.
SELECT coalesce(has_function_privilege(to_regprocedure('penstock.open_copy(text[])')::oid, 'EXECUTE')
            AND has_column_privilege(to_regclass('penstock.job')::oid, 'queue', 'INSERT')
            AND has_column_privilege(to_regclass('penstock.job')::oid, 'args', 'INSERT'), false)
