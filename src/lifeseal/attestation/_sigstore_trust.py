# SPDX-License-Identifier: Apache-2.0
"""Whom to trust among Sigstore deployments: always said by the caller, never fetched."""

import datetime as dt
import os
from typing import TYPE_CHECKING, Any, Self

import attrs

from lifeseal._io import Record, StrPath, canonical, loads, read_bounded
from lifeseal.errors import FormatError
from lifeseal.principles import implements

if TYPE_CHECKING:
    from sigstore.models import ClientTrustConfig

_ROOT_TYPE = "application/vnd.dev.sigstore.trustedroot"
_CONFIG_TYPE = "application/vnd.dev.sigstore.clienttrustconfig"
_NO_SIGNING = {"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json"}
_PUBLIC_GOOD = "https://tuf-repo-cdn.sigstore.dev"
_MAX_TRUST = 4 << 20
_LIMITS = "Nothing newer is fetched: a deployment that has changed its keys since needs a newer file."


@attrs.frozen(kw_only=True)
class SigstoreTrust:
    """The keys and authorities of one Sigstore deployment, and where it answers when signing.

    Attributes:
        config: A ClientTrustConfig, JSON.
        signs: Whether it says where to sign; a root alone is enough to verify.
    """

    config: bytes = attrs.field(repr=lambda c: f"<{len(c)} bytes>")
    signs: bool

    @classmethod
    @implements(evidences=("5.2",), limits=_LIMITS)
    def load(cls, path: StrPath) -> Self:
        """Read a file; see `from_bytes`.

        Args:
            path: A ClientTrustConfig or a TrustedRoot, JSON.

        Returns:
            The trust.

        Raises:
            FormatError: It is neither.
            LimitError: It is larger than 4 MiB.
            OSError: It cannot be read.
        """
        return cls.from_bytes(read_bounded(path, limit=_MAX_TRUST, what="a trust configuration"), where=os.fspath(path))

    @classmethod
    @implements(evidences=("5.2",), limits=f"It is as old as the sigstore package that is installed. {_LIMITS}")
    def public_good(cls) -> Self:
        """Take the public-good deployment's root, as the installed sigstore package carries it; no network is used.

        Returns:
            The trust.

        Raises:
            FormatError: The package carries none.
        """
        from importlib.resources import files
        from urllib.parse import quote

        folder = files("sigstore") / "_store" / quote(_PUBLIC_GOOD, safe="")
        try:
            root, signing = ((folder / name).read_bytes() for name in ("trusted_root.json", "signing_config.v0.2.json"))
        except OSError:
            raise FormatError("sigstore", "a package that carries the public-good root was expected; give a file instead") from None
        return cls._checked(_object(root, "trusted root"), _object(signing, "signing configuration"), where="sigstore")

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str = "trust configuration") -> Self:
        """Read a ClientTrustConfig (which verifies and signs) or a TrustedRoot (which verifies).

        Args:
            data: UTF-8 JSON.
            where: Name for error messages.

        Returns:
            The trust.

        Raises:
            FormatError: It is neither, or one that sigstore does not read.
            LimitError: It is larger than 4 MiB.

        Source: sigstore/protobuf-specs, sigstore_trustroot.proto.
        """
        document = _object(data, where)
        record = Record(document, where=where)
        kind = record.take_str("mediaType", max_length=128)
        if kind.startswith(_ROOT_TYPE):
            return cls._checked(document, None, where=where)
        if not kind.startswith(_CONFIG_TYPE):
            raise FormatError(record.at("mediaType"), "a ClientTrustConfig or a TrustedRoot of Sigstore was expected")
        root, signing = record.take("trustedRoot"), record.take("signingConfig")
        record.done()
        return cls._checked(root, signing, where=where)

    @classmethod
    def _checked(cls, root: object, signing: object, *, where: str) -> Self:
        document = {"mediaType": f"{_CONFIG_TYPE}.v0.1+json", "trustedRoot": root, "signingConfig": _NO_SIGNING if signing is None else signing}
        trust = cls(config=canonical(document), signs=signing is not None)
        from sigstore.errors import Error
        from sigstore.verify import Verifier

        try:
            config = trust.for_sigstore()
            Verifier(trusted_root=config.trusted_root)
            config.trusted_root.get_timestamp_authorities()
            inner = config.trusted_root._inner  # noqa: SLF001 - sigstore shows only parts of it
            _check_logs(inner)
            spans = [known.public_key.valid_for for known in (*inner.tlogs, *inner.ctlogs)]
            spans += [authority.valid_for for authority in (*inner.certificate_authorities, *inner.timestamp_authorities)]
            if any(moment and moment.tzinfo is None for span in spans if span for moment in (span.start, span.end)):
                raise ValueError("a span without a time zone")
        except (Error, ValueError, TypeError, KeyError, OverflowError) as error:
            raise FormatError(where, f"a trust configuration that sigstore can use was expected: {first_line(error)}") from None
        return trust

    def for_sigstore(self) -> "ClientTrustConfig":
        """Give the trust to the sigstore package."""
        from sigstore.models import ClientTrustConfig

        try:
            config = ClientTrustConfig.from_json(self.config.decode())
        except ValueError as error:
            raise ValueError(first_line(error)) from None
        # A span holds its last moment (sigstore_common.proto, TimeRange); sigstore 4.5 leaves it out for timestamp authorities.
        for authority in config._inner.trusted_root.timestamp_authorities:  # noqa: SLF001 - the only way to it
            if authority.valid_for.end is not None:
                authority.valid_for.end += dt.timedelta(microseconds=1)
        return config


def refuse_other_trust(trust: object) -> None:
    """Refuse what is no trust where one was expected: nothing is trusted by default, and nothing by name."""
    if not isinstance(trust, SigstoreTrust):
        raise TypeError(f"trust= must be a SigstoreTrust, such as SigstoreTrust.load(path), not {type(trust).__name__}")


def _check_logs(root: Any) -> None:  # noqa: ANN401 - of a library that shows only parts of it
    """Refuse a log that sigstore would leave out with a warning, or take for another one.

    Source: RFC 6962, section 3.2: a certificate log's name is the hash of its key. C2SP signed-note gives the logs of signatures other names.
    """
    from sigstore._internal.trust import Key
    from sigstore.errors import Error

    if not root.ctlogs:
        raise ValueError("'ctlogs' names no certificate log")
    keys: dict[bytes, bytes] = {}
    for name, logs in (("tlogs", root.tlogs), ("ctlogs", root.ctlogs)):
        for index, log in enumerate(logs):
            place = f"'{name}', entry {index}"
            try:
                key = Key(log.public_key)
            except (Error, ValueError) as error:
                raise ValueError(f"{place}: its key cannot be used: {first_line(error)}") from None
            if log.hash_algorithm.value != "SHA2_256":
                raise ValueError(f"{place}: its hash must be SHA2_256")
            if name == "ctlogs" and log.log_id.key_id != key.key_id:
                raise ValueError(f"{place}: its logId must be the SHA-256 of its key")
            for known in (log.log_id, log.checkpoint_key_id):
                if known and keys.setdefault(known.key_id, key.key_id) != key.key_id:
                    raise ValueError(f"{place}: another log has the same name and another key")


def first_line(error: Exception) -> str:
    """Quote another library's error, bounded; of several that pydantic lists, the first with its place."""
    listed = getattr(error, "errors", None)
    if callable(listed):
        first = listed()[0]
        return f"{', '.join(map(repr, first['loc']))}: {first['msg']}"[:200]
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def _object(data: bytes, where: str) -> object:
    return loads(data, where=where, max_bytes=_MAX_TRUST, what="a trust configuration")
