# SPDX-License-Identifier: Apache-2.0
"""An OpenID Connect provider: identity tokens for whoever a test says, signed, and the ways to fetch them."""

import base64
import json
import time
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import parse_qs, urlencode, urlsplit

from lifeseal.testing._server import Reply, Request
from lifeseal.testing._signed import new_key, sign

_AUDIENCE = "sigstore"
GITHUB = "https://token.actions.githubusercontent.com"


class Oidc:
    """Issues identity tokens, and reads back its own.

    Attributes:
        url: Its address, once it answers; also the issuer that tokens name unless told otherwise.
        person: Who signs in with a browser.
        refuses: Whether the sign-in fails.
    """

    def __init__(self) -> None:
        self.url = ""
        self.person = "person@example.org"
        self.refuses = False
        self._key = new_key()
        self._ambient: dict[str, str] = {}

    def token(self, identity: str, *, issuer: str = "", lifetime: float = 600, **claims: object) -> str:
        """Issue a token.

        Args:
            identity: An e-mail address or a URI.
            issuer: Whom it says it is from; by default this provider.
            lifetime: Seconds; a negative one has expired.
            claims: Others, which replace those made here.

        Returns:
            The token, a JSON Web Token.
        """
        now = int(time.time())
        body: dict[str, object] = {"iss": issuer or self.url, "sub": identity, "aud": _AUDIENCE, "iat": now - 5, "exp": now + int(lifetime)}
        if "@" in identity and "://" not in identity:
            body |= {"email": identity, "email_verified": True}
        signed = f"{_encode({'alg': 'ES256', 'typ': 'JWT'})}.{_encode(body | claims)}"
        return f"{signed}.{_base64url(sign(self._key, signed.encode()))}"

    def claims(self, token: str) -> dict[str, object]:
        """Read a token of this provider.

        Args:
            token: The token.

        Returns:
            What it claims.

        Raises:
            ValueError: It is not this provider's, for another audience, or has expired.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        signed, _, signature = token.rpartition(".")
        try:
            self._key.public_key().verify(_decode(signature), signed.encode(), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise ValueError("the token is not this provider's") from None
        claims: dict[str, object] = json.loads(_decode(signed.partition(".")[2]))
        if claims["aud"] != _AUDIENCE or not isinstance(claims["exp"], int) or claims["exp"] <= time.time():
            raise ValueError("the token is for another audience, or has expired")
        return claims

    def github(self, workflow: str) -> Mapping[str, str]:
        """Name the environment in which a GitHub Actions job finds its token here.

        Args:
            workflow: As ``acme/models/.github/workflows/release.yml@refs/heads/main``.

        Returns:
            Environment variables.
        """
        self._ambient[f"job-{len(self._ambient)}"] = workflow
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/actions",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": f"job-{len(self._ambient) - 1}",
        }

    def answer(self, request: Request) -> Reply:
        """Answer what a browser, a client or a job asks.

        Args:
            request: Below the provider's address.

        Returns:
            The reply.
        """
        parts = urlsplit(request.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path.endswith("/.well-known/openid-configuration"):
            return _json({"issuer": self.url, "authorization_endpoint": f"{self.url}/auth", "token_endpoint": f"{self.url}/token"})
        if parts.path.endswith("/auth"):
            answer = {"error": "access_denied"} if self.refuses else {"code": "loopback"}
            back = urlencode(answer | {"state": asked["state"]})
            return Reply(status=HTTPStatus.FOUND, headers={"Location": f"{asked['redirect_uri']}?{back}"})
        if parts.path.endswith("/token"):
            return _json({"access_token": self.token(self.person), "token_type": "Bearer"})
        if parts.path.endswith("/actions"):
            workflow = self._ambient[request.headers["authorization"].partition(" ")[2]]
            repository = "/".join(workflow.split("/")[:2])
            return _json({"value": self.token(f"repo:{repository}:ref:refs/heads/main", issuer=GITHUB, job_workflow_ref=workflow)})
        return Reply(status=HTTPStatus.NOT_FOUND)


def _json(document: object) -> Reply:
    return Reply(body=json.dumps(document).encode())


def _encode(document: object) -> str:
    return _base64url(json.dumps(document).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
