# SPDX-License-Identifier: Apache-2.0
"""Signing without a key of one's own: Sigstore certifies a short-lived one for whoever the token names."""

import contextlib
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, Self, TypeVar

from lifeseal._io import StrPath, read_bounded
from lifeseal.attestation._bundle import IN_TOTO, Bundle
from lifeseal.attestation._identity import claimed_identity, identity_fingerprint, verify_with_sigstore
from lifeseal.attestation._log_entry import SigstoreMaterial
from lifeseal.attestation._sigstore_trust import SigstoreTrust, first_line, refuse_other_trust
from lifeseal.errors import CredentialError, FormatError, LifesealError, PolicyError, StoreError
from lifeseal.principles import implements, note

if TYPE_CHECKING:
    from sigstore.dsse import Statement
    from sigstore.oidc import IdentityToken

T = TypeVar("T")
_MAX_TOKEN = 64 << 10
_SERVER_FAULT = 500
_LIMITS = "Who signed, and a hash of what, is published in the deployment's log for ever; whoever holds the token can sign while it lasts."


class SigstoreSigner:
    """Signs in the name of an identity token.

    Each signature takes a new key and a new certificate from the deployment, and enters its log. What was signed is then verified under the
    same trust before it is handed out.

    Args:
        trust: The deployment; its file must hold a signing configuration, not a root alone.
        token: An OpenID Connect identity token for the audience ``sigstore``.
        timeout: Seconds for one signature.

    Attributes:
        identity: Whom the token names; the certificate may name it otherwise, as the workflow that ran.

    Raises:
        CredentialError: It is no token, or has expired.
        StoreError: The services that the trust names are not in use now.
        ValueError: The trust holds no signing configuration.
    """

    def __init__(self, trust: SigstoreTrust, token: str, *, timeout: float = 90) -> None:
        _refuse_without_services(trust)
        self._trust = trust
        self._token = _parsed(token)
        self._timeout = timeout
        self.identity = self._token.identity

    @classmethod
    @implements(evidences=("5.2",), limits=_LIMITS)
    def from_token_file(cls, trust: SigstoreTrust, path: StrPath, *, timeout: float = 90) -> Self:
        """Read the token from a file.

        Args:
            trust: The deployment.
            path: Holds the token alone; spaces around it do not count.
            timeout: Seconds for one signature.

        Returns:
            The signer.

        Raises:
            CredentialError: It is no token, or has expired.
            FormatError: It is not a regular file of text.
            LimitError: It is larger than 64 KiB.
            OSError: It cannot be read.
            ValueError: The trust holds no signing configuration.
        """
        data = read_bounded(path, limit=_MAX_TOKEN, what="an identity token")
        if not data.isascii():
            raise FormatError(os.fspath(path), "an identity token was expected, which is ASCII text")
        return cls(trust, data.decode().strip(), timeout=timeout)

    @classmethod
    @implements(evidences=("5.2",), limits=_LIMITS)
    def ambient(cls, trust: SigstoreTrust, *, timeout: float = 90) -> Self:
        """Ask the machine for its token: GitHub Actions, GitLab CI (``SIGSTORE_ID_TOKEN``), Google Cloud, Buildkite, CircleCI.

        Args:
            trust: The deployment.
            timeout: Seconds for one signature.

        Returns:
            The signer.

        Raises:
            CredentialError: There is none here, or this job may not have one.
            StoreError: It cannot be fetched in time.
            ValueError: The trust holds no signing configuration.
        """
        from sigstore.oidc import IdentityError, detect_credential

        _refuse_without_services(trust)
        try:
            token = _within(timeout, detect_credential, "the machine's identity provider")
        except IdentityError as error:
            raise CredentialError(f"no identity token from this machine: {str(error)[:200]}") from None
        if token is None:
            raise CredentialError("no identity token from this machine: it is no CI job that sigstore knows; give a token, or sign in interactively")
        return cls(trust, token, timeout=timeout)

    @classmethod
    @implements(evidences=("5.2",), limits=_LIMITS)
    def interactive(cls, trust: SigstoreTrust, *, timeout: float = 90) -> Self:
        """Have a person sign in with a web browser, at the identity provider that the trust names.

        Args:
            trust: The deployment.
            timeout: Seconds for one signature; the person may take longer.

        Returns:
            The signer.

        Raises:
            CredentialError: The sign-in failed.
            StoreError: The identity provider does not answer.
            ValueError: The trust holds no signing configuration.
        """
        from sigstore.errors import Error
        from sigstore.oidc import IdentityError, Issuer, IssuerError

        _refuse_without_services(trust)
        try:
            token = Issuer(trust.for_sigstore().signing_config.get_oidc_url()).identity_token()
        except IdentityError as error:
            raise CredentialError(f"the sign-in failed: {str(error)[:200]}") from None
        except EOFError:
            raise CredentialError("the sign-in failed: no web browser, and no code was typed") from None
        except (IssuerError, Error, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise StoreError(f"the identity provider cannot be asked: {first_line(error)}") from None
        return cls(trust, str(token), timeout=timeout)

    def sign(self, payload_type: str, payload: bytes) -> Bundle:
        """Sign a payload.

        Args:
            payload_type: ``application/vnd.in-toto+json``; Sigstore signs nothing else in an envelope.
            payload: An in-toto statement.

        Returns:
            The bundle, verified.

        Raises:
            CredentialError: The token has expired, or the deployment does not accept it.
            PolicyError: What the deployment answered does not verify under the trust.
            StoreError: The deployment does not answer.
            ValueError: Another payload type, or no in-toto statement.
        """
        from sigstore.dsse import Statement
        from sigstore.errors import Error

        if payload_type != IN_TOTO:
            raise ValueError(f"Sigstore signs payloads of type {IN_TOTO!r} alone, not {payload_type!r}")
        try:
            statement = Statement(bytes(payload))
        except Error:
            raise ValueError("Sigstore signs in-toto statements alone, and the payload is none") from None
        data = _within(self._timeout, lambda: self._signed(statement), "the Sigstore deployment")
        try:
            bundle = Bundle.from_bytes(data.encode(), where="the Sigstore deployment's answer")
            material = bundle.material
            if not isinstance(material, SigstoreMaterial) or (bundle.envelope.payload_type, bundle.envelope.payload) != (payload_type, payload):
                raise FormatError("the Sigstore deployment's answer", "a keyless signature of the payload was expected")
            verify_with_sigstore(bundle, material, self._trust, label="signature")
        except LifesealError as error:
            raise PolicyError(f"what the Sigstore deployment signed cannot be verified: {error}; no signature was written") from None
        names, issuers = claimed_identity(bundle)
        with contextlib.suppress(ValueError, IndexError):  # a name that no policy could hold is not worth failing for now
            note(signer=identity_fingerprint(names[0], issuers[0]))
        return bundle

    def _signed(self, statement: "Statement") -> str:
        """Run in a thread of its own: sigstore's clients wait without end."""
        from sigstore._internal.fulcio.client import ExpiredCertificate, FulcioClientError
        from sigstore._internal.rekor import RekorClientError
        from sigstore.errors import Error
        from sigstore.oidc import ExpiredIdentity
        from sigstore.sign import SigningContext

        context = SigningContext.from_trust_config(self._trust.for_sigstore())
        try:
            with context.signer(self._token) as signer:
                return signer.sign_dsse(statement).to_json()
        except (ExpiredIdentity, ExpiredCertificate):
            raise CredentialError("the identity token has expired; nothing was signed") from None
        except FulcioClientError as error:
            raise _refused("authority", error, CredentialError) from None
        except RekorClientError as error:
            raise _refused("log", error, StoreError) from None
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise StoreError(f"the Sigstore deployment cannot be used: {first_line(error)}; no signature was written") from None
        except Error as error:
            if "signed timestamp" in str(error):  # of an authority that refuses or is silent, sigstore only warns
                raise StoreError(
                    "the deployment's log states no time, and none of its timestamp authorities answered; no signature was written"
                ) from None
            raise PolicyError(f"what the Sigstore deployment answered does not verify: {first_line(error)}; no signature was written") from None

    def __repr__(self) -> str:
        return f"<SigstoreSigner {self.identity!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer holds an identity token and is not pickled or copied")


def _refuse_without_services(trust: SigstoreTrust) -> None:
    """An old configuration still verifies; that its services are not in use any more matters to those who sign."""
    from sigstore.errors import Error

    refuse_other_trust(trust)
    if not trust.signs:
        raise ValueError("trust= says whom to trust and not where to sign: a ClientTrustConfig is needed, not a TrustedRoot")
    try:
        _ = trust.for_sigstore().signing_config
    except (Error, ValueError) as error:
        raise StoreError(f"the trust configuration names no service that signs now: {first_line(error)}; a newer one is needed") from None


def _parsed(token: str) -> "IdentityToken":
    from sigstore.oidc import IdentityError, IdentityToken

    if not isinstance(token, str):
        raise TypeError(f"token= must be text, not {type(token).__name__}")
    try:
        return IdentityToken(token)
    except (IdentityError, TypeError, ValueError) as error:  # the last two: claims of another JSON type
        expired = type(error.__cause__).__name__ == "ExpiredSignatureError" or "validity period" in str(error)
        why = "it has expired, or is not valid yet" if expired else "it is malformed, or lacks a claim that Sigstore needs"
        raise CredentialError(f"the identity token cannot be used: {why}") from None


def _refused(service: str, error: Exception, kind: type[LifesealError]) -> LifesealError:
    """Tell a service that says no from one that is out of order."""
    status = getattr(getattr(error.__cause__ or error.__context__, "response", None), "status_code", 0)
    if status >= _SERVER_FAULT:
        kind = StoreError
    said = f"HTTP status {status}" if status else first_line(error)
    return kind(f"Sigstore's {service} refused: {said}; no signature was written")


def _within(timeout: float, call: "Callable[[], T]", whom: str) -> T:
    """Call in a thread that is left behind when it takes too long; it ends with the process."""
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(call())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(timeout)
    if failed:
        raise failed[0]
    if not done:
        raise StoreError(f"no answer from {whom} within {timeout:g} seconds; no signature was written")
    return done[0]
