"""The certificate of our own for `--https`."""

from __future__ import annotations

import ssl
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from cryptography import x509

from adjourn import runtime
from adjourn.errors import InvalidRequest
from adjourn.webapi import certificate
from adjourn.webapi.server import run


def test_it_is_kept_while_it_fits(tmp_path: Path) -> None:
    path = certificate.own(tmp_path / "c.pem", "127.0.0.1")
    first = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert certificate.own(path, "localhost").read_bytes() == first
    other = certificate.own(path, "jobs.example").read_bytes()
    assert other != first
    names = x509.load_pem_x509_certificate(other).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert {str(name.value) for name in names.value} == {"localhost", "127.0.0.1", "::1", "jobs.example"}


def test_it_is_renewed_before_it_ends(tmp_path: Path) -> None:
    path = certificate.own(tmp_path / "c.pem", "127.0.0.1")
    first = path.read_bytes()
    later = runtime.now() + timedelta(days=336)
    with mock.patch.object(runtime, "now", return_value=later):
        assert certificate.own(path, "127.0.0.1").read_bytes() != first


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"])
def test_a_broken_one_is_made_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.pem"
    path.write_bytes(content)
    ssl.create_default_context().load_verify_locations(certificate.own(path, "127.0.0.1"))


def test_one_that_cannot_be_used_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.pem"
    path.write_bytes(b"nonsense")
    with pytest.raises(InvalidRequest, match=r"mine\.pem"):
        run(lambda *_: None, "127.0.0.1", 0, certificate=path, key=None)
