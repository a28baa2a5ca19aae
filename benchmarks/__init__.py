# SPDX-License-Identifier: Apache-2.0
"""Ratios against named peers and physical floors, measured in one run."""
