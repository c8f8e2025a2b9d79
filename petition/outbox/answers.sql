-- What people answered (answers.py): who has a letter, and their answers.

-- :name answers
-- All answers, oldest first.
SELECT answer.id, answer.copy, answer.mail, answer.at, answer.status, answer.demand, answer.channel,
       answer.quote, answer.author, answer.public, copy.letter, copy.folded, mail.message_id, mail.sender
FROM answer JOIN copy ON copy.id = answer.copy
LEFT JOIN mail ON mail.id = answer.mail
ORDER BY answer.id

-- :name answers_from
-- All answers of one mailbox, oldest first.
SELECT answer.id, answer.copy, answer.mail, answer.at, answer.status, answer.demand, answer.channel,
       answer.quote, answer.author, answer.public, copy.letter, copy.folded, mail.message_id, mail.sender
FROM copy JOIN answer ON answer.copy = copy.id
LEFT JOIN mail ON mail.id = answer.mail
WHERE copy.folded = :folded
ORDER BY answer.id

-- :name add_answer
-- Record an answer.
INSERT INTO answer (copy, mail, at, status, demand, channel, quote, author, public)
VALUES (:copy, :mail, :now, :status, :demand, :channel, :quote, :author, :public)

-- :name mark_public
-- Let the words of an answer be quoted in public, or no longer.
UPDATE answer SET public = :public
WHERE copy = :copy AND status = :status AND demand = :demand AND quote = :quote

-- :name sent_to
-- The copies that somebody may have got, the latest last.
SELECT * FROM copy
WHERE folded = :folded AND state IN MAY_HAVE_ARRIVED
ORDER BY letter_date, id

-- :name had
-- Everybody's newest copy of a letter that may have arrived.
SELECT copy.*, COALESCE((SELECT MAX(event.at) FROM event
                         WHERE event.copy = copy.id AND event.from_state = 'sending'
                           AND event.to_state = 'sent'), copy.letter_date) AS had_at
FROM copy
WHERE letter = :letter AND twin = 0 AND state IN MAY_HAVE_ARRIVED
  AND NOT EXISTS (
    SELECT 1 FROM copy AS newer
    WHERE newer.letter = copy.letter AND newer.folded = copy.folded AND newer.twin = 0
      AND newer.revision > copy.revision AND newer.state IN MAY_HAVE_ARRIVED)
ORDER BY copy.id

-- :name newest_had
-- The state of the newest copy of a letter that a mailbox may have got.
SELECT state FROM copy
WHERE folded = :folded AND letter = :letter AND twin = 0
  AND state IN MAY_HAVE_ARRIVED
ORDER BY revision DESC LIMIT 1

-- :name stored_mails
-- The mails with this number or this Message-ID.
SELECT mail.id, mail.message_id, mail.sender, mail.subject, mail.copy, mail.matched_by,
       (SELECT quote FROM answer WHERE answer.mail = mail.id ORDER BY id LIMIT 1) AS quote
FROM mail WHERE mail.id = :number OR (:message_id <> '' AND mail.message_id = :message_id)
ORDER BY mail.id

-- :name follows
-- Which letter each letter follows, in its newest revision.
SELECT letter, follows FROM frozen
WHERE revision = (SELECT MAX(other.revision) FROM frozen AS other
                  WHERE other.letter = frozen.letter)
