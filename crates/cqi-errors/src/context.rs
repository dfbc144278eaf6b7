use std::borrow::Cow;

use crate::{BoxError, Error, Kind, Result, foreign};

/// Adds context or a kind to the error of a result.
///
/// ```
/// use std::fs;
///
/// use cqi_errors::{Kind, Result, ResultExt};
///
/// fn report(id: u32) -> Result<Vec<u8>> {
///     let path = format!("/var/lib/reports/{id}");
///     // The file is what the client asked for: without `kind` its absence would be a 500.
///     fs::read(&path).kind(Kind::NotFound).with_context(|| format!("read {path}"))
/// }
///
/// let error = report(7).unwrap_err();
/// assert_eq!(error.kind(), Kind::NotFound);
/// assert_eq!(error.to_string(), "read /var/lib/reports/7");
/// assert_eq!(error.public_message(), "not found");
/// ```
pub trait ResultExt<T> {
    /// Wraps the error in a message that says what was being done; the kind stays.
    ///
    /// # Errors
    /// The error of the result, wrapped; a foreign error gets the kind [`Kind::of`] finds.
    fn context(self, message: impl Into<Cow<'static, str>>) -> Result<T>;

    /// Like [`context`](ResultExt::context), with a message that is made only on failure.
    ///
    /// # Errors
    /// As for [`context`](ResultExt::context).
    fn with_context<M: Into<Cow<'static, str>>>(self, message: impl FnOnce() -> M) -> Result<T>;

    /// Sets the kind of the error; the message stays.
    ///
    /// # Errors
    /// The error of the result with the given kind.
    fn kind(self, kind: Kind) -> Result<T>;
}

impl<T, E: Into<BoxError>> ResultExt<T> for std::result::Result<T, E> {
    fn context(self, message: impl Into<Cow<'static, str>>) -> Result<T> {
        self.map_err(|error| wrap(error.into(), message.into()))
    }

    fn with_context<M: Into<Cow<'static, str>>>(self, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|error| wrap(error.into(), message().into()))
    }

    fn kind(self, kind: Kind) -> Result<T> {
        self.map_err(|error| match error.into().downcast::<Error>() {
            Ok(error) => error.with_kind(kind),
            Err(source) => {
                let message = foreign::text(source.as_ref());
                Error::wrap(source, message.into()).with_kind(kind)
            }
        })
    }
}

fn wrap(error: BoxError, message: Cow<'static, str>) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error.context(message),
        Err(foreign) => Error::wrap(foreign, message),
    }
}
