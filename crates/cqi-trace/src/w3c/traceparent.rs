use cqi_tower::TraceIds;

/// What a `traceparent` of version 00 says, and all that later versions let others read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traceparent {
    pub(crate) ids: TraceIds,
    /// Whether the low seven bytes of the trace id are random; it goes with the trace id, unchanged.
    pub(crate) random: bool,
}

/// The bytes of a `traceparent` of version 00.
pub(crate) const LENGTH: usize = 55;

const SAMPLED: u8 = 1;
const RANDOM: u8 = 2;

impl Traceparent {
    /// Reads `version-trace_id-parent_id-flags`; `None` for anything that the standard has ignored.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let value = super::trim(value);
        let (known, rest) = value.split_at_checked(LENGTH)?;
        let version = hex(&known[..2])?;
        let continued = match (version, rest) {
            (0xff, _) => false,
            (_, []) => true,
            (version, [next, ..]) => version != 0 && *next == b'-',
        };
        if !continued || known[2] != b'-' || known[35] != b'-' || known[52] != b'-' {
            return None;
        }
        let trace_id = hex(&known[3..35])?;
        let span_id = u64::try_from(hex(&known[36..52])?).ok()?;
        let flags = u8::try_from(hex(&known[53..])?).ok()?;
        (trace_id != 0 && span_id != 0).then_some(Self {
            ids: TraceIds {
                trace_id,
                span_id,
                sampled: flags & SAMPLED != 0,
            },
            random: flags & RANDOM != 0,
        })
    }

    /// Writes version 00; flags that it does not know are zero.
    pub(crate) fn render(&self) -> [u8; LENGTH] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&mut text[3..35], self.ids.trace_id);
        write_hex(&mut text[36..52], u128::from(self.ids.span_id));
        let sampled = if self.ids.sampled { SAMPLED } else { 0 };
        let random = if self.random { RANDOM } else { 0 };
        text[54] = b'0' | sampled | random;
        text
    }
}

/// Reads lower-case digits; upper case is refused, as the standard has it.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

fn write_hex(digits: &mut [u8], mut value: u128) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[usize::from(value as u8 & 0xf)];
        value >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_rendered_is_read_back(
            trace_id in 1..=u128::MAX,
            span_id in 1..=u64::MAX,
            sampled: bool,
            random: bool,
        ) {
            let parent = Traceparent { ids: TraceIds { trace_id, span_id, sampled }, random };
            prop_assert_eq!(Traceparent::parse(&parent.render()), Some(parent));
        }

        #[test]
        fn what_is_read_is_what_was_sent(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(parent) = Traceparent::parse(&value) {
                prop_assert!(parent.ids.trace_id != 0 && parent.ids.span_id != 0);
            }
        }
    }
}
