-- A letter's list compared with the log (enqueue.py). `-- :name` begins a query, as in queries.sql.
-- `x || ''` is x, but keeps SQLite from starting a join with the other table, which is longer.

-- :name stage_table
-- The letter's list as it is now, for this connection only.
CREATE TEMPORARY TABLE listed (
    position INTEGER PRIMARY KEY,
    -- What each comparison reads comes first: SQLite unpacks a row up to the last column it needs.
    folded   TEXT NOT NULL,
    twin     INTEGER NOT NULL, -- 0, or its number among the rows left out beside another
    wanted   INTEGER NOT NULL, -- this send is for this row
    chosen   INTEGER NOT NULL, -- and it is within the limit
    excluded TEXT NOT NULL,
    action   TEXT NOT NULL DEFAULT 'new', -- as for somebody who is not in the log
    copy     INTEGER,
    mailbox  TEXT NOT NULL,
    domain   TEXT NOT NULL,
    name     TEXT NOT NULL,
    language TEXT NOT NULL,
    row_id   TEXT NOT NULL,
    file     TEXT NOT NULL,
    line     INTEGER NOT NULL,
    binding  BLOB NOT NULL,
    fields   TEXT NOT NULL
)

-- :name stage_index
-- One row for each person.
CREATE UNIQUE INDEX listed_folded ON listed (folded, twin)

-- :name stage_drop
-- Drop an earlier list.
DROP TABLE IF EXISTS listed

-- :name stage
-- Stage one row of the list.
INSERT INTO listed (position, folded, twin, wanted, chosen, excluded, mailbox, domain, name, language,
                    row_id, file, line, binding, fields)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- :name compare_anew
-- Reset an earlier comparison.
UPDATE listed SET chosen = wanted, action = 'new', copy = NULL WHERE action <> 'new' OR chosen <> wanted

-- :name compare
-- The action for each chosen row that the log or the list says anything about, and its copy.
UPDATE listed SET chosen = wanted, (action, copy) = (
    SELECT
        CASE
            WHEN out.folded IS NOT NULL
                 AND (copy.id IS NULL OR copy.state IN WAITING) THEN 'opted-out'
            WHEN listed.excluded <> ''
                 AND (copy.id IS NULL OR copy.state IN ('queued', 'deferred', 'sending', 'failed'))
                THEN 'excluded'
            WHEN copy.id IS NULL THEN 'new'
            WHEN copy.state IN MAY_HAVE_ARRIVED
                THEN CASE WHEN :mode = 'again' AND copy.revision < :revision
                               AND out.folded IS NULL AND listed.excluded = '' THEN 'another'
                          WHEN :mode = 'again' AND out.folded IS NOT NULL THEN 'opted-out'
                          WHEN copy.state = 'uncertain' THEN 'uncertain'
                          ELSE 'has-it' END
            WHEN copy.state = 'failed'
                THEN CASE WHEN :mode <> 'continue' AND copy.revision < :revision
                               AND out.folded IS NULL THEN 'another'
                          ELSE 'failed' END
            WHEN copy.state = 'skipped'
                THEN CASE WHEN out.folded IS NOT NULL THEN 'opted-out'
                          WHEN listed.excluded <> '' THEN 'excluded'
                          WHEN copy.reason = 'withdrawn' THEN 'withdrawn'
                          WHEN copy.revision < :revision THEN 'another'
                          ELSE 'returned' END
            WHEN copy.state = 'sending' THEN 'waiting'
            WHEN copy.revision < :revision THEN 'replaced'
            WHEN copy.state = 'deferred' AND copy.due_at > :now THEN 'deferred'
            WHEN copy.attempts = 0 AND (copy.fields <> listed.fields OR copy.name <> listed.name
                 OR copy.language <> listed.language OR copy.row_id <> listed.row_id
                 OR copy.mailbox <> listed.mailbox)
                THEN 'refreshed'
            ELSE 'waiting'
        END,
        copy.id
    FROM (SELECT 1) AS one
    LEFT JOIN copy ON copy.letter = :letter AND copy.folded = listed.folded
        AND copy.twin = listed.twin AND copy.newest = 1
    LEFT JOIN suppression AS out ON out.folded = listed.folded AND out.reason <> 'forgotten'
)
WHERE excluded <> ''
   OR ((SELECT 1 FROM copy WHERE letter = :letter AND newest = 1 LIMIT 1) = 1 -- asked once
       AND EXISTS (SELECT 1 FROM copy WHERE copy.letter = :letter AND copy.folded = listed.folded
            AND copy.twin = listed.twin AND copy.newest = 1))
   OR ((SELECT 1 FROM suppression LIMIT 1) = 1
       AND EXISTS (SELECT 1 FROM suppression WHERE suppression.folded = listed.folded))

-- :name choose_first
-- If more rows than the limit get a letter, keep only the first of them.
UPDATE listed SET chosen = 0
WHERE chosen = 1
  AND (SELECT COUNT(*) FROM listed WHERE chosen = 1 AND action IN ('new', 'another', 'returned', 'replaced', 'refreshed', 'waiting')) > :limit
  AND position NOT IN (
    SELECT position FROM listed
    WHERE chosen = 1 AND action IN ('new', 'another', 'returned', 'replaced', 'refreshed', 'waiting')
    ORDER BY position LIMIT :limit
)

-- :name count_actions
-- How many chosen rows have each action.
SELECT action, COUNT(*) FROM listed WHERE chosen = 1 GROUP BY action

-- :name count_excluded
-- How many chosen rows the list itself excludes, by reason.
SELECT excluded, COUNT(*) FROM listed WHERE chosen = 1 AND action = 'excluded'
GROUP BY excluded ORDER BY COUNT(*) DESC, excluded

-- :name count_newly_excluded
-- How many copies wait for chosen rows that the list excludes by now.
SELECT COUNT(*) FROM listed JOIN copy ON copy.id = listed.copy
WHERE listed.chosen = 1 AND listed.action = 'excluded' AND copy.state IN WAITING

-- :name count_as_queued
-- How many copies go out as they were queued, after an attempt, although the list has changed.
SELECT COUNT(*) FROM listed JOIN copy ON copy.id = listed.copy
WHERE listed.chosen = 1 AND listed.action IN ('waiting', 'returned') AND copy.attempts > 0
  AND (copy.fields <> listed.fields OR copy.name <> listed.name OR copy.language <> listed.language
       OR copy.mailbox <> listed.mailbox)

-- :name deferred_until
-- When the first deferred copy of the chosen rows is due.
SELECT MIN(copy.due_at) FROM listed JOIN copy ON copy.id = listed.copy
WHERE listed.chosen = 1 AND listed.action = 'deferred'

-- :name chosen_states
-- How many chosen rows of the list have a copy in each state; those after `last` were created here.
SELECT state, CAST(SUM(number) AS BIGINT) FROM (
    SELECT state, COUNT(*) AS number FROM copy
    WHERE letter = :letter AND newest = 1 AND id > :last GROUP BY state
    UNION ALL
    SELECT copy.state, COUNT(*) FROM listed JOIN copy ON copy.id = listed.copy
    WHERE listed.chosen = 1 AND copy.newest = 1 GROUP BY copy.state
) AS theirs GROUP BY state

-- :name chosen_persons
-- The chosen rows to send to, as they will go out: after an attempt, as they were queued.
SELECT CASE WHEN copy.attempts > 0 THEN copy.mailbox ELSE listed.mailbox END AS mailbox,
       CASE WHEN copy.attempts > 0 THEN copy.name ELSE listed.name END AS name,
       CASE WHEN copy.attempts > 0 THEN copy.language ELSE listed.language END AS language,
       CASE WHEN copy.attempts > 0 THEN copy.row_id ELSE listed.row_id END AS row_id,
       CASE WHEN copy.attempts > 0 THEN copy.file ELSE listed.file END AS file,
       CASE WHEN copy.attempts > 0 THEN copy.line ELSE listed.line END AS line,
       CASE WHEN copy.attempts > 0 THEN copy.fields ELSE listed.fields END AS fields,
       COALESCE(copy.queued_as, copy.mailbox) AS queued_as
FROM listed
LEFT JOIN copy ON copy.id = listed.copy AND listed.action IN ('waiting', 'returned', 'refreshed')
WHERE listed.chosen = 1 AND listed.action IN ('new', 'another', 'returned', 'replaced', 'refreshed', 'waiting')
ORDER BY listed.position

-- :name first_chosen
-- The first chosen row that the list does not exclude, whatever its action.
SELECT mailbox, name, language, row_id, file, line, fields, NULL AS queued_as FROM listed
WHERE chosen = 1 AND excluded = '' ORDER BY position LIMIT 1

-- :name is_listed
-- Whether somebody is on the list.
SELECT 1 FROM listed WHERE folded = :folded LIMIT 1

-- :name gone
-- How many copies wait for somebody who is no longer on the list.
SELECT COUNT(*) FROM copy
WHERE letter = :letter AND newest = 1 AND state IN WAITING
  AND NOT EXISTS (SELECT 1 FROM listed WHERE listed.folded = copy.folded AND listed.twin = copy.twin)

-- :name pick_gone
-- What waits for somebody who is no longer on the list.
INSERT INTO moving (copy, from_state, to_state, reason)
SELECT id, state, 'skipped', :reason FROM copy
WHERE letter = :letter AND newest = 1 AND state IN WAITING
  AND NOT EXISTS (SELECT 1 FROM listed WHERE listed.folded = copy.folded AND listed.twin = copy.twin)

-- :name pick_left_out
-- What waits for chosen rows that are excluded, have opted out, or get a newer revision.
INSERT INTO moving (copy, from_state, to_state, reason)
SELECT copy.id, copy.state, 'skipped',
       CASE listed.action WHEN 'excluded' THEN listed.excluded
                          WHEN 'replaced' THEN :replaced
                          ELSE (SELECT reason FROM suppression WHERE suppression.folded = listed.folded) END
FROM listed JOIN copy ON copy.id = listed.copy
WHERE listed.chosen = 1 AND listed.action IN ('excluded', 'replaced', 'opted-out')
  AND copy.state IN WAITING

-- :name pick_returned
-- Skipped copies of chosen rows that may be sent again.
INSERT INTO moving (copy, from_state, to_state, reason)
SELECT copy.id, copy.state, 'queued',
       CASE copy.reason WHEN 'removed from the list' THEN 'on the list again'
                        ELSE 'may be written to again' END
FROM listed JOIN copy ON copy.id = listed.copy
WHERE listed.chosen = 1 AND listed.action = 'returned'

-- :name outdate
-- A copy in a newer revision is about to be created: the older one is no longer the newest.
UPDATE copy SET newest = 0
WHERE id IN (SELECT copy FROM listed WHERE chosen = 1 AND action IN ('another', 'replaced'))

-- :name refresh
-- Update copies that were never attempted from the list; their identity stays.
UPDATE copy SET (mailbox, binding, name, language, row_id, file, line, fields, queued_as) = (
    SELECT listed.mailbox, listed.binding, listed.name, listed.language, listed.row_id, listed.file,
           listed.line, listed.fields,
           CASE WHEN COALESCE(copy.queued_as, copy.mailbox) <> listed.mailbox
                THEN COALESCE(copy.queued_as, copy.mailbox) END
    FROM listed WHERE listed.copy = copy.id
), updated_at = :now
WHERE attempts = 0 AND state IN ('queued', 'skipped')
  AND id IN (SELECT copy FROM listed WHERE chosen = 1 AND action IN ('refreshed', 'returned'))

-- :name count_enqueued
-- How many chosen rows have yet to be queued.
SELECT COUNT(*) FROM listed
WHERE chosen = 1
  AND (action IN ('new', 'another', 'replaced') OR (action IN ('opted-out', 'excluded') AND copy IS NULL))

-- :name enqueue
-- One copy for each chosen row that has none in this revision.
INSERT INTO copy (letter, revision, newest, mailbox, folded, domain, name, language, row_id, file,
                  line, fields, twin, binding, state, reason, updated_at)
SELECT :letter, :revision, 1, mailbox, folded, domain, name, language, row_id, file, line, fields,
       twin, binding, CASE WHEN action IN ('opted-out', 'excluded') THEN 'skipped' ELSE 'queued' END,
       CASE action WHEN 'opted-out' THEN (SELECT reason FROM suppression WHERE suppression.folded = listed.folded)
                   WHEN 'excluded' THEN excluded ELSE '' END, :now
FROM listed
WHERE chosen = 1
  AND (action IN ('new', 'another', 'replaced') OR (action IN ('opted-out', 'excluded') AND copy IS NULL))
ORDER BY position

-- :name log_enqueued
-- Record that copies were created.
INSERT INTO event (copy, at, from_state, to_state, reason)
SELECT id, :now, NULL, state, reason FROM copy WHERE id > :last

-- :name last_copy
-- The copy that was created last.
SELECT COALESCE(MAX(id), 0) FROM copy

-- :name chosen_table
-- The copies that this run may send, for this connection only.
CREATE TEMPORARY TABLE chosen (copy INTEGER PRIMARY KEY)

-- :name chosen_drop
-- Drop an earlier choice.
DROP TABLE IF EXISTS chosen

-- :name choose
-- The copies of the chosen rows in this revision, without those that the list excludes. Those after
-- `last` were just created: of them, the ones that wait.
INSERT INTO chosen (copy)
SELECT id FROM copy WHERE letter = :letter AND newest = 1 AND state = 'queued' AND id > :last
UNION ALL
SELECT copy.id FROM listed JOIN copy ON copy.id = listed.copy
WHERE listed.chosen = 1 AND listed.action <> 'excluded' AND copy.newest = 1
  AND copy.revision = :revision
