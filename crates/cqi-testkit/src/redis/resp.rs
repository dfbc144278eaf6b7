//! RESP2, the protocol of Redis, as far as a test needs it.
//!
//! <https://redis.io/docs/latest/develop/reference/protocol-spec/>

use std::io::{self, BufRead, ErrorKind, Read};

/// What a value may weigh: the server's own limit.
const LARGEST: u64 = 512 * 1024 * 1024;

/// How deep arrays may lie in one another.
const DEEPEST: usize = 32;

/// What Redis answered to a command.
///
/// ```
/// use cqi_testkit::Reply;
///
/// let reply = Reply::Array(vec![Reply::Bytes(b"v".to_vec()), Reply::Nil, Reply::Integer(3)]);
/// let [value, missing, count] = reply.array().unwrap() else { unreachable!() };
/// assert_eq!((value.text(), value.bytes()), (Some("v"), Some(&b"v"[..])));
/// assert!(missing.is_nil());
/// assert_eq!(count.integer(), Some(3));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// A short text such as `OK` (a simple string).
    Text(String),
    /// An error that is a part of an array, such as that of one command of a transaction.
    Error(String),
    /// A number.
    Integer(i64),
    /// A value (a bulk string).
    Bytes(Vec<u8>),
    /// No value.
    Nil,
    /// Several replies.
    Array(Vec<Self>),
}

impl Reply {
    /// Returns a short text, or a value that is UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bytes(bytes) => str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Returns the bytes of a value or of a short text.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text.as_bytes()),
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Returns a number.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns the replies that an array holds.
    #[must_use]
    pub fn array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(replies) => Some(replies),
            _ => None,
        }
    }

    /// Returns the text of an error.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Error(text) => Some(text),
            _ => None,
        }
    }

    /// Says whether there is no value.
    #[must_use]
    pub fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }
}

/// Writes a command as an array of its arguments.
pub(super) fn encode(arguments: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut command = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments.iter().map(AsRef::as_ref) {
        command.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        command.extend_from_slice(argument);
        command.extend_from_slice(b"\r\n");
    }
    command
}

/// Reads one reply; what is none is [`ErrorKind::InvalidData`].
pub(super) fn read(from: &mut impl BufRead) -> io::Result<Reply> {
    read_at(from, 0)
}

fn read_at(from: &mut impl BufRead, depth: usize) -> io::Result<Reply> {
    let line = read_line(from)?;
    let Some((kind, rest)) = line.split_at_checked(1) else {
        return Err(invalid("an empty line"));
    };
    Ok(match kind {
        "+" => Reply::Text(rest.to_owned()),
        "-" => Reply::Error(rest.to_owned()),
        ":" => Reply::Integer(rest.parse().map_err(|_| invalid(&line))?),
        "$" | "*" if rest == "-1" => Reply::Nil,
        "$" => Reply::Bytes(read_bytes(from, length(&line, rest)?)?),
        "*" if depth < DEEPEST => {
            let replies = (0..length(&line, rest)?).map(|_| read_at(from, depth + 1));
            Reply::Array(replies.collect::<io::Result<_>>()?)
        }
        _ => return Err(invalid(&line)),
    })
}

fn read_line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    from.take(64 * 1024).read_until(b'\n', &mut line)?;
    match line.strip_suffix(b"\r\n") {
        Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
        None if line.ends_with(b"\n") => Err(invalid(&String::from_utf8_lossy(&line))),
        None => Err(ErrorKind::UnexpectedEof.into()),
    }
}

fn length(line: &str, text: &str) -> io::Result<u64> {
    let length = text.parse().ok().filter(|length| *length <= LARGEST);
    length.ok_or_else(|| invalid(line))
}

fn read_bytes(from: &mut impl BufRead, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Grows with what comes: the length is the word of somebody else.
    from.take(length + 2).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length + 2 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    if !bytes.ends_with(b"\r\n") {
        return Err(invalid("a value without its end"));
    }
    bytes.truncate(bytes.len() - 2);
    Ok(bytes)
}

fn invalid(line: &str) -> io::Error {
    let line: String = line.chars().take(100).collect();
    io::Error::new(
        ErrorKind::InvalidData,
        format!("no reply in RESP2: {line:?}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(bytes: &[u8]) -> io::Result<Reply> {
        read(&mut &*bytes)
    }

    #[test]
    fn a_command_is_binary_safe() {
        assert_eq!(
            encode(&[&b"SET"[..], b"", b"\r\n\0\xff"]),
            b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\n\r\n\0\xff\r\n"
        );
    }

    #[test]
    fn each_kind_of_reply_is_read() {
        let all = b"*7\r\n+OK\r\n-ERR no\r\n:-7\r\n$4\r\n\r\n\0\xff\r\n$-1\r\n*-1\r\n*0\r\n";
        let Reply::Array(replies) = reply(all).unwrap() else {
            panic!("no array")
        };
        let expected = [
            Reply::Text("OK".to_owned()),
            Reply::Error("ERR no".to_owned()),
            Reply::Integer(-7),
            Reply::Bytes(b"\r\n\0\xff".to_vec()),
            Reply::Nil,
            Reply::Nil,
            Reply::Array(Vec::new()),
        ];
        assert_eq!(replies, expected);
        assert_eq!(replies[0].bytes(), Some(&b"OK"[..]));
        assert_eq!(replies[1].error(), Some("ERR no"));
        assert_eq!(
            (replies[3].text(), replies[3].error(), replies[3].integer()),
            (None, None, None)
        );
        assert_eq!(
            (replies[2].text(), replies[2].bytes(), replies[2].array()),
            (None, None, None)
        );
    }

    #[test]
    fn garbage_is_told_and_asks_for_no_memory() {
        let deep = b"*1\r\n".repeat(DEEPEST + 1);
        for garbage in [
            &b"\r\n"[..],
            b"HTTP/1.1 400\r\n",
            b":x\r\n",
            b"$x\r\n",
            b"$-2\r\n",
            b"+OK\n",
            b"$536870913\r\n",
            b"$1\r\nabc",
            "ü\r\n".as_bytes(),
            &deep,
        ] {
            let error = reply(garbage).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        }
        for cut in [
            &b""[..],
            b"+OK",
            b"$500000000\r\nx",
            b"*500000000\r\n:1\r\n",
        ] {
            assert_eq!(
                reply(cut).unwrap_err().kind(),
                ErrorKind::UnexpectedEof,
                "{cut:?}"
            );
        }
    }
}
