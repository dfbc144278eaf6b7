//! Idempotent producing.
