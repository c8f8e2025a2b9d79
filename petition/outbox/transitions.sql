-- Transitions of many copies at once (models.py, manual.py): picking the copies, and moving them.

-- :name moving_table
-- Copies that are about to move, for this connection only.
CREATE TEMPORARY TABLE moving (
    copy       INTEGER PRIMARY KEY,
    from_state TEXT NOT NULL,
    to_state   TEXT NOT NULL,
    reason     TEXT NOT NULL
)

-- :name moving_clear
-- Clear what was moved before.
DELETE FROM moving

-- :name moving_transitions
-- Which transitions are about to happen.
SELECT DISTINCT from_state, to_state FROM moving

-- :name log_moving
-- Record each transition.
INSERT INTO event (copy, at, from_state, to_state, reason)
SELECT copy, :now, from_state, to_state, reason FROM moving ORDER BY copy

-- :name move
-- Move copies without a server's reply; a queued one has no reason. An uncertain one that was stopped
-- while it was sent stays so: `pick_stopped` looks.
UPDATE copy SET (state, reason) = (
        SELECT to_state, CASE WHEN to_state IN ('skipped', 'failed') THEN moving.reason ELSE '' END
        FROM moving WHERE moving.copy = copy.id
    ),
    due_at = NULL, waiting_since = NULL, owner = NULL, updated_at = :now,
    stopped = CASE WHEN state = 'uncertain' THEN stopped END,
    attempts = CASE WHEN :fresh = 1 THEN 0 ELSE attempts END
WHERE id IN (SELECT moving.copy FROM moving)

-- :name moved
-- What was moved, in the order of the log.
SELECT copy.id, copy.letter, copy.revision, copy.mailbox, copy.row_id,
       moving.from_state, moving.to_state, moving.reason
FROM moving JOIN copy ON copy.id = moving.copy ORDER BY moving.copy

-- :name has_orphans
-- Whether a copy or a service message is marked.
SELECT 1 WHERE EXISTS (SELECT 1 FROM copy WHERE state = 'sending')
            OR EXISTS (SELECT 1 FROM service WHERE state = 'sending')

-- :name has_overdue
-- Whether a copy was deferred too long ago, or by a clock that was ahead.
SELECT 1 WHERE EXISTS (SELECT 1 FROM copy WHERE state = 'deferred' AND waiting_since <= :since)
            OR EXISTS (SELECT 1 FROM copy WHERE state = 'deferred' AND waiting_since > :now)
            OR EXISTS (SELECT 1 FROM copy WHERE state = 'deferred' AND due_at > :horizon)

-- :name due_now
-- Make copies due that are due later than any wait allows: a clock was ahead.
UPDATE copy SET due_at = CASE WHEN due_at > :horizon THEN :now ELSE due_at END,
    waiting_since = CASE WHEN waiting_since > :now THEN :now ELSE waiting_since END
WHERE state = 'deferred' AND (due_at > :horizon OR waiting_since > :now)
  AND (letter = :letter OR :letter IS NULL)

-- :name pick_orphans
-- Copies that a dead run marked (the caller owns the log, so every other run is dead).
INSERT INTO moving (copy, from_state, to_state, reason)
SELECT id, state, 'uncertain', :reason FROM copy WHERE state = 'sending'

-- :name adopt
-- Make them uncertain; the owner stays, as it may know more.
UPDATE copy SET state = 'uncertain', reason = (
        SELECT moving.reason FROM moving WHERE moving.copy = copy.id
    ),
    attempts = attempts + 1, updated_at = :now
WHERE id IN (SELECT moving.copy FROM moving)

-- :name adopt_service
-- Make uncertain the service messages that a dead run marked.
UPDATE service SET state = 'uncertain', reason = :reason, attempts = attempts + 1, bytes = NULL,
    updated_at = :now
WHERE state = 'sending'

-- :name pick_late
-- Of some copies, those that are uncertain and whose owner heard that the server deferred them.
INSERT INTO moving (copy, from_state, to_state, reason)
SELECT id, state, 'deferred', '' FROM copy
WHERE id IN (:copies[]) AND state = 'uncertain' AND owner = :owner

-- :name pick_stopped
-- Of some copies that wait again, those that were stopped or replaced while they were sent.
INSERT INTO moving (copy, from_state, to_state, reason)
SELECT id, state, 'skipped', COALESCE(
    stopped, (SELECT reason FROM suppression WHERE suppression.folded = copy.folded), :replaced
)
FROM copy
WHERE id IN (:copies[]) AND state IN WAITING
  AND (stopped IS NOT NULL OR newest = 0
       OR EXISTS (SELECT 1 FROM suppression WHERE suppression.folded = copy.folded))

-- :name pick_answered
-- A copy whose person has answered since it was queued, if it waits.
INSERT INTO moving (copy, from_state, to_state, reason)
SELECT id, state, 'skipped', :reason FROM copy WHERE id = :copy AND state IN WAITING

-- :name pick_taken_back
-- Copies whose attempt was just undone.
INSERT INTO moving (copy, from_state, to_state, reason)
SELECT id, state, 'queued', :reason FROM copy WHERE id IN (:copies[])

-- :name queue_again
-- Queue them, as they were before.
UPDATE copy SET state = 'queued', reason = '', updated_at = :now
WHERE id IN (SELECT moving.copy FROM moving)

-- :name pick_overdue
-- Deferred copies whose first attempt was too long ago.
INSERT INTO moving (copy, from_state, to_state, reason)
SELECT id, state, 'failed', :reason FROM copy WHERE state = 'deferred' AND waiting_since <= :since

-- :name pick_uncertain
-- Uncertain copies: of one letter or all, to one mailbox or all, in any revision.
INSERT INTO moving (copy, from_state, to_state, reason)
SELECT id, state, :to_state, :reason FROM copy
WHERE state = 'uncertain' AND (letter = :letter OR :letter IS NULL)
  AND (folded = :folded OR :folded IS NULL)

-- :name pick_failed
-- All copies of a letter that failed.
INSERT INTO moving (copy, from_state, to_state, reason)
SELECT id, state, 'queued', :reason FROM copy
WHERE letter = :letter AND newest = 1 AND state = 'failed'
  AND NOT EXISTS (SELECT 1 FROM suppression WHERE suppression.folded = copy.folded)

-- :name pick_retriable
-- The copies of a letter to one mailbox that failed or were withdrawn.
INSERT INTO moving (copy, from_state, to_state, reason)
SELECT id, state, 'queued', :reason FROM copy
WHERE folded = :folded AND letter = :letter AND newest = 1
  AND (state = 'failed' OR (state = 'skipped' AND copy.reason = 'withdrawn'))
  AND NOT EXISTS (SELECT 1 FROM suppression WHERE suppression.folded = copy.folded)

-- :name pick_waiting
-- All copies of a letter that wait.
INSERT INTO moving (copy, from_state, to_state, reason)
SELECT id, state, 'skipped', :reason FROM copy
WHERE letter = :letter AND newest = 1 AND state IN WAITING

-- :name pick_waiting_to
-- The copies that wait for one mailbox, of one letter or of all.
INSERT INTO moving (copy, from_state, to_state, reason)
SELECT id, state, 'skipped', :reason FROM copy
WHERE folded = :folded AND state IN WAITING AND (letter = :letter OR :letter IS NULL)

-- :name pick_unwanted
-- What waits for suppressed mailboxes.
INSERT INTO moving (copy, from_state, to_state, reason)
SELECT copy.id, copy.state, 'skipped', suppression.reason
FROM suppression JOIN copy ON copy.folded = suppression.folded || ''
WHERE copy.state IN WAITING

-- :name marked
-- Copies that are being sent, of one letter or all.
SELECT id, letter, revision, mailbox, row_id FROM copy
WHERE state = 'sending' AND (letter = :letter OR :letter IS NULL)

-- :name stop
-- Skip a copy that is being sent unless the server takes it: its final dot may be on its way.
UPDATE copy SET stopped = :reason WHERE id = :copy AND state = 'sending'

-- :name suppress
-- Suppress a mailbox; the first reason counts, unless it only held the mailbox.
INSERT INTO suppression (folded, mailbox, reason, at) VALUES (:folded, :mailbox, :reason, :now)
ON CONFLICT (folded) DO UPDATE SET reason = excluded.reason, at = excluded.at
WHERE suppression.reason = 'may want to leave' AND excluded.reason <> suppression.reason

-- :name unsuppress
-- Allow a mailbox again.
DELETE FROM suppression WHERE folded = :folded RETURNING mailbox

-- :name held
-- The mailboxes that are suppressed for a reason.
SELECT mailbox FROM suppression WHERE reason = :reason ORDER BY mailbox

-- :name suppressions
-- All suppressed mailboxes.
SELECT mailbox, reason, at FROM suppression ORDER BY mailbox
