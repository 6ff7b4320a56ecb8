-- Used by closely.py: which database this is, however its URL is written; the same on a standby, another on a restored dump.
-- When its schema was made is part of it, to the microsecond: only a login with rights here can know that, so a server that
-- somebody else runs cannot pass for this database.
SELECT format('%%s/%%s/%%s', c.system_identifier, d.oid, (
  SELECT extract(epoch FROM min(v.applied_at)) FROM penstock.schema_version AS v))
FROM pg_control_system() AS c, pg_database AS d
WHERE d.datname = current_database()
