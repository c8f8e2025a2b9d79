-- The log. Times are UTC in ISO 8601 with milliseconds, so that text order is time order.

-- Values for the whole log: its key, its campaign, the version of this schema.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- A letter as it was when its first copy was queued.
CREATE TABLE frozen (
    letter       TEXT NOT NULL,
    revision     INTEGER NOT NULL,
    hash         TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    document     TEXT NOT NULL,
    follows      TEXT,                        -- the letter before, of a follow-up
    mode         TEXT NOT NULL,               -- for whom this revision is meant (states.Mode)
    frozen_at    TEXT NOT NULL,
    PRIMARY KEY (letter, revision)
);

-- One letter in one revision to one mailbox.
CREATE TABLE copy (
    id            INTEGER PRIMARY KEY,
    letter        TEXT NOT NULL,
    revision      INTEGER NOT NULL,
    newest        INTEGER NOT NULL,           -- 1: the one that counts for this mailbox
    mailbox       TEXT NOT NULL,              -- as it goes on the wire
    folded        TEXT NOT NULL,              -- its key (address.folded): whose copy this is
    domain        TEXT NOT NULL,              -- that of the mailbox, in lower case
    name          TEXT NOT NULL,
    language      TEXT NOT NULL,
    row_id        TEXT NOT NULL,
    file          TEXT NOT NULL,
    line          INTEGER NOT NULL,
    fields        TEXT NOT NULL,              -- JSON
    state         TEXT NOT NULL,
    reason        TEXT NOT NULL DEFAULT '',
    attempts      INTEGER NOT NULL DEFAULT 0,
    due_at        TEXT,
    waiting_since TEXT,                       -- first attempt since a person last queued it
    owner         TEXT,                       -- who marked it, or had it last, where that counts
    stopped       TEXT,                       -- why it is skipped unless the server takes it
    letter_date   TEXT,                       -- its Date header, from the first attempt on
    message_id    TEXT,
    token         TEXT,                       -- of its return path, from the first attempt on
    unsubscribe   TEXT,                       -- selector of its unsubscribe token; of a bulk letter
    sha256        TEXT,
    bytes         BLOB,
    reply_code    INTEGER,
    enhanced_code TEXT,
    reply         TEXT,
    updated_at    TEXT NOT NULL,
    queued_as     TEXT,                       -- the spelling of its identity, if it differs
    -- 0: the copy that its person gets. Others with the same key are never sent: 1, 2, ... are
    -- duplicates in the list, -1, -2, ... copies that schema 8 had for another spelling.
    twin          INTEGER NOT NULL DEFAULT 0,
    binding       BLOB,                       -- of the letter and mailbox to the key (identity.py)
    FOREIGN KEY (letter, revision) REFERENCES frozen (letter, revision)
);
-- Without the state: each transition would write a random place of the index again.
CREATE UNIQUE INDEX copy_once ON copy (folded, letter, revision, twin);
CREATE INDEX copy_state ON copy (letter, state, due_at, newest) WHERE newest = 1;
-- Few rows, which every command that opens the log asks for.
CREATE INDEX copy_in_hand ON copy (letter) WHERE state = 'sending';
CREATE INDEX copy_deferred ON copy (waiting_since) WHERE state = 'deferred';
CREATE INDEX copy_uncertain ON copy (letter) WHERE state = 'uncertain';

-- A file of single rows, for workers; the rows name it by its hash.
CREATE TABLE enclosure (
    sha256 TEXT PRIMARY KEY,
    data   BLOB NOT NULL
);

-- Every transition of a copy.
CREATE TABLE event (
    id            INTEGER PRIMARY KEY,
    copy          INTEGER NOT NULL REFERENCES copy (id),
    at            TEXT NOT NULL,
    from_state    TEXT,                       -- NULL: the copy was created
    to_state      TEXT NOT NULL,
    reason        TEXT NOT NULL DEFAULT '',
    reply_code    INTEGER,
    enhanced_code TEXT,
    reply         TEXT,
    server        TEXT,
    tls           TEXT,
    ms            INTEGER
);
CREATE INDEX event_copy ON event (copy);

-- What counts against a daily cap: every final dot that was allowed to go.
CREATE TABLE attempt (
    id         INTEGER PRIMARY KEY,
    at         TEXT NOT NULL,
    login      TEXT NOT NULL,
    recipients INTEGER NOT NULL
);
CREATE INDEX attempt_at ON attempt (login, at);

-- Suppressed mailboxes, by their key.
CREATE TABLE suppression (
    folded  TEXT PRIMARY KEY,
    mailbox TEXT NOT NULL,
    reason  TEXT NOT NULL,
    at      TEXT NOT NULL
);

-- How far an IMAP mailbox was read: its UIDVALIDITY, and the last UID (RFC 9051 2.3.1.1).
CREATE TABLE inbox_position (
    source   TEXT PRIMARY KEY,
    validity INTEGER NOT NULL,
    uid      INTEGER NOT NULL,
    at       TEXT NOT NULL
);

-- Every mail that was read, once.
CREATE TABLE mail (
    id         INTEGER PRIMARY KEY,
    sha256     TEXT NOT NULL UNIQUE,       -- of its bytes, line ends as LF
    source     TEXT NOT NULL,
    place      TEXT NOT NULL,              -- its name in the source
    message_id TEXT NOT NULL,
    sender     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    kind       TEXT,                       -- NULL: set aside
    recipient  TEXT,                       -- the address that the mail names
    status     TEXT,
    permanent  INTEGER,
    reason     TEXT NOT NULL,
    copy       INTEGER REFERENCES copy (id),
    matched_by TEXT NOT NULL DEFAULT '',   -- leave token, token, Message-ID or sender
    bytes      BLOB,                       -- only of a mail that belongs to a copy
    waits      INTEGER NOT NULL DEFAULT 0, -- 1: its copy was sending; it is applied later
    seen_at    TEXT NOT NULL
);
CREATE INDEX mail_waits ON mail (id) WHERE waits = 1;
CREATE INDEX mail_copy ON mail (copy);
CREATE INDEX mail_source ON mail (source, place);

-- Answers to a letter; a record is never changed, but for `public`.
CREATE TABLE answer (
    id      INTEGER PRIMARY KEY,
    copy    INTEGER NOT NULL REFERENCES copy (id),
    mail    INTEGER REFERENCES mail (id),  -- if it came by mail
    at      TEXT NOT NULL,
    status  TEXT NOT NULL,
    demand  TEXT NOT NULL DEFAULT '',
    channel TEXT NOT NULL,
    quote   TEXT NOT NULL DEFAULT '',
    author  TEXT NOT NULL,                 -- who recorded it
    public  INTEGER NOT NULL DEFAULT 0     -- 1: the public site may quote its words
);
CREATE INDEX answer_copy ON answer (copy);
CREATE INDEX answer_mail ON answer (mail) WHERE mail IS NOT NULL;

-- Mails that petition writes by itself: to confirm a signature, to ask for an approval.
CREATE TABLE service (
    id            INTEGER PRIMARY KEY,
    kind          TEXT NOT NULL,           -- what it is for (service.ServiceKind)
    serial        INTEGER NOT NULL,        -- no two mails of a log have the same one
    mailbox       TEXT NOT NULL,
    folded        TEXT NOT NULL,
    about         INTEGER NOT NULL,        -- the signature, or the request for an approval
    state         TEXT NOT NULL,           -- as of a copy
    reason        TEXT NOT NULL DEFAULT '',
    attempts      INTEGER NOT NULL DEFAULT 0,
    due_at        TEXT,
    waiting_since TEXT,
    owner         TEXT,
    message_id    TEXT NOT NULL,
    bytes         BLOB,                    -- until it needs no further attempt
    reply_code    INTEGER,
    enhanced_code TEXT,
    reply         TEXT,
    created_at    TEXT NOT NULL,
    updated_at    TEXT NOT NULL
);
CREATE INDEX service_waits ON service (id) WHERE state IN ('queued', 'deferred');
-- As for copies, every command that opens the log asks for them.
CREATE INDEX service_in_hand ON service (owner) WHERE state = 'sending';
CREATE INDEX service_to ON service (folded, created_at);
CREATE INDEX service_message ON service (message_id);

-- What people agreed to when they signed, as they read it, by its hash.
CREATE TABLE wording (
    sha256   TEXT PRIMARY KEY,
    language TEXT NOT NULL,
    text     TEXT NOT NULL
);

-- Who signed a letter by form or by mail: a mailbox once.
CREATE TABLE signature (
    id           INTEGER PRIMARY KEY,
    letter       TEXT NOT NULL,
    mailbox      TEXT NOT NULL,
    folded       TEXT NOT NULL,
    selector     TEXT NOT NULL UNIQUE,     -- of the token in its links
    name         TEXT NOT NULL,
    role         TEXT NOT NULL,
    organisation TEXT NOT NULL,
    place        TEXT NOT NULL,
    country      TEXT NOT NULL,
    kind         TEXT NOT NULL,            -- individual or organisation
    publish      INTEGER NOT NULL,         -- 1: the name may be shown
    updates      INTEGER NOT NULL,         -- 1: they want to hear how it goes on
    language     TEXT NOT NULL,            -- that they read it in
    wording      TEXT NOT NULL REFERENCES wording (sha256),
    status       TEXT NOT NULL,            -- signatures.SignatureStatus
    review       TEXT NOT NULL,            -- signatures.Review: what the campaign decided
    signed_at    TEXT NOT NULL,            -- the form was sent, or the mail read
    confirmed_at TEXT,
    updated_at   TEXT NOT NULL
);
CREATE UNIQUE INDEX signature_once ON signature (folded, letter);

-- What became of a signature: every step that somebody took.
CREATE TABLE signature_event (
    id        INTEGER PRIMARY KEY,
    signature INTEGER NOT NULL REFERENCES signature (id),
    at        TEXT NOT NULL,
    what      TEXT NOT NULL,               -- signatures.SignatureStep
    how       TEXT NOT NULL,               -- form, mail, link, reply, or who decided
    publish   INTEGER NOT NULL,            -- what the person wanted from then on
    updates   INTEGER NOT NULL,
    wording   TEXT NOT NULL REFERENCES wording (sha256)
);
CREATE INDEX signature_event_of ON signature_event (signature);

-- Each time that approvers were asked whether a letter may go.
CREATE TABLE approval_request (
    id        INTEGER PRIMARY KEY,
    letter    TEXT NOT NULL,
    revision  INTEGER NOT NULL,
    hash      TEXT NOT NULL,               -- of the letter, as it would be frozen
    binding   TEXT NOT NULL,               -- of the letter, the list, the server and the approvers
    copies    INTEGER NOT NULL,            -- that were to be sent then
    through   TEXT NOT NULL,               -- the server
    needed    INTEGER NOT NULL,            -- how many have to approve
    approvers TEXT NOT NULL,               -- JSON: the addresses
    author    TEXT NOT NULL,               -- who asked
    at        TEXT NOT NULL
);
CREATE INDEX approval_request_for ON approval_request (letter, binding);

-- What was said to a request; a record is never changed.
CREATE TABLE approval (
    id       INTEGER PRIMARY KEY,
    request  INTEGER NOT NULL REFERENCES approval_request (id),
    at       TEXT NOT NULL,
    decision TEXT NOT NULL,                -- approvals.Decision
    how      TEXT NOT NULL,                -- mail, typed or override
    approver TEXT NOT NULL,                -- whose mail or code it was; empty: an override
    words    TEXT NOT NULL DEFAULT '',     -- what they wrote, or the reason of an override
    mail     INTEGER REFERENCES mail (id), -- if it came by mail
    author   TEXT NOT NULL                 -- who recorded it
);
CREATE INDEX approval_of ON approval (request);
