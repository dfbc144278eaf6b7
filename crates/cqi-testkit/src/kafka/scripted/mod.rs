//! Brokers in this process that do as a test says: for what a real one does rarely or never.
//!
//! ```
//! use cqi_testkit::scripted::{Api, Reply, ScriptedKafka};
//!
//! # fn main() -> cqi_errors::Result<()> {
//! let kafka = ScriptedKafka::builder().brokers(2).topic("orders", 6).start()?;
//! println!("{}", kafka.bootstrap()); // for the client under test
//!
//! kafka.next(Api::Produce, Reply::DoneButClose); // once: appended, and no answer
//! kafka.next_n(3, Api::FindCoordinator, Reply::Error(15)); // COORDINATOR_NOT_AVAILABLE
//! kafka.always(Api::Heartbeat, Reply::Silence); // until told otherwise
//!
//! // .. have the client work, and look whether it was asked as often as it should be
//! assert!(kafka.count(Api::Heartbeat) < 10);
//! kafka.behave();
//! # Ok(())
//! # }
//! ```

mod answer;
mod api;
mod connection;
mod control;
mod group;
mod log;
mod reply;
mod script;
mod server;
mod sessions;
mod state;
mod turn;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Error, Result};

pub use api::Api;
pub use reply::Reply;
pub use script::Request;
use server::Server;
use state::State;

use crate::postgres::blocking;
use crate::wait;

/// Says what scripted brokers are like in the beginning; made by [`ScriptedKafka::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct ScriptedKafkaBuilder {
    brokers: usize,
    topics: Vec<(String, usize)>,
    state: State,
}

/// A cluster of brokers that behave well until a test tells them otherwise.
///
/// They answer in the versions that Apache Kafka 3.0 and later have in common, keep groups, offsets
/// and records in memory, and run on a thread of their own, on real time. A broker answers the
/// requests of a connection in order, so one that waits holds up those behind it, as Kafka does.
///
/// They are simpler than Kafka: there are no transactions, each rejoining member begins a rebalance,
/// offsets by time are those of batches, no record is validated beyond its batch's header. TLS and
/// SCRAM are for the real brokers of [`Kafka`](crate::Kafka).
///
/// Cheap to clone; they end with the last clone.
#[derive(Clone)]
pub struct ScriptedKafka {
    server: Arc<Server>,
}

impl fmt::Debug for ScriptedKafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedKafka")
            .field("bootstrap", &self.bootstrap())
            .finish_non_exhaustive()
    }
}

impl ScriptedKafkaBuilder {
    /// Sets how many brokers there are, 1 by default; their ids begin with 1.
    pub fn brokers(mut self, count: usize) -> Self {
        self.brokers = count.max(1);
        self
    }

    /// Adds a topic; its partitions are led by the brokers in turn.
    pub fn topic(mut self, name: impl Into<String>, partitions: usize) -> Self {
        self.topics.push((name.into(), partitions));
        self
    }

    /// Demands that clients log in, by SASL's PLAIN.
    pub fn sasl_plain(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.state.user = Some((user.into(), password.into()));
        self
    }

    /// Says which versions of an API the brokers have; with `min` above `max`, that they do not have it.
    ///
    /// A request in another version ends its connection. Versions that the brokers could not answer
    /// are announced all the same.
    pub fn versions(mut self, api: Api, min: i16, max: i16) -> Self {
        self.state.versions.insert(api, (min, max));
        self
    }

    /// Starts the brokers, on free ports of 127.0.0.1.
    ///
    /// # Errors
    /// Those of the system, when it has no port, file descriptor or thread left.
    pub fn start(mut self) -> Result<ScriptedKafka> {
        self.state.coordinator = 1;
        let server = Server::start(self.brokers, self.state)?;
        server.world.with(|state| {
            for (name, partitions) in &self.topics {
                state.grow(name, *partitions);
            }
        });
        Ok(ScriptedKafka {
            server: Arc::new(server),
        })
    }
}

impl ScriptedKafka {
    /// Says what brokers are to be like.
    pub fn builder() -> ScriptedKafkaBuilder {
        let versions = Api::ALL.map(|api| (api, api.versions()));
        ScriptedKafkaBuilder {
            brokers: 1,
            topics: Vec::new(),
            state: State {
                versions: versions.into(),
                ..State::default()
            },
        }
    }

    /// Returns hosts and ports for clients to begin with.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.server.world.look(|state| {
            let ports = state.nodes.values().map(|port| format!("127.0.0.1:{port}"));
            ports.collect::<Vec<_>>().join(",")
        })
    }

    /// Returns the port of a broker; 0, where there is none with this id.
    #[must_use]
    pub fn port(&self, node: i32) -> u16 {
        let port = |state: &State| state.nodes.get(&node).copied();
        self.server.world.look(port).unwrap_or_default()
    }

    /// Says how the next request to an API is answered, after those that were said before.
    pub fn next(&self, api: Api, reply: Reply) {
        self.next_n(1, api, reply);
    }

    /// Says how so many requests to an API are answered, after those that were said before.
    pub fn next_n(&self, count: usize, api: Api, reply: Reply) {
        let replies = std::iter::repeat_n(reply, count);
        self.server.script(|script| script.next(api, replies));
    }

    /// Says how every request to an API is answered from now on, but for what [`next`](Self::next)
    /// says later; what it said before is forgotten.
    pub fn always(&self, api: Api, reply: Reply) {
        self.server.script(|script| script.always(api, reply));
    }

    /// Forgets all that was said: the brokers behave well again. A connection that has fallen silent
    /// stays so.
    pub fn behave(&self) {
        self.server.script(script::Script::clear);
    }

    /// Closes all connections over which a request has come.
    pub fn cut(&self) {
        self.server.cut();
    }

    /// Returns the requests to an API, in the order in which they came: of all of them the last
    /// 10,000.
    #[must_use]
    pub fn requests(&self, api: Api) -> Vec<Request> {
        self.server.script(|script| script.requests(api))
    }

    /// Returns how many requests to an API have come.
    #[must_use]
    pub fn count(&self, api: Api) -> u64 {
        self.server.script(|script| script.count(api))
    }

    /// Returns how many connections were accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.server.script(|script| script.connections())
    }

    /// Waits until so many requests to an API have come since the start.
    ///
    /// # Errors
    /// [`Kind::Timeout`](cqi_errors::Kind::Timeout) after 10 s, which says how many have.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn requested(&self, api: Api, count: u64) -> Result<()> {
        const LIMIT: Duration = Duration::from_secs(10);
        let kafka = self.clone();
        blocking(move || {
            let enough = wait::poll(LIMIT, || (kafka.count(api) >= count).then_some(()));
            enough.ok_or_else(|| {
                let came = kafka.count(api);
                Error::timeout(format!(
                    "{came} of {count} requests to {api} have come within {LIMIT:?}"
                ))
            })
        })
        .await
    }
}
