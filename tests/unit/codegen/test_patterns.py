"""Patterns, tried on the engine that enforces them."""

from __future__ import annotations

from promptflow_codegen.patterns import refused_patterns


def test_patterns_that_re2_does_not_have_are_refused_and_others_are_not() -> None:
    refused = refused_patterns(["^a+$", "(?=a)b", "(a)\\1", "a{2000}", 'é"\\\\', "(?=a)b"])
    assert set(refused) == {"(?=a)b", "(a)\\1", "a{2000}"}
    assert all(refused.values())
