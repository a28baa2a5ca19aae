# SPDX-License-Identifier: Apache-2.0
"""Sphinx: MyST pages, the reference from docstrings, every broken reference an error."""

import builtins
import sys

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import lifeseal

project = "lifeseal"
author = "the lifeseal developers"
copyright = "the lifeseal developers"  # noqa: A001 - Sphinx's name
version = release = lifeseal.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"lifeseal {version}"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "imported-members": True, "member-order": "alphabetical"}
autodoc_typehints = "none"  # signatures carry them as text; the docstrings say what they mean
autodoc_class_signature = "mixed"
default_role = "code"  # docstrings name things in single backticks, within one package or across
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Source", "notes_style")]
napoleon_use_rtype = False
napoleon_use_ivar = True

# No inventory of another project's documentation is fetched: this builds without a network.
_elsewhere = "|".join([*sorted(sys.stdlib_module_names), "attrs", "asn1crypto", "click", "cryptography", "numpy", "torch"])
nitpick_ignore = [(f"py:{role}", name) for role in ("class", "exc") for name in dir(builtins)]
nitpick_ignore_regex = [
    ("py:.*", rf"({_elsewhere})\..*"),
    ("py:class", r"(x509|ec)\..*"),  # of cryptography, imported for types alone
    ("py:.*", r"lifeseal\._io\..*"),  # private, and shown only as the type of an argument
]


def _link_by_last_name(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element) -> nodes.Node | None:
    """Resolve bare names (as under Raises) and names of private modules to the one public object of that name."""
    domain = env.domains.python_domain
    last = str(node["reftarget"]).rpartition(".")[2]
    found = [name for name in domain.objects if name.rpartition(".")[2] == last]
    if node["refdomain"] != "py" or len(found) != 1:
        return None
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", found[0], node, content)


def _read_docstring(_app: Sphinx, what: str, _name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Turn fenced code into reST, and keep napoleon from reading ``words: more words`` of a property as its type."""
    source, lines[:] = list(lines), [".. property", ""] if what == "property" else []
    fenced = False
    for line in source:
        if line.startswith("```"):
            fenced = not fenced
            lines.extend([f".. code-block:: {line[3:]}", ""] if fenced else [""])
        else:
            lines.append(f"   {line}" if fenced else line)


def setup(app: Sphinx) -> None:
    """Connect the above."""
    app.connect("missing-reference", _link_by_last_name)
    app.connect("autodoc-process-docstring", _read_docstring, priority=1)  # before napoleon
