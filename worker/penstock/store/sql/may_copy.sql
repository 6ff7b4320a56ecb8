-- Used by copying: whether this login may COPY jobs; false too where the schema has no begin_copy. Index: the catalog's own.
-- Locks: none.
SELECT coalesce(has_function_privilege(to_regprocedure('penstock.begin_copy(text[],integer)')::oid, 'EXECUTE')
            AND has_column_privilege(to_regclass('penstock.job')::oid, 'id', 'INSERT')
            AND has_column_privilege(to_regclass('penstock.job')::oid, 'args', 'INSERT'), false)
