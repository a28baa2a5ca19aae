# SPDX-License-Identifier: Apache-2.0
"""``python -m lifeseal`` is the ``lifeseal`` command."""

from lifeseal.cli import main

if __name__ == "__main__":
    main()
