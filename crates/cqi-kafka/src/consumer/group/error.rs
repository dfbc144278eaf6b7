use std::time::Duration;

use cqi_errors::{Error, Kind};

use crate::code;
use crate::membership::{CommitError, Response};

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

/// Says why offsets are not committed, with the kind that [`GroupConsumer::commit`] documents, and
/// what failed last while they were to be.
///
/// [`GroupConsumer::commit`]: super::GroupConsumer::commit
pub(super) fn commit_error(group: &str, error: &CommitError, failure: Option<String>) -> Error {
    let last = last(failure);
    let conflict = |what: &str| {
        Error::conflict(format!(
            "group {group}: {what}{last}; its records come again with the member that owns it"
        ))
    };
    let temporary =
        |what: &str| Error::temporary(format!("group {group}: {what}{last}; commit again"));
    match error {
        CommitError::NotOwned(partition) => {
            conflict(&format!("{partition} is not owned by this member"))
        }
        CommitError::Lost => conflict("the group went on without this member"),
        CommitError::Rebalancing => {
            temporary("the group is rebalancing: poll, and see what is owned then")
        }
        CommitError::Busy => temporary("another commit is on its way"),
        CommitError::Unavailable => temporary("the coordinator is not available"),
        CommitError::Refused(partition, code) => {
            let of = format!("group {group}, offset of {partition}");
            code::refused("OffsetCommit", *code, of)
        }
    }
}

pub(super) fn last(failure: Option<String>) -> String {
    failure.map_or_else(String::new, |failure| format!(" (last: {failure})"))
}

/// What kept a commit from being confirmed.
pub(super) fn failure_of(response: &Response) -> Option<String> {
    let (api, code) = match response {
        Response::FindCoordinator { code, .. } => ("FindCoordinator", *code),
        Response::OffsetCommit { codes } => {
            let failed = codes.iter().find(|(_, code)| *code != 0);
            ("OffsetCommit", failed.map_or(0, |(_, code)| *code))
        }
        _ => return None,
    };
    (code != 0).then(|| format!("{api} was refused with {}", code::name(code)))
}

pub(super) fn commit_timeout(group: &str, within: Duration, failure: Option<String>) -> Error {
    let last = last(failure);
    Error::timeout(format!(
        "group {group}: the coordinator did not confirm the offsets within {within:?}{last}; they \
         may have been written; commit again"
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
