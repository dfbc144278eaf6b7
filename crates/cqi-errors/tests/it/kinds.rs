//! Every kind, and what generates one.

use cqi_errors::{Error, Kind};

pub(crate) const ALL: [Kind; 11] = [
    Kind::NotFound,
    Kind::InvalidInput,
    Kind::Unauthorized,
    Kind::Forbidden,
    Kind::Conflict,
    Kind::RateLimited,
    Kind::Timeout,
    Kind::Cancelled,
    Kind::Temporary,
    Kind::Permanent,
    Kind::Unknown,
];

/// Kinds whose text for clients is always generic.
pub(crate) const INTERNAL: [Kind; 4] = [
    Kind::Temporary,
    Kind::Timeout,
    Kind::Permanent,
    Kind::Unknown,
];

#[cfg(any(feature = "http", feature = "grpc"))]
pub(crate) fn any_kind() -> impl proptest::strategy::Strategy<Value = Kind> {
    proptest::sample::select(ALL.to_vec())
}

#[test]
fn names_are_distinct_snake_case() {
    let mut names: Vec<_> = ALL.iter().map(|kind| kind.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ALL.len());
    assert!(names.iter().all(|name| {
        name.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    }));
    assert_eq!(format!("[{:>9}]", Kind::Timeout), "[  timeout]");
}

#[test]
fn only_what_may_pass_is_retryable() {
    let retryable: Vec<_> = ALL.into_iter().filter(|kind| kind.is_retryable()).collect();
    assert_eq!(
        retryable,
        [Kind::RateLimited, Kind::Timeout, Kind::Temporary]
    );
}

#[test]
fn constructors_set_their_kind() {
    let made = [
        (Error::not_found("asset", 7), Kind::NotFound),
        (Error::invalid_input("f", "p"), Kind::InvalidInput),
        (Error::unauthorized("m"), Kind::Unauthorized),
        (Error::forbidden("m"), Kind::Forbidden),
        (Error::conflict("m"), Kind::Conflict),
        (Error::rate_limited("m"), Kind::RateLimited),
        (Error::timeout("m"), Kind::Timeout),
        (Error::cancelled("m"), Kind::Cancelled),
        (Error::temporary("m"), Kind::Temporary),
        (Error::permanent("m"), Kind::Permanent),
    ];
    for (error, kind) in made {
        assert_eq!(error.kind(), kind);
        assert_eq!(Kind::of(&error), kind);
    }
}

#[test]
fn an_error_is_one_word_and_goes_anywhere() {
    fn goes_anywhere<T: std::error::Error + Send + Sync + 'static>() {}
    goes_anywhere::<Error>();
    assert_eq!(size_of::<Error>(), size_of::<usize>());
    assert_eq!(size_of::<Option<Error>>(), size_of::<usize>());
    assert_eq!(size_of::<cqi_errors::Result<()>>(), size_of::<usize>());
    assert_eq!(size_of::<Kind>(), 1);
}
