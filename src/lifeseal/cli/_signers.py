# SPDX-License-Identifier: Apache-2.0
"""Who signs, and who attests the time, as the options say."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifeseal.cli._options import load_trust, secret_from
from lifeseal.cli._output import on_terminal

if TYPE_CHECKING:
    from lifeseal.attestation import Bundle, KeySigner, Signer, SigstoreSigner, TimestampAuthority


def choose_signer(
    *,
    key: Path | None,
    passphrase_file: Path | None,
    cert: Path | None,
    chain: tuple[Path, ...],
    sigstore: bool,
    token_file: Path | None,
    trust: str | None,
) -> "Signer":
    """Make the signer that the options ask for.

    Args:
        key: A private key.
        passphrase_file: Of the key.
        cert: The key's certificate.
        chain: Those above it.
        sigstore: Whether to sign without a key.
        token_file: Holds an identity token.
        trust: Of which Sigstore deployment.

    Returns:
        The signer.

    Raises:
        click.UsageError: Not exactly one way to sign was given, or options of another.
    """
    from lifeseal import attestation

    if (key is None) == (not sigstore):
        raise click.UsageError("how to sign? exactly one of --key and --sigstore was expected")
    if key is None:
        if cert is not None or chain or passphrase_file is not None:
            raise click.UsageError("--cert, --chain and --passphrase-file are about a key, and need --key")
        return load_keyless(token_file, trust)
    if token_file is not None or trust is not None:
        raise click.UsageError("--identity-token-file and --trust-config need --sigstore")
    bare = load_signer(key, passphrase_file)
    return bare if cert is None else attestation.CertificateSigner.for_key(bare, cert, chain)


def describe(signer: "Signer", bundle: "Bundle") -> tuple[str, str]:
    """Say who signed.

    Args:
        signer: As `choose_signer` made it.
        bundle: What it signed; of a keyless one the certificate says who that is.

    Returns:
        The fingerprint that verifying reports, and words for people.
    """
    from lifeseal import attestation

    if isinstance(signer, attestation.KeySigner):
        return signer.public.fingerprint, f"key {signer.public.fingerprint}"
    if isinstance(signer, attestation.CertificateSigner):
        return signer.fingerprint, f"certificate {signer.name}, {signer.fingerprint}"
    names, issuers = attestation.claimed_identity(bundle)
    called = f"identity {', '.join(names) or 'nobody'}, vouched for by {', '.join(issuers) or 'nobody'}"
    try:
        return attestation.identity_fingerprint(names[0], issuers[0]), called
    except (ValueError, IndexError):  # a name that no policy could hold
        return "", called


def load_keyless(token_file: Path | None, trust: str | None) -> "SigstoreSigner":
    """Get an identity token: from a file, from the CI job, or from a person at a terminal.

    Args:
        token_file: Holds it, on its first line.
        trust: Of which deployment.

    Returns:
        The signer.

    Raises:
        click.UsageError: No deployment is named.
        CredentialError: There is no token, or it cannot be used.
    """
    from lifeseal import attestation
    from lifeseal.errors import CredentialError, FormatError

    if trust is None:
        raise click.UsageError("--sigstore needs --trust-config: a file, or public-good; no deployment is used by default")
    config = load_trust(trust)
    if not config.signs:
        raise click.UsageError(f"--trust-config: {trust} says whom to trust and not where to sign; a ClientTrustConfig was expected")
    if token_file is not None:
        token = secret_from(token_file, prompt=None, what="an identity token") or b""
        if not token.isascii():
            raise FormatError(str(token_file), "an identity token was expected, which is ASCII text")
        return attestation.SigstoreSigner(config, token.decode().strip())
    try:
        return attestation.SigstoreSigner.ambient(config)
    except CredentialError:
        if not on_terminal(sys.stdin):
            raise
        return attestation.SigstoreSigner.interactive(config)


def load_authority(url: str | None, tsa: tuple[Path, ...]) -> "TimestampAuthority | None":
    """Name the timestamp authority to ask.

    Args:
        url: Where it answers.
        tsa: Files of its root.

    Returns:
        The authority, or None where none is asked.

    Raises:
        click.UsageError: One is given without the other, or the URL is none.
        FormatError: A file holds no root.
        OSError: A file cannot be read.
    """
    from lifeseal import attestation

    if (url is None) != (not tsa):
        raise click.UsageError("--timestamp says which authority to ask, and --tsa whom to believe: give both")
    try:
        return None if url is None else attestation.TimestampAuthority.from_files(url, tsa)
    except ValueError as error:
        raise click.UsageError(f"--timestamp: {error}") from None


def load_signer(key: Path, passphrase_file: Path | None) -> "KeySigner":
    """Read a private key, asking for its passphrase where it needs one.

    Args:
        key: The key file.
        passphrase_file: Holds the passphrase.

    Returns:
        The signer.
    """
    from lifeseal import attestation
    from lifeseal._io import read_bounded

    encrypted = b"ENCRYPTED" in read_bounded(key, limit=64 << 10, what="a private key")
    passphrase = secret_from(passphrase_file, prompt=f"Passphrase of {key}" if encrypted else None)
    return attestation.KeySigner.from_file(key, passphrase=passphrase)
