//! Lines for a person at a terminal.

use tracing::Level;

use crate::fields::Fields;
use crate::json::{Escape, push_escaped};
use crate::line::rank;
use crate::scope::Scope;
use crate::trace_ids::TraceIds;

/// How events look to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    /// Whether fields, spans and ids get lines of their own.
    pub(crate) tall: bool,
    /// Whether the reader understands ANSI colours.
    pub(crate) coloured: bool,
}

/// What a line is made of besides its message.
pub(crate) struct Parts<'a> {
    pub(crate) timestamp: &'a [u8],
    pub(crate) level: Level,
    pub(crate) target: &'a str,
    pub(crate) message: &'a [u8],
    pub(crate) fields: &'a Fields,
    pub(crate) scope: &'a Scope,
    pub(crate) ids: Option<&'a TraceIds>,
}

const LEVELS: [(&[u8], &[u8]); 5] = [
    (b"ERROR", b"\x1b[31m"),
    (b" WARN", b"\x1b[33m"),
    (b" INFO", b"\x1b[32m"),
    (b"DEBUG", b"\x1b[34m"),
    (b"TRACE", b"\x1b[35m"),
];
const DIM: &[u8] = b"\x1b[2m";
const PLAIN: &[u8] = b"\x1b[0m";

impl Text {
    /// Writes an event: on one line, or what belongs to the message, the spans and the trace on
    /// a line each.
    pub(crate) fn write(self, out: &mut Vec<u8>, parts: &Parts<'_>) {
        let (level, colour) = LEVELS[rank(parts.level)];
        self.paint(out, DIM, |out| out.extend_from_slice(parts.timestamp));
        out.push(b' ');
        self.paint(out, colour, |out| out.extend_from_slice(level));
        out.push(b' ');
        self.paint(out, DIM, |out| {
            push_escaped(out, parts.target, Escape::Text);
            out.push(b':');
        });
        if !parts.message.is_empty() {
            out.push(b' ');
            out.extend_from_slice(parts.message);
        }
        if !parts.fields.as_bytes().is_empty() {
            self.begin(out, b"\n   ");
            out.extend_from_slice(parts.fields.as_bytes());
        }
        if !parts.scope.is_empty() {
            self.begin(out, b"\n    in");
            parts.scope.write(out);
        }
        if let Some(ids) = parts.ids {
            self.begin(out, b"\n   ");
            self.paint(out, DIM, |out| {
                out.extend_from_slice(b" trace_id=");
                ids.write_trace(out);
                out.extend_from_slice(b" span_id=");
                ids.write_span(out);
            });
        }
        out.push(b'\n');
    }

    fn begin(self, out: &mut Vec<u8>, line: &[u8]) {
        if self.tall {
            out.extend_from_slice(line);
        }
    }

    fn paint(self, out: &mut Vec<u8>, colour: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        if self.coloured {
            out.extend_from_slice(colour);
            write(out);
            out.extend_from_slice(PLAIN);
        } else {
            write(out);
        }
    }
}
