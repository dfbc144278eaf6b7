use cqi_errors::{Error, Kind};

use crate::code;
use crate::membership::CommitError;

/// A request that was refused for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) api: &'static str,
    pub(super) code: i16,
}

impl Refusal {
    pub(super) fn error(self, group: &str) -> Error {
        code::refused(self.api, self.code, format!("group {group}"))
    }
}

/// Says why offsets are not committed, with the kind that [`GroupConsumer::commit`] documents.
///
/// [`GroupConsumer::commit`]: super::GroupConsumer::commit
pub(super) fn commit_error(group: &str, error: &CommitError) -> Error {
    let conflict = |what: &str| {
        Error::conflict(format!(
            "group {group}: {what}; its records come again with the member that owns it"
        ))
    };
    let temporary = |what: &str| Error::temporary(format!("group {group}: {what}; commit again"));
    match error {
        CommitError::NotOwned(partition) => {
            conflict(&format!("{partition} is not owned by this member"))
        }
        CommitError::Lost => conflict("the group went on without this member"),
        CommitError::Rebalancing => {
            temporary("the group is rebalancing; poll, and see what is owned then")
        }
        CommitError::Busy => temporary("another commit is on its way"),
        CommitError::Unavailable => {
            temporary("the coordinator did not confirm the offsets, which may have been written")
        }
        CommitError::Refused(partition, code) => {
            let of = format!("group {group}, offset of {partition}");
            code::refused("OffsetCommit", *code, of)
        }
    }
}

pub(super) fn commit_timeout(group: &str) -> Error {
    Error::timeout(format!(
        "group {group}: the coordinator did not confirm the offsets in time, which may have been \
         written; commit again"
    ))
}

pub(super) fn closed(group: &str) -> Error {
    Error::cancelled(format!("the consumer of group {group} is closed"))
}

pub(super) fn ended(group: &str) -> Error {
    Error::new(
        Kind::Permanent,
        format!(
            "the task of group {group} has ended: its runtime was shut down, or it panicked; \
             join again"
        ),
    )
}
