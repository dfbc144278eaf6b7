//! Suites that cross crates; the root README is compiled here.

#[doc = include_str!("../../README.md")]
#[cfg(doctest)]
struct Readme;
