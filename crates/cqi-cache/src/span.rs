use cqi_errors::Error;
use tracing::Span;
use tracing::field::Empty;

use crate::backend::Backend;
use crate::call::{Call, Keys};

/// Opens the span of one command, named by OpenTelemetry's conventions for Redis.
///
/// The key is in it as errors show it, values never are.
pub(crate) fn of(call: &Call<'_>, backend: &Backend) -> Span {
    if !tracing::span_enabled!(target: "cqi_cache::command", tracing::Level::DEBUG) {
        return Span::none();
    }
    let Some((host, port)) = backend.server() else {
        return Span::none();
    };
    let command = call.command();
    let span = tracing::debug_span!(
        target: "cqi_cache::command",
        "command",
        otel.name = command,
        otel.kind = "client",
        db.system.name = "redis",
        db.operation.name = command,
        db.operation.batch.size = Empty,
        db.query.text = Empty,
        server.address = host,
        server.port = port,
        error.type = Empty,
        otel.status_code = Empty,
    );
    match call.keys {
        Keys::One(key) => span.record(
            "db.query.text",
            tracing::field::display(format_args!("{command} {key}")),
        ),
        Keys::Many(count @ 2..) => span.record("db.operation.batch.size", count),
        Keys::Many(_) => &span,
    };
    span
}

/// Notes how the command failed.
pub(crate) fn record(span: &Span, error: &Error) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", error.kind().as_str());
}
