//! `Kind::of` on errors of other crates.

use std::io::{self, ErrorKind as Io};
use std::sync::Arc;

use cqi_errors::{Error, Kind};

#[test]
fn io_errors_follow_the_table() {
    let temporary = [
        Io::ConnectionRefused,
        Io::ConnectionReset,
        Io::ConnectionAborted,
        Io::NotConnected,
        Io::BrokenPipe,
        Io::UnexpectedEof,
        Io::HostUnreachable,
        Io::NetworkUnreachable,
        Io::NetworkDown,
        Io::AddrInUse,
        Io::AddrNotAvailable,
        Io::Interrupted,
        Io::WouldBlock,
        Io::ResourceBusy,
        Io::ExecutableFileBusy,
        Io::Deadlock,
        Io::StaleNetworkFileHandle,
        Io::OutOfMemory,
    ];
    let permanent = [
        Io::NotFound,
        Io::PermissionDenied,
        Io::AlreadyExists,
        Io::InvalidInput,
        Io::InvalidData,
        Io::Unsupported,
        Io::NotADirectory,
        Io::IsADirectory,
        Io::DirectoryNotEmpty,
        Io::ReadOnlyFilesystem,
        Io::StorageFull,
        Io::QuotaExceeded,
        Io::FileTooLarge,
        Io::NotSeekable,
        Io::CrossesDevices,
        Io::TooManyLinks,
        Io::InvalidFilename,
        Io::ArgumentListTooLong,
        Io::WriteZero,
    ];
    for io in temporary {
        assert_eq!(Kind::of(&io::Error::from(io)), Kind::Temporary, "{io:?}");
    }
    for io in permanent {
        assert_eq!(Kind::of(&io::Error::from(io)), Kind::Permanent, "{io:?}");
    }
    assert_eq!(Kind::of(&io::Error::from(Io::TimedOut)), Kind::Timeout);
    assert_eq!(Kind::of(&io::Error::from(Io::Other)), Kind::Unknown);
}

#[cfg(unix)]
#[test]
fn running_out_of_descriptors_passes() {
    for errno in [23, 24] {
        let error = io::Error::from_raw_os_error(errno);
        assert_eq!(Kind::of(&error), Kind::Temporary, "{error}");
    }
}

/// No errno of the host turns into something that blames the client.
#[test]
fn no_io_error_blames_the_client() {
    for errno in 0..4096 {
        let error = io::Error::from_raw_os_error(errno);
        let kind = Kind::of(&error);
        assert!(
            matches!(
                kind,
                Kind::Temporary | Kind::Timeout | Kind::Permanent | Kind::Unknown
            ),
            "{error}: {kind}"
        );
    }
}

#[test]
fn wrappers_are_seen_through() {
    let wrapped = io::Error::other(io::Error::from(Io::TimedOut));
    assert_eq!(Kind::of(&wrapped), Kind::Timeout);
    let deep = io::Error::other(io::Error::new(
        Io::InvalidData,
        Error::not_found("asset", "btc"),
    ));
    assert_eq!(Kind::of(&deep), Kind::NotFound);
    let shared = Arc::new(Error::conflict("gone"));
    assert_eq!(Kind::of(&shared), Kind::Conflict);
    assert_eq!(Kind::of(&io::Error::other(shared)), Kind::Conflict);
    assert_eq!(Kind::of(&std::fmt::Error), Kind::Unknown);
}

#[cfg(feature = "tokio")]
#[tokio::test(start_paused = true)]
async fn an_elapsed_timeout_is_a_timeout() {
    use cqi_errors::ResultExt;
    use std::time::Duration;

    let never = std::future::pending::<()>();
    let elapsed = tokio::time::timeout(Duration::from_secs(1), never).await;
    let error = elapsed.context("wait for the broker").unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    assert_eq!(error.public_message(), "the service did not answer in time");
}

#[cfg(feature = "tower")]
#[tokio::test(start_paused = true)]
async fn errors_of_towers_layers_are_known() {
    use std::time::Duration;
    use tower::{BoxError, Layer, ServiceExt, service_fn};

    let never = service_fn(|(): ()| std::future::pending::<Result<(), BoxError>>());
    let bounded = tower::timeout::TimeoutLayer::new(Duration::from_secs(1)).layer(never);
    let elapsed = bounded.oneshot(()).await.unwrap_err();
    assert_eq!(Kind::of(elapsed.as_ref()), Kind::Timeout);

    let full = tower::load_shed::error::Overloaded::new();
    assert_eq!(Kind::of(&full), Kind::Temporary);
}
