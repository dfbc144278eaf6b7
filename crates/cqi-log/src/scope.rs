//! The spans around an event.

use crate::fields::Fields;

/// The fields of the spans around an event, less those whose name is used further in.
///
/// Spans are found from the innermost out, so that each knows which names are taken; they are
/// written from the outermost in.
#[derive(Default)]
pub(crate) struct Scope {
    bytes: Vec<u8>,
    names: Vec<&'static str>,
    /// Where each span begins in `bytes`.
    starts: Vec<usize>,
}

impl Scope {
    /// Adds the next span outwards.
    pub(crate) fn add(&mut self, span: &Fields, event: &Fields) {
        self.starts.push(self.bytes.len());
        let inner = self.names.len();
        for (name, rendered) in span.iter() {
            if !event.contains(name) && !self.names[..inner].contains(&name) {
                self.bytes.extend_from_slice(rendered);
                self.names.push(name);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Writes the spans from the outermost in.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut end = self.bytes.len();
        for &start in self.starts.iter().rev() {
            out.extend_from_slice(&self.bytes[start..end]);
            end = start;
        }
    }

    /// Empties the buffer and keeps no more than so many bytes of it.
    pub(crate) fn trim(&mut self, retained: usize) {
        self.names.clear();
        self.starts.clear();
        self.bytes.clear();
        self.bytes.shrink_to(retained);
    }
}
