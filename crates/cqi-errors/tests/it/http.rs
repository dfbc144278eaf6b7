//! Statuses and problem bodies.

use std::time::Duration;

use cqi_errors::{Error, Kind, Problem};
use expect_test::expect;
use http::{Response, StatusCode};
use proptest::prelude::*;

use crate::kinds::{ALL, INTERNAL, any_kind};

fn body(response: &Response<Vec<u8>>) -> serde_json::Value {
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    serde_json::from_slice(response.body()).unwrap()
}

#[test]
fn every_kind_has_its_status() {
    let statuses = ALL.map(|kind| kind.http_status().as_u16());
    assert_eq!(
        statuses,
        [404, 400, 401, 403, 409, 429, 504, 499, 503, 500, 500]
    );
    for kind in ALL.into_iter().filter(|kind| *kind != Kind::Unknown) {
        assert_eq!(Kind::from_http_status(kind.http_status()), Some(kind));
    }
}

#[test]
fn every_status_has_its_kind() {
    let mut kinds: Vec<(Option<Kind>, Vec<u16>)> = Vec::new();
    for status in 100..1000 {
        let kind = Kind::from_http_status(StatusCode::from_u16(status).unwrap());
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, statuses)) => statuses.push(status),
            None => kinds.push((kind, vec![status])),
        }
    }
    let lines: Vec<_> = kinds
        .iter()
        .map(|(kind, statuses)| match kind {
            Some(kind) if statuses.len() < 10 => format!("{kind} {statuses:?}"),
            Some(kind) => format!("{kind} {} from {}", statuses.len(), statuses[0]),
            None => format!("none up to {}", statuses[statuses.len() - 1]),
        })
        .collect();
    expect![[r#"
        none up to 399
        invalid_input 86 from 400
        unauthorized [401, 407]
        forbidden [403, 451]
        not_found [404, 410]
        timeout [408, 504]
        conflict [409, 412, 423]
        temporary [421, 425, 502, 503]
        rate_limited [429]
        cancelled [499]
        permanent 497 from 500"#]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn bodies() {
    let errors = [
        Error::not_found("asset", "btc").context("read asset"),
        Error::invalid_input("quantity", "must be positive"),
        Error::new(Kind::InvalidInput, "body: EOF at line 3"),
        Error::cancelled("client went away"),
        Error::permanent("relation \"assets\" does not exist").with_public("leak"),
        Error::new(Kind::Unknown, "foreign"),
        Error::temporary("10.0.0.7:5432 refused the connection").with_public("leak"),
    ];
    let bodies = errors.map(|error| serde_json::to_string(&error.problem()).unwrap());
    expect![[r#"
        {"type":"urn:cqi:problem:not_found","title":"Not Found","status":404,"detail":"asset btc not found"}
        {"type":"urn:cqi:problem:invalid_input","title":"Bad Request","status":400,"detail":"must be positive","errors":[{"field":"quantity","detail":"must be positive"}]}
        {"type":"urn:cqi:problem:invalid_input","title":"Bad Request","status":400,"detail":"invalid input"}
        {"type":"urn:cqi:problem:cancelled","title":"Client Closed Request","status":499,"detail":"the request was cancelled"}
        {"type":"urn:cqi:problem:internal","title":"Internal Server Error","status":500,"detail":"internal error"}
        {"type":"urn:cqi:problem:internal","title":"Internal Server Error","status":500,"detail":"internal error"}
        {"type":"urn:cqi:problem:temporary","title":"Service Unavailable","status":503,"detail":"the service is temporarily unavailable"}"#]]
    .assert_eq(&bodies.join("\n"));
}

#[test]
fn every_problem_type_names_its_kind() {
    for kind in ALL {
        let name = match kind {
            Kind::Permanent | Kind::Unknown => "internal",
            kind => kind.as_str(),
        };
        let error = Error::new(kind, "m");
        assert_eq!(error.problem().kind, format!("urn:cqi:problem:{name}"));
    }
}

#[test]
fn a_problem_can_be_extended() {
    #[derive(serde::Serialize)]
    struct Traced<'a> {
        #[serde(flatten)]
        problem: Problem<'a>,
        trace_id: &'a str,
    }
    let error = Error::not_found("asset", 7);
    let traced = Traced {
        problem: error.problem(),
        trace_id: "4bf9",
    };
    expect![[r#"{"type":"urn:cqi:problem:not_found","title":"Not Found","status":404,"detail":"asset 7 not found","trace_id":"4bf9"}"#]]
        .assert_eq(&serde_json::to_string(&traced).unwrap());
}

#[test]
fn retry_after_is_whole_seconds_rounded_up_on_429_and_503() {
    let header = |kind, millis| {
        Error::new(kind, "m")
            .with_retry_after(Duration::from_millis(millis))
            .to_response::<Vec<u8>>()
            .headers()
            .get("retry-after")
            .map(|value| value.to_str().unwrap().to_owned())
    };
    for kind in [Kind::RateLimited, Kind::Temporary] {
        assert_eq!(header(kind, 0).as_deref(), Some("0"));
        assert_eq!(header(kind, 1).as_deref(), Some("1"));
        assert_eq!(header(kind, 1000).as_deref(), Some("1"));
        assert_eq!(header(kind, 1001).as_deref(), Some("2"));
    }
    assert_eq!(header(Kind::Timeout, 1000), None);
    let forever = Error::temporary("m").with_retry_after(Duration::MAX);
    assert_eq!(
        forever.to_response::<Vec<u8>>().headers()["retry-after"],
        "2147484",
        "no more than gRPC can say"
    );
    let unknown = Error::temporary("m").to_response::<Vec<u8>>();
    assert!(!unknown.headers().contains_key("retry-after"));
}

#[test]
fn an_empty_field_is_none() {
    let error = Error::invalid_input("", "the body is empty");
    assert_eq!(error.field(), None);
    assert_eq!(error.to_string(), "the body is empty");
    let body = body(&error.to_response());
    assert_eq!(body["detail"], "the body is empty");
    assert!(!body.as_object().unwrap().contains_key("errors"), "{body}");
}

#[test]
fn hostile_text_stays_one_valid_body() {
    let mut texts = vec![
        "line\r\nretry-after: 9\r\n\r\n<html>".to_owned(),
        "\u{0}\u{1b}[31m\u{7f}\u{2028}\u{feff}".to_owned(),
        "\"}],\"status\":200,\"x\":\"\\".to_owned(),
        "größe 価格 \u{1f980}".to_owned(),
    ];
    texts.push("\u{1}".repeat(1 << 20));
    for text in texts {
        let error = Error::invalid_input(text.clone(), text.clone());
        let response = error.to_response::<Vec<u8>>();
        assert_eq!(response.status(), 400);
        let body = body(&response);
        assert_eq!(body["detail"], text);
        assert_eq!(body["errors"][0]["field"], text);
        assert_eq!(body["status"], 400);
    }
}

proptest! {
    #[test]
    fn a_body_says_what_the_error_says(kind in any_kind(), internal: String, public: String, millis in 0..100_000_u64) {
        let error = Error::new(kind, internal.clone())
            .with_public(public.clone())
            .with_retry_after(Duration::from_millis(millis));
        let response = error.to_response::<Vec<u8>>();
        prop_assert_eq!(response.status(), kind.http_status());
        let body = body(&response);
        prop_assert_eq!(&body["status"], kind.http_status().as_u16());
        prop_assert_eq!(&body["detail"], error.public_message());
        if INTERNAL.contains(&kind) {
            let generic = Error::new(kind, "m").to_response::<Vec<u8>>();
            prop_assert_eq!(response.body(), generic.body());
        }
    }
}
