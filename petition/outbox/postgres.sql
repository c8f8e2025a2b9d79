-- Queries for PostgreSQL alone (postgres.py): settings, locks, and an index. Lock number 1 is for
-- writers, 2 for senders; each log, a schema, has its own.

-- :name begin_writing
-- Begin a transaction as the only writer. At another isolation level it would see the log as it was
-- before it got the lock. A process that is stopped in the middle (Ctrl-Z, a laptop that sleeps) is
-- rolled back after a minute, as all others wait for the lock. Durability is checked each time.
BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '60s';
SELECT pg_advisory_xact_lock(1, hashtext(current_schema())),
       current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync') AS fsync

-- :name begin_sharing
-- Begin a transaction beside others of its kind, but not beside an only writer.
BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '60s';
SELECT pg_advisory_xact_lock_shared(1, hashtext(current_schema())),
       current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync') AS fsync

-- :name share
-- The same for the transaction of one pipeline, which needs no time limit.
SELECT pg_advisory_xact_lock_shared(1, hashtext(current_schema())),
       current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync') AS fsync

-- :name write_all
-- All that a run writes in one commit, in one statement.
WITH recorded AS (@record),
marked AS (@mark),
changed AS (SELECT id FROM recorded UNION ALL SELECT id FROM marked),
logged AS (@log_events WHERE event.copy IN (SELECT id FROM changed)),
counted AS (
    INSERT INTO attempt (at, login, recipients)
    SELECT next.at, :login, made.recipients
    FROM (@attempt_time) AS next,
         (SELECT CAST(SUM(mark.recipients) AS BIGINT) AS recipients
          FROM :mark[copy INTEGER, recipients INTEGER] JOIN marked ON marked.id = mark.copy) AS made
    WHERE made.recipients > 0
)
SELECT id FROM changed

-- :name keep_bytes
-- Keep the bytes of a letter that was just marked.
UPDATE copy SET bytes = :bytes WHERE id = :copy AND state || '' = 'sending' AND owner = :owner

-- :name begin_looking
-- Begin a transaction that sees the log as it is at one moment.
BEGIN ISOLATION LEVEL REPEATABLE READ

-- :name own
-- Own the log until this connection ends, if nobody else does.
SELECT pg_try_advisory_lock(2, hashtext(current_schema()))

-- :name disown
-- Give it up.
SELECT pg_advisory_unlock(2, hashtext(current_schema()))

-- :name owner
-- The connection that owns it, its client, and whether workers share it.
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
-- The settings that the promises of a log depend on.
SELECT current_schema() AS schema, current_setting('server_version_num') AS version,
       current_setting('server_encoding') AS encoding,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('fsync') AS fsync,
       current_setting('transaction_read_only') AS read_only, pg_is_in_recovery() AS is_standby

-- :name no_time_limit
-- First of all: a timeout of the role could cancel any query.
SET statement_timeout = 0

-- :name settings
-- Enough memory for sorts; no JIT, as a list is compared once. The locks of a machine that vanished are
-- freed after a minute. A statement sees what was committed before it, whatever the default isolation
-- level is. Timeouts, durability and schema stay as they are now, whatever is reloaded later. Strings
-- are standard, and NULL in an array is NULL: values are escaped for that.
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
-- The connection must not be closed for being idle: a mail server can take ten minutes for one letter.
-- The names differ by server version.
SELECT set_config(name, '0', false) FROM pg_settings
WHERE name IN ('idle_session_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')

-- :name index_queued
-- What waits, in the order of the log (an index in SQLite ends with the id anyway). On id alone: the
-- planner would take the primary key for cheaper than a wider index, and walk past what was sent.
CREATE INDEX copy_queued ON copy (id) WHERE newest = 1 AND state = 'queued' AND due_at IS NULL

-- :name altered
-- What is attached to our tables: triggers, rules, row security, inheritance, views in their place.
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
