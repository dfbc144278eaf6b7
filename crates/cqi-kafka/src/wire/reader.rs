use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;

use super::field::Field;

/// Reads the protocol's types off a frame, without copying, and without believing what it says.
#[derive(Debug)]
pub(crate) struct Reader {
    frame: Bytes,
    at: usize,
    end: usize,
    version: i16,
    flexible: bool,
    /// How much memory the elements of arrays may still take.
    room: usize,
    /// What is being read, for the message when it cannot be.
    field: &'static str,
}

/// Why a field cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// It goes on after the frame's last byte.
    Short,
    /// Its length is negative, or longer than a varint may be.
    Length,
    /// It is null, which the protocol does not allow there.
    Null,
    /// It is no UTF-8.
    Utf8,
    /// It takes more memory than an answer may.
    Room,
}

impl Malformed {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Short => "does not fit into what is left of the frame",
            Self::Length => "has an impossible length",
            Self::Null => "is null",
            Self::Utf8 => "is not UTF-8",
            Self::Room => "takes more memory, once read, than `max_frame_bytes`",
        }
    }
}

impl Reader {
    /// Begins with the frame's first byte; flexible versions have compact lengths and tagged fields. The
    /// elements of arrays may take so much memory in all, beside the frame.
    pub(crate) const fn new(frame: Bytes, version: i16, flexible: bool, room: usize) -> Self {
        let end = frame.len();
        Self {
            frame,
            at: 0,
            end,
            version,
            flexible,
            room,
            field: "",
        }
    }

    /// Goes on as in another version of the same answer.
    pub(crate) const fn switch_to(&mut self, version: i16, flexible: bool) {
        self.version = version;
        self.flexible = flexible;
    }

    /// Where reading stands: the field's name and the byte.
    pub(crate) const fn position(&self) -> (&'static str, usize) {
        (self.field, self.at)
    }

    /// Reads a field, or takes its default where the version lacks it.
    pub(crate) fn field<T: Field + Default>(
        &mut self,
        name: &'static str,
        since: i16,
    ) -> Result<T, Malformed> {
        if self.version < since {
            return Ok(T::default());
        }
        self.field = name;
        T::read(self)
    }

    pub(crate) const fn len(&self) -> usize {
        self.frame.len()
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let range = self.advance(N)?;
        self.frame
            .get(range)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(Malformed::Short)
    }

    /// The next bytes, without a step.
    pub(crate) fn peek<const N: usize>(&self) -> Option<[u8; N]> {
        self.frame.get(self.at..self.end)?.first_chunk().copied()
    }

    pub(crate) fn unsigned_varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0x0f {
                return Err(Malformed::Length);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed::Length)
    }

    pub(crate) fn nullable_string(&mut self) -> Result<Option<StrBytes>, Malformed> {
        let length = if self.flexible {
            self.compact_length()?
        } else {
            length(i16::from_be_bytes(self.array()?).into())?
        };
        length
            .map(|length| {
                let range = self.advance(length)?;
                StrBytes::from_utf8(self.frame.slice(range)).map_err(|_| Malformed::Utf8)
            })
            .transpose()
    }

    pub(crate) fn nullable_bytes(&mut self) -> Result<Option<Bytes>, Malformed> {
        self.length()?
            .map(|length| {
                let range = self.advance(length)?;
                Ok(self.frame.slice(range))
            })
            .transpose()
    }

    /// Takes no more memory than as many elements need as the bytes that are left could hold.
    pub(crate) fn nullable_array<T: Field>(&mut self) -> Result<Option<Vec<T>>, Malformed> {
        let Some(count) = self.length()? else {
            return Ok(None);
        };
        if count > self.left() / T::least(self.flexible) {
            return Err(Malformed::Short);
        }
        // Elements without content take a few bytes of a frame and many times that in memory.
        let size = count.saturating_mul(size_of::<T>());
        self.room = self.room.checked_sub(size).ok_or(Malformed::Room)?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(T::read(self)?);
        }
        Ok(Some(elements))
    }

    /// Ends a structure of a flexible version: calls for each tagged field, which may leave it unread.
    pub(crate) fn tagged_fields(
        &mut self,
        mut read: impl FnMut(&mut Self, u32) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        if !self.flexible {
            return Ok(());
        }
        self.field = "tagged fields";
        for _ in 0..self.unsigned_varint()? {
            let tag = self.unsigned_varint()?;
            let size = self.compact_size()?;
            let value = self.advance(size)?;
            let end = self.end;
            (self.at, self.end) = (value.start, value.end);
            read(self, tag)?;
            (self.at, self.end) = (value.end, end);
        }
        Ok(())
    }

    fn length(&mut self) -> Result<Option<usize>, Malformed> {
        if self.flexible {
            self.compact_length()
        } else {
            length(i32::from_be_bytes(self.array()?))
        }
    }

    fn compact_length(&mut self) -> Result<Option<usize>, Malformed> {
        Ok(self.compact_size()?.checked_sub(1))
    }

    fn compact_size(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.unsigned_varint()?).map_err(|_| Malformed::Length)
    }

    fn advance(&mut self, count: usize) -> Result<std::ops::Range<usize>, Malformed> {
        if count > self.left() {
            return Err(Malformed::Short);
        }
        let start = self.at;
        self.at += count;
        Ok(start..self.at)
    }

    const fn left(&self) -> usize {
        self.end - self.at
    }
}

/// A length as the versions before the flexible ones have it: -1 for null.
fn length(length: i32) -> Result<Option<usize>, Malformed> {
    match length {
        -1 => Ok(None),
        length => usize::try_from(length)
            .map(Some)
            .map_err(|_| Malformed::Length),
    }
}
