-- The rows of reports and evidence packs (report/), in the order of the log.

-- :name evidence_copies
-- Every copy without its bytes and its fields.
SELECT id, letter, revision, mailbox, name, language, state, reason, attempts, letter_date,
       message_id, sha256, bytes IS NOT NULL AS has_bytes,
       (SELECT MIN(event.at) FROM event WHERE event.copy = copy.id
        AND event.from_state = event.to_state) AS erased_at
FROM copy ORDER BY id

-- :name evidence_bytes
-- The copies whose bytes are kept.
SELECT id, letter, revision, sha256, bytes FROM copy
WHERE bytes IS NOT NULL AND sha256 IS NOT NULL ORDER BY id

-- :name evidence_events
-- All events.
SELECT event.*, copy.letter, copy.revision, copy.mailbox
FROM event JOIN copy ON copy.id = event.copy ORDER BY event.id

-- :name evidence_answers
-- All answers.
SELECT answer.*, copy.letter, copy.revision, copy.mailbox
FROM answer JOIN copy ON copy.id = answer.copy ORDER BY answer.id

-- :name evidence_mails
-- Every mail that belongs to a copy, or to a request for approval.
SELECT id, sha256, message_id, sender, subject, kind, recipient, status, permanent, reason, copy,
       matched_by, seen_at, bytes
FROM mail WHERE copy IS NOT NULL OR matched_by = 'approval' ORDER BY id

-- :name evidence_until
-- When something last happened.
SELECT MAX(at) AS until FROM (SELECT MAX(at) AS at FROM event UNION ALL SELECT MAX(at) FROM answer
                     UNION ALL SELECT MAX(seen_at) FROM mail UNION ALL SELECT MAX(at) FROM approval
                     UNION ALL SELECT MAX(at) FROM approval_request) AS moments

-- :name report_people
-- The newest copy of a letter to each person, without its bytes.
SELECT copy.id, copy.letter, copy.mailbox, copy.folded, copy.name, copy.fields, copy.language,
       copy.state, copy.reason, copy.reply_code, copy.enhanced_code, copy.reply
FROM copy WHERE copy.newest = 1 AND copy.letter = :letter ORDER BY copy.id

-- :name report_steps
-- How many copies went from one state to another, by minute.
SELECT substr(at, 1, 16) AS minute, from_state, to_state, COUNT(*) AS copies FROM event
WHERE from_state IS NULL OR from_state <> to_state
GROUP BY minute, from_state, to_state ORDER BY minute
