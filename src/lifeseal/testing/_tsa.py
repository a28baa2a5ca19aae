# SPDX-License-Identifier: Apache-2.0
"""An RFC 3161 timestamp authority on loopback."""

import contextlib
import datetime as dt
import hashlib
import secrets
from collections.abc import Callable, Iterator
from typing import Any

from lifeseal._io import require
from lifeseal.testing._issued import Issued, stamper
from lifeseal.testing._server import Reply, Request, serving

_POLICY = "1.3.6.1.4.1.57264.2"


class Tsa:
    """A timestamp authority with a root of its own; whatever it attests is good for tests alone.

    Args:
        clock: What it takes for the time, UTC.
        accuracy: What it states beside it, seconds; None states nothing.
        root: Of its certificate.
        signer: Its certificate and key.

    Attributes:
        url: Where it answers.
        root: Its root.
        signer: Its certificate and key.
        stamped: How many timestamps it gave.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], dt.datetime] | None = None,
        accuracy: int | None = 1,
        root: Issued | None = None,
        signer: Issued | None = None,
    ) -> None:
        self.url = ""
        self.root = root or Issued.root("loopback TSA root")
        self.signer = signer or self.root.issue("loopback TSA", extensions=stamper())
        self.stamped = 0
        self._clock = clock or (lambda: dt.datetime.now(dt.UTC))
        self._accuracy = accuracy

    def respond(self, query: bytes) -> bytes:
        """Answer a request.

        Args:
            query: DER.

        Returns:
            The response, DER.

        Raises:
            ValueError: It is no request.
        """
        tsp, cms, asn1 = (require(f"asn1crypto.{name}", extra="testing") for name in ("tsp", "cms", "x509"))
        request = tsp.TimeStampReq.load(query, strict=True)
        content = tsp.TSTInfo(self.info(request)).dump()
        own = asn1.Certificate.load(self.signer.der)
        named = {"issuer": [asn1.GeneralName("directory_name", own.issuer)], "serial_number": own.serial_number}
        essential = tsp.SigningCertificateV2({"certs": [{"cert_hash": hashlib.sha256(self.signer.der).digest(), "issuer_serial": named}]})
        signed = cms.CMSAttributes(
            [
                cms.CMSAttribute({"type": kind, "values": [value]})
                for kind, value in (
                    ("content_type", "tst_info"),
                    ("message_digest", hashlib.sha256(content).digest()),
                    ("signing_certificate_v2", essential),
                )
            ]
        )
        signer = cms.SignerInfo(
            {
                "version": "v1",
                "sid": {"issuer_and_serial_number": {"issuer": own.issuer, "serial_number": own.serial_number}},
                "digest_algorithm": {"algorithm": "sha256"},
                "signed_attrs": signed,
                "signature_algorithm": {"algorithm": "sha256_ecdsa"},
                "signature": _signed(self.signer, signed.dump()),
            }
        )
        data: dict[str, object] = {
            "version": "v3",
            "digest_algorithms": [{"algorithm": "sha256"}],
            "encap_content_info": {"content_type": "tst_info", "content": cms.ParsableOctetString(content)},
            "signer_infos": [signer],
        }
        if request["cert_req"].native:
            data["certificates"] = [own]
        token = cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData(data)})
        response: bytes = tsp.TimeStampResp({"status": {"status": "granted"}, "time_stamp_token": token}).dump()
        self.stamped += 1
        return response

    def info(self, request: Any) -> dict[str, object]:  # noqa: ANN401 - of a library without types
        """State the time; a test that needs a false statement overrides this.

        Args:
            request: As asn1crypto read it.

        Returns:
            The fields of a TSTInfo.

        Source: RFC 3161, section 2.4.2.
        """
        stated: dict[str, object] = {
            "version": "v1",
            "policy": _POLICY,
            "message_imprint": request["message_imprint"],
            "serial_number": 1 + secrets.randbits(63),
            "gen_time": self._clock().replace(microsecond=0),
        }
        if self._accuracy is not None:
            stated["accuracy"] = {"seconds": self._accuracy}
        if request["nonce"].native is not None:
            stated["nonce"] = request["nonce"].native
        return stated

    def answer(self, request: Request) -> Reply:
        """Answer over HTTP, whatever the path."""
        return Reply(body=self.respond(request.body), kind="application/timestamp-reply")


@contextlib.contextmanager
def timestamp_authority(tsa: Tsa | None = None) -> Iterator[Tsa]:
    """Run a timestamp authority on a random loopback port.

    Args:
        tsa: One with a clock or certificates of its own; by default a new one.

    Yields:
        The authority; trust its ``root.pem``, ask at its ``url``.

    Raises:
        MissingExtraError: The extra ``testing`` is not installed.
    """
    require("asn1crypto", extra="testing")  # here, and not in a server's thread
    running = tsa or Tsa()
    with serving(running.answer) as url:
        running.url = url
        yield running


def _signed(issued: Issued, data: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return issued.key.sign(data, ec.ECDSA(hashes.SHA256()))
