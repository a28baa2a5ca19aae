# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - one line a sample
"""Configurations and templates that run something."""

import json


def yamls():
    """YAML as PyYAML's unsafe loader reads it."""

    def document(template, encoding="utf-8"):
        return lambda m: (template.replace("MARKER", m).encode(encoding), "yaml", ("yaml",))

    return {
        "yaml-apply": document('!!python/object/apply:os.system ["touch MARKER"]\n'),
        "yaml-apply-block": document("model:\n  lr: 0.1\n  x: !!python/object/apply:os.system\n  - touch MARKER\n"),
        "yaml-map-tuple": document('!!python/object/new:tuple\n- !!python/object/new:map\n  - !!python/name:os.system\n  - ["touch MARKER"]\n'),
        "yaml-verbatim": document('!<tag:yaml.org,2002:python/object/apply:os.system> ["touch MARKER"]\n'),
        "yaml-percent": document('!!python%2Fobject%2Fapply:os%2Esystem ["touch MARKER"]\n'),
        "yaml-handle": document('%TAG !x! tag:yaml.org,2002:python/\n---\n!x!object/apply:os.system ["touch MARKER"]\n'),
        "yaml-primary-handle": document('%TAG ! tag:yaml.org,2002:python/object/\n---\n!apply:os.system ["touch MARKER"]\n'),
        "yaml-flow": document('{"a": [1, !!python/object/apply:os.system ["touch MARKER"]]}\n'),
        "yaml-anchor": document('a: &x !!python/object/apply:os.system ["touch MARKER"]\n'),
        "yaml-key": document('? !!python/object/apply:os.system ["touch MARKER"]\n: 1\n'),
        "yaml-second-document": document('a: 1\n--- !!python/object/apply:os.system ["touch MARKER"]\n'),
        "yaml-utf-16": document('\ufeff!!python/object/apply:os.system ["touch MARKER"]\n', "utf-16-le"),
        "yaml-name-call": document("!!python/object/apply:os.system\nargs: [touch MARKER]\n"),
    }


def templates():
    """Jinja templates as an environment without a sandbox renders them."""
    call = "__globals__['os'].popen('touch MARKER').read()"

    def template(source):
        return lambda m: (source.replace("MARKER", m).encode(), "jinja", ("jinja2",))

    def in_config(m):
        source = "{{ cycler.__init__." + call.replace("MARKER", m) + " }}"
        return json.dumps({"tokenizer_class": "X", "chat_template": source}).encode(), "jinja-json", ("jinja2",)

    def in_list(m):
        source = "{{ cycler.__init__." + call.replace("MARKER", m) + " }}"
        return json.dumps({"chat_template": [{"name": "default", "template": source}]}).encode(), "jinja-json", ("jinja2",)

    return {
        "jinja-cycler": template("{{ cycler.__init__." + call + " }}"),
        "jinja-lipsum": template("{{ lipsum." + call + " }}"),
        "jinja-attr-filter": template("{{ (lipsum|attr('__globals__'))['os'].popen('touch MARKER').read() }}"),
        "jinja-attr-joined": template("{{ (lipsum|attr('__glo' ~ 'bals__'))['os'].popen('touch MARKER').read() }}"),
        "jinja-attr-escaped": template("{{ (lipsum|attr('\\x5f\\x5fglobals\\x5f\\x5f'))['os'].popen('touch MARKER').read() }}"),
        "jinja-subscript": template("{{ lipsum['__globals__']['os'].popen('touch MARKER').read() }}"),
        "jinja-subscript-joined": template("{{ lipsum['__glo' + 'bals__']['os'].popen('touch MARKER').read() }}"),
        "jinja-subscript-set": template("{% set g = '__glo' ~ 'bals__' %}{{ lipsum[g]['os'].popen('touch MARKER').read() }}"),
        "jinja-subscript-format": template("{{ lipsum['%sglobals%s' % ('_' * 2, '_' * 2)]['os'].popen('touch MARKER').read() }}"),
        "jinja-subscript-reversed": template("{{ lipsum['__slabolg__'|reverse]['os'].popen('touch MARKER').read() }}"),
        "jinja-subscript-namespace": template("{% set ns = namespace(g='') %}{% set ns.g = ['__glo', 'bals__']|join %}{{ lipsum[ns.g]['os'].popen('touch MARKER').read() }}"),
        "jinja-map-attr": template("{{ ([lipsum]|map('attr', '__globals__')|first)['os'].popen('touch MARKER').read() }}"),
        "jinja-map-attribute": template("{{ ([lipsum]|map(attribute='__globals__')|first)['os'].popen('touch MARKER').read() }}"),
        "jinja-generator-frame": template("{{ ([1]|map('string')).gi_frame.f_builtins['__import__']('os').system('touch MARKER') }}"),
        "jinja-subclasses": template("{% for c in ''.__class__.__mro__[1].__subclasses__() %}{% if c.__name__ == 'Popen' %}{{ c(['touch', 'MARKER']).wait() }}{% endif %}{% endfor %}"),
        "jinja-loop-split": template("{% for g in '-,..globals..'.replace('.', '_').split(',') %}{% if loop.last %}{{ lipsum[g]['os'].popen('touch MARKER').read() }}{% endif %}{% endfor %}"),
        "jinja-loop-replaced": template("{% for g in ['..globals..'|replace('.', '_')] %}{{ lipsum[g]['os'].popen('touch MARKER').read() }}{% endfor %}"),
        "jinja-adjacent-texts": template("{{ lipsum['__glo' 'bals__']['os'].popen('touch MARKER').read() }}"),
        "jinja-call-block": template("{% macro m() %}{{ caller('__glo' ~ 'bals__') }}{% endmacro %}{% call(g) m() %}{{ lipsum[g]['os'].popen('touch MARKER').read() }}{% endcall %}"),
        "jinja-macro": template("{% macro f(x) %}{{ lipsum[x]['os'].popen('touch MARKER').read() }}{% endmacro %}{{ f('__glob' + 'als__') }}"),
        "jinja-statement": template("{% if lipsum.__globals__['os'].popen('touch MARKER').read() %}{% endif %}"),
        "jinja-in-prose": template("# A model\n\nText.\n\n{{ lipsum.__globals__['os'].popen('touch MARKER').read() }}\n"),
        "jinja-config": in_config,
        "jinja-config-list": in_list,
    }  # fmt: skip
