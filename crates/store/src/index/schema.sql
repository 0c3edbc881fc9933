-- The tables of the index. All times are milliseconds since 1970-01-01T00:00:00Z.
CREATE TABLE position (
    id INTEGER PRIMARY KEY CHECK (id = 0), next_seq INTEGER NOT NULL,
    last_segment INTEGER NOT NULL, last_offset INTEGER NOT NULL,
    next_segment INTEGER NOT NULL, next_offset INTEGER NOT NULL, hash TEXT NOT NULL) STRICT;

-- Stretches of the ledger, each with some thousand entries: what they are about, which requests they hold, and their rows.
CREATE TABLE blocks (
    first_seq INTEGER PRIMARY KEY, next_seq INTEGER NOT NULL, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL,
    verdicts INTEGER NOT NULL, refusals INTEGER NOT NULL, terms BLOB NOT NULL) STRICT;
CREATE TABLE block_requests (first_seq INTEGER PRIMARY KEY, requests BLOB NOT NULL) STRICT;
CREATE TABLE block_data (first_seq INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;

CREATE TABLE sessions (
    seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, session TEXT NOT NULL, person TEXT NOT NULL, event TEXT NOT NULL,
    methods TEXT NOT NULL, device TEXT, ip TEXT NOT NULL) STRICT;
CREATE INDEX sessions_session ON sessions (session, seq);
CREATE INDEX sessions_person ON sessions (person, seq);

CREATE TABLE changes (
    seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, by TEXT NOT NULL, verb TEXT NOT NULL, object TEXT NOT NULL,
    detail TEXT NOT NULL, app TEXT, action TEXT) STRICT;

CREATE TABLE cuts (
    seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, request TEXT NOT NULL, principal_kind TEXT NOT NULL,
    principal TEXT NOT NULL, app TEXT NOT NULL, cause TEXT NOT NULL, lasted INTEGER NOT NULL, delay INTEGER) STRICT;

CREATE TABLE systems (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, event TEXT NOT NULL, detail TEXT NOT NULL) STRICT;

-- Roll-ups, so that no page counts rows.
CREATE TABLE edges (
    principal_kind TEXT NOT NULL, principal TEXT NOT NULL, app TEXT NOT NULL, action TEXT NOT NULL,
    permitted INTEGER NOT NULL, denied INTEGER NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
    first_at INTEGER NOT NULL, last_at INTEGER NOT NULL,
    PRIMARY KEY (principal_kind, principal, app, action)) STRICT, WITHOUT ROWID;
CREATE TABLE hours (
    hour INTEGER NOT NULL, app TEXT NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (hour, app, reason)) STRICT, WITHOUT ROWID;
CREATE TABLE kinds (kind TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT, WITHOUT ROWID;

PRAGMA user_version = 2;
