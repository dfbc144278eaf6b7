use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::{Kind, foreign};

/// A boxed error of any type, as a cause.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// A result whose error is [`Error`] unless said otherwise.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error that says what it means: its [`Kind`] decides status codes and retries.
///
/// It is one word wide. `Display` shows the outermost message alone, `{:#}` the whole chain on one
/// line (a cause that its wrapper's text already ends with is not said twice), `Debug` the kind and
/// the chain; all are for operators. What a client may see is
/// [`public_message`](Error::public_message).
///
/// ```
/// use cqi_errors::{Error, Kind, ResultExt};
///
/// let error = Err::<(), _>(Error::temporary("connection refused"))
///     .context("read asset btc")
///     .unwrap_err();
/// assert_eq!(error.kind(), Kind::Temporary);
/// assert_eq!(error.to_string(), "read asset btc");
/// assert_eq!(format!("{error:#}"), "read asset btc: connection refused");
/// assert_eq!(error.public_message(), "the service is temporarily unavailable");
/// ```
pub struct Error(Box<Repr>);

/// The longest delay that a client is told, some 24 days: what gRPC's pushback can say.
#[cfg(any(feature = "http", feature = "grpc"))]
const LONGEST_DELAY: Duration = Duration::from_millis(i32::MAX.unsigned_abs() as u64);

struct Repr {
    kind: Kind,
    message: Cow<'static, str>,
    public: Option<Cow<'static, str>>,
    field: Option<Cow<'static, str>>,
    retry_after: Option<Duration>,
    source: Option<BoxError>,
}

impl Error {
    /// Makes an error of a kind with a message for operators.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Repr {
            kind,
            message: message.into(),
            public: None,
            field: None,
            retry_after: None,
            source: None,
        }))
    }

    /// Makes an error for what failed now and may succeed later.
    #[must_use]
    pub fn temporary(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Temporary, message)
    }

    /// Makes an error for what failed and will fail again.
    #[must_use]
    pub fn permanent(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Permanent, message)
    }

    /// Makes an error for a resource that does not exist; its text is public.
    #[must_use]
    pub fn not_found(resource: impl fmt::Display, id: impl fmt::Display) -> Self {
        let message = format!("{resource} {id} not found");
        Self::new(Kind::NotFound, message.clone()).with_public(message)
    }

    /// Makes an error for a field of the caller's input that cannot be accepted; its text is public.
    ///
    /// An empty name is for input that is refused as a whole: the error has no field.
    #[must_use]
    pub fn invalid_input(
        field: impl Into<Cow<'static, str>>,
        problem: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (field, problem) = (field.into(), problem.into());
        if field.is_empty() {
            return Self::new(Kind::InvalidInput, problem.clone()).with_public(problem);
        }
        let mut error =
            Self::new(Kind::InvalidInput, format!("{field}: {problem}")).with_public(problem);
        error.0.field = Some(field);
        error
    }

    /// Makes an error for a caller that did not prove who it is.
    #[must_use]
    pub fn unauthorized(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Unauthorized, message)
    }

    /// Makes an error for a caller that is known and may not do this.
    #[must_use]
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Forbidden, message)
    }

    /// Makes an error for a request that contradicts the present state.
    #[must_use]
    pub fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    /// Makes an error for a caller that asks too often.
    #[must_use]
    pub fn rate_limited(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::RateLimited, message)
    }

    /// Makes an error for a bound on waiting that was reached.
    #[must_use]
    pub fn timeout(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Timeout, message)
    }

    /// Makes an error for a caller that went away or asked to stop.
    #[must_use]
    pub fn cancelled(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Cancelled, message)
    }

    /// Sets the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Sets the text that a client may see.
    #[must_use]
    pub fn with_public(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.0.public = Some(message.into());
        self
    }

    /// Sets how long a caller should wait before it tries again.
    ///
    /// Over HTTP and gRPC a client is told at most 2 147 483 647 ms, some 24 days.
    #[must_use]
    pub fn with_retry_after(mut self, delay: Duration) -> Self {
        self.0.retry_after = Some(delay);
        self
    }

    /// Wraps the error in a message that says what was being done; kind, public text, field and
    /// suggested delay move to the outside.
    #[must_use]
    pub fn context(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Repr {
            kind: self.0.kind,
            message: message.into(),
            public: self.0.public.take(),
            field: self.0.field.take(),
            retry_after: self.0.retry_after,
            source: Some(self.into()),
        }))
    }

    /// Wraps a foreign error; a CQI error within it lends its public text, field and delay.
    pub(crate) fn wrap(source: BoxError, message: Cow<'static, str>) -> Self {
        let mut error = Self::new(Kind::of(source.as_ref()), message);
        if let Some(inner) = foreign::find(source.as_ref()) {
            error.0.public.clone_from(&inner.0.public);
            error.0.field.clone_from(&inner.0.field);
            error.0.retry_after = inner.0.retry_after;
        }
        #[cfg(feature = "grpc")]
        if error.0.retry_after.is_none() {
            error.0.retry_after = foreign::chain(source.as_ref())
                .find_map(|error| error.downcast_ref())
                .and_then(crate::grpc::retry_after);
        }
        error.with_source(source)
    }

    /// Changes the kind; a public text written for another kind is dropped.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        if self.0.kind != kind {
            self.0.kind = kind;
            self.0.public = None;
            self.0.field = None;
        }
        self
    }

    /// Returns the kind; the outermost wins.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Returns how long the caller should wait before it tries again, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns the delay that a client is told.
    #[cfg(any(feature = "http", feature = "grpc"))]
    pub(crate) fn told_delay(&self) -> Option<Duration> {
        self.0.retry_after.map(|delay| delay.min(LONGEST_DELAY))
    }

    /// Returns the field of the input that was refused, where there is one.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// Returns the text a client may see: the one given for it, unless the kind is the service's own
    /// failure, whose text is always generic.
    #[must_use]
    pub fn public_message(&self) -> &str {
        let generic = match self.0.kind {
            Kind::Temporary => return "the service is temporarily unavailable",
            Kind::Timeout => return "the service did not answer in time",
            Kind::Permanent | Kind::Unknown => return "internal error",
            Kind::NotFound => "not found",
            Kind::InvalidInput => "invalid input",
            Kind::Unauthorized => "authentication required",
            Kind::Forbidden => "permission denied",
            Kind::Conflict => "conflict with the present state",
            Kind::RateLimited => "too many requests",
            Kind::Cancelled => "the request was cancelled",
        };
        self.0.public.as_deref().unwrap_or(generic)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if f.alternate() {
            let mut said = self.0.message.clone();
            for cause in foreign::chain(self).skip(1) {
                let text = foreign::text(cause);
                if text.trim().is_empty() {
                    continue;
                }
                if !said.ends_with(&text) {
                    f.write_str(match &*said {
                        "" => "",
                        _ if text.starts_with(['\n', '\r']) => ":",
                        _ => ": ",
                    })?;
                    f.write_str(&text)?;
                }
                said = text.into();
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self:#}", self.0.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// Takes a chain apart link by link: dropped as they nest, its links would each take stack.
impl Drop for Repr {
    fn drop(&mut self) {
        let mut next = self.source.take();
        while let Some(source) = next {
            next = source
                .downcast::<Error>()
                .ok()
                .and_then(|mut link| link.0.source.take());
        }
    }
}
