"""JWTs of a real OpenID Connect issuer: a small server that publishes keys, changes them, and can be down."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.support.listening import client, listening

from adjourn import config, runtime
from adjourn.client import Client
from adjourn.errors import InvalidRequest
from adjourn.pipeline.call import Call
from adjourn.service import Service
from adjourn.store.sqlite import SqliteStore
from adjourn.webapi import oidc
from adjourn.webapi.app import create_app
from adjourn.webapi.oidc import Issuer

from .conftest import error_of

AUDIENCE = "https://adjourn.example"
OBJECT_ID = "0190aaaa-0000-7000-8000-00000000ada0"


class Provider:
    """The issuer. `keys`: what it publishes; `asked`: how often."""

    def __init__(self) -> None:
        self.private: dict[str, Any] = {}
        self.keys: list[dict[str, Any]] = []
        self.asked = 0
        self.down = False
        self.slow = threading.Event()
        self.slow.set()
        self.spelling = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                outer.slow.wait(20)
                documents = {
                    "/.well-known/openid-configuration": {
                        "issuer": outer.url + outer.spelling,
                        "jwks_uri": f"{outer.url}/keys",
                    },
                    "/keys": {"keys": outer.keys},
                }
                found = None if outer.down else documents.get(self.path)
                self.send_response(200 if found else 503)
                self.end_headers()
                self.wfile.write(json.dumps(found).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def add(self, kid: str, kind: str = "RSA", **more: str) -> None:
        if kind == "RSA":
            key: Any = rsa.generate_private_key(65537, 2048)
            public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
        else:
            key = ec.generate_private_key(ec.SECP256R1())
            public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
        self.private[kid] = key
        self.keys.append({**public, "kid": kid, "use": "sig", **more})

    def token(self, kid: str = "one", algorithm: str = "RS256", key: Any = None, **claims: Any) -> str:
        now = time.time()
        usual = {"iss": self.url, "aud": AUDIENCE, "exp": now + 600, "oid": OBJECT_ID}
        whole = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        return jwt.encode(whole, key if key is not None else self.private[kid], algorithm, headers={"kid": kid})


@pytest.fixture
def provider() -> Iterator[Provider]:
    found = Provider()
    found.add("one")
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def service(sqlite_store: SqliteStore) -> Service:
    service = Service(sqlite_store)
    unit = ("businessunit", UUID(config.ROOT_BUSINESS_UNIT_ID))
    org = Client(service.client(Call(caller=service.administrator()))._backend)
    for name, object_id in (("ada", OBJECT_ID), ("grace", None)):
        values = {"lastname": name, "domainname": name, "azureactivedirectoryobjectid": object_id}
        org.create("systemuser", {**values, "businessunitid": unit})
    return service


@pytest.fixture
def http(service: Service, provider: Provider) -> Iterator[httpx.Client]:
    issuer = Issuer(provider.url, [AUDIENCE, "other-audience"])
    with listening(create_app(service, "admin-token", issuer=issuer)) as port, client(port) as http:
        yield http


def ask(http: httpx.Client, token: str) -> httpx.Response:
    return http.get("WhoAmI", headers={"Authorization": f"Bearer {token}"})


def name_of(http: httpx.Client, token: str) -> str:
    answer = ask(http, token)
    assert answer.status_code == 200, answer.text
    user = http.get(f"systemusers({answer.json()['UserId']})", headers={"Authorization": "Bearer admin-token"})
    found: str = user.json()["domainname"]
    return found


def test_a_token_is_the_user_of_its_oid_or_its_name(http: httpx.Client, provider: Provider) -> None:
    assert name_of(http, provider.token()) == "ada"
    assert name_of(http, provider.token(aud=["x", "other-audience"])) == "ada"
    assert name_of(http, provider.token(oid=None, preferred_username="grace")) == "grace"
    assert name_of(http, provider.token(oid="no-guid", upn="grace")) == "grace"
    asked = provider.asked
    for _ in range(5):
        assert name_of(http, provider.token(exp=time.time() + 500)) == "ada"
    assert provider.asked == asked, "keys are fetched once"


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256"])
def test_signatures_by_rsa(http: httpx.Client, provider: Provider, algorithm: str) -> None:
    assert name_of(http, provider.token(algorithm=algorithm)) == "ada"


def test_signatures_by_elliptic_curves(http: httpx.Client, provider: Provider) -> None:
    provider.add("curve", "EC")
    assert name_of(http, provider.token("curve", "ES256")) == "ada"


def test_a_key_with_an_algorithm_is_for_that_one_alone(http: httpx.Client, provider: Provider) -> None:
    provider.add("strict", alg="PS256")
    assert name_of(http, provider.token("strict", "PS256")) == "ada"
    assert error_of(ask(http, provider.token("strict", "RS256")))[0] == 401


def test_changed_keys_are_noticed(http: httpx.Client, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "KEYS_AGAIN_SECONDS", 0.0)
    assert name_of(http, provider.token()) == "ada"
    old = provider.token(exp=time.time() + 333)
    provider.keys.clear()
    provider.add("two")
    assert name_of(http, provider.token("two")) == "ada"
    assert error_of(ask(http, old))[:2] == (401, "0x8004a102")


def test_unknown_keys_cannot_make_us_ask_the_issuer_again_and_again(http: httpx.Client, provider: Provider) -> None:
    assert name_of(http, provider.token()) == "ada"
    provider.private["wild"] = rsa.generate_private_key(65537, 2048)
    asked = provider.asked
    for number in range(20):
        token = jwt.encode({"n": number}, provider.private["wild"], "RS256", headers={"kid": f"wild-{number}"})
        assert error_of(ask(http, token))[:2] == (401, "0x8004a102")
    assert provider.asked - asked <= 2


def test_an_issuer_that_is_down_locks_out_nobody_whose_key_is_known(
    http: httpx.Client, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "KEYS_AGAIN_SECONDS", 0.0)
    assert name_of(http, provider.token()) == "ada"
    provider.down = True
    monkeypatch.setattr(oidc, "KEYS_FRESH_SECONDS", 0.0)
    assert name_of(http, provider.token(exp=time.time() + 444)) == "ada"


def test_an_issuer_that_was_never_reached_is_named(http: httpx.Client, provider: Provider) -> None:
    provider.down = True
    answer = ask(http, provider.token())
    assert error_of(answer)[0] == 503
    assert provider.url in answer.text
    assert answer.headers["retry-after"]
    assert error_of(ask(http, provider.token(exp=time.time() + 99)))[0] == 503, "and is not asked again at once"
    assert provider.asked == 1


def test_whether_a_key_is_the_issuers_cannot_be_said_while_he_is_down(
    http: httpx.Client, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert name_of(http, provider.token()) == "ada"
    provider.add("two")
    provider.down = True
    monkeypatch.setattr(oidc, "KEYS_AGAIN_SECONDS", 0.0)
    assert error_of(ask(http, provider.token("two")))[0] == 503
    assert name_of(http, provider.token(exp=time.time() + 222)) == "ada"
    provider.down = False
    assert name_of(http, provider.token("two")) == "ada"


def test_a_slow_issuer_holds_up_nobody_whose_key_is_known(
    http: httpx.Client, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert name_of(http, provider.token()) == "ada"
    monkeypatch.setattr(oidc, "KEYS_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(oidc, "KEYS_FRESH_SECONDS", 0.0)
    monkeypatch.setattr(oidc, "FETCH_SECONDS", 15.0)
    monkeypatch.setattr(oidc, "ASKING_SECONDS", 0.1)
    asked = provider.asked
    provider.slow.clear()
    try:
        for number in range(5):
            assert ask(http, provider.token(exp=time.time() + 100 + number)).status_code == 200
        while provider.asked == asked:
            time.sleep(0.01)
        provider.private["wild"] = provider.private["one"]
        assert error_of(ask(http, provider.token("wild")))[0] == 503
        assert provider.asked - asked == 1, "one thread alone asks him"
    finally:
        provider.slow.set()


def test_an_issuer_may_spell_itself_with_a_slash_at_the_end(http: httpx.Client, provider: Provider) -> None:
    """Entra ID's first version and others do; a token must spell it in the same way."""
    provider.spelling = "/"
    assert name_of(http, provider.token(iss=f"{provider.url}/")) == "ada"
    assert error_of(ask(http, provider.token()))[:2] == (401, "0x8004a102")


def test_a_name_is_nobodys_who_has_another_object_id(http: httpx.Client, provider: Provider, service: Service) -> None:
    """Names are given away again when somebody leaves."""
    other = str(runtime.new_id())
    assert error_of(ask(http, provider.token(oid=other, upn="ada")))[:2] == (403, "0x80072560")
    assert name_of(http, provider.token(oid=other, upn="grace")) == "grace", "who has none yet"
    assert name_of(http, provider.token(oid=None, upn="ada")) == "ada"


def public_pem(provider: Provider) -> bytes:
    key = provider.private["one"].public_key()
    found: bytes = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return found


def unsigned(provider: Provider, **header: str) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {"iss": provider.url, "aud": AUDIENCE, "exp": time.time() + 600, "oid": OBJECT_ID}
    return f"{part({'typ': 'JWT', **header})}.{part(claims)}."


def hmac_with_public_key(provider: Provider) -> str:
    """The library refuses to sign like that, so it is done by hand."""
    import hashlib
    import hmac

    head, claims, _ = unsigned(provider, alg="HS256", kid="one").split(".")
    made = hmac.new(public_pem(provider), f"{head}.{claims}".encode(), hashlib.sha256).digest()
    return f"{head}.{claims}.{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    ("make", "status", "code"),
    [
        (lambda p: p.token(exp=time.time() - 300), 401, "0x8004a101"),
        (lambda p: p.token(exp=None), 401, "0x8004a102"),
        (lambda p: p.token(exp=10**400), 401, "0x8004a102"),
        (lambda p: p.token(exp=float("inf")), 401, "0x8004a102"),
        (lambda p: p.token(nbf=time.time() + 300), 401, "0x8004a102"),
        (lambda p: p.token(aud="https://other.example"), 401, "0x8004a102"),
        (lambda p: p.token(aud=None), 401, "0x8004a102"),
        (lambda p: p.token(iss="https://evil.example"), 401, "0x8004a102"),
        (lambda p: unsigned(p, alg="none", kid="one"), 401, "0x8004a102"),
        (lambda p: unsigned(p, alg="NONE", kid="one"), 401, "0x8004a102"),
        (hmac_with_public_key, 401, "0x8004a102"),
        (lambda p: p.token(key=rsa.generate_private_key(65537, 2048)), 401, "0x8004a102"),
        (lambda p: p.token()[:-6] + "AAAAAA", 401, "0x8004a102"),
        (lambda p: "a.b.c", 401, "0x8004a100"),
        (lambda p: "..", 401, "0x8004a100"),
        (lambda p: f"{'e30' * 9000}.e30.x", 401, "0x8004a100"),
        (lambda p: p.token(oid=str(runtime.new_id())), 403, "0x80072560"),
        (lambda p: p.token(oid=None), 403, "0x80072560"),
        (lambda p: p.token(oid=None, email="grace", name="grace"), 403, "0x80072560"),
        (lambda p: p.token(oid={"a": [1]}, upn=17), 403, "0x80072560"),
    ],
)  # fmt: skip
def test_what_is_refused(http: httpx.Client, provider: Provider, make: Any, status: int, code: str) -> None:
    assert error_of(ask(http, make(provider)))[:2] == (status, code)


def test_clocks_may_differ_a_little(http: httpx.Client, provider: Provider) -> None:
    assert name_of(http, provider.token(nbf=time.time() + 30)) == "ada"


def test_the_challenge_names_the_issuer(http: httpx.Client, provider: Provider) -> None:
    found = http.get("WhoAmI").headers["www-authenticate"]
    assert found.startswith(f"Bearer authorization_uri={provider.url}/oauth2/authorize, resource_id=http://127.0.0.1")


def test_an_issuer_is_reached_over_https_only() -> None:
    with pytest.raises(InvalidRequest, match="https"):
        Issuer("http://login.example", [AUDIENCE])
    with pytest.raises(InvalidRequest, match="audience"):
        Issuer("https://login.example", [])


def test_a_discovery_document_of_another_issuer_is_not_believed(provider: Provider) -> None:
    def fetch(url: str) -> bytes:
        return json.dumps({"issuer": "https://evil.example", "jwks_uri": f"{provider.url}/keys"}).encode()

    with pytest.raises(oidc.Busy):
        Issuer(provider.url, [AUDIENCE], fetch).claims(provider.token())
