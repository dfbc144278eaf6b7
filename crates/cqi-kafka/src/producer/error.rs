//! What callers are told.

use cqi_errors::{Error, Kind};

use super::ProducerSettings;
use super::delivery::Undelivered;
use super::sequencer::{Reason, Written};
use super::shared::Batch;
use crate::code;

/// Says why a batch was given up, and what that means for the log.
pub(super) fn undelivered(
    settings: &ProducerSettings,
    refusal: &Option<(Kind, String)>,
    batch: &Batch,
    reason: Reason,
    written: Written,
    attempts: u32,
    leader: Option<i32>,
) -> Error {
    let partition = &batch.partition;
    let records = batch.records;
    let what = format!("the batch of {records} records for {partition}");
    let said = |code: Option<i16>| match (code, &batch.problem) {
        (Some(code), _) => format!("; the last answer was {}", code::name(code)),
        (None, Some(problem)) => format!("; the last attempt met: {problem}"),
        (None, None) if leader.is_none() => "; brokers name no leader for it".to_owned(),
        (None, None) => String::new(),
    };
    let error = match reason {
        Reason::Refused(code) => code::refused("Produce", code, what),
        Reason::Expired(code) => {
            let timeout = settings.delivery_timeout;
            let said = said(code);
            Error::timeout(format!(
                "{what} had no outcome within {timeout:?}, after {attempts} attempts{said}"
            ))
        }
        Reason::Closed => Error::cancelled(format!(
            "the Kafka producer was closed or dropped before {what} had its outcome{}",
            said(None)
        )),
        Reason::Unidentified => {
            let (kind, why) = refusal.clone().unwrap_or((Kind::Unknown, String::new()));
            Error::new(
                kind,
                format!("{what} was not sent, for want of a producer id: {why}"),
            )
        }
    };
    Undelivered::mark(error, written)
}

/// Marks what failed before anything was sent.
pub(super) fn unsent(error: Error) -> Error {
    let error = match std::error::Error::source(&error) {
        None => error,
        Some(_) => Error::new(error.kind(), format!("{error:#}")),
    };
    Undelivered::mark(error, Written::No)
}

pub(super) fn closed() -> Error {
    unsent(Error::cancelled("the Kafka producer is closed"))
}
