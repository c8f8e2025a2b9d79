-- What many workers share on PostgreSQL (workers.py, worker_store.py): who they are, what they
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

-- :name defer_jobs
-- Jobs of so many copies each, for those of the choice that wait and are in no job that does.
SELECT unnest(procrastinate_defer_jobs_v1(ARRAY[ROW(
    'letters', :task::text, 0, NULL, NULL,
    jsonb_build_object('letter', :letter::text, 'revision', :revision::bigint, 'copies', copies),
    NULL
)::procrastinate_job_to_defer_v1]))
FROM (
    SELECT jsonb_agg(id ORDER BY id) AS copies FROM (
        SELECT copy.id, (row_number() OVER (ORDER BY copy.id) - 1) / :size::bigint AS part
        FROM chosen JOIN copy ON copy.id = chosen.copy
        WHERE copy.state IN ('queued', 'deferred') AND NOT EXISTS (
            SELECT 1 FROM procrastinate_jobs, jsonb_array_elements_text(
                CASE jsonb_typeof(args -> 'copies') WHEN 'array' THEN args -> 'copies' ELSE '[]' END
            ) AS held (id)
            WHERE status = 'todo' AND task_name = :task::text AND held.id = copy.id::text
        )
    ) AS waiting GROUP BY part ORDER BY part
) AS parts

-- :name wake_jobs
-- Look now at the jobs of a letter that wait for a time without being put off by a server: it may have
-- been another cap's, or other hours'.
UPDATE procrastinate_jobs SET scheduled_at = now()
WHERE status = 'todo' AND task_name = :task::text AND args ->> 'letter' = :letter::text
  AND scheduled_at > now() AND EXISTS (
      SELECT 1 FROM jsonb_array_elements_text(
          CASE jsonb_typeof(args -> 'copies') WHEN 'array' THEN args -> 'copies' ELSE '[]' END
      ) AS held (id) JOIN copy
          ON copy.id = CASE WHEN length(held.id) < 19 AND held.id NOT SIMILAR TO '%[^0-9]%'
                            THEN held.id::bigint END
      WHERE copy.state = 'queued' AND copy.letter = :letter::text
  )

-- :name refuse_jobs
-- Jobs on whose arguments the engine itself fails, before they are ours: it would hold them for ever. Those
-- that nobody was given yet are not looked at: there may be many thousand.
UPDATE procrastinate_jobs SET status = 'failed'
WHERE status = 'doing' AND task_name = :task::text
  AND jsonb_typeof(args) <> 'object'
RETURNING id

-- :name wake_misdated_jobs
-- Look now at jobs that wait for longer than any copy does: the clock of the server was ahead.
UPDATE procrastinate_jobs SET scheduled_at = now()
WHERE status = 'todo' AND task_name = :task::text AND scheduled_at > now() + INTERVAL '31 days'

-- :name defer_moved
-- The same for what was picked to wait again, of all letters that workers send.
SELECT unnest(procrastinate_defer_jobs_v1(ARRAY[ROW(
    'letters', :task::text, 0, NULL, NULL,
    jsonb_build_object('letter', letter, 'revision', revision, 'copies', copies),
    NULL
)::procrastinate_job_to_defer_v1]))
FROM (
    SELECT letter, revision, jsonb_agg(id ORDER BY id) AS copies FROM (
        SELECT copy.id, copy.letter, copy.revision, (row_number() OVER (
            PARTITION BY copy.letter, copy.revision ORDER BY copy.id
        ) - 1) / :size::bigint AS part
        FROM moving JOIN copy ON copy.id = moving.copy
            JOIN dispatch ON dispatch.letter = copy.letter
        WHERE moving.to_state IN ('queued', 'deferred') AND copy.newest = 1
    ) AS waiting GROUP BY letter, revision, part ORDER BY letter, revision, part
) AS parts

-- :name fields_of_waiting
-- The fields of what was chosen and waits.
SELECT copy.fields FROM chosen JOIN copy ON copy.id = chosen.copy
WHERE copy.state IN ('queued', 'deferred')

-- :name keep_enclosure
-- Keep a file that a row has.
INSERT INTO enclosure (sha256, data) VALUES (:sha256, :data) ON CONFLICT (sha256) DO NOTHING

-- :name has_enclosure
-- Whether a file is kept.
SELECT 1 FROM enclosure WHERE sha256 = :sha256

-- :name enclosure
-- A file that a row has.
SELECT data FROM enclosure WHERE sha256 = :sha256

-- :name choose_copy
-- Choose one copy for this connection.
INSERT INTO chosen (copy) VALUES (?)

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
-- An owner is no more.
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

-- :name owners_in_hand
-- Who has copies in hand.
SELECT DISTINCT owner FROM copy WHERE state = 'sending' AND owner IS NOT NULL

-- :name living_workers
-- The workers that have not said that they ended.
SELECT owner FROM worker WHERE ended_at IS NULL

-- :name jobs_and_living
-- How many jobs are being done, and how many others there are to do them.
SELECT (SELECT COUNT(*) FROM procrastinate_jobs WHERE status = 'doing') AS jobs,
       (SELECT COUNT(*) FROM worker WHERE ended_at IS NULL AND owner <> :owner) AS living

-- :name server_time
-- The time by the server's clock, in seconds since 1970.
SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)

-- :name pick_orphans_of
-- Copies in the hand of owners that are no more.
INSERT INTO moving (copy, from_state, to_state, reason)
SELECT id, state, CASE intended WHEN 1 THEN 'uncertain' ELSE 'queued' END,
       CASE intended WHEN 1 THEN :reason::text ELSE '' END
FROM copy WHERE state = 'sending' AND owner IN (:owners[])

-- :name claimable_shared
-- Copies of a job that can be sent now and that no other worker is about to take.
SELECT copy.id FROM chosen JOIN copy ON copy.id = chosen.copy
WHERE copy.newest = 1 AND copy.domain NOT IN (:full[])
  AND (copy.state = 'queued' OR (copy.state = 'deferred' AND copy.due_at <= :now))
ORDER BY copy.state, copy.id LIMIT :limit
FOR UPDATE OF copy SKIP LOCKED

-- :name waiting_shared
-- How many copies of a job could be claimed now.
SELECT COUNT(*) FROM chosen JOIN copy ON copy.id = chosen.copy
WHERE copy.newest = 1
  AND (copy.state = 'queued' OR (copy.state = 'deferred' AND copy.due_at <= :now))

-- :name unwanted_shared
-- Copies of a job for mailboxes that are never to be written to, and that no other worker has.
SELECT copy.id FROM chosen JOIN copy ON copy.id = chosen.copy
WHERE copy.state IN ('queued', 'deferred')
  AND EXISTS (SELECT 1 FROM suppression WHERE suppression.folded = copy.folded)
FOR UPDATE OF copy SKIP LOCKED

-- :name left_of_job
-- What is left of a job: how many copies wait or are in a worker's hand, and when the first is due.
SELECT CAST(COUNT(*) AS BIGINT) AS waiting, MIN(copy.due_at) AS due_at
FROM chosen JOIN copy ON copy.id = chosen.copy
WHERE copy.newest = 1 AND copy.state IN ('queued', 'deferred', 'sending')

-- :name queued_of_job
-- How many copies of a job wait for nothing.
SELECT COUNT(*) FROM chosen JOIN copy ON copy.id = chosen.copy
WHERE copy.newest = 1 AND copy.state = 'queued'

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
-- How many jobs wait, how many are being done, and for how many seconds the first of those that could
-- be done has waited.
SELECT COUNT(*) FILTER (WHERE status = 'todo') AS waiting,
       COUNT(*) FILTER (WHERE status = 'doing') AS doing,
       COALESCE(EXTRACT(EPOCH FROM now() - MIN(COALESCE(scheduled_at, (
           SELECT MIN(at) FROM procrastinate_events WHERE job_id = procrastinate_jobs.id
       ))) FILTER (WHERE status = 'todo' AND COALESCE(scheduled_at, now()) <= now())), 0) AS lag
FROM procrastinate_jobs WHERE status IN ('todo', 'doing')
