-- Used by closely.py: which database this is, however its URL is written; the same on a standby, another on a restored dump.
SELECT format('%%s/%%s', c.system_identifier, d.oid) FROM pg_control_system() AS c, pg_database AS d
WHERE d.datname = current_database()
