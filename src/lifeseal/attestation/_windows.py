# SPDX-License-Identifier: Apache-2.0
"""When a Sigstore deployment's keys were in use: a key that was retired vouches for nothing later, one to come for nothing earlier."""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from lifeseal.attestation._log_entry import SigstoreMaterial
from lifeseal.attestation._paths import issued
from lifeseal.errors import PolicyError

if TYPE_CHECKING:
    from cryptography import x509
    from sigstore.models import TrustedRoot


class Window(Protocol):
    """Both ends belong to it; no end is none.

    Source: sigstore/protobuf-specs, sigstore_common.proto, TimeRange.
    """

    @property
    def start(self) -> dt.datetime:
        """The first moment."""

    @property
    def end(self) -> dt.datetime | None:
        """The last one."""


def in_use(window: Window | None, moments: Iterable[dt.datetime]) -> bool:
    """Tell whether all moments lie in a window; one that is not stated holds them all."""
    return window is None or all(window.start <= moment and (window.end is None or moment <= window.end) for moment in moments)


def refuse_retired(root: "TrustedRoot", material: SigstoreMaterial, certificate: "x509.Certificate", times: Sequence[dt.datetime]) -> None:
    """Refuse a signature whose log, authority or certificate log was not in use when it was made.

    Args:
        root: Whom to trust.
        material: The bundle's.
        certificate: The signer's.
        times: At which the signature is known to have existed; the log's own first, where it states one.

    Raises:
        PolicyError: One of them was not.
    """
    from cryptography.x509 import load_der_x509_certificate as load

    inner = root._inner  # noqa: SLF001 - sigstore shows only parts of it
    logs = known_logs(root, material.entry.log)
    if not any(in_use(log.public_key.valid_for, times[:1] if material.entry.promise else times) for log in logs):
        raise PolicyError(f"log {material.entry.log.hex()[:16]} was not in use then, says the trust given")
    # By the key that signed, for an authority's next certificate may have the name of the one that was retired.
    authorities = [ca for ca in inner.certificate_authorities if any(issued(certificate, load(c.raw_bytes)) for c in ca.cert_chain.certificates)]
    if not any(in_use(authority.valid_for, times) for authority in authorities):
        raise PolicyError(f"authority {certificate.issuer.rfc4514_string()!r} was not in use then, says the trust given")
    for log, moment in _certificate_logs(certificate):
        if not any(in_use(known.public_key.valid_for, (moment,)) for known in inner.ctlogs if known.log_id.key_id == log):
            raise PolicyError(f"certificate log {log.hex()[:16]} was not in use then, says the trust given")


def known_logs(root: "TrustedRoot", log: bytes) -> list[Any]:
    """List the logs of a root that have an identifier, as sigstore models them."""
    logs = root._inner.tlogs  # noqa: SLF001 - sigstore shows only parts of it
    return [known for known in logs if log in {known.log_id.key_id, known.checkpoint_key_id and known.checkpoint_key_id.key_id}]


def _certificate_logs(certificate: "x509.Certificate") -> list[tuple[bytes, dt.datetime]]:
    from cryptography.x509 import PrecertificateSignedCertificateTimestamps as Scts

    stamps = [sct for extension in certificate.extensions if isinstance(extension.value, Scts) for sct in extension.value]
    return [(sct.log_id, sct.timestamp.replace(tzinfo=dt.UTC)) for sct in stamps]
