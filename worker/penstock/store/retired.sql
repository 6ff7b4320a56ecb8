-- Functions of earlier releases under names that this one does not use; `penstock migrate` drops them with the replacement
-- of the functions (migrate.py). Listed here once no worker, operator or application of the adjacent release calls one by
-- name: only other functions of the schema did. A call that runs while they are dropped may fail once and is repeated by
-- maintenance. Functions on the path of claims and acknowledgements are not repeated like that and keep their names.
DROP FUNCTION IF EXISTS penstock.take_back(bigint[]);
DROP FUNCTION IF EXISTS penstock.with_loss(jsonb, bigint, smallint);
DROP FUNCTION IF EXISTS penstock.end_flagged(bigint[], text);
DROP FUNCTION IF EXISTS penstock.limits_off();
DROP FUNCTION IF EXISTS penstock.sequences_behind();
