//! Statuses, and what survives the wire.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Error, Kind, ResultExt};
use proptest::prelude::*;
use tonic::{Code, Status};

use crate::kinds::{ALL, any_kind};

/// Sends a status through HTTP headers, as a trailers-only response does.
fn over_the_wire(status: Status) -> Status {
    let response = status.into_http::<()>();
    let size: usize = response
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 32)
        .sum();
    assert!(size < 8192, "{size} bytes of headers");
    Status::from_header_map(response.headers()).unwrap()
}

fn round_trip(error: Error) -> Error {
    Error::from(over_the_wire(Status::from(error)))
}

#[test]
fn every_kind_has_its_code() {
    let codes = ALL.map(Kind::grpc_code);
    assert_eq!(
        codes,
        [
            Code::NotFound,
            Code::InvalidArgument,
            Code::Unauthenticated,
            Code::PermissionDenied,
            Code::Aborted,
            Code::ResourceExhausted,
            Code::DeadlineExceeded,
            Code::Cancelled,
            Code::Unavailable,
            Code::Internal,
            Code::Unknown,
        ]
    );
    for kind in ALL {
        assert_eq!(Kind::from_grpc_code(kind.grpc_code()), Some(kind));
    }
}

#[test]
fn every_code_has_its_kind() {
    let kinds = (0..17).map(|code| Kind::from_grpc_code(Code::from_i32(code)));
    let kinds: Vec<_> = kinds.collect();
    assert_eq!(kinds[0], None);
    let kinds: Vec<_> = kinds.into_iter().flatten().collect();
    assert_eq!(
        kinds,
        [
            Kind::Cancelled,
            Kind::Unknown,
            Kind::InvalidInput,
            Kind::Timeout,
            Kind::NotFound,
            Kind::Conflict,
            Kind::Forbidden,
            Kind::RateLimited,
            Kind::Conflict,
            Kind::Conflict,
            Kind::InvalidInput,
            Kind::Permanent,
            Kind::Permanent,
            Kind::Temporary,
            Kind::Permanent,
            Kind::Unauthorized,
        ]
    );
}

#[test]
fn only_public_text_crosses() {
    let error = Error::permanent("relation \"assets\" does not exist")
        .with_public("leak")
        .context("read asset");
    let status = Status::from(error);
    let source = std::error::Error::source(&status).unwrap();
    assert_eq!(
        format!("{:#}", source.downcast_ref::<Error>().unwrap()),
        "read asset: relation \"assets\" does not exist"
    );
    let headers = status.into_http::<()>().headers().clone();
    let sent = format!("{headers:?}");
    assert!(sent.contains("internal%20error"), "{sent}");
    assert!(!sent.contains("asset") && !sent.contains("leak"), "{sent}");
}

#[test]
fn a_field_survives() {
    let error = round_trip(Error::invalid_input("quantity", "must be positive"));
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert_eq!(error.field(), Some("quantity"));
    assert_eq!(error.public_message(), "must be positive");
    assert_eq!(error.to_string(), "quantity: must be positive");
}

#[test]
fn pushback_is_in_whole_milliseconds_rounded_up() {
    let pushback = |delay| {
        let status = Status::from(Error::rate_limited("m").with_retry_after(delay));
        let value = status.metadata().get("grpc-retry-pushback-ms").unwrap();
        value.to_str().unwrap().to_owned()
    };
    assert_eq!(pushback(Duration::ZERO), "0");
    assert_eq!(pushback(Duration::from_micros(1001)), "2");
    assert_eq!(pushback(Duration::MAX), i32::MAX.to_string());
}

#[test]
fn a_malformed_pushback_suggests_nothing() {
    for value in ["-1", "", "1.5", "soon", "99999999999999999999"] {
        let mut status = Status::unavailable("m");
        let metadata = status.metadata_mut();
        metadata.insert("grpc-retry-pushback-ms", value.parse().unwrap());
        assert_eq!(Error::from(status).retry_after(), None, "{value}");
    }
}

#[test]
fn a_foreign_status_with_context_keeps_its_text_inside() {
    let mut status = Status::resource_exhausted("tenant 12 is over its quota");
    let metadata = status.metadata_mut();
    metadata.insert("grpc-retry-pushback-ms", 250.into());
    let error = Err::<(), _>(status).context("call pricing").unwrap_err();
    assert_eq!(error.kind(), Kind::RateLimited);
    assert_eq!(error.retry_after(), Some(Duration::from_millis(250)));
    assert_eq!(error.public_message(), "too many requests");
    assert_eq!(
        format!("{error:#}"),
        "call pricing: tenant 12 is over its quota"
    );

    let error = Err::<(), _>(Status::not_found("no such asset"))
        .kind(Kind::Permanent)
        .unwrap_err();
    assert_eq!(format!("{error:?}"), "permanent: no such asset");
}

/// tonic's own timeout is `CANCELLED` and a lost connection `UNKNOWN` or `CANCELLED`; none of them
/// means that the caller went away.
#[test]
fn what_tonic_says_of_a_broken_connection_is_not_taken_at_its_word() {
    let status = |source: &dyn Fn() -> tower::BoxError| Status::from_error(source());
    let lost = || io::Error::from(io::ErrorKind::ConnectionReset).into();
    let elapsed = || tonic::TimeoutExpired(()).into();
    let cancelled = || {
        let mut status = Status::cancelled("h2 protocol error");
        status.set_source(Arc::new(io::Error::other("stream reset by peer")));
        status
    };

    assert_eq!(status(&lost).code(), Code::Unknown);
    assert_eq!(Kind::of(&status(&lost)), Kind::Temporary);
    assert_eq!(Error::from(status(&lost)).kind(), Kind::Temporary);

    assert_eq!(status(&elapsed).code(), Code::Cancelled);
    assert_eq!(Kind::of(&status(&elapsed)), Kind::Timeout);
    assert_eq!(Error::from(status(&elapsed)).kind(), Kind::Timeout);

    assert_eq!(Kind::of(&cancelled()), Kind::Temporary);
    assert_eq!(Error::from(cancelled()).kind(), Kind::Temporary);

    let ours = Status::from(Error::cancelled("client went away"));
    assert_eq!(Error::from(ours).kind(), Kind::Cancelled);
    assert_eq!(
        Kind::of(&Status::cancelled("from the wire")),
        Kind::Cancelled
    );
    assert_eq!(Kind::of(&Status::unknown("from the wire")), Kind::Unknown);
}

#[test]
fn a_status_without_text_gets_that_of_its_code() {
    let error = Error::from(Status::new(Code::Aborted, ""));
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(error.to_string(), "The operation was aborted");
    assert_eq!(error.public_message(), "conflict with the present state");
    assert_eq!(Error::from(Status::ok("")).kind(), Kind::Unknown);
}

#[test]
fn hostile_text_is_cut_and_escaped() {
    for text in ["\r\ngrpc-status: 0\r\n", "\u{0}\u{7f}%", "100% größe 価格"] {
        let error = round_trip(Error::invalid_input(text, text));
        assert_eq!(error.public_message(), text);
        assert_eq!(error.field(), Some(text));
    }
    for text in ["\u{1}", "ß", "\u{1f980}"] {
        let long = text.repeat((1 << 20) / text.len());
        let error = round_trip(Error::invalid_input(long.clone(), long.clone()));
        assert!(long.starts_with(error.public_message()));
        assert_eq!(error.public_message().len(), 1024);
    }
}

proptest! {
    #[test]
    fn a_round_trip_keeps_kind_text_and_delay(
        kind in any_kind(),
        internal: String,
        public in "\\PC{0,200}",
        millis in proptest::option::of(0..=i32::MAX as u64),
    ) {
        let mut error = Error::new(kind, internal).with_public(public);
        if let Some(millis) = millis {
            error = error.with_retry_after(Duration::from_millis(millis));
        }
        let text = error.public_message().to_owned();
        let back = round_trip(error);
        prop_assert_eq!(back.kind(), kind);
        if !text.is_empty() {
            prop_assert_eq!(back.public_message(), text);
        }
        prop_assert_eq!(back.retry_after(), millis.map(Duration::from_millis));
        prop_assert_eq!(Kind::of(&back), kind);
    }
}
