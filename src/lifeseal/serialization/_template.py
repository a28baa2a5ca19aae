# SPDX-License-Identifier: Apache-2.0
"""Jinja templates, as tokenizers carry them for chats."""

from lifeseal.serialization._context import Context


def judge_template(text: str, context: Context) -> None:
    """Refuse a template that has expressions or statements: what they do is not analysed; other text has none."""
    if "{{" in text or "{%" in text:
        context.say("template", "", "a template with expressions, which are not analysed")
