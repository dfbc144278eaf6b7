//! Field names as they are written, remembered from event to event.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::json::{self, Escape};
use crate::redact::Redact;

const SLOTS: usize = 64;
/// The longest rendered key that is remembered, in bytes.
const LONGEST: usize = 40;

/// How one logger writes fields.
#[derive(Debug)]
pub(crate) struct Style {
    pub(crate) escape: Escape,
    redact: Redact,
    /// Tells loggers apart, for a thread that logs with several.
    id: u64,
}

impl Style {
    pub(crate) fn new(escape: Escape, redact: &[String]) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            escape,
            redact: Redact::new(redact),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// What a field's name comes to.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    /// The name as it is in the line: no `r#`, and not one of the line's own.
    pub(crate) name: &'static str,
    pub(crate) redacted: bool,
}

/// Remembers rendered keys, so that most are copied in one go. A name is known by its address,
/// since names are static; two that share a slot take turns.
pub(crate) struct Keys {
    slots: [Option<Slot>; SLOTS],
}

#[derive(Clone, Copy)]
struct Slot {
    style: u64,
    source: &'static str,
    key: Key,
    len: usize,
    rendered: [u8; LONGEST],
}

impl Keys {
    pub(crate) const fn new() -> Self {
        Self {
            slots: [None; SLOTS],
        }
    }

    /// Writes `,"name":` or ` name=`.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, source: &'static str, style: &Style) -> Key {
        let slot = &mut self.slots[place(source)];
        if let Some(known) = slot
            && std::ptr::eq(known.source, source)
            && known.style == style.id
        {
            out.extend_from_slice(&known.rendered[..known.len]);
            return known.key;
        }
        let start = out.len();
        let key = render(out, source, style);
        let fresh = &out[start..];
        if fresh.len() <= LONGEST {
            let mut rendered = [0; LONGEST];
            rendered[..fresh.len()].copy_from_slice(fresh);
            *slot = Some(Slot {
                style: style.id,
                source,
                key,
                len: fresh.len(),
                rendered,
            });
        }
        key
    }
}

fn place(source: &'static str) -> usize {
    // Fibonacci hashing: names lie close together.
    let hash = (source.as_ptr().addr() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 58) as usize
}

fn render(out: &mut Vec<u8>, source: &'static str, style: &Style) -> Key {
    let name = unreserved(source.strip_prefix("r#").unwrap_or(source));
    match style.escape {
        Escape::Json => {
            out.extend_from_slice(b",\"");
            json::push_escaped(out, name, Escape::Json);
            out.extend_from_slice(b"\":");
        }
        Escape::Text => {
            out.push(b' ');
            json::push_escaped(out, name, Escape::Text);
            out.push(b'=');
        }
    }
    Key {
        name,
        redacted: style.redact.covers(name),
    }
}

/// Moves a field whose name is one of the line's own keys out of their way.
fn unreserved(name: &'static str) -> &'static str {
    match name {
        "timestamp" => "field.timestamp",
        "level" => "field.level",
        "service_name" => "field.service_name",
        "message" => "field.message",
        "trace_id" => "field.trace_id",
        "span_id" => "field.span_id",
        "target" => "field.target",
        name => name,
    }
}
