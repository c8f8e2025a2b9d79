-- Mail that comes back (inbound.py), and whose copies it belongs to.

-- :name inbox_position
-- How far an IMAP mailbox was read.
SELECT validity, uid FROM inbox_position WHERE source = :source

-- :name set_inbox_position
-- Keep how far an IMAP mailbox was read.
INSERT INTO inbox_position (source, validity, uid, at) VALUES (:source, :validity, :uid, :now)
ON CONFLICT (source) DO UPDATE SET validity = :validity, uid = :uid, at = :now

-- :name known_places
-- The places of the mails that were read from a source.
SELECT place FROM mail WHERE source = :source

-- :name timed_out
-- Mails that an earlier version set aside after a timeout, and that no person has classified.
SELECT id, sha256, place FROM mail
WHERE source = :source AND kind IS NULL AND copy IS NULL AND reason LIKE :reason
  AND NOT EXISTS (SELECT 1 FROM answer WHERE answer.mail = mail.id)

-- :name drop_mail
-- Delete a mail that is recorded again.
DELETE FROM mail WHERE id = :mail

-- :name has_mail
-- Whether a mail was read before, from any source.
SELECT id FROM mail WHERE sha256 = :sha256

-- :name signature_mail
-- A mail about a signature that was read before.
SELECT id FROM mail
WHERE message_id = :message_id AND sender = :sender AND matched_by = 'signature' LIMIT 1

-- :name add_mail
-- Keep a mail.
INSERT INTO mail (sha256, source, place, message_id, sender, subject, kind, recipient, status,
                  permanent, reason, copy, matched_by, bytes, waits, seen_at)
VALUES (:sha256, :source, :place, :message_id, :sender, :subject, :kind, :recipient, :status,
        :permanent, :reason, :copy, :matched_by, :bytes, :waits, :now)

-- :name waiting
-- Mails whose copy was being sent when they came, and no longer is.
SELECT mail.id, mail.source, mail.place, mail.bytes, mail.matched_by, mail.copy
FROM mail JOIN copy ON copy.id = mail.copy
WHERE mail.waits = 1 AND copy.state <> 'sending' ORDER BY mail.id

-- :name waits_no_more
-- A mail was applied.
UPDATE mail SET waits = 0 WHERE id = :mail

-- :name one_copy
-- A copy by its id.
SELECT * FROM copy WHERE id = :copy

-- :name unmatched
-- Mails that belong to no copy, and that no person has assigned; the newest first.
SELECT id, kind, sender, subject, reason, seen_at FROM mail
WHERE copy IS NULL AND COALESCE(kind, '') <> 'report'
  AND matched_by NOT IN ('signature', 'approval')
  AND NOT EXISTS (SELECT 1 FROM answer WHERE answer.mail = mail.id)
ORDER BY id DESC LIMIT :limit

-- :name count_unmatched
-- How many there are.
SELECT COUNT(*) FROM mail
WHERE copy IS NULL AND COALESCE(kind, '') <> 'report'
  AND matched_by NOT IN ('signature', 'approval')
  AND NOT EXISTS (SELECT 1 FROM answer WHERE answer.mail = mail.id)

-- :name copy_by_message_id
-- The copy that went out under a Message-ID.
SELECT * FROM copy WHERE message_id = :message_id

-- :name copy_by_reply
-- The copy that a server took with a reply: Amazon SES says the Message-ID that it gives it.
SELECT * FROM copy WHERE reply = :reply AND substr(reply, 1, 3) = 'Ok '

-- :name latest_to
-- The latest copy for a mailbox, whatever became of it.
SELECT * FROM copy WHERE folded = :folded ORDER BY id DESC LIMIT 1

-- :name copy_by_token
-- The copy that went out with a token in its return path.
SELECT * FROM copy WHERE token = :token

-- :name copies_by_selector
-- The copies whose unsubscribe token begins with one of these, seldom more than one each.
SELECT * FROM copy WHERE unsubscribe IN (:selectors[])

-- :name index_message_ids
-- Index copies by Message-ID (database.py).
CREATE INDEX IF NOT EXISTS copy_message_id ON copy (message_id) WHERE message_id IS NOT NULL

-- :name index_tokens
-- Index copies by the token of their return path.
CREATE INDEX IF NOT EXISTS copy_token ON copy (token) WHERE token IS NOT NULL

-- :name index_selectors
-- Index copies by their unsubscribe token.
CREATE INDEX IF NOT EXISTS copy_unsubscribe ON copy (unsubscribe) WHERE unsubscribe IS NOT NULL

-- :name index_replies
-- Index copies by the reply of a server that names a letter by a new Message-ID.
CREATE INDEX IF NOT EXISTS copy_reply ON copy (reply) WHERE substr(reply, 1, 3) = 'Ok '

-- :name drop_index_of_message_ids
-- Drop an index while many copies are marked.
DROP INDEX IF EXISTS copy_message_id

-- :name drop_index_of_tokens
-- The same for return paths.
DROP INDEX IF EXISTS copy_token

-- :name drop_index_of_selectors
-- The same for unsubscribe tokens.
DROP INDEX IF EXISTS copy_unsubscribe

-- :name first_sent
-- When the first of all letters went out, or an approver was first asked.
SELECT MIN(at) FROM (SELECT MIN(letter_date) AS at FROM copy WHERE message_id IS NOT NULL
                     UNION ALL SELECT MIN(at) FROM approval_request) AS firsts

-- :name pick_bounced
-- A copy that bounced, by a proven notification.
INSERT INTO moving (copy, from_state, to_state, reason)
SELECT id, state, 'bounced', :reason FROM copy
WHERE id = :copy AND state IN ('sent', 'uncertain')

-- :name bounce
-- Keep why it bounced.
UPDATE copy SET (state, reason) = (
        SELECT to_state, moving.reason FROM moving WHERE moving.copy = copy.id
    ),
    updated_at = :now
WHERE id IN (SELECT moving.copy FROM moving)

-- :name drop_index_of_replies
-- The same for replies.
DROP INDEX IF EXISTS copy_reply
