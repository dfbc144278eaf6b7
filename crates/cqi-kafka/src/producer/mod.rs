//! Idempotent producing.

pub mod sequencer;
