//! Refusals that each protocol's clients understand.

use std::time::Duration;

use cqi_errors::{Error, Kind};
use expect_test::expect;
use http::{Method, Response};
use proptest::prelude::*;

use crate::script::{grpc, http};

fn refuse_grpc(error: &Error) -> Response<Vec<u8>> {
    cqi_tower::reject(&grpc(), error)
}

#[test]
fn http_gets_a_problem() {
    let error = Error::forbidden("key 7 lacks orders:write");
    let response: Response<Vec<u8>> = cqi_tower::reject(&http(), &error);
    assert_eq!(response.status(), 403);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let body = String::from_utf8(response.into_body()).unwrap();
    expect![[r#"{"type":"urn:cqi:problem:forbidden","title":"Forbidden","status":403,"detail":"permission denied"}"#]]
        .assert_eq(&body);
}

#[test]
fn head_gets_no_body() {
    let mut request = http();
    *request.method_mut() = Method::HEAD;
    let response: Response<Vec<u8>> = cqi_tower::reject(&request, &Error::unauthorized("no token"));
    assert_eq!(response.status(), 401);
    assert!(response.body().is_empty());
}

#[test]
fn grpc_gets_trailers_alone() {
    let error = Error::rate_limited("key 7: 101 requests in 1s")
        .with_public("100 % used: wait")
        .with_retry_after(Duration::from_micros(1500));
    let response = refuse_grpc(&error);
    assert_eq!(response.status(), 200);
    expect![[r#"
        {
            "grpc-status": "8",
            "grpc-message": "100 %25 used: wait",
            "grpc-retry-pushback-ms": "2",
            "content-type": "application/grpc",
        }
    "#]]
    .assert_debug_eq(response.headers());
    assert!(response.body().is_empty());
}

#[test]
fn the_longest_message_leaves_room_in_the_header_list() {
    for text in ["x", "%", "\n", "\u{20ac}", "\u{1f980}"] {
        let error = Error::invalid_input("name", text.repeat(100_000));
        let response = refuse_grpc(&error);
        let message = &response.headers()["grpc-message"];
        assert!((3060..=3072).contains(&message.len()), "{}", message.len());
        assert_eq!(
            decode(message.as_bytes()),
            text.repeat(decode(message.as_bytes()).chars().count())
        );
    }
}

fn decode(message: &[u8]) -> String {
    let mut bytes = Vec::new();
    let mut rest = message;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (hex, tail) = rest.split_at(2);
        bytes.push(u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap());
        rest = tail;
    }
    String::from_utf8(bytes).unwrap()
}

proptest! {
    #[test]
    fn any_text_survives_the_header(text in "\\PC{0,80}|.{0,80}|[\\x00-\\x7f%]{0,80}") {
        let error = Error::new(Kind::NotFound, "x").with_public(text.clone());
        let response = refuse_grpc(&error);
        let message = response.headers()["grpc-message"].as_bytes();
        prop_assert!(message.iter().all(|byte| (b' '..=b'~').contains(byte)));
        prop_assert_eq!(decode(message), error.public_message());
    }
}
