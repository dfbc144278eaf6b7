//! What `Display` and `Debug` show.

use std::fmt;
use std::io;

use cqi_errors::{Error, Kind, ResultExt};
use expect_test::expect;

use crate::kinds::ALL;

#[test]
fn display_is_the_outermost_message_and_the_alternate_form_the_chain() {
    let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused");
    let error = Err::<(), _>(refused)
        .context("connect to db:5432")
        .context("read asset btc")
        .unwrap_err();
    expect!["read asset btc"].assert_eq(&error.to_string());
    expect!["read asset btc: connect to db:5432: connection refused"]
        .assert_eq(&format!("{error:#}"));
    expect!["temporary: read asset btc: connect to db:5432: connection refused"]
        .assert_eq(&format!("{error:?}"));
}

/// Some libraries print their cause in their own text and return it as source, too.
#[derive(Debug)]
struct Repeating(io::Error);

impl fmt::Display for Repeating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error connecting to server: {}", self.0)
    }
}

impl std::error::Error for Repeating {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn a_cause_is_not_said_twice() {
    let repeating = Repeating(io::Error::other(Error::temporary("connection refused")));
    let error = Err::<(), _>(repeating).context("connect").unwrap_err();
    expect!["connect: error connecting to server: connection refused"]
        .assert_eq(&format!("{error:#}"));
}

#[test]
fn what_says_nothing_leaves_no_separator() {
    let chain = |texts: [&'static str; 3]| {
        let [outer, middle, inner] = texts.map(|text| Error::new(Kind::Permanent, text));
        let error = outer.with_source(middle.with_source(inner));
        format!("{error:#}")
    };
    expect!["load: gone"].assert_eq(&chain(["load", "", "gone"]));
    expect!["load: gone"].assert_eq(&chain(["load: gone", "", "gone"]));
    expect!["load"].assert_eq(&chain(["load", " ", "\n"]));
    expect!["gone: for good"].assert_eq(&chain(["", "gone", "for good"]));
    assert_eq!(
        chain(["load", "\n  port: too large\n  host: missing", "gone"]),
        "load:\n  port: too large\n  host: missing: gone"
    );
}

#[test]
fn what_a_client_sees_is_not_what_an_operator_sees() {
    let error = Error::forbidden("user 7 lacks scope trade:write on account 12")
        .with_public("this key may not trade");
    expect!["user 7 lacks scope trade:write on account 12"].assert_eq(&error.to_string());
    expect!["forbidden: user 7 lacks scope trade:write on account 12"]
        .assert_eq(&format!("{error:?}"));
    expect!["this key may not trade"].assert_eq(error.public_message());
}

#[test]
fn without_public_text_a_client_sees_the_kind_alone() {
    let texts = ALL.map(|kind| {
        let error = Error::new(kind, "internal detail");
        format!("{kind}: {}", error.public_message())
    });
    expect![[r#"
        not_found: not found
        invalid_input: invalid input
        unauthorized: authentication required
        forbidden: permission denied
        conflict: conflict with the present state
        rate_limited: too many requests
        timeout: the service did not answer in time
        cancelled: the request was cancelled
        temporary: the service is temporarily unavailable
        permanent: internal error
        unknown: internal error"#]]
    .assert_eq(&texts.join("\n"));
}

#[test]
fn the_services_own_failures_have_no_public_text() {
    for kind in crate::kinds::INTERNAL {
        let leak = Error::new(kind, "m").with_public("10.0.0.7 is down");
        assert_eq!(
            leak.public_message(),
            Error::new(kind, "m").public_message()
        );
    }
    assert_eq!(
        Error::new(Kind::Conflict, "m")
            .with_public("text")
            .public_message(),
        "text"
    );
}
