use std::any::Any;
use std::backtrace::Backtrace;
use std::borrow::Cow;
use std::fmt;

use super::capture::Capture;
use crate::unwind::discard;

/// A panic that a [`RecoverLayer`](crate::RecoverLayer) caught.
///
/// Its text is `panicked in the future at src/main.rs:7:5: index out of bounds`: for operators, never
/// for clients.
#[derive(Debug)]
pub struct Panic {
    place: &'static str,
    message: Cow<'static, str>,
    location: Option<String>,
    backtrace: Option<Backtrace>,
}

impl Panic {
    pub(super) fn new(
        place: &'static str,
        payload: Box<dyn Any + Send>,
        capture: Option<Box<Capture>>,
    ) -> Self {
        let (location, backtrace) = match capture {
            Some(capture) => (capture.location, capture.backtrace),
            None => (None, None),
        };
        Self {
            place,
            message: message(payload),
            location,
            backtrace,
        }
    }

    /// Returns what panicked: `call`, `future` or `body`, whose destructors are meant too, or
    /// `poll_ready`.
    #[must_use]
    pub fn place(&self) -> &'static str {
        self.place
    }

    /// Returns what the panic said, if its payload is text.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns file, line and column; `None` without [`init_panic_hook`](crate::init_panic_hook).
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// Returns the stack at the panic; `None` without [`init_panic_hook`](crate::init_panic_hook),
    /// and where `RUST_BACKTRACE` is `0`.
    #[must_use]
    pub fn backtrace(&self) -> Option<&Backtrace> {
        self.backtrace.as_ref()
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked in the {}", self.place)?;
        if let Some(location) = &self.location {
            write!(f, " at {location}")?;
        }
        write!(f, ": {}", self.message)
    }
}

fn message(payload: Box<dyn Any + Send>) -> Cow<'static, str> {
    if let Some(&text) = payload.downcast_ref::<&'static str>() {
        return text.into();
    }
    match payload.downcast::<String>() {
        Ok(text) => (*text).into(),
        Err(payload) => {
            discard(payload);
            "the payload is no text".into()
        }
    }
}
