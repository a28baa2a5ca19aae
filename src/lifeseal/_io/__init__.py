# SPDX-License-Identifier: Apache-2.0
"""Strict reading, durable writing, the directory walk, the hash engine and key memory.

For lifeseal's own packages; not a public interface.
"""

from lifeseal._io._durable import Appender, Buffer, Output, StrPath, replace, replacing
from lifeseal._io._extras import require
from lifeseal._io._hashing import (
    DIGEST_SIZES,
    HASHES,
    FileDigest,
    Hasher,
    HashName,
    available_cores,
    hash_files,
    in_batches,
    new_hasher,
    read_through,
    read_whole,
)
from lifeseal._io._html import html_text
from lifeseal._io._keypair import write_pair
from lifeseal._io._keyring import KEYRINGS, Keyring, open_keyring
from lifeseal._io._lines import MAX_RECORD, Batch, lines
from lifeseal._io._links import LinkKind
from lifeseal._io._litter import sweep
from lifeseal._io._memory import Secret, allow_unlocked_memory, refuse_beyond_memory
from lifeseal._io._names import make_folder, remove, remove_all, second_name
from lifeseal._io._progress import Progress, ProgressCallback
from lifeseal._io._regular import open_regular, read_bounded, refuse_foreign
from lifeseal._io._room import refuse_beyond_free
from lifeseal._io._source import WRITTEN, DiskReader, DiskSource, Reader, Source, checked_name, stamped_size
from lifeseal._io._streams import BLOCK, Raw, Stream, Take, View, Written
from lifeseal._io._strict import TAKEN_OUT, Record, canonical, decode_base64, encode_base64, exact_fields, loads, parse_hex, take_out
from lifeseal._io._tables import TABLES, Arrow, arrow, open_table
from lifeseal._io._threads import Behind, Cancelled, Report, in_threads, undisturbed
from lifeseal._io._together import Together
from lifeseal._io._toml import MAX_TOML, Table, load_toml

__all__ = [
    "BLOCK",
    "DIGEST_SIZES",
    "HASHES",
    "KEYRINGS",
    "MAX_RECORD",
    "MAX_TOML",
    "TABLES",
    "TAKEN_OUT",
    "WRITTEN",
    "Appender",
    "Arrow",
    "Batch",
    "Behind",
    "Buffer",
    "Cancelled",
    "DiskReader",
    "DiskSource",
    "FileDigest",
    "HashName",
    "Hasher",
    "Keyring",
    "LinkKind",
    "Output",
    "Progress",
    "ProgressCallback",
    "Raw",
    "Reader",
    "Record",
    "Report",
    "Secret",
    "Source",
    "StrPath",
    "Stream",
    "Table",
    "Take",
    "Together",
    "View",
    "Written",
    "allow_unlocked_memory",
    "arrow",
    "available_cores",
    "canonical",
    "checked_name",
    "decode_base64",
    "encode_base64",
    "exact_fields",
    "hash_files",
    "html_text",
    "in_batches",
    "in_threads",
    "lines",
    "load_toml",
    "loads",
    "make_folder",
    "new_hasher",
    "open_keyring",
    "open_regular",
    "open_table",
    "parse_hex",
    "read_bounded",
    "read_through",
    "read_whole",
    "refuse_beyond_free",
    "refuse_beyond_memory",
    "refuse_foreign",
    "remove",
    "remove_all",
    "replace",
    "replacing",
    "require",
    "second_name",
    "stamped_size",
    "sweep",
    "take_out",
    "undisturbed",
    "write_pair",
]
