-- Used by migrate.applied: the installed versions. Index: schema_version's key. Locks: none.
SELECT version, name, checksum FROM penstock.schema_version ORDER BY version
