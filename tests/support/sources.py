# SPDX-License-Identifier: Apache-2.0
"""Sources that misbehave."""


class Flaky:
    """Passes reads on to another source, and calls something before each; counts reads under way, and may cut them short."""

    def __init__(self, source, before_read, *, most=None):
        self._source = source
        self.before_read = before_read
        self.most = most
        self.reading = 0
        self.where, self.name = source.where, source.name

    def names(self, **options):
        return self._source.names(**options)

    def size(self, name):
        return self._source.size(name)

    def open(self, name):
        return _FlakyReader(self, self._source.open(name))

    def close(self):
        self._source.close()


class _FlakyReader:
    def __init__(self, source, reader):
        self._source, self._reader, self.size = source, reader, reader.size

    def readinto(self, buffer, start):
        self._source.reading += 1
        try:
            self._source.before_read(start)
            return self._reader.readinto(buffer[: self._source.most], start)
        finally:
            self._source.reading -= 1

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._reader.__exit__(*error)
