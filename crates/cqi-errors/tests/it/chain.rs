//! Context, kinds and delays along a chain of errors.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Error, Kind, ResultExt};

#[test]
fn the_outermost_kind_wins() {
    let inner = Error::temporary("connection refused");
    let outer = Error::permanent("the migration cannot go on").with_source(inner);
    assert_eq!(outer.kind(), Kind::Permanent);
    assert_eq!(Kind::of(&outer), Kind::Permanent);
    assert!(!outer.kind().is_retryable());

    let wrapped = io::Error::other(outer);
    assert_eq!(Kind::of(&wrapped), Kind::Permanent);
}

#[test]
fn context_keeps_what_the_error_says() {
    let error = Error::rate_limited("key 7 is over its quota")
        .with_public("at most 5 orders a second")
        .with_retry_after(Duration::from_secs(2))
        .context("place order")
        .context("rebalance");
    assert_eq!(error.kind(), Kind::RateLimited);
    assert_eq!(error.public_message(), "at most 5 orders a second");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(2)));
    assert_eq!(
        format!("{error:#}"),
        "rebalance: place order: key 7 is over its quota"
    );

    let error = Error::invalid_input("quantity", "must be positive").context("place order");
    assert_eq!(error.field(), Some("quantity"));
    assert_eq!(error.public_message(), "must be positive");
}

#[test]
fn context_finds_what_a_foreign_wrapper_hides() {
    let hidden = Error::rate_limited("quota")
        .with_public("slow down")
        .with_retry_after(Duration::from_secs(3));
    let error = Err::<(), _>(io::Error::other(hidden))
        .context("call")
        .unwrap_err();
    assert_eq!(error.kind(), Kind::RateLimited);
    assert_eq!(error.public_message(), "slow down");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));

    let shared = Arc::new(Error::invalid_input("id", "must be a UUID"));
    let error = Err::<(), _>(shared).context("load").unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert_eq!(error.field(), Some("id"));
    assert_eq!(error.public_message(), "must be a UUID");
}

#[test]
fn context_of_a_result_is_made_only_on_failure() {
    let fine: cqi_errors::Result<u8> =
        Ok::<_, io::Error>(1).with_context(|| -> String { panic!("no failure, no message") });
    assert_eq!(fine.unwrap(), 1);
    let error = Err::<u8, _>(Error::conflict("version 3 is gone"))
        .with_context(|| format!("update asset {}", 7))
        .unwrap_err();
    assert_eq!(error.to_string(), "update asset 7");
    assert_eq!(error.kind(), Kind::Conflict);
}

#[test]
fn another_kind_drops_the_text_written_for_the_first() {
    let error = Err::<(), _>(Error::not_found("row", 7))
        .kind(Kind::Permanent)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Permanent);
    assert_eq!(error.to_string(), "row 7 not found");
    assert_eq!(error.public_message(), "internal error");

    let error = Error::invalid_input("id", "too long").with_kind(Kind::NotFound);
    assert_eq!(error.field(), None);
    assert_eq!(error.public_message(), "not found");

    let same = Error::not_found("row", 7).with_kind(Kind::NotFound);
    assert_eq!(same.public_message(), "row 7 not found");
}

#[test]
fn a_foreign_error_given_a_kind_stays_the_source() {
    let missing = io::Error::new(io::ErrorKind::NotFound, "no such file");
    let error = Err::<(), _>(missing).kind(Kind::NotFound).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(error.to_string(), "no such file");
    assert_eq!(format!("{error:#}"), "no such file");
    let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
    assert_eq!(source.kind(), io::ErrorKind::NotFound);
}

#[test]
fn what_a_foreign_error_says_stays_inside() {
    let error = Err::<(), _>(io::Error::other("password hunter2 refused"))
        .context("connect")
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unknown);
    assert_eq!(error.public_message(), "internal error");
    let error = Err::<(), _>(io::Error::other("password hunter2 refused"))
        .kind(Kind::Forbidden)
        .unwrap_err();
    assert_eq!(error.public_message(), "permission denied");
}

#[test]
fn a_delay_survives_a_new_kind() {
    let hidden = Error::temporary("busy").with_retry_after(Duration::from_secs(3));
    let error = Err::<(), _>(io::Error::other(hidden))
        .kind(Kind::RateLimited)
        .unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
    assert_eq!(format!("{error:#}"), "busy");
}

#[test]
fn a_long_chain_is_dropped_without_a_deep_stack() {
    let error = (0..200_000).fold(Error::temporary("refused"), |error, _| {
        error.context("retry")
    });
    assert_eq!(Kind::of(&error), Kind::Temporary);
    drop(error);
}
