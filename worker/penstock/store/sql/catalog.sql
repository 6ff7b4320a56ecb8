-- Used by drift.differences: the objects of a schema as kind, name and definition, without partitions of outcome.
-- Index: the catalog's own. Locks: only those of reading definitions.
WITH relation AS (
  SELECT c.oid, c.relname, c.relkind, c.reloptions FROM pg_class AS c
  WHERE c.relnamespace = %s::text::regnamespace AND c.relname !~ '^outcome_[0-9]{8}'
)
SELECT CASE r.relkind WHEN 'v' THEN 'view' ELSE 'table' END AS kind, r.relname::text AS name,
       CASE r.relkind WHEN 'v' THEN pg_get_viewdef(r.oid) ELSE
         concat('with ', coalesce(array_to_string(ARRAY(SELECT unnest(r.reloptions) ORDER BY 1), ', '), 'no options')) END
         AS definition
FROM relation AS r WHERE r.relkind IN ('r', 'p', 'v')
UNION ALL
SELECT 'column', r.relname || '.' || a.attname,
       concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END,
                 'default ' || pg_get_expr(d.adbin, d.adrelid), 'identity ' || nullif(a.attidentity, '')::text)
FROM relation AS r JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE r.relkind IN ('r', 'p')
UNION ALL
SELECT 'constraint', r.relname || '.' || k.conname, pg_get_constraintdef(k.oid)
FROM relation AS r JOIN pg_constraint AS k ON k.conrelid = r.oid AND k.contype <> 'n'
UNION ALL
SELECT 'index', r.relname, pg_get_indexdef(r.oid) || CASE WHEN i.indisvalid THEN '' ELSE ' (invalid)' END
FROM relation AS r JOIN pg_index AS i ON i.indexrelid = r.oid
UNION ALL
SELECT 'trigger', r.relname || '.' || t.tgname, concat(pg_get_triggerdef(t.oid), ' ', t.tgenabled)
FROM relation AS r JOIN pg_trigger AS t ON t.tgrelid = r.oid AND NOT t.tgisinternal
UNION ALL
SELECT 'sequence', r.relname, concat('cache ', s.seqcache, CASE WHEN s.seqincrement <> 1 THEN ', by ' || s.seqincrement END,
                                     CASE WHEN s.seqcycle THEN ', cycles' END)
FROM relation AS r JOIN pg_sequence AS s ON s.seqrelid = r.oid
UNION ALL
SELECT 'function', p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', pg_get_functiondef(p.oid)
FROM pg_proc AS p WHERE p.pronamespace = %s::text::regnamespace AND p.prokind = 'f'
