-- Drops functions under the names of earlier releases; `penstock migrate` runs this when it replaces the functions. Lists
-- only functions that no worker, operator or application of the adjacent release calls by name: other functions of the
-- schema called them. A call in progress during the drop may fail once, and maintenance retries it. Functions on the path of
-- claims and acknowledgements keep their names, because a worker does not retry those.
DROP FUNCTION IF EXISTS penstock.take_back(bigint[]);
DROP FUNCTION IF EXISTS penstock.with_loss(jsonb, bigint, smallint);
DROP FUNCTION IF EXISTS penstock.end_flagged(bigint[], text);
DROP FUNCTION IF EXISTS penstock.limits_off();
DROP FUNCTION IF EXISTS penstock.sequences_behind();
