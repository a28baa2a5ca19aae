# SPDX-License-Identifier: Apache-2.0
"""A certificate authority for tests: roots, authorities below them, and signers' certificates, each as wrong as asked."""

import datetime as dt

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

OLD = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
FAR = dt.datetime(2090, 1, 1, tzinfo=dt.UTC)


def name_of(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def usage(*, sign=False, issue=False):
    names = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(digital_signature=sign, key_cert_sign=issue, **dict.fromkeys(names, False))


CODE = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
SERVER = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
AUTHORITY = ((x509.BasicConstraints(ca=True, path_length=None), True), (usage(issue=True), True))
LEAF = ((x509.BasicConstraints(ca=False, path_length=None), True), (usage(sign=True), True), (CODE, False))


@attrs.frozen(kw_only=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self):
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(self, name, *, extensions=LEAF, start=OLD, end=FAR, key=None, curve=None, digest=None, subject=None):
        """Issue a certificate below this one."""
        return _make(name, self, extensions=extensions, start=start, end=end, key=key, curve=curve, digest=digest, subject=subject)

    def write(self, folder, name):
        """Write NAME.crt and NAME.key; returns both paths."""
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_bytes(self.pem)
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return certificate, key


def root(name="root", *, start=OLD, end=FAR, extensions=AUTHORITY, key=None):
    """Make a self-signed root."""
    return _make(name, None, extensions=extensions, start=start, end=end, key=key)


def _make(name, issuer, *, extensions, start, end, key=None, curve=None, digest=None, subject=None):
    key = key or ec.generate_private_key(curve or ec.SECP256R1())
    subject = subject or name_of(name)
    builder = x509.CertificateBuilder().subject_name(subject).serial_number(x509.random_serial_number())
    builder = builder.issuer_name(issuer.certificate.subject if issuer else subject).public_key(key.public_key())
    builder = builder.not_valid_before(start).not_valid_after(end)
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    certificate = builder.sign(issuer.key if issuer else key, digest or hashes.SHA256())
    return Issued(certificate=certificate, key=key)
