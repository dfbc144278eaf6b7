//! A member of a group, with its records.

mod fetch;
