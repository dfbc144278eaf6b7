//! The fields of a span or an event, rendered once.

/// Rendered fields: `,"name":value` each in JSON, ` name=value` in text. Names are unique.
#[derive(Debug)]
pub(crate) struct Fields {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    name: &'static str,
    start: usize,
    end: usize,
}

impl Fields {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// Makes buffers that most spans fit into.
    pub(crate) fn roomy() -> Self {
        Self {
            bytes: Vec::with_capacity(256),
            entries: Vec::with_capacity(8),
        }
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Takes over the fields of another, in place of its own.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.clear();
        self.bytes.extend_from_slice(&other.bytes);
        self.entries.extend_from_slice(&other.entries);
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let rendered = |entry: &Entry| (entry.name, &self.bytes[entry.start..entry.end]);
        self.entries.iter().map(rendered)
    }

    /// Adds fields, in place of those of the same names.
    pub(crate) fn merge(&mut self, newer: &Self) {
        for (name, rendered) in newer.iter() {
            self.push(|bytes| {
                bytes.extend_from_slice(rendered);
                name
            });
        }
    }

    /// Empties the buffer and keeps no more than so many bytes of it.
    pub(crate) fn trim(&mut self, retained: usize) {
        self.clear();
        self.bytes.shrink_to(retained);
    }

    /// Adds a field that `write` renders, in place of one of its name.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>) -> &'static str) {
        let start = self.bytes.len();
        let name = write(&mut self.bytes);
        let end = self.bytes.len();
        self.entries.push(Entry { name, start, end });
        let newest = self.entries.len() - 1;
        if let Some(older) = self.entries[..newest]
            .iter()
            .position(|entry| entry.name == name)
        {
            let gone = self.entries.remove(older);
            let width = gone.end - gone.start;
            self.bytes.drain(gone.start..gone.end);
            for entry in &mut self.entries[older..] {
                entry.start -= width;
                entry.end -= width;
            }
        }
    }
}
