"""A real `adjourn serve --https` for clients written by others; they trust its own certificate and nothing else of ours."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.core.credentials import AccessToken
from PowerPlatform.Dataverse.client import DataverseClient
from tests.support.serving import TOKEN, Serving, serving


class Credential:
    """The one thing of their example scripts that is replaced."""

    def get_token(self, *scopes: str, **options: object) -> AccessToken:
        return AccessToken(TOKEN, int(time.time()) + 3600)


@pytest.fixture
def service(sqlite_url: str) -> Iterator[Serving]:
    with serving(sqlite_url, "--https", "127.0.0.1:0", "--processes", "1") as running:
        yield running


@pytest.fixture
def https(service: Serving) -> str:
    """The address of the organization, as clients are given it."""
    found = re.search(r"https://127\.0\.0\.1:\d+", service.printed)
    assert found
    return found[0]


@pytest.fixture
def certificate(sqlite_url: str) -> Path:
    return Path(sqlite_url.removeprefix("sqlite:///") + "-certificate.pem")


@pytest.fixture
def client(https: str, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataverseClient]:
    """Microsoft's Python SDK, unmodified."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with DataverseClient(https, Credential()) as opened:
        yield opened
