//! Values as JSON text, straight into a buffer.

use std::error::Error;
use std::fmt;
use std::iter;

/// The longest text of one value, in bytes before escaping; what is beyond is cut off.
pub(crate) const MAX_VALUE: usize = 1024 * 1024;

/// The most causes of one error that are written.
const MAX_CAUSES: usize = 32;

const CUT: &[u8] = "…[truncated]".as_bytes();
/// Ends a value whose formatter failed.
const FAILED: &[u8] = "…[error]".as_bytes();

/// Which characters an escaped text must not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escape {
    /// What would end a JSON string, a line or a terminal's patience.
    Json,
    /// The same without quotes and backslashes, which a person reads better as they are.
    Text,
}

/// Writes formatted text escaped and bounded, without the quotes around it.
pub(crate) struct Escaped<'a> {
    out: &'a mut Vec<u8>,
    escape: Escape,
    left: usize,
    cut: bool,
}

impl<'a> Escaped<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>, escape: Escape) -> Self {
        Self {
            out,
            escape,
            left: MAX_VALUE,
            cut: false,
        }
    }

    /// Writes a text, and says with an error that the value is full.
    pub(crate) fn push(&mut self, text: &str) -> fmt::Result {
        if self.cut {
            return Err(fmt::Error);
        }
        if text.len() <= self.left {
            self.left -= text.len();
            push_escaped(self.out, text, self.escape);
            return Ok(());
        }
        let end = text.floor_char_boundary(self.left);
        push_escaped(self.out, &text[..end], self.escape);
        self.out.extend_from_slice(CUT);
        self.cut = true;
        Err(fmt::Error)
    }

    /// Writes a value as its formatter prints it; stops when it is full, or with a mark when the
    /// formatter fails.
    pub(crate) fn print(&mut self, value: fmt::Arguments<'_>) {
        if fmt::Write::write_fmt(self, value).is_err() && !self.cut {
            self.out.extend_from_slice(FAILED);
        }
    }

    /// Writes an error and its causes, each once: many errors print their cause themselves.
    pub(crate) fn print_error(&mut self, error: &(dyn Error + 'static)) {
        let start = self.out.len();
        self.print(format_args!("{error}"));
        let causes = iter::successors(error.source(), |cause| (*cause).source());
        for cause in causes.take(MAX_CAUSES) {
            let end = self.out.len();
            self.print(format_args!(": {cause}"));
            let (said, added) = self.out[start..].split_at(end - start);
            if added
                .strip_prefix(b": ")
                .is_some_and(|cause| said.ends_with(cause))
            {
                self.out.truncate(end);
            }
        }
    }
}

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text)
    }
}

/// Writes a string value with its quotes.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let _ = Escaped::new(out, Escape::Json).push(text);
    out.push(b'"');
}

pub(crate) fn i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub(crate) fn u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Writes a number that no JSON reader rounds: as a string where it needs more than 64 bits.
pub(crate) fn i128(out: &mut Vec<u8>, value: i128) {
    match i64::try_from(value) {
        Ok(value) => i64(out, value),
        Err(_) => quoted(out, itoa::Buffer::new().format(value)),
    }
}

/// Writes a number that no JSON reader rounds: as a string where it needs more than 64 bits.
pub(crate) fn u128(out: &mut Vec<u8>, value: u128) {
    match u64::try_from(value) {
        Ok(value) => u64(out, value),
        Err(_) => quoted(out, itoa::Buffer::new().format(value)),
    }
}

/// Writes a number, or the name that Protobuf's JSON gives to what is none.
pub(crate) fn f64(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else if value.is_nan() {
        quoted(out, "NaN");
    } else {
        quoted(out, if value > 0.0 { "Infinity" } else { "-Infinity" });
    }
}

fn quoted(out: &mut Vec<u8>, plain: &str) {
    out.push(b'"');
    out.extend_from_slice(plain.as_bytes());
    out.push(b'"');
}

/// Escapes what JSON forbids, and besides it DEL, the C1 controls and the line separators of
/// Unicode: they are legal in JSON, yet they steer terminals and split lines in some readers.
pub(crate) fn push_escaped(out: &mut Vec<u8>, text: &str, escape: Escape) {
    let bytes = text.as_bytes();
    let mut clean = 0;
    let mut at = 0;
    while let Some(found) = next_suspect(bytes, at) {
        let (code, width) = match bytes[found] {
            b'"' | b'\\' if escape == Escape::Text => (None, 1),
            byte if byte < 0x80 => (Some(u32::from(byte)), 1),
            0xc2 if bytes[found + 1] < 0xa0 => (Some(u32::from(bytes[found + 1])), 2),
            0xe2 if bytes[found + 1] == 0x80 && matches!(bytes[found + 2], 0xa8 | 0xa9) => {
                (Some(0x2000 + u32::from(bytes[found + 2] - 0x80)), 3)
            }
            _ => (None, 1),
        };
        at = found + width;
        if let Some(code) = code {
            out.extend_from_slice(&bytes[clean..found]);
            push_code(out, code);
            clean = at;
        }
    }
    out.extend_from_slice(&bytes[clean..]);
}

fn push_code(out: &mut Vec<u8>, code: u32) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match code {
        0x08 => b"\\b",
        0x09 => b"\\t",
        0x0a => b"\\n",
        0x0c => b"\\f",
        0x0d => b"\\r",
        0x22 => b"\\\"",
        0x5c => b"\\\\",
        _ => {
            let digit = |shift: u32| HEX[(code >> shift) as usize & 0xf];
            out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
            return;
        }
    };
    out.extend_from_slice(short);
}

/// Finds the next byte at or after `from` that may need an escape; chunks of plain text are passed at once.
fn next_suspect(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
        // Without a branch for each byte, so that the compiler compares all of them in one go.
        let is_odd = |byte: u8| !(b' '..0x7f).contains(&byte) | (byte == b'"') | (byte == b'\\');
        if chunk.iter().fold(false, |odd, &byte| odd | is_odd(byte))
            && let Some(offset) = chunk.iter().position(|&byte| is_suspect(byte))
        {
            return Some(at + offset);
        }
        at += chunk.len();
    }
    let rest = bytes.get(at..)?;
    rest.iter()
        .position(|&byte| is_suspect(byte))
        .map(|offset| at + offset)
}

fn is_suspect(byte: u8) -> bool {
    const SUSPECTS: [bool; 256] = {
        let mut suspects = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            suspects[byte] = byte < 0x20 || matches!(byte as u8, b'"' | b'\\' | 0x7f | 0xc2 | 0xe2);
            byte += 1;
        }
        suspects
    };
    SUSPECTS[usize::from(byte)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rendered(text: &str) -> String {
        let mut out = Vec::new();
        string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn strings_survive_a_round_trip(text in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&rendered(&text)).unwrap(), text);
        }

        #[test]
        fn hostile_strings_survive_a_round_trip_on_one_line(
            text in "[\u{0}-\u{22}\\\\/\u{7e}-\u{a1}\u{2027}-\u{202a}é…a😀]{0,40}"
        ) {
            let json = rendered(&text);
            let steers = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
            prop_assert!(!json.contains(steers));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn finite_numbers_survive_a_round_trip(value in any::<f64>()) {
            let mut out = Vec::new();
            f64(&mut out, value);
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok());
            let text = str::from_utf8(&out).unwrap();
            prop_assert!(!value.is_finite() || text.parse() == Ok(value), "{}", text);
        }
    }

    #[test]
    fn a_long_value_is_cut_at_a_character() {
        let json = rendered(&format!("a{}", "é".repeat(MAX_VALUE)));
        let text: String = serde_json::from_str(&json).unwrap();
        assert!(text.ends_with("é…[truncated]"));
        assert_eq!(text.len(), MAX_VALUE - 1 + CUT.len());
    }

    #[test]
    fn a_value_at_the_limit_is_whole() {
        let text = "a".repeat(MAX_VALUE);
        assert_eq!(rendered(&text).len(), MAX_VALUE + 2);
    }

    #[test]
    fn a_value_that_goes_on_at_the_limit_is_marked() {
        let full = "a".repeat(MAX_VALUE);
        let mut out = Vec::new();
        Escaped::new(&mut out, Escape::Json).print(format_args!("{full}{}", "b"));
        assert_eq!(out.len(), MAX_VALUE + CUT.len());
        assert!(out.ends_with(CUT));
    }

    #[test]
    fn numbers_beyond_64_bits_are_strings() {
        let mut out = Vec::new();
        i128(&mut out, -5);
        out.push(b' ');
        i128(&mut out, i128::MIN);
        out.push(b' ');
        u128(&mut out, u128::MAX);
        out.push(b' ');
        u128(&mut out, 7);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "-5 \"-170141183460469231731687303715884105728\" \
             \"340282366920938463463374607431768211455\" 7"
        );
    }

    #[test]
    fn what_is_no_number_has_a_name() {
        for (value, name) in [
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            let mut out = Vec::new();
            f64(&mut out, value);
            assert_eq!(out, name.as_bytes());
        }
    }
}
