# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - one line a function
"""The public functions as agreed; a change here needs a page in docs/decisions/.

``WAITING`` names what was agreed and does not exist yet: a parameter arrives with the feature behind it, so none is there that does nothing.
"""

SIGNATURES = """
attestation.KeySigner.from_file(path, *, passphrase=None)
attestation.TrustedKey.from_file(path, *, tsa=())
attestation.CertificateSigner.from_files(key, cert, chain=(), *, passphrase=None)
attestation.TrustedCertificates.from_files(roots, *, san=None, at=None, tsa=())
attestation.SigstoreSigner(trust, token, *, timeout=90)
attestation.TrustedIdentity(identity, issuer, trust)
attestation.any_of(*policies)
attestation.all_of(*policies)
attestation.threshold(k, *policies)
attestation.PolicyFile.load(path)
attestation.Withdrawals.load(path, *, policy, seen=None)
attestation.Waiver(covers, allows, reason, owner, expires, risk)
signing.sign(model, *, signer, out=None, hash="sha256", shard_size=None, ignore=(), timestamp=None, digests=None, previous=None, executor=None, progress=None) -> Bundle
signing.digest(model, *, files=None, hash="sha256", shard_size=None) -> Digests
signing.open_model(model, *, policy, signature=None, expect=None, withdrawals=None, waiver=None, ignore=(), allow_unsigned_files=False, links="refuse") -> SignedModel
signing.verify(model, *, policy, signature=None, expect=None, withdrawals=None, waiver=None, ignore=(), allow_unsigned_files=False, links="refuse", progress=None) -> Verification
signing.SignedModel.read(self, name) -> bytes
signing.SignedModel.readinto(self, name, buffer, start=0) -> int
signing.SignedModel.verify(self, progress=None) -> Verification
serialization.scan(path, *, allow=(), digest=False) -> ScanReport
serialization.convert(src, dst, *, select=None, unsupported="refuse", max_shard_size=None, hash="blake3", waiver=None, progress=None) -> Conversion
serialization.save(tensors, path, *, metadata=None, max_shard_size=None)
serialization.load(path, *, framework="numpy", names=None) -> dict
serialization.validate(path) -> Header
provenance.record(paths, *, description, records=None, leaf_key=None, derived_from=(), previous=None, executor=None, progress=None) -> Manifest
provenance.sign(manifest, *, signer) -> Bundle
provenance.verify(manifest, root, *, sample=None, leaf_key=None, progress=None) -> DataVerification
provenance.checked(manifest, path, *, start=0, part=(0, 1), leaf_key=None) -> Iterator
provenance.diff(a, b) -> Difference
provenance.prove(manifest, record, *, leaf_key=None) -> Proof
provenance.prove_growth(previous, manifest) -> Proof
provenance.check_proof(proof, manifest, *, record=None, leaf_key=None, previous=None)
provenance.export(manifest, format, *, manifest_name="manifest.json") -> bytes
provenance.record_training(subject, *, inputs, parameters, code) -> Statement
provenance.trace(needle, statements, *, leaf_key=None) -> tuple
erasure.Vault.create(path, *, root)
erasure.Vault.open(path, *, root, at_least=None)
erasure.Vault.seal(self, path, name, *, remove_plaintext=False, progress=None) -> SealedAsset
erasure.Vault.asset(self, name) -> SealedAsset
erasure.Vault.unseal(self, name, out)
erasure.Vault.erase(self, names) -> Erasure
erasure.Holds.place(self, names, *, reason)
erasure.Holds.lift(self, names)
erasure.Holds.place_people(self, subjects, *, reason)
erasure.Holds.lift_people(self, subjects)
erasure.Holds.people(self, subjects) -> tuple
erasure.Trials.sample(self, slots) -> Sample
erasure.Trials.run(self, slots, sample=None) -> tuple
erasure.Trials.settle(self) -> tuple
erasure.Trials.states(self, slots) -> tuple
erasure.Vault.info(self) -> VaultInfo
erasure.Vault.verify(self, *, progress=None) -> VaultCheck
erasure.Vault.compact(self) -> Compaction
erasure.Subjects.create_many(self, subjects) -> int
erasure.Subjects.seal(self, subject, record) -> bytes
erasure.Subjects.seal_many(self, records) -> Iterator
erasure.Subjects.unseal(self, sealed) -> bytes
erasure.Subjects.unseal_many(self, sealed, *, erased="skip") -> Iterator
erasure.Subjects.unseal_batches(self, batches, *, erased="skip") -> Iterator
erasure.Subjects.seal_file(self, source, out, *, id_field, clear=(), overwrite=False) -> SealedFile
erasure.Subjects.unseal_file(self, source, out, *, erased="skip", id_field=None, overwrite=False) -> UnsealedFile
erasure.Subjects.erase(self, subjects) -> Erasure
erasure.Subjects.slots(self, subjects) -> tuple
erasure.Subjects.find_records(self, subjects, files) -> tuple
erasure.Subjects.pseudonym(self, subject) -> str
erasure.Subjects.leaf_keys(self, subject_of) -> Callable
erasure.json_field(name) -> Callable
erasure.Vault.rehome(self, root) -> Rehoming
erasure.Vault.retire(self, root) -> Rehoming
erasure.HandOvers.give(self, name, recipient, *, signer, out) -> HandOver
erasure.HandOvers.list(self, name) -> tuple
erasure.open_hand_over(path, *, policy) -> tuple
erasure.receive(path, folder, *, key, policy) -> SealedAsset
erasure.generate_recipient_key(path, *, algorithm="mlkem768-x25519", passphrase=None, overwrite=False) -> Recipient
erasure.Recipient.from_file(path)
erasure.RecipientKey.from_file(path, *, passphrase=None)
erasure.SealedAsset.unseal(self, out)
erasure.check_structure(path) -> VaultCheck
erasure.allow_unlocked_memory()
loading.load_tensors(signed, *, framework="numpy", device="cpu", names=None, files=None, progress=None) -> dict
loading.load_into(signed, module, *, strict=True, rename=None, files=None, progress=None) -> LoadReport
loading.pinned(signed, *, files=None, mode="memory", dir=None) -> AbstractContextManager
evidence.Log(path, *, key=None, on_failure="refuse")
evidence.start(path, *, key=None, on_failure="refuse") -> Log
evidence.stop()
evidence.track(name, content) -> Tracked
evidence.release(record, *, signer, results=()) -> Bundle
evidence.report(log) -> str
evidence.oscal(log) -> dict
disposal.find_copies(wanted, places, *, progress=None) -> Search
disposal.find_people(vault, subjects, files, *, statements=()) -> tuple
disposal.plan(vault, names=(), *, request="", plaintext=(), subjects=(), search=(), remove="none", keep=(), statements=(), progress=None) -> Plan
disposal.dispose(plan, *, signer, sanitiser, custodian, trigger, stated=None, approval=None, receipt=None, journal=None, progress=None) -> Certificate
disposal.resume(journal, *, vault, signer, subjects=(), progress=None) -> Certificate
disposal.under_way(journal)
disposal.open_certificate(path, *, policy, cosigners=None, withdrawals=None) -> Certificate
disposal.Certificate.cosign(self, *, signer, role, party)
disposal.approve(order, *, signer, party) -> Bundle
disposal.open_approval(path, *, policy) -> Approval
disposal.acknowledge(contents, *, signer, party, request="") -> Bundle
disposal.open_receipt(path, *, policy) -> Receipt
disposal.page(certificate) -> str
"""

WAITING = {}

WAITING_WHOLE = ("attestation.MldsaSigner",)
