-- What is held about one person, and how it is erased (erasure.py).

-- :name held_copies
-- Every copy to one mailbox.
SELECT * FROM copy WHERE folded = :folded ORDER BY id

-- :name held_events
-- The events of these.
SELECT event.* FROM copy JOIN event ON event.copy = copy.id
WHERE copy.folded = :folded ORDER BY event.id

-- :name held_answers
-- What the person said.
SELECT answer.* FROM copy JOIN answer ON answer.copy = copy.id
WHERE copy.folded = :folded ORDER BY answer.id

-- :name held_suppression
-- Whether a mailbox is suppressed.
SELECT mailbox, reason, at FROM suppression WHERE folded = :folded

-- :name held_signatures
-- What the person signed.
SELECT * FROM signature WHERE folded = :folded ORDER BY id

-- :name held_signature_steps
-- The steps of these, with the words that were agreed to.
SELECT signature_event.*, wording.language, wording.text FROM signature
JOIN signature_event ON signature_event.signature = signature.id
JOIN wording ON wording.sha256 = signature_event.wording
WHERE signature.folded = :folded ORDER BY signature_event.id

-- :name held_service_mails
-- The mails that petition itself wrote to a mailbox.
SELECT id, kind, serial, mailbox, state, reason, message_id, reply, created_at, updated_at
FROM service WHERE folded = :folded ORDER BY id

-- :name drop_service_to
-- Delete the mails that petition itself wrote to a mailbox, except one on its way.
DELETE FROM service WHERE folded = :folded AND state <> 'sending'

-- :name expiring_signatures
-- Signatures that nobody touched since a moment; withdrawn ones stay, so that they sign nothing.
SELECT id FROM signature WHERE status <> 'withdrawn' AND updated_at < :before ORDER BY id

-- :name forgotten
-- The stand-ins of those who were forgotten.
SELECT folded, at FROM suppression WHERE reason = 'forgotten'

-- :name event_texts
-- The texts of events.
SELECT id, reason, reply FROM event WHERE reason <> '' OR reply IS NOT NULL

-- :name copy_texts
-- The texts of copies, without their letters.
SELECT id, reason, reply, fields, stopped FROM copy

-- :name copies_kept
-- The copies whose bytes are kept.
SELECT id, bytes FROM copy WHERE bytes IS NOT NULL ORDER BY id

-- :name mails_kept
-- The mails whose bytes are kept.
SELECT id, bytes FROM mail WHERE bytes IS NOT NULL ORDER BY id

-- :name others_names
-- The names of people with another address.
SELECT DISTINCT name FROM copy WHERE folded <> :folded AND name <> ''

-- :name mail_texts
-- Every mail without its bytes.
SELECT id, place, message_id, sender, subject, recipient, reason, copy,
       bytes IS NOT NULL AS has_bytes
FROM mail

-- :name mail_row
-- One mail.
SELECT * FROM mail WHERE id = :mail

-- :name answer_texts
-- The words of all answers.
SELECT id, copy, mail, quote FROM answer

-- :name redact_event
-- Remove a name from an event.
UPDATE event SET reason = :reason, reply = :reply WHERE id = :id

-- :name redact_copy
-- Remove a name from a copy.
UPDATE copy SET reason = :reason, reply = :reply, fields = :fields, stopped = :stopped
WHERE id = :id

-- :name redact_mail
-- Remove a name from a mail.
UPDATE mail SET place = :place, message_id = :message_id, sender = :sender, subject = :subject,
    reason = :reason, bytes = CASE WHEN :keeps_bytes = 1 THEN bytes END,
    waits = CASE WHEN :keeps_bytes = 1 THEN waits ELSE 0 END
WHERE id = :id

-- :name erase_mail
-- Erase a mail, but not its digest, so that it is not read again.
UPDATE mail SET place = :place, message_id = '', sender = '', subject = '', recipient = NULL,
    reason = 'forgotten', bytes = NULL, waits = 0
WHERE id = :id

-- :name redact_answer
-- Remove a name from an answer.
UPDATE answer SET quote = :quote WHERE id = :id

-- :name redact_approval
-- Remove a name from what was said to a request for approval.
UPDATE approval SET words = :words, approver = :approver WHERE id = :id

-- :name redact_approvers
-- Replace an approver of a request by a stand-in.
UPDATE approval_request SET approvers = :approvers WHERE id = :id

-- :name erase_asking
-- Erase an approver from the mails that asked them, but for one on its way.
UPDATE service SET mailbox = :stand_in, folded = :stand_in, bytes = NULL,
    state = CASE WHEN state IN WAITING THEN 'skipped' ELSE state END
WHERE folded = :folded AND kind = 'approval' AND state <> 'sending'

-- :name expire_approvals
-- Erase the words of older mails of approvers.
UPDATE approval SET words = '' WHERE how = 'mail' AND at < :before

-- :name erase_copies
-- Erase a person from the copies to one mailbox; states and hashes stay.
UPDATE copy SET mailbox = :mailbox_stand_in, folded = :stand_in, domain = '', name = '',
    language = '', row_id = '', file = '', line = 0, fields = '{}', token = NULL, bytes = NULL,
    queued_as = NULL, binding = NULL, owner = NULL, updated_at = :now
WHERE folded = :folded AND mailbox = :mailbox

-- :name erase_enclosure
-- Delete a file of single rows, if no row has it any more.
DELETE FROM enclosure WHERE sha256 = :sha256
  AND NOT EXISTS (SELECT 1 FROM copy WHERE copy.fields LIKE '%' || :sha256 || '%')

-- :name erase_suppression
-- Delete a suppressed address; a stand-in replaces it.
DELETE FROM suppression WHERE folded = :folded

-- :name log_forgotten
-- Record that a copy lost its bytes and keeps its state.
INSERT INTO event (copy, at, from_state, to_state, reason)
SELECT id, :now, state, state, :reason FROM copy
WHERE id IN (:copies[])

-- :name copies_with_bytes
-- The copies of a revision whose bytes the log keeps.
SELECT id, sha256 FROM copy
WHERE letter = :letter AND revision = :revision AND bytes IS NOT NULL

-- :name erase_bytes
-- Erase the bytes of all copies of a revision.
UPDATE copy SET bytes = NULL WHERE letter = :letter AND revision = :revision

-- :name erase_bytes_of
-- Erase the bytes of one copy.
UPDATE copy SET bytes = NULL WHERE id = :copy

-- :name all_frozen
-- Every letter in every revision.
SELECT letter, revision, hash, content_hash, document, mode, frozen_at FROM frozen
ORDER BY frozen_at, letter, revision

-- :name refreeze
-- Replace a frozen letter by one without a name.
UPDATE frozen SET hash = :hash, content_hash = :content_hash, document = :document
WHERE letter = :letter AND revision = :revision

-- :name gone_out
-- How many copies of a revision may have arrived, and when the first and the last were sent.
SELECT COUNT(*), MIN(letter_date), MAX(letter_date) FROM copy
WHERE letter = :letter AND revision = :revision AND state IN MAY_HAVE_ARRIVED

-- :name notes
-- The values that hold for the whole log, by the beginning of their names.
SELECT name, value FROM meta WHERE substr(name, 1, length(:beginning)) = :beginning ORDER BY name

-- :name expiring
-- The copies to people about whom nothing is younger than a moment, and who wait for nothing.
SELECT id, folded, mailbox, sha256 FROM copy
WHERE file <> '' AND updated_at < :before
  AND NOT EXISTS (SELECT 1 FROM copy AS other WHERE other.folded = copy.folded
                  AND (other.updated_at >= :before
                       OR other.state IN ('queued', 'deferred', 'sending', 'uncertain')))
  AND NOT EXISTS (SELECT 1 FROM copy AS other JOIN answer ON answer.copy = other.id
                  WHERE other.folded = copy.folded AND answer.at >= :before)
  AND NOT EXISTS (SELECT 1 FROM copy AS other JOIN mail ON mail.copy = other.id
                  WHERE other.folded = copy.folded AND mail.seen_at >= :before)
ORDER BY id

-- :name count_staying
-- How many people are as old, but have copies that wait or are uncertain.
SELECT COUNT(DISTINCT folded) FROM copy
WHERE file <> '' AND updated_at < :before
  AND state IN ('queued', 'deferred', 'sending', 'uncertain')

-- :name count_answers_of
-- How many answers to some copies still have their words.
SELECT COUNT(*) FROM answer WHERE copy IN (:copies[]) AND quote <> ''

-- :name count_mails_of
-- How many mails that belong to some copies still say from whom they are.
SELECT COUNT(*) FROM mail WHERE copy IN (:copies[]) AND sender <> ''

-- :name count_strays
-- How many older mails belong to no copy, and still say from whom they are.
SELECT COUNT(*) FROM mail WHERE copy IS NULL AND waits = 0 AND seen_at < :before AND sender <> ''

-- :name expire_mails
-- Erase the mails of some copies, but not their digests, so that they are not read again.
UPDATE mail SET message_id = '', sender = '', subject = '', recipient = NULL, reason = :reason,
    bytes = NULL, waits = 0
WHERE copy IN (:copies[])

-- :name expire_strays
-- The same of older mails that belong to no copy.
UPDATE mail SET message_id = '', sender = '', subject = '', recipient = NULL, reason = 'forgotten',
    bytes = NULL
WHERE copy IS NULL AND waits = 0 AND seen_at < :before AND sender <> ''

-- :name expire_answers
-- Erase the words of the answers to some copies.
UPDATE answer SET quote = '' WHERE copy IN (:copies[])

-- :name expire_events
-- Erase what servers and people said about some copies; codes and our own words stay.
UPDATE event SET reply = NULL, reason = CASE WHEN reason IN (:reasons[]) THEN reason ELSE '' END
WHERE copy IN (:copies[])

-- :name expire_copies
-- The same in the copies themselves.
UPDATE copy SET reply = NULL, stopped = NULL,
    reason = CASE WHEN reason IN (:reasons[]) THEN reason ELSE '' END
WHERE id IN (:copies[])

-- :name erase_unused_enclosures
-- Delete the files of single rows that no row has any more.
DELETE FROM enclosure
WHERE NOT EXISTS (SELECT 1 FROM copy WHERE copy.fields LIKE '%' || enclosure.sha256 || '%')

-- :name stand_ins_of
-- The stand-ins of those who have had a letter and were erased since.
SELECT folded FROM copy WHERE letter = :letter AND file = '' AND twin = 0 AND newest = 1
