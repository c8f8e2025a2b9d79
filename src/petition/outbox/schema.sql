-- The log. Times are UTC in ISO 8601 with milliseconds, so that text order is time order.

-- What holds for the whole log: its key, its campaign, the version of this schema.
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
    frozen_at    TEXT NOT NULL,
    PRIMARY KEY (letter, revision)
);

-- One letter in one revision to one mailbox.
CREATE TABLE copy (
    id            INTEGER PRIMARY KEY,
    letter        TEXT NOT NULL,
    revision      INTEGER NOT NULL,
    newest        INTEGER NOT NULL,           -- 1: no later revision of it for this mailbox
    mailbox       TEXT NOT NULL,
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
    owner         TEXT,                       -- the run that has it in hand
    intended      INTEGER NOT NULL DEFAULT 0, -- 1: its final dot may be on its way
    letter_date   TEXT,                       -- its Date header, from the first attempt on
    message_id    TEXT,
    sha256        TEXT,
    bytes         BLOB,
    reply_code    INTEGER,
    enhanced_code TEXT,
    reply         TEXT,
    updated_at    TEXT NOT NULL,
    FOREIGN KEY (letter, revision) REFERENCES frozen (letter, revision)
);
CREATE UNIQUE INDEX copy_once ON copy (mailbox, letter, revision) WHERE state <> 'suppressed';
CREATE INDEX copy_mailbox ON copy (mailbox, letter);
CREATE INDEX copy_state ON copy (letter, newest, state);

-- Every arrow that a copy took.
CREATE TABLE event (
    id            INTEGER PRIMARY KEY,
    copy          INTEGER NOT NULL REFERENCES copy (id),
    at            TEXT NOT NULL,
    from_state    TEXT,                       -- NULL: the copy came into being
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

-- What counts against a daily cap: every time a final dot was allowed to go.
CREATE TABLE attempt (
    id         INTEGER PRIMARY KEY,
    at         TEXT NOT NULL,
    login      TEXT NOT NULL,
    recipients INTEGER NOT NULL
);
CREATE INDEX attempt_at ON attempt (login, at);

-- Mailboxes that are never written to.
CREATE TABLE suppression (
    mailbox TEXT PRIMARY KEY,
    reason  TEXT NOT NULL,
    at      TEXT NOT NULL
);
