//! One connection of a client's to one of the brokers.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::answer;
use super::reply::Reply;
use super::script::{Request, Script};
use super::turn::{Asked, Login, World};

/// The longest request that is read.
const LONGEST: usize = 64 << 20;

/// The length of a frame's length and of a correlation id.
const WORD: usize = 4;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) world: Arc<World>,
    pub(super) script: Arc<Mutex<Script>>,
    pub(super) node: i32,
    pub(super) number: u64,
    pub(super) start: Instant,
}

/// What becomes of the connection.
enum Next {
    Read,
    Mute,
    Close,
}

impl Connection {
    /// Answers requests in order, one at a time, as a broker does.
    pub(super) async fn run(self, mut stream: TcpStream) {
        // A client that goes away ends it like any other failure.
        let _ = self.serve(&mut stream).await;
    }

    async fn serve(&self, stream: &mut TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut login = Login::default();
        let mut is_mute = false;
        loop {
            let frame = read(stream).await?;
            let asked = Asked::read(frame).ok_or(io::ErrorKind::InvalidData)?;
            let reply = self.note(&asked, is_mute);
            if is_mute {
                continue;
            }
            match self.obey(stream, &asked, reply, &mut login).await? {
                Next::Read => {}
                Next::Mute => is_mute = true,
                Next::Close => return Ok(()),
            }
        }
    }

    /// Decides how to answer, and writes it down.
    fn note(&self, asked: &Asked, is_mute: bool) -> Reply {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        let reply = match is_mute {
            true => Reply::Silence,
            false => script.reply(asked.api),
        };
        script.record(Request {
            api: asked.api,
            version: asked.version,
            client_id: asked.client_id.clone(),
            node: self.node,
            connection: self.number,
            at: self.start.elapsed(),
            reply,
        });
        reply
    }

    async fn obey(
        &self,
        stream: &mut TcpStream,
        asked: &Asked,
        reply: Reply,
        login: &mut Login,
    ) -> io::Result<Next> {
        match reply {
            Reply::Silence => return Ok(Next::Mute),
            Reply::Close => return Ok(Next::Close),
            Reply::Reset => {
                stream.set_zero_linger()?;
                return Ok(Next::Close);
            }
            Reply::Delay(pause) => tokio::time::sleep(pause).await,
            _ => {}
        }
        let Some(answer) = answer::answer(asked, &self.world, login, self.node, reply).await else {
            return Ok(Next::Close);
        };
        if let Reply::Late(pause) = reply {
            tokio::time::sleep(pause).await;
        }
        let frame = frame(&answer, asked, reply);
        match reply {
            Reply::DoneButClose => return Ok(Next::Close),
            Reply::CloseAfterBytes(count) => {
                stream.write_all(&frame[..count.min(frame.len())]).await?;
                return Ok(Next::Close);
            }
            Reply::StallAfterBytes(count) => {
                stream.write_all(&frame[..count.min(frame.len())]).await?;
                return Ok(Next::Mute);
            }
            _ => stream.write_all(&frame).await?,
        }
        Ok(Next::Read)
    }
}

async fn read(stream: &mut TcpStream) -> io::Result<Bytes> {
    let length = usize::try_from(stream.read_i32().await?);
    let length = length.ok().filter(|length| *length <= LONGEST);
    let mut frame = vec![0; length.ok_or(io::ErrorKind::InvalidData)?];
    stream.read_exact(&mut frame).await?;
    Ok(frame.into())
}

/// Makes a frame of an answer, with the faults that were asked for.
fn frame(answer: &[u8], asked: &Asked, reply: Reply) -> Bytes {
    let mut answer = BytesMut::from(answer);
    let header = WORD + usize::from(asked.api.tags_answers(asked.version));
    match reply {
        Reply::Truncated(body) => answer.truncate(header + body),
        Reply::Padded(count) => answer.put_bytes(0, count),
        Reply::WrongCorrelationId => {
            let id = asked.correlation_id.wrapping_add(1_000_003);
            answer[..WORD].copy_from_slice(&id.to_be_bytes());
        }
        Reply::Garbage(seed) => {
            let mut random = Random(seed);
            answer.truncate(header);
            let length = random.below(300);
            answer.extend((0..length).map(|_| random.byte()));
        }
        Reply::Corrupt(seed) => {
            let mut random = Random(seed);
            let body = answer.len().saturating_sub(header);
            for _ in 0..=random.below(3) {
                if body > 0 {
                    answer[header + random.below(body)] = random.byte();
                }
            }
        }
        _ => {}
    }
    let length = match reply {
        Reply::Length(length) => length,
        _ => i32::try_from(answer.len()).unwrap_or(i32::MAX),
    };
    [&length.to_be_bytes(), &answer[..]].concat().into()
}

/// Steele's and Vigna's SplitMix64: the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit.max(1) as u64)).unwrap_or_default()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}
