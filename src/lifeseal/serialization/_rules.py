# SPDX-License-Identifier: Apache-2.0
"""The rules: what each kind of finding says about a file, and the collector of findings."""

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from lifeseal.serialization._report import Finding, Verdict, worst

MAX_FINDINGS = 64
_MAX_SHOWN = 120


@attrs.frozen
class Rule:
    """One rule.

    Attributes:
        verdict: What a finding of this rule makes of the file.
        says: What the rule looks for.
    """

    verdict: Verdict
    says: str


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "compiled-code": Rule(Verdict.NEEDS_TRUST, "compiled code, which runs when a program loads it"),
        "compressed": Rule(Verdict.UNREADABLE, "compressed in a way that is not expanded here"),
        "compressed-broken": Rule(Verdict.UNREADABLE, "compressed bytes that are broken, or bytes behind them"),
        "config-call": Rule(Verdict.NEEDS_TRUST, "a configuration names what its loader imports and calls"),
        "config-call-known": Rule(Verdict.UNSAFE, "a configuration names what attacks are known to call"),
        "external-data": Rule(Verdict.UNREADABLE, "a file that is read beside this one is too short"),
        "external-link": Rule(Verdict.UNREADABLE, "a file that is read beside this one is a link, or has a second name elsewhere"),
        "external-reference": Rule(Verdict.SAFE, "refers to something that is read beside the file and was not scanned"),
        "gguf-invalid": Rule(Verdict.UNREADABLE, "a GGUF file that is not what the format says"),
        "hdf5-external": Rule(Verdict.UNSAFE, "an HDF5 file reads other files, or needs a plugin to be read"),
        "hdf5-filter": Rule(Verdict.NEEDS_TRUST, "a dataset of an HDF5 file needs a filter for which a library is loaded"),
        "hdf5-invalid": Rule(Verdict.UNREADABLE, "an HDF5 file that is not what the format says, or of a form that is not read"),
        "hdf5-link": Rule(Verdict.UNREADABLE, "a soft link of an HDF5 file leads to what is not in it"),
        "hdf5-pickle": Rule(Verdict.UNREADABLE, "a dataset of an HDF5 file holds pickles, which are not analysed"),
        "index-traversal": Rule(Verdict.UNSAFE, "an index names a shard outside the folder"),
        "joblib-objects": Rule(Verdict.NEEDS_TRUST, "an array of objects within a file of joblib, which is a pickle within a pickle"),
        "json-code": Rule(Verdict.NEEDS_TRUST, "a configuration names code that its loader imports or fetches"),
        "keras-code": Rule(Verdict.UNSAFE, "a Keras configuration holds code, or names what loads, calls or reads something else"),
        "keras-config": Rule(Verdict.UNREADABLE, "a Keras configuration that is not strict JSON, and is not analysed"),
        "keras-custom": Rule(Verdict.NEEDS_TRUST, "a Keras configuration names a class or function that is none of Keras's own"),
        "known-format": Rule(Verdict.UNREADABLE, "a known format that is not analysed"),
        "limit": Rule(Verdict.UNREADABLE, "larger or deeper than a stated bound"),
        "message": Rule(Verdict.UNREADABLE, "a message of Protocol Buffers, of no known format, that a loader could take for a graph"),
        "mixed": Rule(Verdict.UNREADABLE, "bytes that are of two formats at once"),
        "more": Rule(Verdict.SAFE, "more findings than are listed"),
        "msgpack-invalid": Rule(Verdict.UNREADABLE, "a MessagePack file that is not what Flax writes"),
        "name": Rule(Verdict.SAFE, "the file's name says another format than its bytes"),
        "not-a-file": Rule(Verdict.UNREADABLE, "a link, FIFO, socket or device, or a name that is not UTF-8"),
        "not-read": Rule(Verdict.UNREADABLE, "the file or folder could not be read"),
        "npy-invalid": Rule(Verdict.UNREADABLE, "a NumPy file that is not what the format says"),
        "onnx-external": Rule(Verdict.UNSAFE, "an ONNX model reads a file outside its folder"),
        "onnx-invalid": Rule(Verdict.UNREADABLE, "an ONNX model that is not what the format says"),
        "onnx-operator": Rule(Verdict.NEEDS_TRUST, "an ONNX model uses operators that a library of its own must bring"),
        "onnx-python": Rule(Verdict.UNSAFE, "an ONNX model has operators for which its runtime calls Python"),
        "openvino-operator": Rule(Verdict.NEEDS_TRUST, "an OpenVINO model uses operators that a library of its own must bring"),
        "paddle-operator": Rule(Verdict.UNSAFE, "a PaddlePaddle program reads or writes files, or calls Python"),
        "pickle-allowed": Rule(Verdict.NEEDS_TRUST, "uses a global that the caller allowed"),
        "pickle-broken": Rule(Verdict.UNREADABLE, "a pickle that cannot be read to its end"),
        "pickle-call": Rule(Verdict.UNSAFE, "calls something that is not known to be harmless"),
        "pickle-extension": Rule(Verdict.UNSAFE, "uses the registry of extension codes, which hides what is called"),
        "pickle-hidden": Rule(Verdict.UNSAFE, "a pickle that would act lies behind bytes that are none"),
        "pickle-import": Rule(Verdict.UNSAFE, "imports something that is not known to be harmless"),
        "pickle-name": Rule(Verdict.UNSAFE, "imports by a computed or dotted name"),
        "pickle-object": Rule(Verdict.NEEDS_TRUST, "holds objects of a library that are code by design"),
        "pickle-persistent-id": Rule(Verdict.UNREADABLE, "holds a persistent id that no known loader gives a meaning"),
        "pickle-state": Rule(Verdict.UNSAFE, "changes an object in a way that is not known to be harmless"),
        "pickle-trailing": Rule(Verdict.UNREADABLE, "bytes after the last pickle that are none"),
        "python-source": Rule(Verdict.NEEDS_TRUST, "a Python source, which a loader that trusts remote code runs"),
        "safetensors-invalid": Rule(Verdict.UNREADABLE, "a safetensors file that is not what the format says"),
        "skops-call": Rule(Verdict.UNSAFE, "a skops file names what attacks are known to call, or calls what it names"),
        "skops-invalid": Rule(Verdict.UNREADABLE, "a node of a skops file that is not what the format says"),
        "skops-type": Rule(Verdict.NEEDS_TRUST, "a skops file names types or functions that skops itself does not trust"),
        "tar-link": Rule(Verdict.UNREADABLE, "a member of a tar archive is a link"),
        "tar-name": Rule(Verdict.UNREADABLE, "the name of a tar archive's member leads outside"),
        "tar-structure": Rule(Verdict.UNREADABLE, "a tar archive that readers could read differently"),
        "template-computed": Rule(Verdict.NEEDS_TRUST, "a template reaches for something whose name is computed"),
        "template-escape": Rule(Verdict.UNSAFE, "a template reaches for the interpreter"),
        "template-load": Rule(Verdict.NEEDS_TRUST, "a template loads another"),
        "tf-invalid": Rule(Verdict.UNREADABLE, "a file of TensorFlow's that is not what the format says"),
        "tf-operator": Rule(Verdict.NEEDS_TRUST, "a graph uses operators that a library of its own must bring"),
        "tf-reaches-out": Rule(Verdict.UNSAFE, "a graph reads or writes files, uses the network or calls Python"),
        "tflite-invalid": Rule(Verdict.UNREADABLE, "a TFLite file that is not what the format says"),
        "tflite-operator": Rule(Verdict.NEEDS_TRUST, "a TFLite model uses operators that a library of its own must bring"),
        "torch-export": Rule(Verdict.NEEDS_TRUST, "holds an exported PyTorch program, whose expressions are evaluated when it is read"),
        "torch-script": Rule(Verdict.NEEDS_TRUST, "holds a TorchScript program, which runs when it is used"),
        "torch-script-io": Rule(Verdict.UNSAFE, "a TorchScript program reads or writes files"),
        "torch-storage": Rule(Verdict.UNREADABLE, "a tensor's storage is missing or has another size"),
        "unknown-format": Rule(Verdict.UNREADABLE, "bytes of no known format"),
        "xml-encoding": Rule(Verdict.UNREADABLE, "an XML document in an encoding in which readers may see another"),
        "xml-entity": Rule(Verdict.UNREADABLE, "an entity of an XML document stands for others"),
        "xml-external": Rule(Verdict.UNSAFE, "an XML document makes its reader read something elsewhere"),
        "yaml-python": Rule(Verdict.UNSAFE, "a YAML tag makes or calls something that is not known to be harmless"),
        "yaml-tag": Rule(Verdict.NEEDS_TRUST, "a YAML tag by which a loader runs what the file names"),
        "zip-crc": Rule(Verdict.UNREADABLE, "a member's content does not match its checksum"),
        "zip-duplicate": Rule(Verdict.UNREADABLE, "two members have one name, and readers differ in which they take"),
        "zip-encrypted": Rule(Verdict.UNREADABLE, "a member is encrypted"),
        "zip-link": Rule(Verdict.UNREADABLE, "a member is a link or another special file"),
        "zip-member": Rule(Verdict.UNREADABLE, "a member cannot be unpacked"),
        "zip-mismatch": Rule(Verdict.UNREADABLE, "the directory and a member's own header disagree"),
        "zip-name": Rule(Verdict.UNREADABLE, "a member's name leads outside, or readers differ in what it says"),
        "zip-structure": Rule(Verdict.UNREADABLE, "bytes before, between or after the members, overlaps, or a broken directory"),
    }
)


class Findings:
    """Collects one file's findings: each once, a bounded number, never losing the worst."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Finding] = {}
        self._left_out = False
        self.verdict = Verdict.SAFE

    def add(self, rule: str, place: str, message: str) -> None:
        """Add a finding, unless the same was said already."""
        verdict = RULES[rule].verdict
        worse = verdict.badness > self.verdict.badness
        self.verdict = worst(self.verdict, verdict)
        if (rule, message) in self._found:
            return
        if len(self._found) >= MAX_FINDINGS and not worse:
            self._left_out = True
            return
        self._found[rule, message] = Finding(rule=rule, place=place, message=message)

    @property
    def rules(self) -> frozenset[str]:
        """The rules of what was found."""
        return frozenset(rule for rule, _ in self._found)

    def extend(self, other: "Findings") -> None:
        """Add all of another collector's findings."""
        for finding in other.listed():
            self.add(finding.rule, finding.place, finding.message)

    def listed(self) -> tuple[Finding, ...]:
        """Return the findings in the order found."""
        rest = (Finding(rule="more", place="", message="more was found than is listed here"),) if self._left_out else ()
        return tuple(self._found.values()) + rest


def shown(text: str) -> str:
    """Make an attacker's text fit for a message: printable ASCII, bounded."""
    cut = text[:_MAX_SHOWN].encode("unicode_escape", "replace").decode("ascii")
    return cut if len(text) <= _MAX_SHOWN else cut + "..."


def at(place: str, detail: str) -> str:
    """Join a place and a detail of it."""
    return f"{place}, {detail}" if place else detail
