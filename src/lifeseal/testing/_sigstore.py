# SPDX-License-Identifier: Apache-2.0
"""A whole Sigstore deployment on loopback."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Literal, TypeAlias

from lifeseal._io import encode_base64, require
from lifeseal.attestation import SigstoreTrust
from lifeseal.testing._fulcio import Fulcio
from lifeseal.testing._issued import OLD, Issued
from lifeseal.testing._log import Log
from lifeseal.testing._oidc import Oidc
from lifeseal.testing._server import Reply, Request, serving
from lifeseal.testing._signed import spki
from lifeseal.testing._tsa import Tsa
from lifeseal.testing._tuf import repository

RekorVersion: TypeAlias = Literal[1, 2]
_TYPE = "application/vnd.dev.sigstore"
_SINCE = OLD.strftime("%Y-%m-%dT%H:%M:%SZ")  # long ago, so that a test's clock may be set back


class Sigstore:
    """Fulcio, two versions of Rekor, a timestamp authority, an identity provider and a TUF repository, under keys of their own.

    It keeps its promises as a real deployment does, so every client verifies what was signed here, under its trust root and no other.

    Attributes:
        url: Where it answers.
        oidc: The identity provider: ``oidc.token("me@example.org")``, ``oidc.url``.
        fulcio: The certificate authority.
        logs: Rekor by version.
        tsa: The timestamp authority.
    """

    def __init__(self) -> None:
        self.url = ""
        self.oidc = Oidc()
        self.fulcio = Fulcio(self.oidc)
        self.logs: Mapping[int, Log] = {version: Log(version) for version in (1, 2)}
        self.tsa = Tsa()
        self._tuf: Mapping[str, bytes] = {}

    def trust(self, *, rekor: RekorVersion = 2) -> SigstoreTrust:
        """Give the trust to lifeseal.

        Args:
            rekor: Which log signers use; both are trusted.

        Returns:
            The trust, good for signing and verifying.
        """
        return SigstoreTrust.from_bytes(self.trust_config(rekor=rekor))

    def trust_config(self, *, rekor: RekorVersion = 2) -> bytes:
        """Write the deployment's ClientTrustConfig, for any client.

        Args:
            rekor: Which log signers use.

        Returns:
            JSON.
        """
        document = {
            "mediaType": f"{_TYPE}.clienttrustconfig.v0.1+json",
            "trustedRoot": json.loads(self.trusted_root()),
            "signingConfig": json.loads(self.signing_config(rekor=rekor)),
        }
        return json.dumps(document).encode()

    def trusted_root(self) -> bytes:
        """Write the deployment's TrustedRoot: all that verifying needs.

        Returns:
            JSON.
        """
        since = {"start": _SINCE}

        def authority(*chain: Issued) -> dict[str, object]:
            return {
                "subject": {"organization": "loopback", "commonName": "loopback"},
                "uri": self.url,
                "certChain": {"certificates": [{"rawBytes": encode_base64(issued.der)} for issued in chain]},
                "validFor": since,
            }

        def log(key_der: bytes, url: str) -> dict[str, object]:
            key = {"rawBytes": encode_base64(key_der), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": since}
            return {
                "baseUrl": url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": key,
                "logId": {"keyId": encode_base64(hashlib.sha256(key_der).digest())},
            }

        document = {
            "mediaType": f"{_TYPE}.trustedroot+json;version=0.1",
            "tlogs": [log(spki(rekor.key), self._rekor_url(version)) for version, rekor in self.logs.items()],
            "certificateAuthorities": [authority(self.fulcio.authority, self.fulcio.root)],
            "ctlogs": [log(spki(self.fulcio.ct_key), f"{self.url}/ct")],
            "timestampAuthorities": [authority(self.tsa.signer, self.tsa.root)],
        }
        return json.dumps(document).encode()

    def signing_config(self, *, rekor: RekorVersion = 2) -> bytes:
        """Write where the deployment answers.

        Args:
            rekor: Which log signers use.

        Returns:
            JSON, a SigningConfig.
        """

        def service(url: str, version: int = 1) -> list[dict[str, object]]:
            return [{"url": url, "majorApiVersion": version, "validFor": {"start": _SINCE}, "operator": "loopback"}]

        document = {
            "mediaType": f"{_TYPE}.signingconfig.v0.2+json",
            "caUrls": service(self.url),
            "oidcUrls": service(self.oidc.url),
            "rekorTlogUrls": service(self._rekor_url(rekor), rekor),
            "tsaUrls": service(f"{self.url}/tsa"),
            "rekorTlogConfig": {"selector": "ANY"},
            "tsaConfig": {"selector": "ANY"},
        }
        return json.dumps(document).encode()

    def tuf(self) -> Mapping[str, bytes]:
        """Write the TUF repository that hands out root and configuration; sigstore's clients bootstrap from its ``1.root.json``.

        Returns:
            Content by path below ``url + "/tuf"``.
        """
        return repository({"trusted_root.json": self.trusted_root(), "signing_config.v0.2.json": self.signing_config()})

    def answer(self, request: Request) -> Reply:
        """Answer as the service that a path belongs to.

        Args:
            request: What was asked.

        Returns:
            The reply.
        """
        path = request.path
        for version, log in self.logs.items():
            if path == f"/rekor{version}/api/v{version}/log/entries":
                return log.answer(request)
        if path == "/api/v2/signingCert":
            return self.fulcio.answer(request)
        if path == "/tsa":
            return self.tsa.answer(request)
        if path.startswith("/oidc/"):
            return self.oidc.answer(request)
        if path.startswith("/tuf/"):
            self._tuf = self._tuf or self.tuf()
            data = self._tuf.get(path.removeprefix("/tuf"))
            return Reply(status=HTTPStatus.NOT_FOUND) if data is None else Reply(body=data)
        return Reply(status=HTTPStatus.NOT_FOUND, body=b"{}")

    def start(self, url: str) -> None:
        """Learn where the deployment answers.

        Args:
            url: Its address.
        """
        self.url, self.oidc.url, self.tsa.url = url, f"{url}/oidc", f"{url}/tsa"
        for version, log in self.logs.items():
            log.origin = self._rekor_url(version).partition("://")[2]

    def _rekor_url(self, version: int) -> str:
        return f"{self.url}/rekor{version}"


@contextlib.contextmanager
def sigstore(deployment: Sigstore | None = None) -> Iterator[Sigstore]:
    """Run a Sigstore deployment on a random loopback port.

    Args:
        deployment: One prepared before; by default a new one.

    Yields:
        The deployment.

    Raises:
        MissingExtraError: The extra ``testing`` is not installed.
    """
    require("asn1crypto", extra="testing")  # here, and not in a server's thread
    running = deployment or Sigstore()
    with serving(running.answer) as url:
        running.start(url)
        yield running
