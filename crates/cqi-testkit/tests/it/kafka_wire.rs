//! Kafka's protocol by hand, as far as the tests need it.

use std::io::{Error, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Connects, with bounded reads.
pub(crate) fn connect(address: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

/// Sends one request, and returns what follows the correlation id of the answer.
pub(crate) fn ask(
    stream: &mut (impl Read + Write),
    (key, version): (i16, i16),
    body: &[u8],
) -> Result<Vec<u8>> {
    let mut request = Vec::new();
    request.extend(key.to_be_bytes());
    request.extend(version.to_be_bytes());
    request.extend(7_i32.to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    request.extend(body);
    let length = u32::try_from(request.len()).map_err(Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), request.as_slice()].concat())?;
    stream.flush()?;
    let length = read(stream, 4)?;
    if length.starts_with(b"HTTP") || length[0] != 0 {
        return Err(Error::other("not Kafka"));
    }
    let length = usize::from(length[2]) << 8 | usize::from(length[3]);
    let answer = read(stream, length)?;
    match answer.strip_prefix(&7_i32.to_be_bytes()) {
        Some(answer) => Ok(answer.to_vec()),
        None => Err(Error::other("another request's answer")),
    }
}

fn read(stream: &mut impl Read, length: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Returns ids, hosts and ports of the brokers, as one advertises them.
pub(crate) fn metadata(address: &str) -> Result<Vec<(i32, String, i32)>> {
    let mut stream = connect(address)?;
    metadata_of(&mut stream)
}

pub(crate) fn metadata_of(stream: &mut (impl Read + Write)) -> Result<Vec<(i32, String, i32)>> {
    // Version 1, and no topics.
    let answer = ask(stream, (3, 1), &0_i32.to_be_bytes())?;
    let mut answer = answer.as_slice();
    let mut brokers = Vec::new();
    for _ in 0..number(&mut answer)? {
        let id = number(&mut answer)?;
        let host = text(&mut answer)?;
        let port = number(&mut answer)?;
        // No rack.
        read(&mut answer, 2)?;
        brokers.push((id, host, port));
    }
    Ok(brokers)
}

fn number(answer: &mut &[u8]) -> Result<i32> {
    let mut bytes = [0; 4];
    answer.read_exact(&mut bytes)?;
    Ok(i32::from_be_bytes(bytes))
}

fn text(answer: &mut &[u8]) -> Result<String> {
    let mut length = [0; 2];
    answer.read_exact(&mut length)?;
    let bytes = read(answer, u16::from_be_bytes(length).into())?;
    String::from_utf8(bytes).map_err(Error::other)
}

/// Begins to log in; returns the broker's answer to the first message of the mechanism.
pub(crate) fn log_in(
    stream: &mut (impl Read + Write),
    mechanism: &str,
    message: &str,
) -> Result<String> {
    let length = u16::try_from(mechanism.len()).map_err(Error::other)?;
    let handshake = [&length.to_be_bytes(), mechanism.as_bytes()].concat();
    check(&ask(stream, (17, 1), &handshake)?)?;
    let length = u32::try_from(message.len()).map_err(Error::other)?;
    let login = [&length.to_be_bytes(), message.as_bytes()].concat();
    let answer = ask(stream, (36, 0), &login)?;
    check(&answer)?;
    // Code, the message of an error, which is none, and the bytes.
    String::from_utf8(answer[8..].to_vec()).map_err(Error::other)
}

fn check(answer: &[u8]) -> Result<()> {
    match answer {
        [0, 0, ..] => Ok(()),
        [_, code, ..] => Err(Error::other(format!("error code {code}"))),
        _ => Err(Error::other("no code")),
    }
}
