use std::borrow::Cow;

use opentelemetry::Context;
use opentelemetry::trace::{Status, TraceContextExt as _};

use crate::attributes::Attributes;

/// What went wrong with a request.
pub(crate) struct Failure {
    /// The `error.type`: a status, or how the request ended.
    pub(crate) kind: Cow<'static, str>,
    /// Whether somebody should look; a cancelled request is none's fault.
    pub(crate) is_error: bool,
}

/// Ends a span at once, not with the last task inside of it.
pub(crate) fn end(
    context: &Context,
    name: Cow<'static, str>,
    mut attributes: Attributes,
    failure: Option<Failure>,
) {
    let span = context.span();
    span.update_name(name);
    if let Some(failure) = failure {
        attributes.set("error.type", failure.kind);
        if failure.is_error {
            // A description would repeat the status.
            span.set_status(Status::error(""));
        }
    }
    span.set_attributes(attributes);
    span.end();
}
