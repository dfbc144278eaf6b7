//! Zig-zag variable-length integers, as in Protocol Buffers: "Protocol Primitive Types", VARINT and
//! VARLONG.

/// The longest VARLONG.
const MAX_LEN: usize = 10;

/// Bytes being read from the front; every read is `None` past the end or on a malformed number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Where the next read starts.
    pub(super) const fn position(&self) -> usize {
        self.at
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Option<i32> {
        i32::try_from(self.varlong()?).ok()
    }

    /// Reads a length that is -1 (`Some(None)`) or at most `i32::MAX`.
    #[inline]
    pub(super) fn nullable_len(&mut self) -> Option<Option<usize>> {
        match self.varint()? {
            -1 => Some(None),
            len => usize::try_from(len).ok().map(Some),
        }
    }

    #[inline]
    pub(super) fn varlong(&mut self) -> Option<i64> {
        let first = self.byte()?;
        if first < 0x80 {
            return Some(unzigzag(u64::from(first)));
        }
        self.long_tail(u64::from(first & 0x7f))
    }

    fn long_tail(&mut self, first: u64) -> Option<i64> {
        let mut value = first;
        for index in 1..MAX_LEN {
            let byte = self.byte()?;
            // The tenth byte has room for one bit.
            if index == MAX_LEN - 1 && byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Some(unzigzag(value));
            }
        }
        None
    }
}

#[inline]
const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

#[inline]
const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// How many bytes [`put`] writes.
#[inline]
pub(super) const fn len(value: i64) -> usize {
    let bits = u64::BITS - (zigzag(value) | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

#[inline]
pub(super) fn put(out: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_overlong_number_is_refused() {
        assert_eq!(Reader::new(&[0xff; 11], 0).varlong(), None);
        assert_eq!(Reader::new(&[0x80; 9], 0).varlong(), None);
        // 2^32 is no VARINT
        let mut out = Vec::new();
        put(&mut out, 1 << 32);
        assert_eq!(Reader::new(&out, 0).varint(), None);
    }

    proptest! {
        #[test]
        fn a_number_comes_back_in_the_announced_length(value: i64) {
            let mut out = Vec::new();
            put(&mut out, value);
            prop_assert_eq!(out.len(), len(value));
            let mut reader = Reader::new(&out, 0);
            prop_assert_eq!(reader.varlong(), Some(value));
            prop_assert!(reader.is_empty());
        }
    }
}
