//! Commands to a server, each on a connection of its own, on a thread that may block.

use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use cqi_errors::{Error, Result};

use super::{Address, Reply, resp};
use crate::wait::Deadline;

/// Sends one command and returns what the server says; blocks for `limit` at most.
pub(super) fn command(
    address: &Address,
    arguments: &[impl AsRef<[u8]>],
    limit: Duration,
) -> Result<Reply> {
    let error = match attempt(address, arguments, Deadline::after(limit)) {
        Ok(Reply::Error(text)) => Error::permanent(text),
        Ok(reply) => return Ok(reply),
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                Error::timeout(format!("no answer within {limit:?}"))
            }
            ErrorKind::InvalidData => Error::permanent(error.to_string()),
            _ => Error::temporary("no connection").with_source(error),
        },
    };
    // Not its arguments, which may hold a password.
    let name = arguments.first().map_or(&b""[..], AsRef::as_ref);
    let name = String::from_utf8_lossy(name);
    Err(error.context(format!("run {name} on test server {address:?}")))
}

fn attempt(
    address: &Address,
    arguments: &[impl AsRef<[u8]>],
    deadline: Deadline,
) -> io::Result<Reply> {
    let mut connection = BufReader::new(Connection::open(address, deadline)?);
    let mut ask = |command: Vec<u8>| {
        connection.get_mut().write_all(&command)?;
        resp::read(&mut connection)
    };
    let mut greetings = Vec::new();
    if let Some(password) = &address.password {
        let words = [Some("AUTH"), address.user.as_deref(), Some(password)];
        greetings.push(resp::encode(
            &words.into_iter().flatten().collect::<Vec<_>>(),
        ));
    }
    if address.database > 0 {
        greetings.push(resp::encode(&["SELECT", &address.database.to_string()]));
    }
    for greeting in greetings {
        if let refused @ Reply::Error(_) = ask(greeting)? {
            return Ok(refused);
        }
    }
    ask(resp::encode(arguments))
}

/// A connection whose reads and writes end at the deadline.
struct Connection {
    stream: Stream,
    deadline: Deadline,
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Connection {
    fn open(address: &Address, deadline: Deadline) -> io::Result<Self> {
        let stream = match &address.socket {
            Some(socket) => Stream::Unix(UnixStream::connect(socket)?),
            None => Stream::Tcp(connect(&address.host, address.port, deadline)?),
        };
        Ok(Self { stream, deadline })
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        match self.deadline.remaining() {
            Duration::ZERO => Err(ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

fn connect(host: &str, port: u16, deadline: Deadline) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the host has no address");
    for address in (host, port).to_socket_addrs()? {
        // No zero: that is refused.
        let left = deadline.remaining().max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left()?;
        match &mut self.stream {
            Stream::Unix(stream) => stream
                .set_read_timeout(left)
                .and_then(|()| stream.read(buffer)),
            Stream::Tcp(stream) => stream
                .set_read_timeout(left)
                .and_then(|()| stream.read(buffer)),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left()?;
        match &mut self.stream {
            Stream::Unix(stream) => stream
                .set_write_timeout(left)
                .and_then(|()| stream.write(bytes)),
            Stream::Tcp(stream) => stream
                .set_write_timeout(left)
                .and_then(|()| stream.write(bytes)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use cqi_errors::Kind;

    use super::*;

    /// More than any of these answers takes.
    const LONG: Duration = Duration::from_secs(30);

    /// Serves one connection and returns what a command comes to.
    fn against(limit: Duration, serve: impl FnOnce(TcpStream) + Send) -> Error {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = Address::parse(&format!("redis://user:pw@127.0.0.1:{port}")).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| serve(listener.accept().unwrap().0));
            let error = command(&address, &["GET", "key"], limit);
            error.unwrap_err()
        })
    }

    /// Writes a piece again and again until nobody reads.
    fn repeat(mut stream: TcpStream, piece: &[u8]) {
        while stream.write_all(piece).is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn an_answer_that_does_not_end_is_a_timeout() {
        for piece in [&b"x"[..], b"", b"*2\r\n+OK\r\n"] {
            let error = against(Duration::from_millis(100), |stream| {
                let mut reader = stream.try_clone().unwrap();
                thread::scope(|scope| {
                    scope.spawn(|| io::copy(&mut reader, &mut io::sink()));
                    match piece {
                        b"" => {}
                        piece => repeat(stream, piece),
                    }
                });
            });
            assert_eq!(error.kind(), Kind::Timeout, "{error:#}");
        }
    }

    /// Answers once. What came is read first: a close would otherwise reset the answer away.
    fn answer(mut stream: TcpStream, bytes: &[u8]) {
        let _ = stream.read(&mut [0; 512]).unwrap();
        stream.write_all(bytes).unwrap();
    }

    #[test]
    fn garbage_and_a_cut_are_told_apart() {
        let error = against(LONG, |stream| answer(stream, b"HTTP/1.1 400\r\n"));
        assert_eq!(error.kind(), Kind::Permanent, "{error:#}");
        let error = against(LONG, |stream| answer(stream, b"$5\r\nab"));
        assert_eq!(error.kind(), Kind::Temporary, "{error:#}");
        let error = against(LONG, |stream| answer(stream, b"-WRONGPASS no\r\n"));
        assert_eq!(error.kind(), Kind::Permanent, "{error:#}");
        let message = format!("{error:#}");
        assert!(message.contains("run GET on test server") && message.contains("WRONGPASS"));
        assert!(!message.contains("pw"), "{message}");
    }
}
