# SPDX-License-Identifier: Apache-2.0
"""A Fulcio: short-lived certificates for whoever a token names, entered in a certificate log."""

import base64
import datetime as dt
import hashlib
import json
import struct
import time
from typing import TYPE_CHECKING

from lifeseal._io import require
from lifeseal.testing._issued import Issued, usage
from lifeseal.testing._oidc import Oidc
from lifeseal.testing._server import Reply, Request
from lifeseal.testing._signed import new_key, sign, spki

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

_SIGSTORE = "1.3.6.1.4.1.57264.1"
_SCT_LIST = "1.3.6.1.4.1.11129.2.4.2"


class Fulcio:
    """Issues certificates under a root and an authority below it.

    Args:
        oidc: Whose tokens it accepts.

    Attributes:
        root: Self-signed.
        authority: Issues the certificates.
        ct_key: Of the certificate log.
        lifetime: Of a certificate, seconds.
    """

    def __init__(self, oidc: Oidc) -> None:
        self.root = Issued.root("loopback Fulcio root", extensions=_issuing(new := new_key(), new), key=new)
        below = new_key()
        self.authority = self.root.issue("loopback Fulcio", extensions=_issuing(below, self.root.key), key=below)
        self.ct_key = new_key()
        self.lifetime = 600.0
        self._oidc = oidc

    def answer(self, request: Request) -> Reply:
        """Certify the key of a signing request for whoever the token names."""
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            claims = self._oidc.claims(request.headers["authorization"].partition(" ")[2])
        except ValueError as error:
            return Reply(status=401, body=json.dumps({"code": 16, "message": str(error)}).encode())
        asked = x509.load_pem_x509_csr(base64.b64decode(json.loads(request.body)["certificateSigningRequest"]))
        public = asked.public_key()
        if not asked.is_signature_valid or not isinstance(public, ec.EllipticCurvePublicKey):
            raise ValueError("a request for an EC key, signed by it, was expected")
        workflow = claims.get("job_workflow_ref")
        identity = f"https://github.com/{workflow}" if workflow else str(claims.get("email") or claims["sub"])
        leaf = self.issue(public, identity, str(claims["iss"]))
        chain = [pem.decode() for pem in (_pem(leaf), self.authority.pem, self.root.pem)]
        return Reply(status=201, body=json.dumps({"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}).encode())

    def issue(
        self,
        public: "ec.EllipticCurvePublicKey",
        identity: str,
        issuer: str,
        *,
        start: dt.datetime | None = None,
        ct_key: "ec.EllipticCurvePrivateKey | None" = None,
    ) -> "x509.Certificate":
        """Issue a certificate.

        Args:
            public: The key that it is for.
            identity: An e-mail address or a URI.
            issuer: The identity provider.
            start: Valid from; by default five seconds ago.
            ct_key: Signs the certificate log's statement; by default the log's own.

        Returns:
            The certificate, with the log's statement in it.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

        core = require("asn1crypto.core", extra="testing")
        start = start or dt.datetime.now(dt.UTC) - dt.timedelta(seconds=5)
        email = "@" in identity and "://" not in identity
        name = x509.RFC822Name(identity) if email else x509.UniformResourceIdentifier(identity)
        builder = x509.CertificateBuilder(self.authority.certificate.subject, x509.Name([]), public, x509.random_serial_number())
        builder = builder.not_valid_before(start).not_valid_after(start + dt.timedelta(seconds=self.lifetime + 5))
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (usage(sign=True), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False),
            (x509.SubjectKeyIdentifier.from_public_key(public), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority.key.public_key()), False),
            (x509.SubjectAlternativeName([name]), True),
            (x509.UnrecognizedExtension(ObjectIdentifier(f"{_SIGSTORE}.1"), issuer.encode()), False),
            (x509.UnrecognizedExtension(ObjectIdentifier(f"{_SIGSTORE}.8"), core.UTF8String(issuer).dump()), False),
        ]
        for value, critical in extensions:
            builder = builder.add_extension(value, critical=critical)
        unlogged = builder.sign(self.authority.key, hashes.SHA256()).tbs_certificate_bytes
        listed = core.OctetString(self._timestamps(unlogged, ct_key or self.ct_key)).dump()
        return builder.add_extension(x509.UnrecognizedExtension(ObjectIdentifier(_SCT_LIST), listed), critical=False).sign(
            self.authority.key, hashes.SHA256()
        )

    def _timestamps(self, unlogged: bytes, ct_key: "ec.EllipticCurvePrivateKey") -> bytes:
        """State that the certificate is in the certificate log: RFC 6962, section 3.2 and 3.3."""
        moment = int(time.time() * 1000)
        issuer = hashlib.sha256(spki(self.authority.key)).digest()
        precertificate = struct.pack("!BBQH", 0, 0, moment, 1) + issuer + len(unlogged).to_bytes(3, "big") + unlogged + b"\0\0"
        signature = sign(ct_key, precertificate)
        log = hashlib.sha256(spki(ct_key)).digest()
        stamp = b"\0" + log + struct.pack("!QHBBH", moment, 0, 4, 3, len(signature)) + signature
        return struct.pack("!HH", len(stamp) + 2, len(stamp)) + stamp


def _issuing(key: "ec.EllipticCurvePrivateKey", issuer: "ec.EllipticCurvePrivateKey") -> "list[tuple[x509.ExtensionType, bool]]":
    from cryptography import x509

    return [
        (x509.BasicConstraints(ca=True, path_length=1 if key is issuer else 0), True),
        (usage(issue=True), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), False),
    ]


def _pem(certificate: "x509.Certificate") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)
