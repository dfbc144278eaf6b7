//! What errors of other crates mean.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use crate::{Error, Kind};

/// Walks from an error to its root cause.
///
/// `io::Error::source` skips the error it wraps and `Arc<Error>::source` skips the error it shares,
/// so the chain steps into both by hand.
pub(crate) fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        if let Some(io) = error.downcast_ref::<io::Error>()
            && let Some(inner) = io.get_ref()
        {
            return Some(inner);
        }
        if let Some(shared) = error.downcast_ref::<Arc<Error>>() {
            return Some(shared.as_ref());
        }
        error.source()
    })
}

/// Finds the outermost CQI error of a chain.
pub(crate) fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// Classifies one link of a chain, where it says enough.
pub(crate) fn classify(error: &(dyn StdError + 'static)) -> Option<Kind> {
    if let Some(io) = error.downcast_ref::<io::Error>() {
        return of_io(io);
    }
    #[cfg(feature = "tokio")]
    if error.is::<tokio::time::error::Elapsed>() {
        return Some(Kind::Timeout);
    }
    #[cfg(feature = "tower")]
    if error.is::<tower::timeout::error::Elapsed>() {
        return Some(Kind::Timeout);
    }
    #[cfg(feature = "tower")]
    if error.is::<tower::load_shed::error::Overloaded>() {
        return Some(Kind::Temporary);
    }
    #[cfg(feature = "grpc")]
    if let Some(status) = error.downcast_ref::<tonic::Status>() {
        return crate::grpc::kind_of(status);
    }
    None
}

/// Returns what one link of a chain says for itself; a `tonic::Status` would say its code, and its
/// source in debug form, too.
pub(crate) fn text(error: &(dyn StdError + 'static)) -> String {
    #[cfg(feature = "grpc")]
    if let Some(status) = error.downcast_ref::<tonic::Status>() {
        return crate::grpc::text(status).to_owned();
    }
    error.to_string()
}

/// The table is in the docs of [`Kind::of`].
fn of_io(error: &io::Error) -> Option<Kind> {
    use io::ErrorKind as Io;
    Some(match error.kind() {
        Io::TimedOut => Kind::Timeout,
        Io::ConnectionRefused
        | Io::ConnectionReset
        | Io::ConnectionAborted
        | Io::NotConnected
        | Io::BrokenPipe
        | Io::UnexpectedEof
        | Io::HostUnreachable
        | Io::NetworkUnreachable
        | Io::NetworkDown
        | Io::AddrInUse
        | Io::AddrNotAvailable
        | Io::Interrupted
        | Io::WouldBlock
        | Io::ResourceBusy
        | Io::ExecutableFileBusy
        | Io::Deadlock
        | Io::StaleNetworkFileHandle
        | Io::OutOfMemory => Kind::Temporary,
        Io::NotFound
        | Io::PermissionDenied
        | Io::AlreadyExists
        | Io::InvalidInput
        | Io::InvalidData
        | Io::Unsupported
        | Io::NotADirectory
        | Io::IsADirectory
        | Io::DirectoryNotEmpty
        | Io::ReadOnlyFilesystem
        | Io::StorageFull
        | Io::QuotaExceeded
        | Io::FileTooLarge
        | Io::NotSeekable
        | Io::CrossesDevices
        | Io::TooManyLinks
        | Io::InvalidFilename
        | Io::ArgumentListTooLong
        | Io::WriteZero => Kind::Permanent,
        // Out of descriptors has no kind of its own yet; both numbers are the same on every Unix.
        _ if cfg!(unix) && matches!(error.raw_os_error(), Some(ENFILE | EMFILE)) => Kind::Temporary,
        // `Other` wraps an error that may say more.
        _ => return None,
    })
}

const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
