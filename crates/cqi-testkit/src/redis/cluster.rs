use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Error, Result};

use super::config::Options;
use super::group::{LIMIT, follow, follows_or_is_followed, id, is_primary, late, running, url};
use super::{Redis, RedisBuilder, Reply, launch};
use crate::postgres::{blocking, free_port_of};
use crate::wait::{self, Deadline};

/// How long a replica tries to take over before it gives up.
const PROMOTION: Duration = Duration::from_secs(5);

/// How many primaries there are, and replicas as well.
const PRIMARIES: usize = 3;

const SLOTS: usize = 16_384;

/// How far the port that the nodes talk by lies above that for clients.
const BUS: u16 = 10_000;

/// A Redis Cluster of one's own: three primaries with a replica each.
///
/// A primary that does not answer for a second is replaced by its replica, which takes some 2 s in
/// all. The nodes end when the cluster and all handles on them are dropped, or when the process that
/// holds these ends in whatever way.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> cqi_errors::Result<()> {
/// let cluster = cqi_testkit::RedisCluster::start().await?;
/// let primary = cluster.primary_of("key").await?;
/// primary.command(["SET", "key", "value"]).await?;
/// primary.command(["WAIT", "1", "5000"]).await?; // until the replica has it
///
/// let dead = cluster.fail_over("key").await?;
/// let heir = cluster.primary_of("key").await?;
/// assert_eq!(heir.command(["GET", "key"]).await?.text(), Some("value"));
/// dead.restart().await?; // as a replica
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "the cluster is stopped when this is dropped"]
pub struct RedisCluster {
    nodes: Arc<[Redis]>,
    /// The names by which the nodes know one another.
    ids: Arc<[String]>,
}

impl RedisBuilder {
    /// Starts a cluster of such servers, and waits until it serves all slots and the replicas follow,
    /// 30 s at most; it takes about 2 s, for which a new cluster refuses to serve.
    ///
    /// # Errors
    /// As [`start`](RedisBuilder::start).
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing behind: the cluster ends once it has started.
    pub async fn start_cluster(self) -> Result<RedisCluster> {
        blocking(move || {
            let (program, options) = self.prepare()?;
            let deadline = Deadline::after(LIMIT);
            let cluster = loop {
                match RedisCluster::launch(&program, &options, &free_ports()?) {
                    Err(error) if launch::port_is_taken(&error) && !deadline.passed() => {}
                    outcome => break outcome?,
                }
            };
            let ready = wait::poll(deadline.remaining(), || cluster.is_ready());
            ready.ok_or_else(|| cluster.late("the cluster is not ready"))?;
            Ok(cluster)
        })
        .await
    }
}

impl RedisCluster {
    /// Starts a cluster without a password; [`RedisBuilder::start_cluster`] starts others.
    ///
    /// # Errors
    /// As [`RedisBuilder::start`].
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing behind: the cluster ends once it has started.
    pub async fn start() -> Result<Self> {
        Redis::builder().start_cluster().await
    }

    fn launch(program: &Path, options: &Options, ports: &[u16]) -> Result<Self> {
        let ids: Arc<[String]> = ports.iter().map(|_| id()).collect();
        let nodes = ports.iter().enumerate().map(|(myself, port)| {
            let mut options = options.clone();
            options.role = format!(
                "cluster-enabled yes\ncluster-node-timeout 1000\n{}",
                follow(&options)
            );
            // What the nodes would write themselves after having met.
            options.files = vec![("nodes.conf", table(&ids, ports, myself))];
            let node = Redis::launch(program, options, Some(*port))?;
            node.hurry();
            Ok(node)
        });
        let nodes = nodes.collect::<Result<_>>()?;
        Ok(Self { nodes, ids })
    }

    /// Returns the nodes; in the beginning, the first three are primaries and each of the others is
    /// the replica of the one three places before it.
    #[must_use]
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// Returns a URL that names all nodes, `redis-cluster://host:port?node=host:port&..`, or
    /// `rediss-cluster` where they encrypt.
    #[must_use]
    pub fn url(&self) -> String {
        url("cluster", &self.nodes[0], &self.nodes, &[])
    }

    /// Returns the node that serves a key, waiting until all that answer agree which it is, 30 s at
    /// most.
    ///
    /// # Errors
    /// [`Kind::Timeout`](cqi_errors::Kind::Timeout) when they do not, or none answers.
    pub async fn primary_of(&self, key: impl AsRef<[u8]>) -> Result<Redis> {
        let (cluster, key) = (self.clone(), key.as_ref().to_vec());
        blocking(move || Ok(cluster.nodes[cluster.owner(&key, None)?].clone())).await
    }

    /// Kills the node that serves a key, and waits until its replica serves it, 30 s at most; returns
    /// the dead node, which comes back as a replica when it is restarted.
    ///
    /// Writes that had not reached the replica are lost.
    ///
    /// # Errors
    /// [`Kind::Timeout`](cqi_errors::Kind::Timeout) when nobody took over, for lack of a replica.
    ///
    /// # Cancel safety
    /// When the future is dropped, the node is killed nevertheless.
    pub async fn fail_over(&self, key: impl AsRef<[u8]>) -> Result<Redis> {
        let (cluster, key) = (self.clone(), key.as_ref().to_vec());
        blocking(move || {
            let old = cluster.owner(&key, None)?;
            cluster.nodes[old].kill()?;
            cluster.owner(&key, Some(old))?;
            Ok(cluster.nodes[old].clone())
        })
        .await
    }

    /// Lets the replica of the node that serves a key take its place, as an operator would, without a
    /// loss; returns the old primary, now a replica.
    ///
    /// # Errors
    /// [`Kind::Timeout`](cqi_errors::Kind::Timeout) when that was not done within 30 s.
    ///
    /// # Cancel safety
    /// When the future is dropped, the replica takes over nevertheless.
    pub async fn switch_over(&self, key: impl AsRef<[u8]>) -> Result<Redis> {
        let (cluster, key) = (self.clone(), key.as_ref().to_vec());
        blocking(move || {
            let old = cluster.owner(&key, None)?;
            let slot = cluster.slot(&key)?;
            let deadline = Deadline::after(LIMIT);
            let other = |owner: &usize| *owner != old;
            let done = || {
                let owner = cluster.agreed_owner(slot)?;
                if other(&owner) {
                    return Some(owner);
                }
                cluster.promote_replica_of(old)?;
                // It may come to nothing, when the nodes have lost touch for a moment.
                let limit = PROMOTION.min(deadline.remaining());
                wait::poll(limit, || cluster.agreed_owner(slot).filter(other))
            };
            let heir = wait::poll(LIMIT, done);
            heir.ok_or_else(|| cluster.late("no replica took over"))?;
            Ok(cluster.nodes[old].clone())
        })
        .await
    }

    /// Waits until all nodes that answer agree who serves a key, and it is not `old`.
    fn owner(&self, key: &[u8], old: Option<usize>) -> Result<usize> {
        let slot = self.slot(key)?;
        let owner = wait::poll(LIMIT, || {
            self.agreed_owner(slot).filter(|owner| Some(*owner) != old)
        });
        owner.ok_or_else(|| self.late("the nodes do not agree on a primary for the key"))
    }

    fn slot(&self, key: &[u8]) -> Result<i64> {
        let slot = wait::poll(LIMIT, || {
            self.ask(&[b"CLUSTER", b"KEYSLOT", key])?.integer()
        });
        slot.ok_or_else(|| self.late("no node answers"))
    }

    fn agreed_owner(&self, slot: i64) -> Option<usize> {
        let views = running(&self.nodes).filter_map(|node| {
            let slots = node.probe(&["CLUSTER", "SLOTS"]).ok()?;
            Some((owner_id(&slots, slot)?.to_owned(), serves(node)))
        });
        let views: Vec<(String, bool)> = views.collect();
        let (first, _) = views.first()?;
        let agreed = views.iter().all(|(id, serves)| id == first && *serves);
        let owner = self.ids.iter().position(|id| id == first)?;
        (agreed && is_primary(&self.nodes[owner])).then_some(owner)
    }

    fn promote_replica_of(&self, primary: usize) -> Option<()> {
        let replicas = self.ask(&["CLUSTER", "REPLICAS", &self.ids[primary]])?;
        let of = |line: &Reply| {
            let id = line.text()?.split(' ').next()?;
            self.ids.iter().position(|known| known == id)
        };
        let mut replicas = replicas.array()?.iter().filter_map(of);
        // One that has lost touch would say yes, and nothing would come of it.
        let done = replicas.any(|replica| {
            let node = &self.nodes[replica];
            follows_or_is_followed(node)
                && knows_all(node)
                && node.probe(&["CLUSTER", "FAILOVER"]).is_ok()
        });
        done.then_some(())
    }

    /// Asks the first node that answers.
    fn ask(&self, command: &[impl AsRef<[u8]>]) -> Option<Reply> {
        running(&self.nodes).find_map(|node| node.probe(command).ok())
    }

    fn is_ready(&self) -> Option<()> {
        let ready = |node: &Redis| serves(node) && follows_or_is_followed(node) && knows_all(node);
        self.nodes.iter().all(ready).then_some(())
    }

    fn late(&self, problem: &str) -> Error {
        let view = |node: &Redis| match node.probe(&["CLUSTER", "NODES"]) {
            Ok(view) => view.text().unwrap_or_default().to_owned(),
            Err(error) => format!("{error:#}"),
        };
        late(problem, &self.nodes, view)
    }
}

/// Chooses ports below those of outgoing connections, the nodes' own ports as well.
fn free_ports() -> Result<Vec<u16>> {
    let mut ports = BTreeSet::new();
    while ports.len() < 2 * PRIMARIES {
        ports.insert(free_port_of(10_000..20_000, &[0, BUS])?);
    }
    Ok(ports.into_iter().collect())
}

/// Writes what a node knows of all.
fn table(ids: &[String], ports: &[u16], myself: usize) -> String {
    let mut table = String::new();
    for (node, (id, port)) in ids.iter().zip(ports).enumerate() {
        let shard = node % PRIMARIES;
        let (epoch, first, next) = (
            shard + 1,
            shard * SLOTS / PRIMARIES,
            (shard + 1) * SLOTS / PRIMARIES,
        );
        let me = if node == myself { "myself," } else { "" };
        let bus = port + BUS;
        let role = if node < PRIMARIES {
            format!("{me}master - 0 0 {epoch} connected {first}-{}", next - 1)
        } else {
            format!("{me}slave {} 0 0 {epoch} connected", ids[shard])
        };
        let _ = writeln!(table, "{id} 127.0.0.1:{port}@{bus} {role}");
    }
    let _ = writeln!(table, "vars currentEpoch {PRIMARIES} lastVoteEpoch 0");
    table
}

/// Says whether a node believes that all slots are served.
fn serves(node: &Redis) -> bool {
    let info = node.probe(&["CLUSTER", "INFO"]).ok();
    let text = info.as_ref().and_then(Reply::text);
    text.is_some_and(|text| text.contains("cluster_state:ok"))
}

/// Finds the primary of a slot in the answer to `CLUSTER SLOTS`.
fn owner_id(slots: &Reply, slot: i64) -> Option<&str> {
    slots.array()?.iter().find_map(|range| {
        let [first, last, primary, ..] = range.array()? else {
            return None;
        };
        let held = first.integer()? <= slot && slot <= last.integer()?;
        primary.array()?.get(2)?.text().filter(|_| held)
    })
}

/// Says whether a node is connected with all others.
fn knows_all(node: &Redis) -> bool {
    let gone = ["fail", "handshake", "disconnected"];
    let nodes = node.probe(&["CLUSTER", "NODES"]).ok();
    let text = nodes.as_ref().and_then(Reply::text);
    text.is_some_and(|text| !gone.iter().any(|word| text.contains(word)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_port_that_somebody_took_meanwhile_is_told() {
        let (program, options) = Redis::builder().prepare().unwrap();
        for distance in [0, BUS] {
            let ports = free_ports().unwrap();
            let taken = TcpListener::bind(("127.0.0.1", ports[4] + distance)).unwrap();
            let error = RedisCluster::launch(&program, &options, &ports).unwrap_err();
            assert!(launch::port_is_taken(&error), "{error}");
            drop(taken);
        }
    }
}
