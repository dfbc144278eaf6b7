use bytes::Bytes;
use fastrand::Rng;
use kafka_protocol::protocol::StrBytes;

use crate::records::AbortedTransaction;

/// A value by chance, as an answer of a version can hold it.
pub(crate) trait Draw: Sized {
    fn draw(rng: &mut Rng, version: i16) -> Self;
}

macro_rules! numbers {
    ($($number:ident),*) => {$(
        impl Draw for $number {
            fn draw(rng: &mut Rng, _: i16) -> Self {
                match rng.u8(..8) {
                    0 => -1,
                    1 => 0,
                    2 => Self::MAX,
                    3 => Self::MIN,
                    _ => rng.$number(..),
                }
            }
        }
    )*};
}

numbers!(i16, i32, i64);

impl Draw for bool {
    fn draw(rng: &mut Rng, _: i16) -> Self {
        rng.bool()
    }
}

impl Draw for [u8; 16] {
    fn draw(rng: &mut Rng, _: i16) -> Self {
        rng.u128(..).to_be_bytes()
    }
}

impl Draw for StrBytes {
    fn draw(rng: &mut Rng, _: i16) -> Self {
        let length = length(rng);
        let letters = std::iter::repeat_with(|| ['a', 'Z', '-', 'ß', '🦀'][rng.usize(..5)]);
        Self::from_string(letters.take(length).collect())
    }
}

impl Draw for Bytes {
    fn draw(rng: &mut Rng, _: i16) -> Self {
        let length = length(rng);
        std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
    }
}

impl<T: Draw> Draw for Option<T> {
    fn draw(rng: &mut Rng, version: i16) -> Self {
        rng.bool().then(|| T::draw(rng, version))
    }
}

impl<T: Draw> Draw for Vec<T> {
    fn draw(rng: &mut Rng, version: i16) -> Self {
        // Few hold many, or what is nested would be huge.
        let length = match rng.u8(..50) {
            0 => rng.usize(..200),
            _ => rng.usize(..4),
        };
        (0..length).map(|_| T::draw(rng, version)).collect()
    }
}

impl Draw for AbortedTransaction {
    fn draw(rng: &mut Rng, version: i16) -> Self {
        Self {
            producer_id: Draw::draw(rng, version),
            first_offset: Draw::draw(rng, version),
        }
    }
}

/// Mostly short, now and then one that takes two bytes as a varint.
fn length(rng: &mut Rng) -> usize {
    match rng.u8(..20) {
        0 => rng.usize(..300),
        _ => rng.usize(..8),
    }
}
