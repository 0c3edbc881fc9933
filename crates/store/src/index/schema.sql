-- The tables of the index. All times are milliseconds since 1970-01-01T00:00:00Z.
CREATE TABLE position (
    id INTEGER PRIMARY KEY CHECK (id = 0), next_seq INTEGER NOT NULL,
    last_segment INTEGER NOT NULL, last_offset INTEGER NOT NULL,
    next_segment INTEGER NOT NULL, next_offset INTEGER NOT NULL, hash TEXT NOT NULL) STRICT;

-- Where each line is.
CREATE TABLE lines (
    seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, segment INTEGER NOT NULL, place INTEGER NOT NULL,
    kind TEXT NOT NULL, request TEXT) STRICT;
CREATE INDEX lines_request ON lines (request) WHERE request IS NOT NULL;

CREATE TABLE access (
    seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, decided INTEGER NOT NULL, request TEXT NOT NULL, session TEXT,
    principal_kind TEXT NOT NULL, principal TEXT NOT NULL, app TEXT NOT NULL, action TEXT NOT NULL, method TEXT NOT NULL,
    path TEXT NOT NULL, verdict TEXT NOT NULL, mode TEXT NOT NULL, reason TEXT, device TEXT, ip TEXT NOT NULL, network TEXT,
    until INTEGER, revision INTEGER NOT NULL, rules TEXT NOT NULL, took_us INTEGER NOT NULL, again INTEGER NOT NULL) STRICT;
CREATE INDEX access_principal ON access (principal, seq);
CREATE INDEX access_app ON access (app, seq);
CREATE INDEX access_verdict ON access (verdict, seq);
CREATE INDEX access_session ON access (session, seq);

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

CREATE TABLE refusals (
    seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, request TEXT NOT NULL, ip TEXT NOT NULL, reason TEXT NOT NULL,
    detail TEXT NOT NULL, app TEXT) STRICT;

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

PRAGMA user_version = 1;
