-- Access tokens that `adjourn token create` made: their digests, never the tokens (query/access_tokens.py).
CREATE TABLE accesstoken (accesstokenid uuid PRIMARY KEY, digest text NOT NULL UNIQUE, systemuserid uuid NOT NULL,
    label text, createdon timestamptz NOT NULL, expireson timestamptz);;
