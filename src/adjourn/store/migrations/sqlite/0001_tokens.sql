-- A mutex row per dependency token; SQLite's one writer needs none, the table is there so that both stores look alike.
CREATE TABLE token (token TEXT PRIMARY KEY) WITHOUT ROWID
