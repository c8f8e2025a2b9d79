-- Queries about the mails that petition writes by itself (service.py), and about signatures
-- (signatures.py).

-- :name count_service
-- Take the next serial: it is never given again, whatever is deleted.
INSERT INTO meta (name, value) VALUES ('service', '1')
ON CONFLICT (name) DO UPDATE SET value = CAST(1 + CAST(meta.value AS INTEGER) AS TEXT)

-- :name add_service
-- Queue a mail.
INSERT INTO service (
    kind, serial, mailbox, folded, about, state, message_id, bytes, created_at, updated_at
) VALUES (
    :kind, :serial, :mailbox, :folded, :about, 'queued', :message_id, :bytes, :now, :now
)

-- :name service_due
-- Mails that can be sent now, the oldest first.
SELECT id, kind, serial, mailbox, about, state, attempts, waiting_since, message_id, bytes,
       updated_at
FROM service
WHERE state IN WAITING AND (due_at IS NULL OR due_at <= :now) ORDER BY id LIMIT :limit

-- :name mark_service
-- Mark a mail before its final dot, if it is as it was read.
UPDATE service SET state = 'sending', owner = :owner, updated_at = :now
WHERE id = :id AND state = :state AND updated_at = :seen

-- :name record_service
-- Record what became of a mail that this owner marked, or that was refused before its mark.
UPDATE service SET state = :state, reason = :reason, attempts = attempts + :charge,
    due_at = :due_at, waiting_since = COALESCE(waiting_since, :now),
    bytes = CASE WHEN :state IN WAITING THEN bytes END,
    reply_code = :reply_code, enhanced_code = :enhanced_code, reply = :reply, updated_at = :now
WHERE id = :id AND (
    state = 'sending' AND owner = :owner OR state IN WAITING AND updated_at = :seen
)

-- :name service_to_since
-- How many mails of some kinds were queued to a mailbox from a time on.
SELECT COUNT(*) FROM service WHERE folded = :folded AND created_at > :since AND kind IN (:kinds[])

-- :name service_by_message_id
-- The mail that has a Message-ID.
SELECT kind, about FROM service WHERE message_id = :message_id

-- :name service_state_columns
-- What became of mails, in the order of `ServiceState`.
SELECT kind, serial, mailbox, state, reason, reply, created_at, updated_at
FROM service

-- :name service_states
-- All mails.
@service_state_columns ORDER BY updated_at, id

-- :name service_states_to
-- The mails to a mailbox.
@service_state_columns WHERE folded = :folded ORDER BY updated_at, id

-- :name service_about
-- The mails about a signature or a request.
@service_state_columns WHERE kind IN (:kinds[]) AND about = :about ORDER BY id

-- :name drop_service_about
-- Delete the mails about a signature or a request, except those on their way.
DELETE FROM service WHERE kind IN (:kinds[]) AND about = :about AND state <> 'sending'

-- :name count_service_states
-- How many mails are in each state.
SELECT kind, state, COUNT(*) FROM service GROUP BY kind, state ORDER BY kind, state

-- :name add_wording
-- Keep what people agree to, once.
INSERT INTO wording (sha256, language, text) VALUES (:sha256, :language, :text)
ON CONFLICT (sha256) DO NOTHING

-- :name add_signature
-- Somebody signs.
INSERT INTO signature (
    letter, mailbox, folded, selector, name, role, organisation, place, country, kind, publish,
    updates, language, wording, status, review, signed_at, updated_at
) VALUES (
    :letter, :mailbox, :folded, :selector, :name, :role, :organisation, :place, :country, :kind,
    :publish, :updates, :language, :wording, 'unconfirmed', 'waiting', :now, :now
)

-- :name change_signature
-- What somebody says now.
UPDATE signature SET name = :name, role = :role, organisation = :organisation, place = :place,
    country = :country, kind = :kind, publish = :publish, updates = :updates,
    language = :language, wording = :wording, review = :review, updated_at = :now
WHERE id = :id

-- :name sign_again
-- Somebody who has withdrawn, or never confirmed, signs anew.
UPDATE signature SET status = 'unconfirmed', signed_at = :now, confirmed_at = NULL WHERE id = :id

-- :name confirm_signature
-- Somebody confirms.
UPDATE signature SET status = 'confirmed', confirmed_at = :now, updated_at = :now
WHERE id = :id AND status = 'unconfirmed'

-- :name withdraw_signature
-- Somebody withdraws: nothing is kept but that this mailbox does not sign.
UPDATE signature SET status = 'withdrawn', name = '', role = '', organisation = '', place = '',
    country = '', publish = 0, updates = 0, updated_at = :now
WHERE id = :id AND status <> 'withdrawn'

-- :name review_signature
-- What the campaign decided.
UPDATE signature SET review = :review, updated_at = :now WHERE id = :id AND review <> :review

-- :name add_signature_event
-- Record a step.
INSERT INTO signature_event (signature, at, what, how, publish, updates, wording)
SELECT id, :now, :what, :how, publish, updates, wording FROM signature WHERE id = :id

-- :name signature_events
-- The steps of a signature, the oldest first.
SELECT signature_event.at, what, how, signature_event.publish, signature_event.updates,
       wording.language, wording.text
FROM signature_event JOIN wording ON wording.sha256 = signature_event.wording
WHERE signature = :id ORDER BY signature_event.id

-- :name step_columns
-- Steps, and whose they are, in the order of `StepTaken`.
SELECT signature_event.at, letter, mailbox, what, how
FROM signature JOIN signature_event ON signature_event.signature = signature.id

-- :name signature_steps
-- All steps of all signatures, the oldest first.
@step_columns ORDER BY signature_event.id

-- :name signature_steps_of
-- The steps of what a mailbox signed, the oldest first.
@step_columns WHERE folded = :folded ORDER BY signature_event.id

-- :name signature_columns
-- All of a signature, in the order of `SignatureRecord`.
SELECT id, letter, mailbox, folded, selector, name, role, organisation, place, country, kind,
       publish, updates, language, wording, status, review, signed_at, confirmed_at, updated_at
FROM signature

-- :name signature_by_selector
-- The signature that a link is for.
@signature_columns WHERE selector = :selector

-- :name signature_of
-- The signature of a mailbox.
@signature_columns WHERE folded = :folded AND letter = :letter

-- :name signatures_of
-- The signatures of a mailbox on all letters.
@signature_columns WHERE folded = :folded ORDER BY id

-- :name one_signature
-- One signature.
@signature_columns WHERE id = :id

-- :name signatures
-- All signatures, the oldest first.
@signature_columns ORDER BY id

-- :name stale_signatures
-- Those that nobody confirmed for long, and whether they had been confirmed before.
SELECT id, EXISTS (
    SELECT 1 FROM signature_event WHERE signature = one.id AND what = 'confirmed'
) FROM signature AS one
WHERE signed_at < :since AND (status = 'unconfirmed' OR status = 'withdrawn'
    AND NOT EXISTS (SELECT 1 FROM signature_event
                    WHERE signature = one.id AND what = 'confirmed'))
ORDER BY id

-- :name signatures_that_left
-- Mailboxes that sign nothing any more, whoever types them; that are hidden; that agreed to be
-- named, and no longer do. When each withdrew, whether its owner had agreed to be named, and when
-- it was first approved.
SELECT folded, status, review, (
    SELECT MAX(at) FROM signature_event WHERE signature = one.id AND what = 'withdrew'
) AS withdrew_at, COALESCE((
    SELECT publish FROM signature_event
    WHERE signature = one.id AND what IN ('confirmed', 'changed') ORDER BY id DESC LIMIT 1
), 1) AS was_named, (
    SELECT MIN(at) FROM signature_event WHERE signature = one.id AND what = 'approved'
) AS approved_at
FROM signature AS one
WHERE status <> 'confirmed'
    AND EXISTS (SELECT 1 FROM signature_event WHERE signature = one.id AND what = 'withdrew')
    AND NOT EXISTS (SELECT 1 FROM signature AS other
                    WHERE other.folded = one.folded AND other.status = 'confirmed')
  OR status = 'confirmed' AND review = 'hidden'
  OR status = 'confirmed' AND publish = 0
    AND EXISTS (SELECT 1 FROM signature_event AS before
                WHERE before.signature = one.id AND before.publish = 1)

-- :name drop_signature_events
-- Delete the steps of a signature.
DELETE FROM signature_event WHERE signature = :id

-- :name drop_signature
-- Delete a signature.
DELETE FROM signature WHERE id = :id

-- :name drop_unused_wordings
-- Delete what nobody agreed to.
DELETE FROM wording WHERE sha256 NOT IN (SELECT wording FROM signature)
    AND sha256 NOT IN (SELECT wording FROM signature_event)

-- :name count_signatures
-- How many signatures have each status, and how they were reviewed.
SELECT status, review, COUNT(*) FROM signature GROUP BY status, review ORDER BY status, review
