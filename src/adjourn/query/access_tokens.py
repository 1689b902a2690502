"""The statements of table `accesstoken`: tokens of 256 random bits, kept as their SHA-256 digests and never themselves.

A digest needs no salt here: nobody can guess a token, so nobody can guess what has its digest.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from adjourn import runtime
from adjourn.metadata.values import moment_text
from adjourn.store.contract import Reader, Row, Transaction

_COLUMNS = "accesstokenid, systemuserid, label, createdon, expireson"


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token without what is secret in it. expires_on: None for never."""

    id: UUID
    user_id: UUID
    label: str | None
    created_on: datetime
    expires_on: datetime | None


def digest(token: str) -> bytes:
    """What of a token may be kept."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def create(tx: Transaction, user_id: UUID, label: str | None, expires_on: datetime | None) -> tuple[str, AccessToken]:
    """Make a token for a user. Returns the token, which nobody can find out again, and its row."""
    token = runtime.secret()
    made = AccessToken(runtime.new_id(), user_id, label, tx.now, expires_on)
    tx.execute(
        "INSERT INTO accesstoken (accesstokenid, digest, systemuserid, label, createdon, expireson) "
        "VALUES (:id, :digest, :user, :label, :created, :expires)",
        {
            "id": str(made.id),
            "digest": digest(token).hex(),
            "user": str(user_id),
            "label": label,
            "created": moment_text(made.created_on),
            "expires": moment_text(expires_on) if expires_on else None,
        },
    )
    return token, made


def find(reader: Reader, token_digest: bytes) -> AccessToken | None:
    """The token with this digest, expired or not."""
    rows = reader.rows(f"SELECT {_COLUMNS} FROM accesstoken WHERE digest = :digest", {"digest": token_digest.hex()})
    return _read(rows[0]) if rows else None


def every(reader: Reader) -> list[AccessToken]:
    """All tokens, the oldest first."""
    return [_read(row) for row in reader.rows(f"SELECT {_COLUMNS} FROM accesstoken ORDER BY createdon, accesstokenid")]


def revoke(tx: Transaction, token_id: UUID) -> bool:
    """Forget a token; False if there is none of this id."""
    return tx.execute("DELETE FROM accesstoken WHERE accesstokenid = :id", {"id": str(token_id)}) == 1


def _read(row: Row) -> AccessToken:
    token_id, user_id, label, created, expires = row
    return AccessToken(
        UUID(token_id),
        UUID(user_id),
        label,
        datetime.fromisoformat(created),
        datetime.fromisoformat(expires) if expires else None,
    )
