use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Error, Result};

use super::config::{Options, quote};
use super::group::{LIMIT, follow, follows_or_is_followed, id, is_primary, late, running, url};
use super::{Redis, RedisBuilder, launch};
use crate::postgres::{blocking, free_port};
use crate::wait::{self, Deadline};

/// How long a replica may take to be promoted.
const PROMOTION: Duration = Duration::from_secs(10);

/// The name under which the sentinels watch the primary.
const NAME: &str = "mymaster";

const SENTINELS: usize = 3;

/// A primary and its replica of one's own, watched by three Redis Sentinels.
///
/// A primary that does not answer for a second is replaced by the replica, which takes some 3 s in
/// all. The servers end when the set and all handles on them are dropped, or when the process that
/// holds these ends in whatever way.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> cqi_errors::Result<()> {
/// let set = cqi_testkit::RedisSentinels::start().await?;
/// let dead = set.fail_over().await?;
/// let heir = set.primary().await?;
/// heir.command(["SET", "key", "value"]).await?;
/// dead.restart().await?; // as a replica
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "the servers are stopped when this is dropped"]
pub struct RedisSentinels {
    servers: Arc<[Redis]>,
    sentinels: Arc<[Redis]>,
    password: Option<String>,
}

impl RedisBuilder {
    /// Starts a primary and a replica of such servers with three sentinels, and waits until these
    /// know one another and the replica follows, 30 s at most.
    ///
    /// The sentinels have the servers' TLS, and neither their users nor their settings.
    ///
    /// # Errors
    /// As [`start`](RedisBuilder::start); a password with white space or quotes is
    /// [`Kind::InvalidInput`](cqi_errors::Kind::InvalidInput), since sentinels do not keep it over a
    /// restart.
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing behind: the servers end once they have started.
    pub async fn start_sentinels(self) -> Result<RedisSentinels> {
        blocking(move || {
            let password = self.sentinel_password.clone();
            let (program, options) = self.prepare()?;
            for password in [&password, &options.password].into_iter().flatten() {
                readable(password)?;
            }
            let deadline = Deadline::after(LIMIT);
            let servers: Arc<[Redis]> = start_servers(&program, &options)?.into();
            let sentinels = loop {
                match start_sentinels(&program, &options, password.as_deref(), &servers) {
                    Err(error) if launch::port_is_taken(&error) && !deadline.passed() => {}
                    outcome => break outcome?.into(),
                }
            };
            let set = RedisSentinels {
                servers,
                sentinels,
                password,
            };
            let ready = wait::poll(deadline.remaining(), || set.is_ready());
            ready.ok_or_else(|| set.late("the sentinels are not ready"))?;
            Ok(set)
        })
        .await
    }
}

/// Refuses what a sentinel writes to its file and does not read again: it quotes nothing.
fn readable(password: &str) -> Result<()> {
    if password.contains(|c: char| c.is_whitespace() || "'\"".contains(c)) {
        return Err(Error::invalid_input(
            "password",
            "holds white space or a quote, which sentinels do not keep over a restart",
        ));
    }
    Ok(())
}

fn start_servers(program: &Path, options: &Options) -> Result<Vec<Redis>> {
    let start = |lead: String| -> Result<Redis> {
        let mut options = options.clone();
        options.role = follow(&options) + &lead;
        let server = Redis::launch(program, options, None)?;
        server.hurry();
        Ok(server)
    };
    let primary = start(String::new())?;
    let replica = start(lead_by(&primary))?;
    Ok(vec![primary, replica])
}

fn lead_by(primary: &Redis) -> String {
    format!("replicaof {} {}\n", primary.host(), primary.port())
}

fn start_sentinels(
    program: &Path,
    servers: &Options,
    password: Option<&str>,
    watched: &[Redis],
) -> Result<Vec<Redis>> {
    let mut own = servers.clone();
    (own.settings, own.users) = (Vec::new(), Vec::new());
    own.password = password.map(str::to_owned);
    own.sentinel = true;
    let mut watch = format!(
        "sentinel monitor {NAME} 127.0.0.1 {} {}\n\
         sentinel down-after-milliseconds {NAME} 1000\n\
         sentinel failover-timeout {NAME} 5000\n\
         sentinel known-replica {NAME} 127.0.0.1 {}\n",
        watched[0].port(),
        SENTINELS / 2 + 1,
        watched[1].port(),
    );
    if let Some(password) = &servers.password {
        let _ = writeln!(watch, "sentinel auth-pass {NAME} {}", quote(password));
    }
    if let Some(password) = password {
        let _ = writeln!(watch, "sentinel sentinel-pass {}", quote(password));
    }
    // They would find one another by themselves, in some seconds.
    let peers = (0..SENTINELS).map(|_| Ok((id(), free_port()?)));
    let peers: Vec<(String, u16)> = peers.collect::<Result<_>>()?;
    let sentinels = peers.iter().map(|(myself, port)| {
        let mut options = own.clone();
        options.role = format!("{watch}sentinel myid {myself}\n");
        for (id, port) in peers.iter().filter(|(id, _)| id != myself) {
            let peer = format!("sentinel known-sentinel {NAME} 127.0.0.1 {port} {id}\n");
            options.role.push_str(&peer);
        }
        Redis::launch(program, options, Some(*port))
    });
    sentinels.collect()
}

impl RedisSentinels {
    /// Starts a set without passwords; [`RedisBuilder::start_sentinels`] starts others.
    ///
    /// # Errors
    /// As [`RedisBuilder::start`].
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing behind: the servers end once they have started.
    pub async fn start() -> Result<Self> {
        Redis::builder().start_sentinels().await
    }

    /// Returns the name under which the sentinels watch the primary, `mymaster`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// Returns the servers: in the beginning the primary, then its replica.
    #[must_use]
    pub fn servers(&self) -> &[Redis] {
        &self.servers
    }

    /// Returns the sentinels.
    #[must_use]
    pub fn sentinels(&self) -> &[Redis] {
        &self.sentinels
    }

    /// Returns a URL that names all sentinels,
    /// `redis-sentinel://user:password@host:port?node=host:port&..&sentinelServiceName=mymaster`, or
    /// `rediss-sentinel` where they encrypt; the password is that of the servers, that of the
    /// sentinels is in `sentinelPassword`.
    #[must_use]
    pub fn url(&self) -> String {
        let password = self
            .password
            .as_deref()
            .map(|password| ("sentinelPassword", password));
        let parameters: Vec<_> = [("sentinelServiceName", NAME)]
            .into_iter()
            .chain(password)
            .collect();
        url("sentinel", &self.servers[0], &self.sentinels, &parameters)
    }

    /// Returns the primary, waiting until all sentinels that answer agree which it is, 30 s at most.
    ///
    /// # Errors
    /// [`Kind::Timeout`](cqi_errors::Kind::Timeout) when they do not, or none answers.
    pub async fn primary(&self) -> Result<Redis> {
        let set = self.clone();
        blocking(move || set.wait_for_primary(None)).await
    }

    /// Kills the primary, and waits until the replica is the primary, 30 s at most; returns the dead
    /// server, which comes back as a replica when it is restarted.
    ///
    /// Writes that had not reached the replica are lost. A primary that dies by other means comes back
    /// as a primary without data, which the sentinels make a replica after some 10 s, or take for
    /// one that could be promoted.
    ///
    /// # Errors
    /// [`Kind::Timeout`](cqi_errors::Kind::Timeout) when nobody took over, for lack of a replica.
    ///
    /// # Cancel safety
    /// When the future is dropped, the primary is killed nevertheless.
    pub async fn fail_over(&self) -> Result<Redis> {
        let set = self.clone();
        blocking(move || {
            let old = set.wait_for_primary(None)?;
            old.kill()?;
            let heir = set.wait_for_primary(Some(&old))?;
            old.configure(&lead_by(&heir))?;
            Ok(old)
        })
        .await
    }

    /// Lets the replica take the primary's place, as an operator would, 30 s at most; returns the old
    /// primary, which becomes a replica.
    ///
    /// # Errors
    /// [`Kind::Timeout`](cqi_errors::Kind::Timeout) when there is no replica that could.
    ///
    /// # Cancel safety
    /// When the future is dropped, the replica takes over nevertheless.
    pub async fn switch_over(&self) -> Result<Redis> {
        let set = self.clone();
        blocking(move || {
            let old = set.wait_for_primary(None)?;
            let deadline = Deadline::after(LIMIT);
            let other = |primary: &&Redis| primary.port() != old.port();
            let done = || {
                // An order whose answer was lost has been carried out: another would undo it.
                let primary = set.agreed_primary()?;
                if other(&primary) {
                    return Some(primary);
                }
                set.promote()?;
                // It may come to nothing, when the replica was lost in between.
                let limit = PROMOTION.min(deadline.remaining());
                wait::poll(limit, || set.agreed_primary().filter(other))
            };
            let heir = wait::poll(LIMIT, done);
            heir.ok_or_else(|| set.late("no replica took over"))
                .map(|_| old)
        })
        .await
    }

    /// Asks for the replica, once it follows: a sentinel would take one that has lost its data as well.
    fn promote(&self) -> Option<()> {
        let mut sentinels = self.sentinels.iter();
        let promote = |sentinel: &Redis| sentinel.probe(&["SENTINEL", "FAILOVER", NAME]).is_ok();
        let asked = self.servers.iter().all(follows_or_is_followed) && sentinels.any(promote);
        asked.then_some(())
    }

    /// Waits until the sentinels agree on the primary, and it is not `old`.
    fn wait_for_primary(&self, old: Option<&Redis>) -> Result<Redis> {
        let primary = wait::poll(LIMIT, || {
            let primary = self.agreed_primary()?;
            old.is_none_or(|old| old.port() != primary.port())
                .then(|| primary.clone())
        });
        primary.ok_or_else(|| self.late("the sentinels do not agree on a primary"))
    }

    fn agreed_primary(&self) -> Option<&Redis> {
        let ports = running(&self.sentinels).filter_map(|sentinel| {
            let command = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME];
            let primary = sentinel.probe(&command).ok()?;
            primary.array()?.get(1)?.text()?.parse().ok()
        });
        let ports: BTreeSet<u16> = ports.collect();
        let mut servers = self.servers.iter();
        let primary = servers.find(|server| ports.contains(&server.port()))?;
        (ports.len() == 1 && is_primary(primary)).then_some(primary)
    }

    fn is_ready(&self) -> Option<()> {
        let ready = self.servers.iter().all(follows_or_is_followed)
            && self
                .sentinels
                .iter()
                .all(|sentinel| knows_all(sentinel) == Some(true));
        ready.then_some(())
    }

    fn late(&self, problem: &str) -> Error {
        late(problem, &self.sentinels, Redis::log_tail)
    }
}

/// Says whether a sentinel knows the others, and a replica that could take over.
fn knows_all(sentinel: &Redis) -> Option<bool> {
    sentinel.probe(&["SENTINEL", "CKQUORUM", NAME]).ok()?;
    let replicas = sentinel.probe(&["SENTINEL", "REPLICAS", NAME]).ok()?;
    let fields = replicas.array()?.first()?.array()?;
    let field = |name| {
        let mut pairs = fields.chunks_exact(2);
        pairs.find(|pair| pair[0].text() == Some(name))?[1].text()
    };
    Some(field("flags")? == "slave" && field("master-link-status")? == "ok")
}
