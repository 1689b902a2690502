-- A mutex row per dependency token: locked before jobs of the token are created or ended. It holds nothing.
CREATE TABLE token (token text PRIMARY KEY);;
-- Files over 4 MB in pieces: hosts share no disk.
CREATE TABLE filechunk (fileattachmentid uuid NOT NULL, ordinal integer NOT NULL, content bytea NOT NULL,
    PRIMARY KEY (fileattachmentid, ordinal));;
ALTER TABLE filechunk ALTER COLUMN content SET STORAGE EXTERNAL;;
-- One row per incarnation of a supervisor; beaton is the database's clock.
CREATE TABLE worker (id uuid PRIMARY KEY, host text NOT NULL, pid integer NOT NULL, beaton timestamptz NOT NULL)
