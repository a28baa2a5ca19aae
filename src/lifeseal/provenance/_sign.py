# SPDX-License-Identifier: Apache-2.0
"""Who vouches for a manifest."""

import os
from pathlib import Path

from lifeseal._io import Record, StrPath
from lifeseal.attestation import Bundle, Policy, Purpose, Signer, Statement, Subject, Waiver, Withdrawals, open_statement, sign_statement
from lifeseal.errors import DigestMismatchError
from lifeseal.principles import implements, note
from lifeseal.provenance._manifest import Manifest


@implements("5.2", "8.2", limits="It binds the manifest to the key's holder; whether its statements are true is the signer's responsibility.")
def sign(manifest: Manifest, *, signer: Signer) -> Bundle:
    """Sign a manifest; the signature is about the digest of its file form.

    Args:
        manifest: What to sign.
        signer: Who signs.

    Returns:
        The bundle; by custom it goes beside the manifest as ``NAME.sig``.
    """
    note(subject=manifest.digest)
    statement = Statement(
        subjects=(Subject(name=manifest.description.name, sha256=manifest.sha256),),
        predicate_type=Purpose.DATASET.predicate_type,
        predicate={"files": len(manifest.files), "size": manifest.size},
    )
    return sign_statement(statement, signer=signer)


@implements("5.2", evidences=("5.4.1",), limits="It checks who vouches for the manifest; the data itself is checked by verify.")
def open_manifest(
    path: StrPath,
    *,
    policy: Policy,
    signature: StrPath | Bundle | None = None,
    withdrawals: Withdrawals | None = None,
    waiver: Waiver | None = None,
    leaves: StrPath | None = None,
) -> Manifest:
    """Read a manifest that somebody trusted vouches for.

    Args:
        path: The manifest.
        policy: Whose signatures count; there is no default.
        signature: The bundle or its path, by default ``PATH.sig``.
        withdrawals: Refuses datasets by their manifest's digest, and signers from a time on; no list is consulted by default.
        waiver: Lets a withdrawn dataset, or one by a withdrawn signer, pass if it covers the manifest's digest for the fault ``withdrawn``.
        leaves: Folder of its leaf files, by default ``PATH.leaves``; nothing there is read yet.

    Returns:
        The manifest.

    Raises:
        DigestMismatchError: The signature is about another manifest.
        FormatError: The manifest or the bundle is not what the formats say.
        OSError: One of them cannot be read.
        UntrustedError: The signature does not verify under the policy, or signs another kind of document.
        WithdrawnError: The dataset or its signer was withdrawn, and no waiver covers that.
    """
    where = os.fspath(path)
    manifest = Manifest.load(path, leaves=leaves)
    bundle = signature if isinstance(signature, Bundle) else Bundle.load(signature if signature is not None else f"{where}.sig")
    statement, signer = open_statement(
        bundle, policy=policy, purpose=Purpose.DATASET, where=f"signature of {where}", withdrawals=withdrawals, waiver=waiver
    )
    note(subject=manifest.digest, signer=signer.fingerprint)
    predicate = Record(statement.predicate, where=f"signature of {where}, predicate")
    predicate.take_int("files")
    predicate.take_int("size")
    predicate.done()
    if tuple(subject.sha256 for subject in statement.subjects) != (manifest.sha256,):
        raise DigestMismatchError(f"{where} is not the manifest that was signed", changed=(Path(where).name,))
    if withdrawals is not None:
        withdrawals.check_artefact(manifest.digest, waiver=waiver, where=where)
    return manifest
