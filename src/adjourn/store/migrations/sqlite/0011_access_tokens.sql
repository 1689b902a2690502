-- Access tokens that `adjourn token create` made: their digests, never the tokens (query/access_tokens.py).
CREATE TABLE accesstoken (accesstokenid TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, systemuserid TEXT NOT NULL,
    label TEXT, createdon TEXT NOT NULL, expireson TEXT) WITHOUT ROWID;;
