-- What is held about one person, and its erasure (erasure.py).

-- :name held_copies
-- Every copy to one mailbox however it is capitalised.
SELECT * FROM copy WHERE folded = :folded ORDER BY id

-- :name held_events
-- What happened to these.
SELECT event.* FROM copy JOIN event ON event.copy = copy.id
WHERE copy.folded = :folded ORDER BY event.id

-- :name held_answers
-- What the person said.
SELECT answer.* FROM copy JOIN answer ON answer.copy = copy.id
WHERE copy.folded = :folded ORDER BY answer.id

-- :name held_suppression
-- Whether a mailbox is never written to.
SELECT mailbox, reason, at FROM suppression WHERE folded = :folded

-- :name forgotten
-- The stand-ins of those who were forgotten.
SELECT folded, at FROM suppression WHERE reason = 'forgotten'

-- :name event_texts
-- Whatever a server or a person said at an event.
SELECT id, reason, reply FROM event WHERE reason <> '' OR reply IS NOT NULL

-- :name copy_texts
-- Whatever stands in a copy but its letter.
SELECT id, reason, reply, fields, stopped FROM copy

-- :name copies_kept
-- The copies whose bytes are kept.
SELECT id, bytes FROM copy WHERE bytes IS NOT NULL ORDER BY id

-- :name mails_kept
-- The mails whose bytes are kept.
SELECT id, bytes FROM mail WHERE bytes IS NOT NULL ORDER BY id

-- :name others_names
-- What those with another address are called.
SELECT DISTINCT name FROM copy WHERE folded <> :folded AND name <> ''

-- :name mail_texts
-- Every mail but its bytes.
SELECT id, place, message_id, sender, subject, recipient, reason, copy,
       bytes IS NOT NULL AS has_bytes
FROM mail

-- :name mail_row
-- One mail.
SELECT * FROM mail WHERE id = :mail

-- :name answer_texts
-- Whatever people said.
SELECT id, copy, mail, quote FROM answer

-- :name redact_event
-- An event in which somebody is no longer named.
UPDATE event SET reason = :reason, reply = :reply WHERE id = :id

-- :name redact_copy
-- A copy in which somebody else is no longer named.
UPDATE copy SET reason = :reason, reply = :reply, fields = :fields, stopped = :stopped
WHERE id = :id

-- :name redact_mail
-- A mail in which somebody is no longer named.
UPDATE mail SET place = :place, message_id = :message_id, sender = :sender, subject = :subject,
    reason = :reason, bytes = CASE WHEN :keeps_bytes = 1 THEN bytes END,
    waits = CASE WHEN :keeps_bytes = 1 THEN waits ELSE 0 END
WHERE id = :id

-- :name erase_mail
-- A mail from somebody who was forgotten: that it came stays, so that it is not read again.
UPDATE mail SET place = :place, message_id = '', sender = '', subject = '', recipient = NULL,
    reason = 'forgotten', bytes = NULL, waits = 0
WHERE id = :id

-- :name redact_answer
-- An answer in which somebody is no longer named.
UPDATE answer SET quote = :quote WHERE id = :id

-- :name erase_copies
-- The copies to one mailbox: their states and hashes stay, the person does not.
UPDATE copy SET mailbox = :mailbox_stand_in, folded = :stand_in, domain = '', name = '',
    language = '', row_id = '', file = '', line = 0, fields = '{}', token = NULL, bytes = NULL,
    queued_as = NULL, binding = NULL, owner = NULL, updated_at = :now
WHERE folded = :folded AND mailbox = :mailbox

-- :name erase_enclosure
-- A file that rows had, where none has it any more.
DELETE FROM enclosure WHERE sha256 = :sha256
  AND NOT EXISTS (SELECT 1 FROM copy WHERE copy.fields LIKE '%' || :sha256 || '%')

-- :name erase_suppression
-- The address of somebody who is never written to; a stand-in takes its place.
DELETE FROM suppression WHERE folded = :folded

-- :name log_forgotten
-- Write down that a copy, which stays in its state, lost its bytes.
INSERT INTO event (copy, at, from_state, to_state, reason)
SELECT id, :now, state, state, :reason FROM copy
WHERE id IN (:copies[])

-- :name copies_with_bytes
-- The copies of a revision whose bytes the log keeps.
SELECT id, sha256 FROM copy
WHERE letter = :letter AND revision = :revision AND bytes IS NOT NULL

-- :name erase_bytes
-- The bytes of all copies of a revision.
UPDATE copy SET bytes = NULL WHERE letter = :letter AND revision = :revision

-- :name erase_bytes_of
-- The bytes of one copy.
UPDATE copy SET bytes = NULL WHERE id = :copy

-- :name all_frozen
-- Every letter in every revision.
SELECT letter, revision, hash, content_hash, document, mode, frozen_at FROM frozen
ORDER BY frozen_at, letter, revision

-- :name refreeze
-- A frozen letter that lost a name.
UPDATE frozen SET hash = :hash, content_hash = :content_hash, document = :document
WHERE letter = :letter AND revision = :revision

-- :name gone_out
-- How many copies of a revision may have arrived, and between which moments.
SELECT COUNT(*), MIN(letter_date), MAX(letter_date) FROM copy
WHERE letter = :letter AND revision = :revision AND state IN MAY_HAVE_ARRIVED

-- :name notes
-- What was kept for the whole log under names that begin alike.
SELECT name, value FROM meta WHERE substr(name, 1, length(:beginning)) = :beginning ORDER BY name
