-- What is asked of PostgreSQL alone (postgres.py): its settings, its locks, and what it is told of the
-- tables. A lock's number is 1 for who writes, 2 for who sends; each log, a schema, has its own.

-- :name begin_writing
-- Begin a transaction in which nobody else writes. At any other level it would see the log as it was
-- before it had the lock. Whoever is stopped in the middle (Ctrl-Z, a machine that sleeps) is rolled
-- back after a minute: all others wait for the lock. What a commit rests on is looked at each time.
BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '60s';
SELECT pg_advisory_xact_lock(1, hashtext(current_schema())),
       current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync') AS fsync

-- :name begin_sharing
-- Begin a transaction beside others of its kind, but none beside one in which nobody else writes.
BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '60s';
SELECT pg_advisory_xact_lock_shared(1, hashtext(current_schema())),
       current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync') AS fsync

-- :name begin_looking
-- Begin a transaction that sees the log as it is at one moment.
BEGIN ISOLATION LEVEL REPEATABLE READ

-- :name own
-- Own the log for as long as this connection lives, if nobody else does.
SELECT pg_try_advisory_lock(2, hashtext(current_schema()))

-- :name disown
-- Own it no more.
SELECT pg_advisory_unlock(2, hashtext(current_schema()))

-- :name owner
-- The connection that owns it, where that comes from, and whether workers share it.
SELECT locks.pid, COALESCE(host(client_addr), 'this machine') AS client,
       locks.mode = 'ShareLock' AS is_shared
FROM pg_locks AS locks LEFT JOIN pg_stat_activity AS activity ON activity.pid = locks.pid
WHERE locks.locktype = 'advisory' AND locks.granted AND locks.classid = 2
  AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND locks.objid = (hashtext(current_schema())::bigint & 4294967295)::oid

-- :name is_made
-- Whether there is a log.
SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'meta'

-- :name promises
-- What the promises of a log rest on.
SELECT current_schema() AS schema, current_setting('server_version_num') AS version,
       current_setting('server_encoding') AS encoding,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('fsync') AS fsync,
       current_setting('transaction_read_only') AS read_only, pg_is_in_recovery() AS is_standby

-- :name no_time_limit
-- Comes before all else, and takes no time itself: a limit of the role's could break off any query.
SET statement_timeout = 0

-- :name settings
-- As much memory for a sort as the cache of SQLite has; a list is compared once, not compiled. What a
-- machine that has vanished owned is freed when it has not answered for a minute. A statement sees what
-- was committed before it, even where the database isolates more by itself. What a role or the server
-- says of waiting, durability and schemas is fixed as it is now: a reload of its settings changes none.
-- And what decides how a value is read: bytes are escaped for a server whose strings are standard, and
-- NULL in an array is no text.
SELECT set_config('work_mem', '64MB', false), set_config('jit', 'off', false),
       set_config('tcp_keepalives_idle', '30', false),
       set_config('tcp_keepalives_interval', '10', false),
       set_config('tcp_keepalives_count', '3', false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('standard_conforming_strings', 'on', false),
       set_config('array_nulls', 'on', false), set_config('client_encoding', 'UTF8', false),
       set_config('lock_timeout', '0', false),
       set_config('synchronous_commit', current_setting('synchronous_commit'), false),
       set_config('default_transaction_read_only', current_setting('default_transaction_read_only'), false),
       set_config('search_path', quote_ident(current_schema()), false)

-- :name no_idle_limit
-- What this connection owns it must not lose for having nothing to write: a server can take ten minutes
-- for one letter. The names differ by the server's version.
SELECT set_config(name, '0', false) FROM pg_settings
WHERE name IN ('idle_session_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')

-- :name index_queued
-- What waits, in the order of the log: an index of SQLite ends with that order by itself. Of id alone,
-- or the planner takes that of all copies for the cheaper one, and walks past what was sent.
CREATE INDEX copy_queued ON copy (id) WHERE newest = 1 AND state = 'queued' AND due_at IS NULL

-- :name altered
-- What hooks into our tables: triggers, rules, policies, views in their place, tables that share rows.
SELECT 'trigger ' || pg_trigger.tgname || ' on ' || ours.relname AS what
FROM pg_trigger JOIN pg_class AS ours ON ours.oid = pg_trigger.tgrelid
WHERE NOT pg_trigger.tgisinternal AND ours.relname IN (:tables[])
  AND ours.relnamespace = to_regnamespace(quote_ident(current_schema()))
UNION ALL
SELECT 'rule ' || pg_rewrite.rulename || ' on ' || ours.relname
FROM pg_rewrite JOIN pg_class AS ours ON ours.oid = pg_rewrite.ev_class
WHERE ours.relname IN (:tables[])
  AND ours.relnamespace = to_regnamespace(quote_ident(current_schema()))
UNION ALL
SELECT 'row security on ' || ours.relname FROM pg_class AS ours
WHERE ours.relrowsecurity AND ours.relname IN (:tables[])
  AND ours.relnamespace = to_regnamespace(quote_ident(current_schema()))
UNION ALL
SELECT 'a table that inherits with ' || ours.relname
FROM pg_inherits JOIN pg_class AS ours ON ours.oid IN (pg_inherits.inhrelid, pg_inherits.inhparent)
WHERE ours.relname IN (:tables[])
  AND ours.relnamespace = to_regnamespace(quote_ident(current_schema()))
UNION ALL
SELECT 'no plain table ' || ours.relname FROM pg_class AS ours
WHERE ours.relkind <> 'r' AND ours.relname IN (:tables[])
  AND ours.relnamespace = to_regnamespace(quote_ident(current_schema()))
LIMIT 1
