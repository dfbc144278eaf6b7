//! RFC 3339 in UTC with microseconds, the date rendered once a second.

use std::time::{SystemTime, UNIX_EPOCH};

/// The length of `2026-11-23T09:08:07.123456Z`.
const LEN: usize = 27;

/// A rendered timestamp that keeps what does not change within a second.
pub(crate) struct Timestamp {
    second: u64,
    text: [u8; LEN],
}

impl Timestamp {
    pub(crate) const fn new() -> Self {
        Self {
            second: 0,
            text: *b"1970-01-01T00:00:00.000000Z",
        }
    }

    /// Renders the present time.
    #[expect(
        clippy::disallowed_methods,
        reason = "a person reads when a line was written"
    )]
    pub(crate) fn now(&mut self) -> &[u8; LEN] {
        // A clock before 1970 is wrong anyway; the line still has a timestamp.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.at(since.as_secs(), since.subsec_micros())
    }

    fn at(&mut self, second: u64, micros: u32) -> &[u8; LEN] {
        if second != self.second {
            self.second = second;
            let (year, month, day) = civil(second / 86_400);
            let of_day = (second % 86_400) as u32;
            digits(&mut self.text[0..4], year);
            digits(&mut self.text[5..7], month);
            digits(&mut self.text[8..10], day);
            digits(&mut self.text[11..13], of_day / 3600);
            digits(&mut self.text[14..16], of_day / 60 % 60);
            digits(&mut self.text[17..19], of_day % 60);
        }
        digits(&mut self.text[20..26], micros);
        &self.text
    }
}

fn digits(out: &mut [u8], mut value: u32) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Turns days since 1970-01-01 into year, month and day of the Gregorian calendar, after Howard
/// Hinnant's `civil_from_days`: years begin in March, so that the leap day is the last.
fn civil(days: u64) -> (u32, u32, u32) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year as u32, month as u32, day as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64, micros: u32) -> String {
        String::from_utf8(Timestamp::new().at(second, micros).to_vec()).unwrap()
    }

    #[test]
    fn known_instants() {
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(at(951_782_399, 999_999), "2000-02-28T23:59:59.999999Z");
        assert_eq!(at(951_782_400, 1), "2000-02-29T00:00:00.000001Z");
        assert_eq!(at(1_000_000_000, 0), "2001-09-09T01:46:40.000000Z");
        assert_eq!(at(4_107_542_399, 0), "2100-02-28T23:59:59.000000Z");
        assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000000Z");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let length = |year: u32, month: u32| match month {
            2 if year.is_multiple_of(4)
                && (!year.is_multiple_of(100) || year.is_multiple_of(400)) =>
            {
                29
            }
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let mut expected = (1970, 1, 1);
        for days in 0..200_000 {
            assert_eq!(civil(days), expected);
            let (year, month, day) = expected;
            expected = if day < length(year, month) {
                (year, month, day + 1)
            } else if month < 12 {
                (year, month + 1, 1)
            } else {
                (year + 1, 1, 1)
            };
        }
    }

    #[test]
    fn the_cached_second_is_renewed() {
        let mut timestamp = Timestamp::new();
        timestamp.at(1_000_000_000, 5);
        assert_eq!(
            timestamp.at(1_000_000_000, 6)[..],
            *b"2001-09-09T01:46:40.000006Z"
        );
        assert_eq!(
            timestamp.at(1_000_000_001, 7)[..],
            *b"2001-09-09T01:46:41.000007Z"
        );
    }
}
