//! The little of Redis' protocol (RESP2) that the lane speaks.

use bytes::{Buf, Bytes, BytesMut};

/// What the server says to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::redis) enum Reply {
    /// `+OK` and the like.
    Text,
    Bulk(Bytes),
    Null,
    /// A refusal; the whole line.
    Error(Bytes),
}

/// What is at the begin of what was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Reply(Reply),
    /// At least so many more bytes are needed.
    Needs(usize),
    /// No reply that the lane can have asked for, or one too long.
    Garbage,
}

/// A line is a status or an error, which are short.
const LONGEST_LINE: usize = 8 * 1024;

/// Takes one reply off the begin of the input; a bulk's bytes are not copied.
pub(super) fn parse(input: &mut BytesMut, longest: usize) -> Parsed {
    let Some(end) = input.iter().position(|&byte| byte == b'\n') else {
        return match input.len() {
            0..LONGEST_LINE => Parsed::Needs(1),
            _ => Parsed::Garbage,
        };
    };
    let Some((&kind, line)) = input[..end]
        .strip_suffix(b"\r")
        .and_then(<[u8]>::split_first)
    else {
        return Parsed::Garbage;
    };
    match kind {
        b'+' => {
            input.advance(end + 1);
            Parsed::Reply(Reply::Text)
        }
        b'-' => {
            let line = Bytes::copy_from_slice(line);
            input.advance(end + 1);
            Parsed::Reply(Reply::Error(line))
        }
        b'$' if line == b"-1" => {
            input.advance(end + 1);
            Parsed::Reply(Reply::Null)
        }
        b'$' => match number(line).filter(|&length| length <= longest) {
            Some(length) => bulk(input, end + 1, length),
            None => Parsed::Garbage,
        },
        _ => Parsed::Garbage,
    }
}

fn bulk(input: &mut BytesMut, begin: usize, length: usize) -> Parsed {
    let end = begin + length;
    if let Some(missing) = (end + 2).checked_sub(input.len()).filter(|&n| n > 0) {
        return Parsed::Needs(missing);
    }
    if input[end..end + 2] != *b"\r\n" {
        return Parsed::Garbage;
    }
    input.advance(begin);
    let bytes = input.split_to(length).freeze();
    input.advance(2);
    Parsed::Reply(Reply::Bulk(bytes))
}

/// Nine digits are enough for 512 MiB, the longest string of Redis.
fn number(digits: &[u8]) -> Option<usize> {
    if !(1..=9).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = |sum, &digit: &u8| sum * 10 + usize::from(digit - b'0');
    Some(digits.iter().fold(0, value))
}

/// Appends a command.
pub(super) fn command(output: &mut Vec<u8>, parts: &[&[u8]]) {
    length(output, b'*', parts.len());
    for part in parts {
        length(output, b'$', part.len());
        output.extend_from_slice(part);
        output.extend_from_slice(b"\r\n");
    }
}

fn length(output: &mut Vec<u8>, kind: u8, length: usize) {
    output.push(kind);
    output.extend_from_slice(Decimal::new(length as u64).as_bytes());
    output.extend_from_slice(b"\r\n");
}

/// A number as the protocol writes it.
pub(super) struct Decimal {
    digits: [u8; 20],
    begin: usize,
}

impl Decimal {
    pub(super) fn new(mut number: u64) -> Self {
        let mut digits = [b'0'; 20];
        let mut begin = digits.len();
        loop {
            begin -= 1;
            digits[begin] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return Self { digits, begin };
            }
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.digits[self.begin..]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(input: &[u8]) -> (Parsed, usize) {
        let mut input = BytesMut::from(input);
        let parsed = parse(&mut input, 100);
        (parsed, input.len())
    }

    #[test]
    fn replies() {
        let bulk =
            |text: &'static str| Parsed::Reply(Reply::Bulk(Bytes::from_static(text.as_bytes())));
        for (input, reply, left) in [
            ("+OK\r\n+", Parsed::Reply(Reply::Text), 1),
            ("$-1\r\n", Parsed::Reply(Reply::Null), 0),
            ("$0\r\n\r\n", bulk(""), 0),
            ("$3\r\na\r\n\r\n$", bulk("a\r\n"), 1),
            ("$3\r\nabc\r", Parsed::Needs(1), 8),
            ("$100\r\n", Parsed::Needs(102), 6),
            ("$10", Parsed::Needs(1), 3),
            ("", Parsed::Needs(1), 0),
        ] {
            assert_eq!(parsed(input.as_bytes()), (reply, left), "{input:?}");
        }
        let error = Reply::Error(Bytes::from_static(b"OOM command not allowed"));
        assert_eq!(
            parsed(b"-OOM command not allowed\r\n"),
            (Parsed::Reply(error), 0)
        );
    }

    #[test]
    fn what_is_no_reply_is_garbage() {
        for input in [
            "\r\n",
            "\n",
            "+OK\n",
            "HTTP/1.1 400\r\n",
            ":1\r\n",
            "*1\r\n",
            "$\r\n",
            "$-2\r\n",
            "$+1\r\n",
            "$101\r\n",
            "$9999999999999999999999\r\n",
            "$1\r\nabc",
            "$0\r\nab",
            ">2\r\n",
        ] {
            assert_eq!(parsed(input.as_bytes()).0, Parsed::Garbage, "{input:?}");
        }
        assert_eq!(parsed(&[b'+'; LONGEST_LINE]).0, Parsed::Garbage);
    }

    #[test]
    fn commands() {
        let mut output = Vec::new();
        command(
            &mut output,
            &[b"SET", b"k:1", b"", Decimal::new(u64::MAX).as_bytes()],
        );
        let expected = "*4\r\n$3\r\nSET\r\n$3\r\nk:1\r\n$0\r\n\r\n$20\r\n18446744073709551615\r\n";
        assert_eq!(String::from_utf8(output).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_a_verdict(input: Vec<u8>, longest in 0..50_usize) {
            let mut input = BytesMut::from(&input[..]);
            while let Parsed::Reply(_) = parse(&mut input, longest) {}
        }

        #[test]
        fn replies_may_come_in_any_pieces(bodies: Vec<Vec<u8>>, cut in 1..20_usize) {
            let mut sent = Vec::new();
            for body in &bodies {
                length(&mut sent, b'$', body.len());
                sent.extend_from_slice(body);
                sent.extend_from_slice(b"\r\n");
            }
            let mut input = BytesMut::new();
            let mut got = Vec::new();
            for piece in sent.chunks(cut) {
                input.extend_from_slice(piece);
                while let Parsed::Reply(Reply::Bulk(body)) = parse(&mut input, 1_000) {
                    got.push(body.to_vec());
                }
            }
            prop_assert_eq!(got, bodies);
        }

        #[test]
        fn decimals_are_those_of_std(number: u64) {
            let decimal = Decimal::new(number);
            let text = String::from_utf8_lossy(decimal.as_bytes());
            prop_assert_eq!(text, number.to_string());
        }
    }
}
