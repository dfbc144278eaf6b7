//! The lines of a request.

use std::array;
use std::error::Error as StdError;
use std::panic::{self, AssertUnwindSafe};

use cqi_tower::{Ending, GrpcStatus, Outcome, Protocol, RequestInfo};
use http::HeaderName;
use tracing::field::{Field, Value, display};
use tracing::{Event, Level, Span, info_span};

use super::callsite::Site;
use super::headers::{Chosen, Text, Values};

/// The target of all that is logged of requests, for directives of `log.level`.
pub(super) const TARGET: &str = "cqi_log::request";

/// The most headers that can be chosen, of requests and responses together.
pub(super) const MOST_HEADERS: usize = 16;

const LONGEST_PATH: usize = 512;
const LONGEST_METHOD: usize = 32;

/// The fields of the line at the end, but for the headers.
const FIELDS: [&str; 12] = [
    "message",
    "method",
    "route",
    "path",
    "status",
    "grpc_method",
    "grpc_status",
    "duration_ms",
    "request_bytes",
    "response_bytes",
    "ending",
    "error",
];

/// The fields of the line at the start.
const STARTED: [&str; 3] = ["message", "method", "path"];

/// What one layer logs of each request; it lives as long as the process, since `tracing` asks that of
/// the names of fields.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) id_header: HeaderName,
    pub(super) request_headers: Vec<Chosen>,
    pub(super) response_headers: Vec<Chosen>,
    start: Place,
    error: Place,
    info: Place,
}

#[derive(Debug)]
struct Place {
    site: &'static Site,
    fields: Vec<Field>,
}

impl Place {
    fn leak(level: Level, names: &'static [&'static str]) -> Self {
        let site = Site::leak(TARGET, level, names);
        let fields = site.known().fields().iter().collect();
        Self { site, fields }
    }
}

impl Lines {
    pub(super) fn leak(
        id_header: HeaderName,
        request_headers: Vec<Chosen>,
        response_headers: Vec<Chosen>,
    ) -> &'static Self {
        let named = |side: &str, header: &Chosen| -> &'static str {
            format!("{side}.{}", header.as_str()).leak()
        };
        let request = request_headers
            .iter()
            .map(|chosen| named("request_header", chosen));
        let response = response_headers
            .iter()
            .map(|chosen| named("response_header", chosen));
        let names: Vec<_> = FIELDS.into_iter().chain(request).chain(response).collect();
        let names = names.leak();
        Box::leak(Box::new(Self {
            id_header,
            request_headers,
            response_headers,
            start: Place::leak(Level::DEBUG, &STARTED),
            error: Place::leak(Level::ERROR, names),
            info: Place::leak(Level::INFO, names),
        }))
    }

    /// Makes the span of a request.
    pub(super) fn span(request_id: &str) -> Span {
        info_span!(target: TARGET, "request", request_id)
    }

    /// Logs that a request has come.
    pub(super) fn start(&self, info: &RequestInfo) {
        let Place { site, fields } = &self.start;
        if let [message, method, path] = &fields[..]
            && site.is_enabled()
        {
            let (text, cut_method, cut_path) =
                ("request started", self::method(info), self::path(info));
            let (cut_method, cut_path) = (display(cut_method), display(cut_path));
            let values: [(&Field, Option<&dyn Value>); 3] = [
                (message, Some(&text)),
                (method, Some(&cut_method)),
                (path, Some(&cut_path)),
            ];
            let metadata = site.known();
            let values = metadata.fields().value_set(&values);
            Event::child_of(info.span(), metadata, &values);
        }
    }

    /// Logs how a request ended.
    pub(super) fn end(&self, outcome: &Outcome<'_>, headers: &Values) {
        let place = if outcome.is_server_error() {
            &self.error
        } else {
            &self.info
        };
        if !place.site.is_enabled() {
            return;
        }
        let error = outcome.error.filter(|_| outcome.is_server_error());
        let Some(error) = error else {
            return place.write(outcome, headers, None);
        };
        // What an error prints may come from anywhere. A panic of it takes the error from the line,
        // not the line from the request or the request from its client.
        let whole = AssertUnwindSafe(|| place.write(outcome, headers, Some(error)));
        if panic::catch_unwind(whole).is_err() && place.site.is_enabled() {
            place.write(outcome, headers, None);
        }
    }
}

impl Place {
    fn write(&self, outcome: &Outcome<'_>, headers: &Values, error: Option<&cqi_errors::Error>) {
        let request = outcome.request;
        let (method, path) = (request.method().as_str(), request.path());
        let (cut_method, cut_path) = (display(self::method(request)), display(self::path(request)));
        // The router's template of a gRPC service says less than the method.
        let route = request
            .route()
            .filter(|_| request.protocol() == Protocol::Http);
        let status = outcome.status().as_u16();
        let grpc_method = outcome.grpc_method();
        let grpc_status = outcome.grpc().map(GrpcStatus::as_str);
        let duration_ms = outcome.elapsed.as_micros() as f64 / 1e3;
        let ending = (outcome.ending != Ending::Complete).then(|| outcome.ending.as_str());
        let error = error.map(|error| error as &(dyn StdError + 'static));
        let mut texts = [const { None }; MOST_HEADERS];
        for (text, value) in texts.iter_mut().zip(headers.iter()) {
            *text = value.map(display);
        }

        let fixed: [&dyn Value; FIELDS.len()] = [
            &"request",
            if method.len() > LONGEST_METHOD {
                &cut_method
            } else {
                &method
            },
            &route,
            if path.len() > LONGEST_PATH {
                &cut_path
            } else {
                &path
            },
            &status,
            &grpc_method,
            &grpc_status,
            &duration_ms,
            &outcome.request_size,
            &outcome.response_size,
            &ending,
            &error,
        ];
        let values: [(&Field, Option<&dyn Value>); FIELDS.len() + MOST_HEADERS] =
            array::from_fn(|index| {
                let Some(field) = self.fields.get(index) else {
                    return (&self.fields[0], None);
                };
                let value = match fixed.get(index) {
                    Some(value) => *value,
                    None => &texts[index - FIELDS.len()],
                };
                (field, Some(value))
            });
        let metadata = self.site.known();
        Event::dispatch(metadata, &metadata.fields().value_set(&values));
    }
}

fn method(info: &RequestInfo) -> Text<'_> {
    Text::new(info.method().as_str().as_bytes(), LONGEST_METHOD)
}

fn path(info: &RequestInfo) -> Text<'_> {
    Text::new(info.path().as_bytes(), LONGEST_PATH)
}
