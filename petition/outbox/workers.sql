-- What many workers share on PostgreSQL (workers.py): who they are, what they
-- send by, and whose turn it is. Their jobs are Procrastinate's, in tables of its own.

-- :name workers_are_made
-- Whether a letter was ever given to workers.
SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'worker'

-- :name engine_names
-- What the engine of the jobs has in this log: functions, tables, types.
SELECT proname FROM pg_proc
WHERE pronamespace = to_regnamespace(quote_ident(current_schema())) AND proname LIKE 'procrastinate%'
UNION
SELECT typname FROM pg_type
WHERE typnamespace = to_regnamespace(quote_ident(current_schema())) AND typname LIKE 'procrastinate%'

-- :name make_workers
-- The workers that there were, and what they must know of petition.toml.
CREATE TABLE worker (
    owner     TEXT PRIMARY KEY,
    name      TEXT NOT NULL,
    began_at  TEXT NOT NULL,
    ended_at  TEXT,
    sent      INTEGER NOT NULL DEFAULT 0,
    deferred  INTEGER NOT NULL DEFAULT 0,
    failed    INTEGER NOT NULL DEFAULT 0,
    uncertain INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE dispatch (
    letter   TEXT PRIMARY KEY,
    settings TEXT NOT NULL,
    at       TEXT NOT NULL
);
CREATE TABLE turn (
    name    TEXT PRIMARY KEY,
    next_at DOUBLE PRECISION NOT NULL
)

-- :name set_dispatch
-- What workers must know to send a letter; what was said last counts.
INSERT INTO dispatch (letter, settings, at) VALUES (:letter, :settings, :now)
ON CONFLICT (letter) DO UPDATE SET settings = excluded.settings, at = excluded.at

-- :name dispatch
-- What workers must know to send a letter.
SELECT settings FROM dispatch WHERE letter = :letter

-- :name last_dispatch
-- The letter of which workers were told last.
SELECT letter FROM dispatch ORDER BY at DESC, letter LIMIT 1

-- :name queue_job
-- A job for a letter: one at most waits.
SELECT procrastinate_defer_jobs_v1(ARRAY[ROW(
    'letters', :task::text, 0, NULL, :letter::text, jsonb_build_object('letter', :letter::text),
    COALESCE(:at::timestamptz, now())
)::procrastinate_job_to_defer_v1])

-- :name hasten_job
-- Let the job that waits for a letter be due no later than this.
UPDATE procrastinate_jobs SET scheduled_at = LEAST(scheduled_at, COALESCE(:at::timestamptz, now()))
WHERE status = 'todo' AND queueing_lock = :letter::text

-- :name drop_lost_jobs
-- Forget jobs whose worker was not heard of.
DELETE FROM procrastinate_jobs
WHERE status = 'doing' AND task_name = :task::text AND (worker_id IS NULL OR worker_id IN (
    SELECT id FROM procrastinate_workers WHERE last_heartbeat < now() - INTERVAL '8 seconds'
))

-- :name letters_without_job
-- Letters for workers that have copies to be sent now, and no job that waits. What is due later than any
-- wait makes it was put off by a clock that was ahead.
SELECT letter FROM dispatch
WHERE ((SELECT state FROM copy
        WHERE copy.letter = dispatch.letter AND newest = 1 AND state = 'queued'
        ORDER BY due_at LIMIT 1) IS NOT NULL
       OR (SELECT due_at FROM copy
           WHERE copy.letter = dispatch.letter AND newest = 1 AND state = 'deferred'
           ORDER BY due_at LIMIT 1) <= :now
       OR (SELECT due_at FROM copy
           WHERE copy.letter = dispatch.letter AND newest = 1 AND state = 'deferred'
           ORDER BY due_at DESC LIMIT 1) > :horizon)
  AND NOT EXISTS (SELECT 1 FROM procrastinate_jobs
                  WHERE status = 'todo' AND queueing_lock = dispatch.letter
                    AND (scheduled_at IS NULL OR scheduled_at <= :horizon::timestamptz))

-- :name letters_moved
-- Letters for workers of which copies were picked to wait again.
SELECT DISTINCT copy.letter
FROM moving JOIN copy ON copy.id = moving.copy JOIN dispatch ON dispatch.letter = copy.letter
WHERE moving.to_state IN WAITING AND copy.newest = 1

-- :name fields_of_waiting
-- The fields of the copies of a letter that wait.
SELECT fields FROM copy WHERE letter = :letter AND newest = 1 AND state IN WAITING

-- :name keep_enclosure
-- Keep a file that a row has.
INSERT INTO enclosure (sha256, data) VALUES (:sha256, :data) ON CONFLICT (sha256) DO NOTHING

-- :name has_enclosure
-- Whether a file is kept.
SELECT 1 FROM enclosure WHERE sha256 = :sha256

-- :name enclosure
-- A file that a row has.
SELECT data FROM enclosure WHERE sha256 = :sha256

-- :name join_senders
-- Be one of many who send from the log, while this connection lives, if nobody owns it alone.
SELECT pg_try_advisory_lock_shared(2, hashtext(current_schema()))

-- :name leave_senders
-- Be none of them any more.
SELECT pg_advisory_unlock_shared(2, hashtext(current_schema()))

-- :name live
-- Hold what says that an owner lives, while this connection does.
SELECT pg_advisory_lock(hashtextextended(current_schema() || ':' || :owner, 0))

-- :name is_dead
-- Whether no connection lives that an owner had; to the end of the transaction none of it can.
SELECT pg_try_advisory_xact_lock(hashtextextended(current_schema() || ':' || :owner, 0))

-- :name end_living
-- End being an owner.
SELECT pg_advisory_unlock(hashtextextended(current_schema() || ':' || :owner, 0))

-- :name began
-- A worker begins.
INSERT INTO worker (owner, name, began_at) VALUES (:owner, :name, :now)

-- :name ended
-- A worker has ended.
UPDATE worker SET ended_at = :now WHERE owner = :owner AND ended_at IS NULL

-- :name count_work
-- Add to what a worker has done.
UPDATE worker SET sent = sent + :sent, deferred = deferred + :deferred, failed = failed + :failed,
    uncertain = uncertain + :uncertain
WHERE owner = :owner

-- :name owners_of_marked
-- Who has marked copies or service messages and not recorded what became of them.
SELECT owner FROM copy WHERE state = 'sending' AND owner IS NOT NULL
UNION SELECT owner FROM service WHERE state = 'sending' AND owner IS NOT NULL

-- :name living_workers
-- The workers that have not said that they ended.
SELECT owner FROM worker WHERE ended_at IS NULL

-- :name server_time
-- The time by the server's clock, in seconds since 1970.
SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)

-- :name pick_orphans_of
-- Copies that owners marked who are no more.
INSERT INTO moving (copy, from_state, to_state, reason)
SELECT id, state, 'uncertain', :reason::text FROM copy
WHERE state = 'sending' AND owner IN (:owners[])

-- :name adopt_service_of
-- Make uncertain the service messages that they marked.
UPDATE service SET state = 'uncertain', reason = :reason, attempts = attempts + 1, bytes = NULL,
    updated_at = :now
WHERE state = 'sending' AND owner IN (:owners[])

-- :name revision_due
-- The revision of the copy of a letter that is to be sent first.
SELECT revision FROM (
    SELECT * FROM (
        SELECT revision FROM copy
        WHERE letter = :letter AND newest = 1 AND state = 'deferred' AND due_at <= :now
        ORDER BY due_at LIMIT 1
    ) AS due
    UNION ALL
    SELECT * FROM (
        SELECT revision FROM copy
        WHERE letter = :letter AND newest = 1 AND state = 'queued' AND due_at IS NULL
        ORDER BY id LIMIT 1
    ) AS waiting
) AS both_kinds LIMIT 1

-- :name blocks_ready
-- Blocks of so many ids with copies of a revision that can be sent now: those that are due first. Not
-- those blocks that other workers have.
SELECT block FROM (
    SELECT * FROM (
        SELECT id / :size AS block, 0 AS turn FROM copy
        WHERE letter = :letter AND newest = 1 AND state = 'deferred' AND due_at <= :now
          AND revision = :revision AND domain NOT IN (:full[]) AND id NOT IN (:known[])
          AND id / :size NOT IN (:others[])
        ORDER BY due_at LIMIT :limit
    ) AS due
    UNION ALL
    SELECT * FROM (
        SELECT id / :size AS block, 1 AS turn FROM copy
        WHERE letter = :letter AND newest = 1 AND state = 'queued' AND due_at IS NULL
          AND revision = :revision AND domain NOT IN (:full[]) AND id NOT IN (:known[])
          AND id / :size NOT IN (:others[])
        ORDER BY id LIMIT :limit
    ) AS waiting
) AS both_kinds GROUP BY block ORDER BY MIN(turn), block

-- :name take_block
-- Take a block of a letter while this connection lives, if no other worker has it.
SELECT pg_try_advisory_lock(hashtextextended(current_schema() || ':' || :letter || ':block', :block))

-- :name leave_block
-- Give it up.
SELECT pg_advisory_unlock(hashtextextended(current_schema() || ':' || :letter || ':block', :block))

-- :name ready_in_block
-- The copies of a block that can be sent now: first the deferred ones that are due.
@as_copy
WHERE id >= :first AND id < :first::bigint + :size AND letter || '' = :letter AND newest = 1
  AND revision = :revision AND domain NOT IN (:full[]) AND id NOT IN (:known[])
  AND (state || '' = 'queued' AND due_at IS NULL OR state || '' = 'deferred' AND due_at <= :now)
ORDER BY due_at, id LIMIT :limit

-- :name waiting_shared
-- How many copies of a revision can be sent now.
SELECT COUNT(*) FROM copy
WHERE letter = :letter AND newest = 1 AND revision = :revision
  AND (state = 'queued' OR (state = 'deferred' AND due_at <= :now))

-- :name unwanted_shared
-- Copies of a letter for mailboxes that are never to be written to, and that no other worker has.
SELECT copy.id FROM suppression JOIN copy
    ON copy.folded = suppression.folded AND copy.letter = :letter
WHERE copy.state IN WAITING
FOR UPDATE OF copy SKIP LOCKED

-- :name left_of_letter
-- How many copies of a letter wait, how many of these could be sent now, and when the first other is due.
SELECT COUNT(*) AS waiting, COUNT(*) FILTER (WHERE state = 'queued' OR due_at <= :now) AS due_now,
       MIN(due_at) AS due_at
FROM copy WHERE letter = :letter AND newest = 1 AND state IN WAITING

-- :name waiting_unchosen
-- How many copies of a letter wait beside those that were chosen.
SELECT COUNT(*)
FROM copy JOIN listed ON listed.folded = copy.folded AND listed.twin = copy.twin
WHERE copy.letter = :letter AND copy.newest = 1 AND copy.state IN WAITING
  AND listed.chosen = 0

-- :name lock_cap
-- One at a time may count against the daily cap of a login, to the end of the transaction.
SELECT pg_advisory_xact_lock(3, hashtext(current_schema() || ':' || :login))

-- :name take_turn
-- The next turn of a bucket, and how long it is until then, in seconds by the server's clock. One that
-- is further off than a thousand others could make it was given when that clock was ahead.
INSERT INTO turn AS old (name, next_at)
VALUES (:name, EXTRACT(EPOCH FROM clock_timestamp()) + :interval)
ON CONFLICT (name) DO UPDATE SET
    next_at = :interval + CASE
        WHEN old.next_at < EXTRACT(EPOCH FROM clock_timestamp()) + 60 + 1000 * :interval
        THEN GREATEST(old.next_at, EXTRACT(EPOCH FROM clock_timestamp()))
        ELSE EXTRACT(EPOCH FROM clock_timestamp()) END
RETURNING next_at - :interval - EXTRACT(EPOCH FROM clock_timestamp()) AS delay

-- :name pull_turn_in
-- Let the next turn of a bucket come no later than the interval asks for that holds from now on.
UPDATE turn SET next_at = LEAST(next_at, EXTRACT(EPOCH FROM clock_timestamp()) + :interval)
WHERE name = :name

-- :name workers_now
-- The workers that are alive, by the lock that each holds, and what each has done.
SELECT owner, name, sent, deferred, failed, uncertain
FROM (
    SELECT worker.*, hashtextextended(current_schema() || ':' || owner, 0) AS lock
    FROM worker WHERE ended_at IS NULL
) AS not_ended
WHERE EXISTS (
    SELECT 1 FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid = ((lock >> 32) & 4294967295)::oid AND objid = (lock & 4294967295)::oid
)
ORDER BY began_at, owner

-- :name jobs_now
-- How many jobs wait, how many are being done, for how many seconds the first letter that could be
-- sent has waited for a worker, and how many transactions of the database were committed so far.
SELECT COUNT(*) FILTER (WHERE status = 'todo') AS waiting,
       COUNT(*) FILTER (WHERE status = 'doing') AS doing,
       COALESCE(EXTRACT(EPOCH FROM now() - MIN(COALESCE(scheduled_at, (
           SELECT MIN(at) FROM procrastinate_events WHERE job_id = jobs.id
       ))) FILTER (WHERE status = 'todo' AND COALESCE(scheduled_at, now()) <= now()
                   AND NOT EXISTS (SELECT 1 FROM procrastinate_jobs AS other
                                   WHERE other.status = 'doing'
                                     AND other.queueing_lock = jobs.queueing_lock))), 0) AS lag,
       (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()) AS commits
FROM procrastinate_jobs AS jobs WHERE status IN ('todo', 'doing')

-- :name has_job_due
-- Whether a job waits that could be done now.
SELECT 1 FROM procrastinate_jobs
WHERE status = 'todo' AND task_name = :task::text AND COALESCE(scheduled_at, now()) <= now() LIMIT 1
