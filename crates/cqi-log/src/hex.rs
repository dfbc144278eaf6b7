//! Hexadecimal digits.

/// Writes a number in lower case, eight digits at a time.
pub(crate) fn digits(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    digits[..8].copy_from_slice(&half((number >> 32) as u32));
    digits[8..].copy_from_slice(&half(number as u32));
    digits
}

fn half(number: u32) -> [u8; 8] {
    const ONES: u64 = u64::MAX / 0xff;
    // A byte for each digit.
    let mut spread = u64::from(number);
    spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    spread = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let is_letter = (spread + ONES * 6) >> 4 & ONES;
    let letters = u64::from(b'a' - b'9' - 1);
    (spread + ONES * u64::from(b'0') + is_letter * letters).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn digits_are_those_of_the_standard_library(number: u64) {
            let text = format!("{number:016x}");
            prop_assert_eq!(&digits(number), text.as_bytes());
        }
    }
}
