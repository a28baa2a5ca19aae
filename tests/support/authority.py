# SPDX-License-Identifier: Apache-2.0
"""A certificate authority for tests: roots, authorities below them, and signers' certificates, each as wrong as asked."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from lifeseal.testing import Issued as Plain
from lifeseal.testing._issued import FAR, OLD, authority, usage

CODE = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
SERVER = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
AUTHORITY = authority()
LEAF = ((x509.BasicConstraints(ca=False, path_length=None), True), (usage(sign=True), True), (CODE, False))

__all__ = ["AUTHORITY", "CODE", "FAR", "LEAF", "OLD", "SERVER", "Issued", "root", "usage"]


class Issued(Plain):
    """A certificate and its key, by default a signer's."""

    def issue(self, name, *, extensions=LEAF, **how):
        return super().issue(name, extensions=extensions, **how)

    def write(self, folder, name):
        """Write NAME.crt and NAME.key; returns both paths."""
        certificate, key = Path(folder) / f"{name}.crt", Path(folder) / f"{name}.key"
        certificate.write_bytes(self.pem)
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return certificate, key


def root(name="root", **how):
    """Make a self-signed root."""
    return Issued.root(name, **how)
