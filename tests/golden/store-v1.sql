PRAGMA journal_mode = WAL;
CREATE TABLE runs (
    serial INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL UNIQUE,
    number INTEGER NOT NULL,
    pipeline TEXT NOT NULL,
    name TEXT NOT NULL,
    file TEXT NOT NULL,
    checkout TEXT NOT NULL,
    event_name TEXT NOT NULL,
    commit_sha TEXT NOT NULL,
    plan_hash TEXT NOT NULL,
    origin TEXT,
    started INTEGER NOT NULL,
    finished INTEGER,
    outcome TEXT
) STRICT;
CREATE INDEX runs_of_checkout ON runs (checkout, file);
CREATE TABLE records (
    run TEXT NOT NULL,
    seq INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE TABLE groups (
    name TEXT NOT NULL,
    holder TEXT NOT NULL,
    run TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (name, holder)
) STRICT, WITHOUT ROWID;
INSERT INTO runs VALUES (3, '0sj4kq7x2abc', 7, 'demo', 'first', 'slipway.yml', '/a', 'push', '00', 'ab', NULL, 1700000000000, NULL, NULL);
INSERT INTO records VALUES ('0sj4kq7x2abc', 1, '{"v":1,"seq":1,"at":1700000000000,"event":"run-resumed","pid":1}');
INSERT INTO groups VALUES ('deploy', '0sj4kq7x2abc', '0sj4kq7x2abc', 0);
PRAGMA user_version = 1;
