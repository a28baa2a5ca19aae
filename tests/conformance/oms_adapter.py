#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The command that public OMS conformance suites drive; lifeseal and the standard library, nothing else.

Exit code 0: signed or accepted. 1: refused, with one line why on standard error. 2: misuse.

For the method sigstore, ``$OMS_TRUST_CONFIG`` names a ClientTrustConfig file; without it the public-good root is used, which verifies offline.
"""

import argparse
import os
import sys
from pathlib import Path

from lifeseal import attestation, signing
from lifeseal.errors import LifesealError

METHODS = ("key", "certificate", "sigstore")


def main() -> int:
    """Sign or verify, as the arguments say."""
    arguments = _parser().parse_args()
    if arguments.method == "sigstore" and arguments.use_staging and not os.environ.get("OMS_TRUST_CONFIG"):
        return _say("--use-staging needs a trust configuration of staging in $OMS_TRUST_CONFIG: nothing is fetched", 2)
    missing = [name for name in _needed(arguments) if not getattr(arguments, name)]
    if missing:
        return _say(f"--method {arguments.method} needs --{missing[0].replace('_', '-')}", 2)
    if arguments.method != "sigstore" and any(getattr(arguments, name, None) for name in ("identity", "identity_provider", "identity_token")):
        return _say(f"--method {arguments.method} takes no identity", 2)
    try:
        arguments.run(arguments)
    except (LifesealError, OSError, ValueError) as error:
        return _say(" ".join(str(error).split()), 1)
    return 0


def _path(text: str) -> Path:
    """Read a path; an empty one is an unset variable, never this folder."""
    if not text:
        raise argparse.ArgumentTypeError("a path was expected")
    return Path(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="oms_adapter", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    sign = commands.add_parser("sign-model", allow_abbrev=False)
    verify = commands.add_parser("verify-model", allow_abbrev=False)
    sign.set_defaults(run=_sign)
    verify.set_defaults(run=_verify)
    for command in (sign, verify):
        command.add_argument("--method", choices=METHODS, required=True)
        command.add_argument("--model-path", type=_path, required=True)
        command.add_argument("--cert-chain", type=_path, action="extend", nargs="+", default=[])
        command.add_argument("--ignore-paths", type=_path, action="extend", nargs="+", default=[])
        command.add_argument("--use-staging", action="store_true")
    for name in ("--output-bundle", "--private-key", "--signing-cert"):
        sign.add_argument(name, type=_path)
    sign.add_argument("--identity-token")
    for name in ("--bundle", "--public-key"):
        verify.add_argument(name, type=_path)
    verify.add_argument("--ignore-unsigned-files", action="store_true")
    verify.add_argument("--identity")
    verify.add_argument("--identity-provider")
    return parser


def _needed(arguments: argparse.Namespace) -> list[str]:
    if arguments.command == "sign-model":
        return ["output_bundle", *{"key": ["private_key"], "certificate": ["private_key", "signing_cert"], "sigstore": []}[arguments.method]]
    return ["bundle", *{"key": ["public_key"], "certificate": ["cert_chain"], "sigstore": ["identity", "identity_provider"]}[arguments.method]]


def _trust() -> attestation.SigstoreTrust:
    config = os.environ.get("OMS_TRUST_CONFIG")
    return attestation.SigstoreTrust.load(config) if config else attestation.SigstoreTrust.public_good()


def _signer(arguments: argparse.Namespace) -> attestation.Signer:
    if arguments.method == "key":
        return attestation.KeySigner.from_file(arguments.private_key)
    if arguments.method == "certificate":
        return attestation.CertificateSigner.from_files(arguments.private_key, arguments.signing_cert, arguments.cert_chain)
    if arguments.identity_token:
        return attestation.SigstoreSigner(_trust(), arguments.identity_token)
    return attestation.SigstoreSigner.ambient(_trust())


def _policy(arguments: argparse.Namespace) -> attestation.Policy:
    if arguments.method == "key":
        return attestation.TrustedKey.from_file(arguments.public_key)
    if arguments.method == "certificate":
        return attestation.TrustedCertificates.from_files(arguments.cert_chain)
    return attestation.TrustedIdentity(arguments.identity, arguments.identity_provider, _trust())


def _sign(arguments: argparse.Namespace) -> None:
    signer = _signer(arguments)
    signing.sign(arguments.model_path, signer=signer, out=arguments.output_bundle, ignore=_ignored(arguments))


def _verify(arguments: argparse.Namespace) -> None:
    signing.verify(
        arguments.model_path,
        policy=_policy(arguments),
        signature=arguments.bundle,
        ignore=_ignored(arguments),
        allow_unsigned_files=arguments.ignore_unsigned_files,
    )


def _ignored(arguments: argparse.Namespace) -> list[str]:
    """Write the paths relative to the model; they come relative to it, to this folder, or absolute. One outside leaves nothing out."""
    model = Path(os.path.abspath(arguments.model_path))  # noqa: PTH100 - by its text: links are the library's to judge
    inside = []
    for path in arguments.ignore_paths:
        there = Path(os.path.abspath(path))  # noqa: PTH100
        if not path.is_absolute() and not there.is_relative_to(model):
            inside.append(path.as_posix())
        elif there != model and there.is_relative_to(model):
            inside.append(there.relative_to(model).as_posix())
    return [name for name in inside if ".." not in name.split("/")]


def _say(sentence: str, code: int) -> int:
    sys.stderr.write(f"{sentence}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
