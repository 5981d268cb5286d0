"""Patterns, tried on the engine that enforces them."""

from __future__ import annotations

import time

from promptflow_codegen.patterns import PatternEngine


def test_patterns_that_re2_does_not_have_are_refused_and_others_are_not() -> None:
    patterns = ["^a+$", "(?=a)b", "(a)\\1", "a{2000}", 'é"\\\\', "(?=a)b"]
    engine = PatternEngine(patterns)
    assert {pattern for pattern in patterns if engine.refusal(pattern)} == {"(?=a)b", "(a)\\1", "a{2000}"}


def test_a_pattern_that_would_backtrack_for_ever_does_not() -> None:
    started = time.monotonic()
    engine = PatternEngine(["^(a+)+$"])
    assert [engine.matches("^(a+)+$", text) for text in ("a" * 40, "a" * 40 + "b")] == [True, False]
    assert time.monotonic() - started < 5
