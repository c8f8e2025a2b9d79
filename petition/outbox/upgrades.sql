-- Upgrades of the schema (upgrades.py), by the number that each leads to.

-- :name set_schema
-- Set the number of the schema.
UPDATE meta SET value = :value WHERE name = 'schema'

-- :name to_9_queued_as
-- The spelling that a copy was first queued with.
ALTER TABLE copy ADD COLUMN queued_as TEXT

-- :name to_9_twin
-- Which of several copies of one person this is.
ALTER TABLE copy ADD COLUMN twin INTEGER NOT NULL DEFAULT 0

-- :name to_9_binding
-- What ties the address of a copy to the log's key.
ALTER TABLE copy ADD COLUMN binding BLOB

-- :name to_9_drop_once
-- It was on the address as it is written.
DROP INDEX copy_once

-- :name to_9_drop_folded
-- The new index replaces it too.
DROP INDEX copy_folded

-- :name to_9_some
-- Some copies, in order.
SELECT id, letter, mailbox, folded FROM copy WHERE id > :last ORDER BY id LIMIT 1000

-- :name to_9_keys
-- Give copies their keys and bindings.
UPDATE copy SET folded = known.folded, binding = known.binding
FROM :known[copy INTEGER, folded TEXT, binding BLOB]
WHERE copy.id = known.copy

-- :name to_9_twins
-- Of the copies with one key in one letter and revision, the one that got furthest counts; rows of the
-- list that were left out keep their order after it.
UPDATE copy SET twin = placed.twin
FROM (
    SELECT id, CASE WHEN is_left_out = 1 THEN place - others ELSE 1 - place END AS twin
    FROM (
        SELECT id, is_left_out,
               CAST(ROW_NUMBER() OVER (PARTITION BY folded, letter, revision
                                       ORDER BY is_left_out, distance, id) AS INTEGER) AS place,
               CAST(SUM(1 - is_left_out) OVER (PARTITION BY folded, letter, revision) AS INTEGER)
                   AS others
        FROM (
            SELECT id, folded, letter, revision,
                   CASE WHEN state = 'suppressed' AND reason IN ('duplicate', 'invalid')
                        THEN 1 ELSE 0 END AS is_left_out,
                   CASE WHEN state = 'sent' THEN 0 WHEN state = 'bounced' THEN 1
                        WHEN state = 'uncertain' OR intended = 1 THEN 2 WHEN state = 'failed' THEN 3
                        WHEN state = 'deferred' THEN 4 WHEN state = 'sending' THEN 5
                        WHEN state = 'queued' THEN 6 ELSE 7 END AS distance
            FROM copy
        ) AS judged
    ) AS ordered
) AS placed
WHERE copy.id = placed.id AND placed.twin <> 0

-- :name to_9_had_before
-- A copy that waits for somebody who has an earlier revision under another spelling does not count
-- either, unless its revision is meant for them too.
UPDATE copy SET twin = (
    SELECT MIN(other.twin) - 1 FROM copy AS other
    WHERE other.folded = copy.folded AND other.letter = copy.letter
      AND other.revision = copy.revision)
WHERE twin = 0 AND intended = 0 AND state IN ('queued', 'deferred', 'sending')
  AND EXISTS (
      SELECT 1 FROM copy AS before
      WHERE before.folded = copy.folded AND before.letter = copy.letter
        AND before.revision < copy.revision AND before.mailbox <> copy.mailbox
        AND (before.state IN ('sent', 'bounced', 'uncertain') OR before.intended = 1))
  AND EXISTS (
      SELECT 1 FROM frozen
      WHERE frozen.letter = copy.letter AND frozen.revision = copy.revision
        AND frozen.mode NOT IN ('again', 'again-chosen'))

-- :name to_9_index
-- One row for each person in each letter and revision.
CREATE UNIQUE INDEX copy_once ON copy (folded, letter, revision, twin)

-- :name to_9_newest
-- One row for each person in each letter is the newest.
UPDATE copy SET newest = CASE
    WHEN twin < 0 THEN 0
    WHEN EXISTS (SELECT 1 FROM copy AS newer
                 WHERE newer.folded = copy.folded AND newer.letter = copy.letter
                   AND newer.revision > copy.revision AND newer.twin = copy.twin) THEN 0
    ELSE 1 END
WHERE newest = 1 OR twin = 0

-- :name to_9_log_duplicates
-- Record that copies of another spelling are not sent.
INSERT INTO event (copy, at, from_state, to_state, reason)
SELECT id, :now, state, 'suppressed', 'duplicate' FROM copy
WHERE twin < 0 AND intended = 0 AND state IN ('queued', 'deferred', 'sending', 'failed') ORDER BY id

-- :name to_9_duplicates
-- Copies of another spelling are not sent, unless they were.
UPDATE copy SET state = 'suppressed', reason = 'duplicate', due_at = NULL, waiting_since = NULL,
    owner = NULL, stopped = NULL, updated_at = :now
WHERE twin < 0 AND intended = 0 AND state IN ('queued', 'deferred', 'sending', 'failed')

-- :name to_9_suppressions
-- The keys of all suppressed mailboxes.
SELECT folded FROM suppression ORDER BY folded

-- :name to_9_merge_suppression
-- Delete a suppressed mailbox that has the new key already.
DELETE FROM suppression WHERE folded = :old
  AND EXISTS (SELECT 1 FROM suppression AS other WHERE other.folded = :new)

-- :name to_9_suppression
-- Give a suppressed mailbox its new key.
UPDATE suppression SET folded = :new WHERE folded = :old

-- :name to_10_copies
-- Rename the state of copies that are not sent.
UPDATE copy SET state = 'skipped' WHERE state = 'suppressed'

-- :name to_10_events
-- Rename it in events.
UPDATE event SET
    from_state = CASE from_state WHEN 'suppressed' THEN 'skipped' ELSE from_state END,
    to_state = CASE to_state WHEN 'suppressed' THEN 'skipped' ELSE to_state END
WHERE from_state = 'suppressed' OR to_state = 'suppressed'

-- :name to_11_log_queued
-- Record that copies without a mark wait again.
INSERT INTO event (copy, at, from_state, to_state)
SELECT id, :now, 'sending', 'queued' FROM copy WHERE state = 'sending' AND intended = 0 ORDER BY id

-- :name to_11_queued
-- Queue them.
UPDATE copy SET state = 'queued', owner = NULL, updated_at = :now
WHERE state = 'sending' AND intended = 0

-- :name to_11_log_stopped
-- Record that those that somebody stopped are not sent.
INSERT INTO event (copy, at, from_state, to_state, reason)
SELECT id, :now, 'queued', 'skipped', stopped FROM copy
WHERE state = 'queued' AND stopped IS NOT NULL ORDER BY id

-- :name to_11_stopped
-- Skip them.
UPDATE copy SET state = 'skipped', reason = stopped, stopped = NULL, updated_at = :now
WHERE state = 'queued' AND stopped IS NOT NULL

-- :name to_11_intended
-- Every copy that is sending is marked.
ALTER TABLE copy DROP COLUMN intended

-- :name to_12_answers
-- Whether the words of an answer may be quoted in public.
ALTER TABLE answer ADD COLUMN public INTEGER NOT NULL DEFAULT 0

-- :name to_13_service
-- Mails that petition writes by itself.
CREATE TABLE service (
    id            INTEGER PRIMARY KEY,
    kind          TEXT NOT NULL,
    serial        INTEGER NOT NULL,
    mailbox       TEXT NOT NULL,
    folded        TEXT NOT NULL,
    about         INTEGER NOT NULL,
    state         TEXT NOT NULL,
    reason        TEXT NOT NULL DEFAULT '',
    attempts      INTEGER NOT NULL DEFAULT 0,
    due_at        TEXT,
    waiting_since TEXT,
    owner         TEXT,
    message_id    TEXT NOT NULL,
    bytes         BLOB,
    reply_code    INTEGER,
    enhanced_code TEXT,
    reply         TEXT,
    created_at    TEXT NOT NULL,
    updated_at    TEXT NOT NULL
)

-- :name to_13_service_waits
-- An index of theirs.
CREATE INDEX service_waits ON service (id) WHERE state IN ('queued', 'deferred')

-- :name to_13_service_in_hand
-- An index of theirs.
CREATE INDEX service_in_hand ON service (owner) WHERE state = 'sending'

-- :name to_13_service_to
-- An index of theirs.
CREATE INDEX service_to ON service (folded, created_at)

-- :name to_13_service_message
-- An index of theirs.
CREATE INDEX service_message ON service (message_id)

-- :name to_13_wording
-- What people agreed to.
CREATE TABLE wording (
    sha256   TEXT PRIMARY KEY,
    language TEXT NOT NULL,
    text     TEXT NOT NULL
)

-- :name to_13_signature
-- Who signed.
CREATE TABLE signature (
    id           INTEGER PRIMARY KEY,
    letter       TEXT NOT NULL,
    mailbox      TEXT NOT NULL,
    folded       TEXT NOT NULL,
    selector     TEXT NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    role         TEXT NOT NULL,
    organisation TEXT NOT NULL,
    place        TEXT NOT NULL,
    country      TEXT NOT NULL,
    kind         TEXT NOT NULL,
    publish      INTEGER NOT NULL,
    updates      INTEGER NOT NULL,
    language     TEXT NOT NULL,
    wording      TEXT NOT NULL REFERENCES wording (sha256),
    status       TEXT NOT NULL,
    review       TEXT NOT NULL,
    signed_at    TEXT NOT NULL,
    confirmed_at TEXT,
    updated_at   TEXT NOT NULL
)

-- :name to_13_signature_once
-- An index of theirs.
CREATE UNIQUE INDEX signature_once ON signature (folded, letter)

-- :name to_13_signature_event
-- What became of it.
CREATE TABLE signature_event (
    id        INTEGER PRIMARY KEY,
    signature INTEGER NOT NULL REFERENCES signature (id),
    at        TEXT NOT NULL,
    what      TEXT NOT NULL,
    how       TEXT NOT NULL,
    publish   INTEGER NOT NULL,
    updates   INTEGER NOT NULL,
    wording   TEXT NOT NULL REFERENCES wording (sha256)
)

-- :name to_13_signature_event_of
-- An index of theirs.
CREATE INDEX signature_event_of ON signature_event (signature)

-- :name to_13_approval_request
-- Each time that approvers were asked.
CREATE TABLE approval_request (
    id        INTEGER PRIMARY KEY,
    letter    TEXT NOT NULL,
    revision  INTEGER NOT NULL,
    hash      TEXT NOT NULL,
    binding   TEXT NOT NULL,
    copies    INTEGER NOT NULL,
    through   TEXT NOT NULL,
    needed    INTEGER NOT NULL,
    approvers TEXT NOT NULL,
    author    TEXT NOT NULL,
    at        TEXT NOT NULL
)

-- :name to_13_approval_request_for
-- Its index.
CREATE INDEX approval_request_for ON approval_request (letter, binding)

-- :name to_13_approval
-- What was said to a request.
CREATE TABLE approval (
    id       INTEGER PRIMARY KEY,
    request  INTEGER NOT NULL REFERENCES approval_request (id),
    at       TEXT NOT NULL,
    decision TEXT NOT NULL,
    how      TEXT NOT NULL,
    approver TEXT NOT NULL,
    words    TEXT NOT NULL DEFAULT '',
    mail     INTEGER REFERENCES mail (id),
    author   TEXT NOT NULL
)

-- :name to_13_approval_of
-- Its index.
CREATE INDEX approval_of ON approval (request)
