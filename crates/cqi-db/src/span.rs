use deadpool::managed::Object;
use tracing::Span;
use tracing::field::Empty;

use crate::error::{Failure, SqlError};
use crate::lifecycle::Lifecycle;
use crate::summary::{summary, words};

/// Opens the span of one request, named by OpenTelemetry's conventions for databases.
///
/// The statement has placeholders where the parameters were; those are never recorded.
pub(crate) fn of(sql: &str, session: Option<&Object<Lifecycle>>) -> Span {
    if !tracing::span_enabled!(target: "cqi_db::query", tracing::Level::DEBUG) {
        return Span::none();
    }
    let Some(peer) = session.map(|session| &session.peer) else {
        return Span::none();
    };
    let summary = summary(sql);
    tracing::debug_span!(
        target: "cqi_db::query",
        "query",
        otel.name = summary,
        otel.kind = "client",
        db.system.name = "postgresql",
        db.namespace = &*peer.database,
        db.operation.name = words(sql).next().unwrap_or_default().to_ascii_uppercase(),
        db.query.summary = summary,
        db.query.text = sql,
        server.address = &*peer.host,
        server.port = peer.port,
        db.response.status_code = Empty,
        error.type = Empty,
        otel.status_code = Empty,
    )
}

/// Notes how the request failed, if it did.
pub(crate) fn record(span: &Span, failure: Option<&Failure>) {
    let Some(failure) = failure else { return };
    span.record("otel.status_code", "ERROR");
    span.record("error.type", failure.error.kind().as_str());
    if let Some(code) = SqlError::of(&failure.error).and_then(SqlError::sqlstate) {
        span.record("db.response.status_code", code);
    }
}
