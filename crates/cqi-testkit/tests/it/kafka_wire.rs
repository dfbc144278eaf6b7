//! Kafka's protocol by hand, as far as the tests need it.

use std::io::{Error, Result};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Sends one request, and returns what follows the correlation id of the answer.
pub(crate) async fn ask(
    stream: &mut TcpStream,
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
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(&request).await?;
    let answer = async {
        let length = stream.read_u32().await?;
        if stream.read_u32().await? != 7 {
            return Err(Error::other("another request's answer"));
        }
        let mut answer = vec![0; length as usize - 4];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    };
    timeout(Duration::from_secs(20), answer).await?
}

/// Returns ids, hosts and ports of the brokers, as one advertises them.
pub(crate) async fn metadata(address: &str) -> Result<Vec<(i32, String, i32)>> {
    let mut stream = TcpStream::connect(address).await?;
    // Version 1, and no topics.
    let answer = ask(&mut stream, (3, 1), &0_i32.to_be_bytes()).await?;
    let mut answer = answer.as_slice();
    let mut brokers = Vec::new();
    for _ in 0..answer.read_i32().await? {
        let id = answer.read_i32().await?;
        let mut host = vec![0; answer.read_u16().await?.into()];
        answer.read_exact(&mut host).await?;
        let port = answer.read_i32().await?;
        let rack = answer.read_i16().await?;
        assert_eq!(rack, -1);
        brokers.push((id, String::from_utf8(host).map_err(Error::other)?, port));
    }
    Ok(brokers)
}
