# SPDX-License-Identifier: Apache-2.0
"""Keyless signatures put together by hand on a loopback deployment, each as wrong as asked."""

import base64
import hashlib
import json
import time

import attrs
import rfc3161_client
from cryptography.hazmat.primitives.serialization import Encoding

from lifeseal._io import Record
from lifeseal.attestation import Bundle, Envelope, InclusionProof, LogEntry, SigstoreMaterial, pae
from lifeseal.attestation._log_entry import read_entry
from lifeseal.testing._signed import new_key, sign

IN_TOTO = "application/vnd.in-toto+json"


def b64(data):
    return base64.b64encode(data).decode()


def forged(deployment, payload, identity, issuer, *, rekor=1, start=None, ct_key=None, logged=None, stamped=None, fulcio=None, key=None):
    """Sign as the deployment's clients do.

    Args:
        start: When the certificate begins.
        ct_key: Of another certificate log.
        logged: When the log takes it in.
        stamped: Timestamp authorities to ask; the deployment's by default.
        fulcio: Another authority.
        key: Signs, in place of the one that is certified.
    """
    private = new_key()
    certificate = (fulcio or deployment.fulcio).issue(private.public_key(), identity, issuer, start=start, ct_key=ct_key)
    signature = sign(key or private, pae(IN_TOTO, payload))
    log = deployment.logs[rekor]
    log.clock = logged.timestamp if logged else time.time
    entry = logged_entry(log, certificate, payload, signature)
    bundle = Bundle(
        material=SigstoreMaterial(certificate=certificate.public_bytes(Encoding.DER), entry=entry),
        envelope=Envelope(payload_type=IN_TOTO, payload=payload, signature=signature),
        timestamps=tuple(stamp(tsa, signature) for tsa in ((deployment.tsa,) if stamped is None else stamped)),
    )
    return Bundle.from_bytes(bundle.to_bytes())


def changed(bundle, **fields):
    """Change the log's entry; fields of its proof are named with an underscore before."""
    entry = bundle.material.entry
    proof = attrs.evolve(entry.proof, **{name[1:]: value for name, value in fields.items() if name.startswith("_")})
    entry = attrs.evolve(entry, proof=proof, **{name: value for name, value in fields.items() if not name.startswith("_")})
    return attrs.evolve(bundle, material=attrs.evolve(bundle.material, entry=entry))


def flipped(data, at=-1):
    return data[:at] + bytes([data[at] ^ 1]) + (data[at + 1 :] if at != -1 else b"")


def logged_entry(log, certificate, payload, signature):
    """Have a log take in an entry, whether what it is about is true or not."""
    if log.version == 1:
        envelope = {"payload": b64(payload), "payloadType": IN_TOTO, "signatures": [{"sig": b64(signature)}]}
        content = {"envelope": json.dumps(envelope), "verifiers": [b64(certificate.public_bytes(Encoding.PEM))]}
        return v1_entry(log, {"apiVersion": "0.0.1", "kind": "dsse", "spec": {"proposedContent": content}})

    verifier = {"x509Certificate": {"rawBytes": b64(certificate.public_bytes(Encoding.DER))}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
    request = {"digest": b64(hashlib.sha256(pae(IN_TOTO, payload)).digest()), "signature": {"content": b64(signature), "verifier": verifier}}
    return read_entry(Record(log.add_v2({"hashedRekordRequestV002": request}), where="entry"))


def v1_entry(log, proposed):
    (answer,) = log.add_v1(proposed).values()
    included = answer["verification"]["inclusionProof"]
    return LogEntry(
        index=answer["logIndex"],
        log=log.id,
        kind=proposed["kind"],
        version=proposed["apiVersion"],
        time=answer["integratedTime"],
        promise=base64.b64decode(answer["verification"]["signedEntryTimestamp"]),
        proof=InclusionProof(
            index=included["logIndex"],
            size=included["treeSize"],
            root=bytes.fromhex(included["rootHash"]),
            hashes=tuple(map(bytes.fromhex, included["hashes"])),
            checkpoint=included["checkpoint"],
        ),
        body=base64.b64decode(answer["body"]),
    )


def stamp(tsa, signature, *, certificate=True):
    """Have an authority attest the time; its certificate is sent along or not."""
    asked = rfc3161_client.TimestampRequestBuilder(data=signature, hash_algorithm=rfc3161_client.HashAlgorithm.SHA256)
    return tsa.respond(asked.cert_request(cert_request=certificate).build().as_bytes())
