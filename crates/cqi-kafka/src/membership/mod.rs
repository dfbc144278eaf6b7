//! Keeps one member in its group.
