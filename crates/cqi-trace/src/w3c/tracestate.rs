use bytes::Bytes;
use http::HeaderValue;

/// The members of a list, as the standard has it.
const MAX_MEMBERS: usize = 32;
/// The characters that are handed on, commas and blanks included: the least that the standard asks for.
const MAX_LENGTH: usize = 512;
/// Longer members are the first to go where a list is too long.
const LONG_MEMBER: usize = 128;
const MAX_PART: usize = 256;

/// Takes over the `tracestate` of a request: as it came where it came in one piece and fits.
///
/// Returns `None` if there is none, if it is empty, and if any part of it is malformed.
pub(crate) fn combine<'a>(values: impl Iterator<Item = Field<'a>>) -> Option<HeaderValue> {
    let mut members = Members::default();
    let mut only = None;
    for (index, field) in values.enumerate() {
        for member in field.bytes().split(|byte| *byte == b',') {
            members.add(super::trim(member))?;
        }
        only = (index == 0).then_some(field);
    }
    if members.count == 0 {
        return None;
    }
    match only {
        Some(field) if field.bytes().len() <= MAX_LENGTH => field.to_value(),
        _ => members.join(),
    }
}

/// One of several values of a header; a [`HeaderValue`] is shared rather than copied.
#[derive(Clone, Copy)]
pub(crate) enum Field<'a> {
    Header(&'a HeaderValue),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    pub(crate) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Header(value) => value.as_bytes(),
            Self::Bytes(value) => value,
        }
    }

    fn to_value(self) -> Option<HeaderValue> {
        match self {
            Self::Header(value) => Some(value.clone()),
            Self::Bytes(value) => HeaderValue::from_bytes(value).ok(),
        }
    }
}

#[derive(Default)]
struct Members<'a> {
    list: [&'a [u8]; MAX_MEMBERS],
    count: usize,
}

impl<'a> Members<'a> {
    /// Adds a member; `None` if it is malformed or one too many. Empty ones are allowed and left out.
    fn add(&mut self, member: &'a [u8]) -> Option<()> {
        if !member.is_empty() {
            *self.list.get_mut(self.count)? = is_member(member).then_some(member)?;
            self.count += 1;
        }
        Some(())
    }

    /// Joins the members, less those that are too much: long ones first, then from the end.
    fn join(&mut self) -> Option<HeaderValue> {
        let list = &mut self.list[..self.count];
        let mut length: usize = list.iter().map(|member| member.len() + 1).sum();
        for least in [LONG_MEMBER, 0] {
            for member in list.iter_mut().rev() {
                if length > MAX_LENGTH + 1 && member.len() > least {
                    length -= member.len() + 1;
                    *member = b"";
                }
            }
        }
        let mut joined = Vec::with_capacity(length);
        for member in list.iter().filter(|member| !member.is_empty()) {
            if !joined.is_empty() {
                joined.push(b',');
            }
            joined.extend_from_slice(member);
        }
        (!joined.is_empty())
            .then(|| HeaderValue::from_maybe_shared(Bytes::from(joined)).ok())
            .flatten()
    }
}

fn is_member(member: &[u8]) -> bool {
    let mut parts = member.split(|byte| *byte == b'=');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(key), Some(value), None) => is_key(key) && is_value(value),
        _ => false,
    }
}

fn is_key(key: &[u8]) -> bool {
    let letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    key.len() <= MAX_PART
        && key.first().is_some_and(letter)
        && key
            .iter()
            .all(|byte| letter(byte) || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@'))
}

fn is_value(value: &[u8]) -> bool {
    let printable = |byte: &u8| matches!(byte, b' '..=b'~');
    (1..=MAX_PART).contains(&value.len()) && value.iter().all(printable)
}
