-- Every query of petition. `-- :name` begins one; the line under it says what it is for.

-- :name meta
-- A value that holds for the whole log.
SELECT value FROM meta WHERE name = :name

-- :name set_meta
-- Keep a value, once: the first one stays.
INSERT INTO meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING

-- :name newest_frozen
-- A letter in its newest revision.
SELECT letter, revision, hash, content_hash, document, frozen_at
FROM frozen WHERE letter = :letter ORDER BY revision DESC LIMIT 1

-- :name one_frozen
-- A letter in one revision.
SELECT letter, revision, hash, content_hash, document, frozen_at
FROM frozen WHERE letter = :letter AND revision = :revision

-- :name frozen_letters
-- The names of all letters that were ever frozen.
SELECT DISTINCT letter FROM frozen ORDER BY letter

-- :name freeze
-- Keep a letter as it is now.
INSERT INTO frozen (letter, revision, hash, content_hash, document, frozen_at)
VALUES (:letter, :revision, :hash, :content_hash, :document, :now)

-- :name counts
-- How many copies of a letter are in each state, each mailbox at its newest revision.
SELECT state, COUNT(*) FROM copy WHERE letter = :letter AND newest = 1 GROUP BY state

-- :name copies
-- The copies of one letter, or of all, in one state, or in all, each mailbox at its newest revision.
SELECT * FROM copy
WHERE newest = 1 AND (:letter IS NULL OR letter = :letter) AND (:state IS NULL OR state = :state)
ORDER BY letter, id

-- :name copies_to
-- The copies of one letter to one mailbox, the newest last.
SELECT * FROM copy WHERE letter = :letter AND mailbox = :mailbox ORDER BY revision, id

-- :name events
-- Every event of every copy, oldest first, or of one person: by address, or by the id of a row.
SELECT event.at, copy.letter, copy.revision, copy.mailbox, event.from_state, event.to_state,
       event.reason, event.reply_code, event.enhanced_code, event.reply, event.server, event.tls,
       event.ms
FROM event JOIN copy ON copy.id = event.copy
WHERE (:who IS NULL OR copy.mailbox = :who OR copy.row_id = :who)
ORDER BY event.id

-- :name next_due
-- When the first deferred copy of a letter is due.
SELECT MIN(due_at) FROM copy WHERE letter = :letter AND newest = 1 AND state = 'deferred'

-- :name add_event
-- Write down that a copy took an arrow.
INSERT INTO event (copy, at, from_state, to_state, reason, reply_code, enhanced_code, reply,
                   server, tls, ms)
VALUES (:copy, :now, :from_state, :to_state, :reason, :reply_code, :enhanced_code, :reply,
        :server, :tls, :ms)

-- :name stage_table
-- The list of a letter as it is now, for this connection only.
CREATE TEMPORARY TABLE listed (
    position INTEGER PRIMARY KEY,
    mailbox  TEXT NOT NULL,
    name     TEXT NOT NULL,
    language TEXT NOT NULL,
    row_id   TEXT NOT NULL,
    file     TEXT NOT NULL,
    line     INTEGER NOT NULL,
    fields   TEXT NOT NULL,
    chosen   INTEGER NOT NULL,
    excluded TEXT NOT NULL,
    action   TEXT NOT NULL DEFAULT '',
    copy     INTEGER
)

-- :name stage_index
-- One row of the list, one mailbox.
CREATE UNIQUE INDEX temp.listed_mailbox ON listed (mailbox)

-- :name stage_drop
-- Forget an earlier list.
DROP TABLE IF EXISTS listed

-- :name stage
-- Lay one row of the list beside the log.
INSERT INTO listed (position, mailbox, name, language, row_id, file, line, fields, chosen, excluded)
VALUES (:position, :mailbox, :name, :language, :row_id, :file, :line, :fields, :chosen, :excluded)

-- :name compare
-- What is to be done for each chosen row, and which copy it has so far.
UPDATE listed SET (action, copy) = (
    SELECT
        CASE
            WHEN out.mailbox IS NOT NULL AND copy.id IS NULL THEN 'opted-out'
            WHEN listed.excluded <> ''
                 AND (copy.id IS NULL OR copy.state IN ('queued', 'deferred', 'sending', 'failed'))
                THEN 'excluded'
            WHEN copy.id IS NULL THEN 'new'
            WHEN copy.state IN ('sent', 'bounced', 'uncertain')
                THEN CASE WHEN :mode = 'again' AND out.mailbox IS NULL AND listed.excluded = ''
                     THEN 'another' ELSE 'has-it' END
            WHEN copy.state = 'failed'
                THEN CASE WHEN :mode <> 'continue' AND out.mailbox IS NULL THEN 'another'
                     ELSE 'failed' END
            WHEN copy.state = 'suppressed'
                THEN CASE WHEN out.mailbox IS NOT NULL THEN 'opted-out'
                          WHEN listed.excluded <> '' THEN 'excluded'
                          WHEN copy.reason = 'withdrawn' THEN 'withdrawn'
                          WHEN copy.revision < :revision THEN 'another'
                          ELSE 'returned' END
            WHEN copy.state = 'sending' THEN 'waiting'
            WHEN copy.revision < :revision THEN 'replaced'
            WHEN copy.attempts = 0 AND (copy.fields <> listed.fields OR copy.name <> listed.name
                 OR copy.language <> listed.language OR copy.row_id <> listed.row_id)
                THEN 'refreshed'
            ELSE 'waiting'
        END,
        copy.id
    FROM (SELECT 1) AS one
    LEFT JOIN copy ON copy.mailbox = listed.mailbox AND copy.letter = :letter AND copy.newest = 1
    LEFT JOIN suppression AS out ON out.mailbox = listed.mailbox
)

-- :name choose_first
-- Keep only the first so many rows that there is something to send to.
UPDATE listed SET chosen = 0 WHERE chosen = 1 AND position NOT IN (
    SELECT position FROM listed
    WHERE chosen = 1 AND action IN ('new', 'another', 'returned', 'replaced', 'refreshed', 'waiting')
    ORDER BY position LIMIT :limit
)

-- :name count_actions
-- How many chosen rows there are of each action.
SELECT action, COUNT(*) FROM listed WHERE chosen = 1 GROUP BY action

-- :name count_excluded
-- How many chosen rows the list itself excludes, by reason.
SELECT excluded, COUNT(*) FROM listed WHERE chosen = 1 AND action = 'excluded'
GROUP BY excluded ORDER BY COUNT(*) DESC, excluded

-- :name chosen_states
-- How many chosen rows of the list have a copy in each state.
SELECT copy.state, COUNT(*)
FROM listed JOIN copy ON copy.mailbox = listed.mailbox AND copy.letter = :letter AND copy.newest = 1
WHERE listed.chosen = 1 GROUP BY copy.state

-- :name chosen_persons
-- The chosen rows that there is something to send to, in the order of the list.
SELECT position, mailbox, name, language, row_id, file, line, fields FROM listed
WHERE chosen = 1 AND action IN ('new', 'another', 'returned', 'replaced', 'refreshed', 'waiting')
ORDER BY position

-- :name first_chosen
-- The first chosen row that the list does not exclude, whatever there is to do for it.
SELECT position, mailbox, name, language, row_id, file, line, fields FROM listed
WHERE chosen = 1 AND excluded = '' ORDER BY position LIMIT 1

-- :name gone
-- How many copies wait for somebody who is no longer on the list.
SELECT COUNT(*) FROM copy
WHERE letter = :letter AND newest = 1 AND state IN ('queued', 'deferred')
  AND NOT EXISTS (SELECT 1 FROM listed WHERE listed.mailbox = copy.mailbox)

-- :name log_gone
-- Write down that they are removed.
INSERT INTO event (copy, at, from_state, to_state, reason)
SELECT id, :now, state, 'suppressed', :reason FROM copy
WHERE letter = :letter AND newest = 1 AND state IN ('queued', 'deferred')
  AND NOT EXISTS (SELECT 1 FROM listed WHERE listed.mailbox = copy.mailbox)

-- :name remove_gone
-- Suppress what waits for somebody who is no longer on the list.
UPDATE copy SET state = 'suppressed', reason = :reason, due_at = NULL, updated_at = :now
WHERE letter = :letter AND newest = 1 AND state IN ('queued', 'deferred')
  AND NOT EXISTS (SELECT 1 FROM listed WHERE listed.mailbox = copy.mailbox)

-- :name log_excluded
-- Write down which waiting copies the list has come to exclude.
INSERT INTO event (copy, at, from_state, to_state, reason)
SELECT copy.id, :now, copy.state, 'suppressed', listed.excluded
FROM listed JOIN copy ON copy.id = listed.copy
WHERE listed.chosen = 1 AND listed.action = 'excluded' AND copy.state IN ('queued', 'deferred')

-- :name suppress_excluded
-- Suppress waiting copies that the list has come to exclude.
UPDATE copy SET (state, reason, due_at, updated_at) = (
    SELECT 'suppressed', listed.excluded, NULL, :now FROM listed WHERE listed.mailbox = copy.mailbox
)
WHERE state IN ('queued', 'deferred')
  AND id IN (SELECT copy FROM listed WHERE chosen = 1 AND action = 'excluded')

-- :name log_replaced
-- Write down which waiting copies a newer revision takes the place of.
INSERT INTO event (copy, at, from_state, to_state, reason)
SELECT copy.id, :now, copy.state, 'suppressed', :reason
FROM listed JOIN copy ON copy.id = listed.copy
WHERE listed.chosen = 1 AND listed.action = 'replaced'

-- :name suppress_replaced
-- Suppress waiting copies that a newer revision takes the place of.
UPDATE copy SET state = 'suppressed', reason = :reason, due_at = NULL, updated_at = :now
WHERE id IN (SELECT copy FROM listed WHERE chosen = 1 AND action = 'replaced')

-- :name outdate
-- A copy in a newer revision is about to be made: the one before is no longer the newest.
UPDATE copy SET newest = 0
WHERE id IN (SELECT copy FROM listed WHERE chosen = 1 AND action IN ('another', 'replaced'))

-- :name refresh
-- Bring the row of a copy that was never attempted up to date with the list.
UPDATE copy SET (name, language, row_id, file, line, fields) = (
    SELECT name, language, row_id, file, line, fields FROM listed WHERE listed.copy = copy.id
), updated_at = :now
WHERE attempts = 0 AND state IN ('queued', 'suppressed')
  AND id IN (SELECT copy FROM listed WHERE chosen = 1 AND action IN ('refreshed', 'returned'))

-- :name log_returned
-- Write down that a removed person is back on the list.
INSERT INTO event (copy, at, from_state, to_state, reason)
SELECT copy, :now, 'suppressed', 'queued', 'on the list again'
FROM listed WHERE chosen = 1 AND action = 'returned'

-- :name return
-- Queue the copies of those who are back on the list.
UPDATE copy SET state = 'queued', reason = '', due_at = NULL, updated_at = :now
WHERE id IN (SELECT copy FROM listed WHERE chosen = 1 AND action = 'returned')

-- :name enqueue
-- One copy for each chosen row that has none in this revision.
INSERT INTO copy (letter, revision, newest, mailbox, name, language, row_id, file, line, fields,
                  state, reason, updated_at)
SELECT :letter, :revision, 1, mailbox, name, language, row_id, file, line, fields,
       CASE WHEN action IN ('opted-out', 'excluded') THEN 'suppressed' ELSE 'queued' END,
       CASE action WHEN 'opted-out' THEN 'opted out' WHEN 'excluded' THEN excluded ELSE '' END, :now
FROM listed
WHERE chosen = 1
  AND (action IN ('new', 'another', 'replaced') OR (action IN ('opted-out', 'excluded') AND copy IS NULL))
ORDER BY position

-- :name log_enqueued
-- Write down that copies came into being: those that have no event yet.
INSERT INTO event (copy, at, from_state, to_state, reason)
SELECT id, :now, NULL, state, reason FROM copy WHERE id > :last

-- :name last_copy
-- The copy that was made last.
SELECT COALESCE(MAX(id), 0) FROM copy

-- :name chosen_table
-- The copies that this run may claim, for this connection only.
CREATE TEMPORARY TABLE chosen (copy INTEGER PRIMARY KEY)

-- :name chosen_drop
-- Forget an earlier choice.
DROP TABLE IF EXISTS chosen

-- :name choose
-- The copies of the chosen rows; none of those that the list excludes, whatever waits for them.
INSERT INTO chosen (copy)
SELECT copy.id FROM listed
JOIN copy ON copy.mailbox = listed.mailbox AND copy.letter = :letter AND copy.newest = 1
WHERE listed.chosen = 1 AND listed.action <> 'excluded'

-- :name claimable
-- The copies that can be sent now: first the deferred ones that are due, then the queued ones.
SELECT id, state FROM (
    SELECT id, state, 0 AS turn FROM copy
    WHERE letter = :letter AND newest = 1 AND state = 'deferred' AND due_at <= :now
      AND EXISTS (SELECT 1 FROM chosen WHERE chosen.copy = copy.id)
    UNION ALL
    SELECT * FROM (
        SELECT id, state, 1 AS turn FROM copy
        WHERE letter = :letter AND newest = 1 AND state = 'queued'
          AND EXISTS (SELECT 1 FROM chosen WHERE chosen.copy = copy.id)
        ORDER BY id LIMIT :limit
    ) AS waiting
) AS both_kinds ORDER BY turn, id LIMIT :limit

-- :name log_claimed
-- Write down that copies are taken in hand.
INSERT INTO event (copy, at, from_state, to_state)
SELECT id, :now, state, 'sending' FROM copy
WHERE id IN (SELECT value FROM json_each(:copies)) AND state IN ('queued', 'deferred')

-- :name claim
-- Take copies in hand that still wait.
UPDATE copy SET state = 'sending', owner = :owner, intended = 0, due_at = NULL, updated_at = :now
WHERE id IN (SELECT value FROM json_each(:copies)) AND state IN ('queued', 'deferred')
RETURNING *

-- :name next_due_chosen
-- When the first deferred copy of the choice is due.
SELECT MIN(due_at) FROM copy
WHERE letter = :letter AND newest = 1 AND state = 'deferred'
  AND EXISTS (SELECT 1 FROM chosen WHERE chosen.copy = copy.id)

-- :name intend
-- Mark copies whose final dot is about to go, if this run still owns them and nobody opted out.
UPDATE copy SET intended = 1, letter_date = told.letter_date, message_id = told.message_id,
    sha256 = told.sha256, updated_at = :now
FROM (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS letter_date,
           json_extract(value, '$[2]') AS message_id, json_extract(value, '$[3]') AS sha256
    FROM json_each(:rows)
) AS told
WHERE copy.id = told.id AND copy.state = 'sending' AND copy.owner = :owner
  AND NOT EXISTS (SELECT 1 FROM suppression WHERE suppression.mailbox = copy.mailbox)
RETURNING id

-- :name keep_bytes
-- Keep the bytes of a copy that was marked.
UPDATE copy SET bytes = :bytes WHERE id = :copy AND state = 'sending' AND intended = 1

-- :name add_attempt
-- Count what is about to go against the cap of this login, never before what was counted last.
INSERT INTO attempt (at, login, recipients) VALUES (
    MAX(:now, (SELECT COALESCE(MAX(at), '') FROM attempt WHERE login = :login)), :login, :recipients
)

-- :name attempted
-- How much went out under a login since a moment.
SELECT COALESCE(SUM(recipients), 0) FROM attempt WHERE login = :login AND at > :since

-- :name attempt_leaves
-- When the oldest of the attempts since a moment was made.
SELECT MIN(at) FROM attempt WHERE login = :login AND at > :since

-- :name log_recorded
-- Write down what became of copies in hand.
INSERT INTO event (copy, at, from_state, to_state, reason, reply_code, enhanced_code, reply,
                   server, tls, ms)
SELECT copy.id, :now, 'sending', json_extract(value, '$[1]'), json_extract(value, '$[3]'),
       json_extract(value, '$[6]'), json_extract(value, '$[7]'), json_extract(value, '$[8]'),
       json_extract(value, '$[9]'), json_extract(value, '$[10]'), json_extract(value, '$[11]')
FROM json_each(:rows) CROSS JOIN copy
WHERE copy.id = json_extract(value, '$[0]') AND copy.state = 'sending' AND copy.owner = :owner

-- :name record
-- Give copies in hand the state that became of them.
UPDATE copy SET state = told.state, reason = told.reason, attempts = attempts + told.charge,
    due_at = told.due_at, owner = NULL, intended = 0,
    letter_date = COALESCE(told.letter_date, copy.letter_date),
    reply_code = COALESCE(told.reply_code, copy.reply_code),
    enhanced_code = CASE WHEN told.reply_code IS NULL THEN copy.enhanced_code
                         ELSE told.enhanced_code END,
    reply = COALESCE(told.reply, copy.reply), updated_at = :now
FROM (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS state,
           json_extract(value, '$[2]') AS charge, json_extract(value, '$[3]') AS reason,
           json_extract(value, '$[4]') AS due_at, json_extract(value, '$[5]') AS letter_date,
           json_extract(value, '$[6]') AS reply_code, json_extract(value, '$[7]') AS enhanced_code,
           json_extract(value, '$[8]') AS reply
    FROM json_each(:rows)
) AS told
WHERE copy.id = told.id AND copy.state = 'sending' AND copy.owner = :owner

-- :name orphans
-- Copies in the hand of a run that is no more (the caller owns the log, so every other run is gone).
SELECT id, intended FROM copy WHERE state = 'sending'

-- :name adopt
-- Give an orphan the state that its mark proves.
UPDATE copy SET state = :state, reason = :reason, attempts = attempts + :charge, owner = NULL,
    intended = 0, updated_at = :now
WHERE id = :copy AND state = 'sending'

-- :name move
-- Move a copy along an arrow that a person asked for, if it is still where they saw it.
UPDATE copy SET state = :to_state, reason = :reason, due_at = NULL, updated_at = :now,
    attempts = CASE WHEN :fresh = 1 THEN 0 ELSE attempts END
WHERE id = :copy AND state = :from_state

-- :name uncertain
-- Uncertain copies: of one letter or all, to one mailbox or all, in any revision.
SELECT * FROM copy
WHERE state = 'uncertain' AND (:letter IS NULL OR letter = :letter)
  AND (:mailbox IS NULL OR mailbox = :mailbox)
ORDER BY id

-- :name in_state
-- The newest copies of a letter in a state, to one mailbox or all.
SELECT * FROM copy
WHERE letter = :letter AND newest = 1 AND state = :state
  AND (:mailbox IS NULL OR mailbox = :mailbox)
ORDER BY id

-- :name waiting_for
-- What waits for one mailbox, over all letters.
SELECT * FROM copy WHERE mailbox = :mailbox AND state IN ('queued', 'deferred') ORDER BY id

-- :name suppressed_waiting
-- What waits for mailboxes that are never to be written to.
SELECT * FROM copy
WHERE state IN ('queued', 'deferred') AND mailbox IN (SELECT mailbox FROM suppression)
ORDER BY id

-- :name suppress
-- Never write to a mailbox again.
INSERT INTO suppression (mailbox, reason, at) VALUES (:mailbox, :reason, :now)
ON CONFLICT (mailbox) DO NOTHING

-- :name unsuppress
-- A mailbox may be written to again.
DELETE FROM suppression WHERE mailbox = :mailbox

-- :name suppressions
-- All mailboxes that are never written to.
SELECT mailbox, reason, at FROM suppression ORDER BY mailbox
