-- Who was asked whether a letter may go, and what they said (approvals.py).

-- :name add_approval_request
-- Keep a request.
INSERT INTO approval_request (letter, revision, hash, binding, copies, through, needed, approvers, author, at)
VALUES (:letter, :revision, :hash, :binding, :copies, :through, :needed, :approvers, :author, :now)
RETURNING id

-- :name add_approval
-- Keep what was said to a request.
INSERT INTO approval (request, at, decision, how, approver, words, mail, author)
VALUES (:request, :now, :decision, :how, :approver, :words, :mail, :author)

-- :name approval_requests
-- All requests, oldest first.
SELECT id, letter, revision, hash, binding, copies, through, needed, approvers, author, at
FROM approval_request ORDER BY id

-- :name approval_requests_for
-- The requests that are bound to one of these.
SELECT id, letter, revision, hash, binding, copies, through, needed, approvers, author, at
FROM approval_request WHERE letter = :letter AND binding IN (:bindings[]) ORDER BY id

-- :name approvals
-- All that was said, oldest first.
SELECT approval.id, approval.request, approval.at, approval.decision, approval.how,
       approval.approver, approval.words, approval.mail, approval.author
FROM approval ORDER BY approval.id

-- :name approvals_of
-- What was said to one request, oldest first.
SELECT id, request, at, decision, how, approver, words, mail, author
FROM approval WHERE request = :request ORDER BY id
