//! A member of a group, with its records.

mod fetch;
mod group;

pub use fetch::{FetchSettings, IntoRecords, Position, Records, StartPosition};
pub use group::{Event, GroupConsumer, GroupHandle, GroupSettings, GroupStatus, Revocation};
