-- Queries about the log, and what a run records. `-- :name` begins a query; the next line says what it
-- is for.

-- :name meta
-- A value that holds for the whole log.
SELECT value FROM meta WHERE name = :name

-- :name set_meta
-- Keep a value, once: the first one stays.
INSERT INTO meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING

-- :name drop_meta
-- Delete a value.
DELETE FROM meta WHERE name = :name

-- :name advance
-- Raise the log's epoch (known_logs.py) above its value and above a floor.
INSERT INTO meta (name, value) VALUES ('epoch', CAST(:floor + 1 AS TEXT))
ON CONFLICT (name) DO UPDATE SET value = CAST(1 +
    CASE WHEN CAST(meta.value AS INTEGER) < :floor THEN :floor ELSE CAST(meta.value AS INTEGER) END
AS TEXT)

-- :name has_attempts
-- Whether a letter ever went out, or was about to.
SELECT 1 FROM copy WHERE letter_date IS NOT NULL LIMIT 1

-- :name was_attempted
-- Whether a copy of a letter ever went out, or was about to.
SELECT 1 FROM copy WHERE letter = :letter AND (letter_date IS NOT NULL OR state = 'sending') LIMIT 1

-- :name count_copies
-- How many copies were ever queued.
SELECT COUNT(*) FROM copy

-- :name closure
-- The note of a move that closes the log.
SELECT name, value FROM meta WHERE name IN ('moved', 'moving', 'arriving')

-- :name last_rows
-- The newest event and attempt: each commit of a run adds one or the other.
SELECT (SELECT COALESCE(MAX(id), 0) FROM event), (SELECT COALESCE(MAX(id), 0) FROM attempt)

-- :name newest_frozen
-- A letter in its newest revision.
SELECT letter, revision, hash, content_hash, document, mode, frozen_at
FROM frozen WHERE letter = :letter ORDER BY revision DESC LIMIT 1

-- :name one_frozen
-- A letter in one revision.
SELECT letter, revision, hash, content_hash, document, mode, frozen_at
FROM frozen WHERE letter = :letter AND revision = :revision

-- :name frozen_hash
-- The hash of a letter in one revision.
SELECT hash FROM frozen WHERE letter = :letter AND revision = :revision

-- :name frozen_letters
-- The names of all letters that were ever frozen.
SELECT DISTINCT letter FROM frozen ORDER BY letter

-- :name frozen_revisions
-- Which letters were frozen, in which revisions.
SELECT letter, revision FROM frozen

-- :name freeze
-- Keep a letter as it is now.
INSERT INTO frozen (letter, revision, hash, content_hash, document, follows, mode, frozen_at)
VALUES (:letter, :revision, :hash, :content_hash, :document, :follows, :mode, :now)

-- :name set_mode
-- Change for whom a revision is meant.
UPDATE frozen SET mode = :mode WHERE letter = :letter AND revision = :revision

-- :name counts
-- How many copies of a letter are in each state, each mailbox at its newest revision.
SELECT state, COUNT(*) FROM copy WHERE letter = :letter AND newest = 1 GROUP BY state

-- :name copies
-- The copies of one letter, each mailbox at its newest revision.
SELECT * FROM copy WHERE letter = :letter AND newest = 1 ORDER BY id

-- :name copies_in
-- The copies of one letter in one state, each mailbox at its newest revision.
SELECT * FROM copy WHERE letter = :letter AND newest = 1 AND state = :state ORDER BY id

-- :name copies_to
-- The copies of one letter to one mailbox, the newest last.
SELECT * FROM copy WHERE folded = :folded AND letter = :letter ORDER BY newest, revision, id

-- :name events
-- Every event of every copy, oldest first.
SELECT event.at, copy.letter, copy.revision, copy.mailbox, event.from_state, event.to_state,
       event.reason, event.reply_code, event.enhanced_code, event.reply, event.server, event.tls,
       event.ms
FROM event JOIN copy ON copy.id = event.copy
ORDER BY event.id

-- :name events_to
-- Every event of the copies to one mailbox, oldest first.
SELECT event.at, copy.letter, copy.revision, copy.mailbox, event.from_state, event.to_state,
       event.reason, event.reply_code, event.enhanced_code, event.reply, event.server, event.tls,
       event.ms
FROM copy JOIN event ON event.copy = copy.id
WHERE copy.folded = :folded
ORDER BY event.id

-- :name without_mailbox
-- To whom copies of a letter in a state went whose mailboxes do not exist, as a server said.
SELECT copy.folded FROM copy JOIN suppression ON suppression.folded = copy.folded
WHERE copy.letter = :letter AND copy.newest = 1 AND copy.state = :state
  AND suppression.reason = :reason

-- :name people
-- To whom the copies of a letter go, or of all letters.
SELECT mailbox, name, row_id FROM copy WHERE (letter = :letter OR :letter IS NULL) ORDER BY id

-- :name slow_providers
-- Which domains refused many copies of a letter by policy, or asked for fewer letters.
SELECT domain, state, COUNT(*) AS number, MAX(reply) AS reply FROM copy
WHERE letter = :letter AND newest = 1 AND state IN ('failed', 'deferred')
  AND ((state = 'failed' AND enhanced_code LIKE '5.7.%')
       OR (state = 'deferred' AND (reply_code = 421 OR enhanced_code LIKE '4.7.%')))
GROUP BY domain, state HAVING COUNT(*) >= :least ORDER BY COUNT(*) DESC, domain LIMIT 5

-- :name deferred_domains
-- How many deferred copies there are, by domain.
SELECT domain, COUNT(*) AS number FROM copy
WHERE state = 'deferred' AND newest = 1 AND (letter = :letter OR :letter IS NULL)
GROUP BY domain ORDER BY COUNT(*) DESC, domain LIMIT 100

-- :name next_due
-- When the first deferred copy of a letter is due.
SELECT MIN(due_at) FROM copy WHERE letter = :letter AND newest = 1 AND state = 'deferred'

-- :name as_copy
-- Copies as `Copy` has its fields, which is the fastest to read.
SELECT id, letter, revision, mailbox, name, language, row_id, file, line, fields, state, reason,
    attempts, due_at, waiting_since, letter_date, message_id, sha256, bytes, reply_code,
    enhanced_code, reply, updated_at, folded, queued_as, twin, binding
FROM copy

-- :name due
-- The deferred copies of the choice that can be sent now, but for some domains and known ones.
-- `+copy.id` is copy.id, but keeps PostgreSQL from walking through the whole choice.
@as_copy
WHERE letter = :letter AND newest = 1 AND state = 'deferred' AND due_at <= :now
  AND EXISTS (SELECT 1 FROM chosen WHERE chosen.copy = +copy.id)
  AND domain NOT IN (:full[]) AND id NOT IN (:known[])
ORDER BY due_at LIMIT :limit

-- :name queued
-- The queued copies of the choice after an id, but for some domains and known ones.
@as_copy
WHERE letter = :letter AND newest = 1 AND state = 'queued' AND due_at IS NULL AND id > :past
  AND EXISTS (SELECT 1 FROM chosen WHERE chosen.copy = +copy.id)
  AND domain NOT IN (:full[]) AND id NOT IN (:known[])
ORDER BY id LIMIT :limit

-- :name count_ready
-- How many copies of the choice can be sent now, up to a limit.
SELECT COUNT(*) FROM (
    SELECT 1 FROM copy
    WHERE letter = :letter AND newest = 1
      AND (state = 'queued' AND due_at IS NULL OR state = 'deferred' AND due_at <= :now)
      AND EXISTS (SELECT 1 FROM chosen WHERE chosen.copy = +copy.id)
    LIMIT :limit
) AS ready

-- :name mark
-- Mark copies before their final dot, if they wait as they were read, and nobody has left. `state || ''`
-- is state; here and below it keeps PostgreSQL from walking through all copies in one state, those of
-- other workers too, to find a few by id.
UPDATE copy SET state = 'sending', owner = :owner, due_at = NULL, letter_date = mark.letter_date,
    message_id = mark.message_id, sha256 = mark.sha256, token = mark.token,
    unsubscribe = mark.unsubscribe, bytes = COALESCE(mark.bytes, copy.bytes), updated_at = :now
FROM :mark[copy INTEGER, recipients INTEGER, from_state TEXT, seen TEXT, letter_date TEXT,
           message_id TEXT, sha256 TEXT, token TEXT, unsubscribe TEXT, bytes BLOB]
WHERE copy.id = mark.copy AND copy.state || '' = mark.from_state AND copy.updated_at = mark.seen
  AND copy.newest = 1
  AND NOT EXISTS (SELECT 1 FROM suppression WHERE suppression.folded = copy.folded)
RETURNING id

-- :name record
-- Give copies their new state: those that this run marked, and those that wait as they were read. The
-- attempt of an uncertain one is counted already.
UPDATE copy SET state = done.state, reason = done.reason,
    attempts = attempts + CASE done.from_state WHEN 'uncertain' THEN 0 ELSE done.charge END,
    waiting_since = CASE WHEN done.charge = 1 AND (waiting_since IS NULL OR waiting_since > :now)
                         THEN :now ELSE waiting_since END,
    due_at = done.due_at,
    owner = CASE WHEN done.state IN ('deferred', 'failed') THEN :owner END,
    letter_date = COALESCE(done.letter_date, copy.letter_date),
    reply_code = COALESCE(done.reply_code, copy.reply_code),
    enhanced_code = CASE WHEN done.reply_code IS NULL THEN copy.enhanced_code
                         ELSE done.enhanced_code END,
    reply = COALESCE(done.reply, copy.reply), updated_at = :now
FROM :done[copy INTEGER, from_state TEXT, seen TEXT, state TEXT, reason TEXT, reply_code INTEGER,
           enhanced_code TEXT, reply TEXT, charge INTEGER, due_at TEXT, letter_date TEXT]
WHERE copy.id = done.copy AND copy.state || '' = done.from_state
  AND (copy.updated_at = done.seen OR done.seen IS NULL AND copy.owner = :owner)
RETURNING id

-- :name log_events
-- Record what marks and results changed.
INSERT INTO event (copy, at, from_state, to_state, reason, reply_code, enhanced_code, reply,
                   server, tls, ms)
SELECT copy, :now, from_state, to_state, reason, reply_code, enhanced_code, reply, server, tls, ms
FROM :event[copy INTEGER, from_state TEXT, to_state TEXT, reason TEXT, reply_code INTEGER,
            enhanced_code TEXT, reply TEXT, server TEXT, tls TEXT, ms INTEGER]

-- :name marked_by
-- Which of some copies an owner marked and nobody has recorded, or that are uncertain because of that.
SELECT id, state FROM copy
WHERE id IN (:copies[]) AND state || '' IN ('sending', 'uncertain') AND owner = :owner

-- :name attempt_time
-- When the next letter of this login is counted: not before what was counted last, unless that is more
-- than a day ahead: then the clock was wrong.
SELECT CASE WHEN latest.at > :now THEN latest.at ELSE :now END AS at
FROM (SELECT MAX(at) AS at FROM attempt WHERE login = :login AND at <= :horizon) AS latest

-- :name add_attempt
-- Count what is about to go against the cap of this login.
INSERT INTO attempt (at, login, recipients)
SELECT next.at, :login, :recipients FROM (@attempt_time) AS next

-- :name attempts_from_now
-- Count as sent now what was counted by a clock that was more than a day ahead.
UPDATE attempt SET at = :now WHERE login = :login AND at > :horizon

-- :name attempted
-- How much went out under a login since a moment.
SELECT CAST(COALESCE(SUM(recipients), 0) AS BIGINT) FROM attempt WHERE login = :login AND at > :since

-- :name attempted_hours
-- The hours in which something went out under a login, the first one first.
SELECT DISTINCT substr(at, 1, 13) AS hour FROM attempt WHERE login = :login ORDER BY hour

-- :name attempt_leaves
-- When the oldest of the attempts since a moment was made.
SELECT MIN(at) FROM attempt WHERE login = :login AND at > :since

-- :name attempt_frees
-- When the attempt was made that completes a number of recipients, or the last one.
SELECT COALESCE(MIN(CASE WHEN so_far >= :recipients THEN at END), MAX(at)) FROM (
    SELECT at, SUM(recipients) OVER (ORDER BY at, id) AS so_far FROM attempt
    WHERE login = :login AND at > :since
) AS counted

-- :name take_back
-- Undo the attempt of a copy that this run recorded, if nothing has touched it since: who does that
-- becomes or clears its owner.
UPDATE copy SET attempts = :attempts, waiting_since = :waiting_since, due_at = NULL, owner = NULL
WHERE id = :copy AND state IN ('deferred', 'failed') AND owner = :owner AND newest = 1
RETURNING id

-- :name next_due_chosen
-- When the first deferred copy of the choice is due, without some domains.
SELECT MIN(due_at) FROM copy
WHERE letter = :letter AND newest = 1 AND state = 'deferred' AND domain NOT IN (:full[])
  AND EXISTS (SELECT 1 FROM chosen WHERE chosen.copy = +copy.id)
