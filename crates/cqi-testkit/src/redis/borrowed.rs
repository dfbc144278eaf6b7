//! A part of a server that somebody else runs.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use cqi_errors::{Error, Result, ResultExt};

use super::{Address, COMMAND, Reply, client};
use crate::discovery::{REDIS, on_path};
use crate::supervisor::{Supervisor, token};
use crate::{run, wait};

/// How long a test may wait for a database that no other has.
const FREE: Duration = Duration::from_secs(30);

/// How long dropping a handle may wait for the server.
const REMOVAL: Duration = Duration::from_secs(5);

/// For how many seconds a database is kept for a test that does not say that it is done.
const KEPT: &str = "3600";

/// The set of the databases that tests have, and what the names of their claims begin with.
const TAKEN: &str = "cqi-testkit:databases";

/// A logical database of a server, for one test.
pub(super) struct Database {
    server: Address,
    number: u32,
    /// Keeps for the other tests of the run what was found out about docker compose.
    _run: Option<Supervisor>,
}

impl Database {
    /// Takes a database of the server that somebody runs for the tests, if somebody does; blocks.
    pub(super) fn of_run() -> Result<Option<Self>> {
        if let Some(url) = REDIS.by_variable() {
            return Self::take(&url, FREE, None).map(Some);
        }
        let compose = || {
            let folder = std::env::current_dir().ok()?;
            on_path("docker").and(REDIS.service.file(&folder))
        };
        if compose().is_none() {
            return Ok(None);
        }
        // Asked once for all tests: the answer takes longer than a server of one's own.
        let run = run::join("redis", |supervisor| {
            let url = REDIS.by_compose().unwrap_or_default();
            supervisor.write("url", &url).map(drop)
        })?;
        let file: PathBuf = run.directory().join("url");
        let url = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        if url.is_empty() {
            return Ok(None);
        }
        Self::take(&url, FREE, Some(run)).map(Some)
    }

    fn take(url: &str, limit: Duration, run: Option<Supervisor>) -> Result<Self> {
        let server = Address::parse(url)?;
        let ask = |command: &[&str]| client::command(&server, command, COMMAND);
        let count = ask(&["CONFIG", "GET", "databases"])?;
        let count = count
            .array()
            .and_then(|pair| pair.get(1)?.text()?.parse().ok());
        let count: u32 = count.unwrap_or(16);
        let number = wait::poll(limit, || {
            let mut numbers = (0..count).filter(|number| *number != server.database);
            numbers.find_map(|number| take(&server, number).transpose())
        });
        let number = number.unwrap_or_else(|| {
            Err(Error::temporary(format!(
                "each of the {count} databases of test server {server:?} is taken by another test \
                 or holds data of others; start it with more, as `redis-server --databases 1000`"
            )))
        })?;
        Ok(Self {
            server,
            number,
            _run: run,
        })
    }

    pub(super) fn address(&self) -> Address {
        at(&self.server, self.number)
    }
}

fn at(server: &Address, database: u32) -> Address {
    Address {
        database,
        ..server.clone()
    }
}

fn claim(number: u32) -> String {
    format!("{TAKEN}:{number}")
}

/// Takes a database, unless another test has it, or it holds what no test has put there.
fn take(server: &Address, number: u32) -> Result<Option<u32>> {
    let ask = |command: &[&str]| client::command(server, command, COMMAND);
    let (claim, member) = (claim(number), number.to_string());
    if ask(&["SET", &claim, &token(), "NX", "EX", KEPT])?.is_nil() {
        return Ok(None);
    }
    // That of a test which was killed.
    let left = ask(&["SISMEMBER", TAKEN, &member])?;
    let size = client::command(&at(server, number), &["DBSIZE"], COMMAND)?;
    if left != Reply::Integer(1) && size != Reply::Integer(0) {
        ask(&["DEL", &claim])?;
        return Ok(None);
    }
    ask(&["SADD", TAKEN, &member])?;
    client::command(&at(server, number), &["FLUSHDB"], COMMAND)?;
    Ok(Some(number))
}

fn give_back(server: &Address, number: u32) -> Result<()> {
    client::command(&at(server, number), &["FLUSHDB"], COMMAND)?;
    client::command(server, &["SREM", TAKEN, &number.to_string()], COMMAND)?;
    client::command(server, &["DEL", &claim(number)], COMMAND).map(drop)
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, number) = (self.server.clone(), self.number);
        let (done, ended) = sync_channel(1);
        // A thread of its own: this one may be inside a runtime, which cannot block.
        let _ = thread::Builder::new()
            .name("cqi-testkit-drop".to_owned())
            .spawn(move || {
                // What is left is removed by the test that takes the database next.
                let _ = give_back(&server, number);
                let _ = done.send(());
            });
        let _ = ended.recv_timeout(REMOVAL);
    }
}

#[cfg(test)]
mod tests {
    use cqi_errors::Kind;

    use super::*;
    use crate::Redis;

    fn server(databases: &str) -> Redis {
        let builder = Redis::builder().setting("databases", databases);
        builder.password("se cret").start_blocking().unwrap()
    }

    fn take(server: &Redis) -> Result<Database> {
        Database::take(&server.url(), Duration::ZERO, None)
    }

    fn ask(address: &Address, command: &[&str]) -> Reply {
        client::command(address, command, COMMAND).unwrap()
    }

    #[test]
    fn each_takes_a_database_and_gives_it_back_empty() {
        let server = server("3");
        let [one, two] = [take(&server).unwrap(), take(&server).unwrap()];
        assert_eq!([one.number, two.number], [1, 2]);
        let error = take(&server).err().unwrap();
        assert_eq!(error.kind(), Kind::Temporary);
        assert!(error.to_string().contains("--databases 1000"), "{error}");

        ask(&one.address(), &["SET", "key", "value"]);
        assert!(ask(&two.address(), &["GET", "key"]).is_nil());
        let url = one.address().url();
        assert!(url.starts_with("redis://default:se%20cret@") && url.ends_with("/1"));
        drop(one);
        let one = take(&server).unwrap();
        assert_eq!(ask(&one.address(), &["DBSIZE"]), Reply::Integer(0));
        drop((one, two));
        let own = Address::parse(&server.url()).unwrap();
        assert_eq!(ask(&own, &["DBSIZE"]), Reply::Integer(0));
    }

    #[test]
    fn data_of_others_stay_and_those_of_a_killed_test_go() {
        let server = server("3");
        let own = Address::parse(&server.url()).unwrap();
        ask(&at(&own, 1), &["SET", "key", "of somebody"]);
        ask(&at(&own, 2), &["SET", "key", "of a killed test"]);
        ask(&own, &["SADD", TAKEN, "2"]);
        let two = take(&server).unwrap();
        assert_eq!(two.number, 2);
        assert_eq!(ask(&two.address(), &["DBSIZE"]), Reply::Integer(0));
        assert!(take(&server).is_err());
        drop(two);
        assert_eq!(ask(&at(&own, 1), &["DBSIZE"]), Reply::Integer(1));
    }

    #[test]
    fn a_server_that_dies_is_not_waited_for() {
        let server = server("3");
        let one = take(&server).unwrap();
        server.kill().unwrap();
        let deadline = wait::Deadline::after(Duration::from_secs(4));
        drop(one);
        assert!(!deadline.passed());
        assert_eq!(take(&server).err().unwrap().kind(), Kind::Temporary);
    }
}
