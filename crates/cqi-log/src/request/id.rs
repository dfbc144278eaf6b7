//! Ids of requests: which of a caller's are taken, and how one is made.

use std::cell::RefCell;
use std::hash::{BuildHasher as _, RandomState};

use bytes::BytesMut;
use http::HeaderValue;

use crate::hex;

/// The longest id that is taken from a caller.
const LONGEST: usize = 64;

/// Ids are cut from a block of this size, of which each takes 36 bytes.
const BLOCK: usize = 4096;

thread_local! {
    static MAKER: RefCell<Option<Maker>> = const { RefCell::new(None) };
}

/// Says whether a caller's id is short and plain enough to be repeated in headers and lines.
pub(super) fn is_valid(id: &[u8]) -> bool {
    let is_plain = |&byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    (1..=LONGEST).contains(&id.len()) && id.iter().all(is_plain)
}

/// Makes an id in the form of a random UUID (version 4 of RFC 9562).
pub(super) fn make() -> HeaderValue {
    MAKER
        .try_with(|maker| {
            let mut maker = maker.try_borrow_mut().ok()?;
            Some(maker.get_or_insert_with(Maker::new).make())
        })
        .ok()
        .flatten()
        // A thread that ends has no place left for it.
        .unwrap_or_else(|| Maker::new().make())
}

/// Makes the ids of one thread.
struct Maker {
    block: BytesMut,
    state: [u64; 2],
}

impl Maker {
    fn new() -> Self {
        // The standard library seeds these from the system's randomness.
        let seed = || RandomState::new().hash_one(0);
        Self {
            block: BytesMut::new(),
            state: [seed(), seed()],
        }
    }

    /// Cuts an id from the block, without a copy. A block that is used up is used again once all
    /// its ids are gone; else a new one is allocated.
    fn make(&mut self) -> HeaderValue {
        let [high, low] = self.state.each_mut().map(next);
        let text = uuid(high & !0xf000 | 0x4000, low & (u64::MAX >> 2) | 1 << 63);
        if self.block.capacity() < text.len() {
            self.block.reserve(BLOCK);
        }
        self.block.extend_from_slice(&text);
        let id = self.block.split().freeze();
        // It is digits and dashes, which every header may hold.
        HeaderValue::from_maybe_shared(id).unwrap_or_else(|_| HeaderValue::from_static("none"))
    }
}

/// Returns the next number of a SplitMix64 generator.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn uuid(high: u64, low: u64) -> [u8; 36] {
    let (high, low) = (hex::digits(high), hex::digits(low));
    let mut text = [b'-'; 36];
    text[..8].copy_from_slice(&high[..8]);
    text[9..13].copy_from_slice(&high[8..12]);
    text[14..18].copy_from_slice(&high[12..]);
    text[19..23].copy_from_slice(&low[..4]);
    text[24..].copy_from_slice(&low[4..]);
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_id_is_written_as_a_uuid() {
        assert_eq!(
            &uuid(0x0123_4567_89ab_4def, 0x8123_4567_89ab_cdef),
            b"01234567-89ab-4def-8123-456789abcdef"
        );
    }

    #[test]
    fn made_ids_are_valid_and_differ() {
        let made: HashSet<_> = (0..10_000).map(|_| make()).collect();
        assert_eq!(made.len(), 10_000);
        for id in made {
            let id = id.as_bytes();
            assert!(is_valid(id) && id.len() == 36);
            assert_eq!(id[14], b'4', "the version");
            assert!(b"89ab".contains(&id[19]), "the variant");
        }
    }

    #[test]
    fn threads_make_ids_of_their_own() {
        let others = std::thread::spawn(|| (0..1_000).map(|_| make()).collect::<HashSet<_>>());
        let others = others.join().unwrap();
        assert!((0..1_000).all(|_| !others.contains(&make())));
    }
}
