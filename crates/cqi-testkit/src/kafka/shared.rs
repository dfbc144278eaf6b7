//! The broker that the tests of one run share, and brokers that somebody else runs.

use std::fs;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use cqi_errors::{Error, Result, ResultExt};

use super::Kafka;
use super::admin::Brokers;
use super::broker::KafkaBroker;
use super::builder::Options;
use super::cluster::Inner;
use super::distribution::Distribution;
use super::launch::{self, Endpoint, Mode, Node, START};
use super::listener::Listener;
use super::ports::Ports;
use super::training;
use crate::discovery::{KAFKA, on_path};
use crate::run;
use crate::supervisor::Supervisor;
use crate::wait::Deadline;

/// How long dropping a handle may wait for brokers that are not ours.
const REMOVAL: Duration = Duration::from_secs(5);

/// The file that says where the run's broker is.
const PORT: &str = "port";

/// Finds brokers that somebody runs for the tests, if somebody does; blocks.
pub(super) fn offered() -> Result<Option<Kafka>> {
    if let Some(bootstrap) = KAFKA.by_variable() {
        return borrow(bootstrap, None).map(Some);
    }
    let compose = || {
        let folder = std::env::current_dir().ok()?;
        on_path("docker").and(KAFKA.service.file(&folder))
    };
    if compose().is_none() {
        return Ok(None);
    }
    // Asked once for all tests.
    let run = run::join("kafka-compose", |supervisor| {
        let bootstrap = KAFKA.by_compose().unwrap_or_default();
        supervisor.write("bootstrap", &bootstrap).map(drop)
    })?;
    let bootstrap = read(&run, "bootstrap")?;
    if bootstrap.is_empty() {
        return Ok(None);
    }
    borrow(bootstrap, Some(run)).map(Some)
}

fn borrow(bootstrap: String, run: Option<Supervisor>) -> Result<Kafka> {
    let admin = Brokers::parse(&bootstrap)?;
    admin
        .cluster()
        .with_context(|| format!("reach Kafka at {bootstrap}"))?;
    Ok(Kafka {
        inner: Arc::new(Inner {
            brokers: Vec::new(),
            bootstrap,
            admin,
            version: None,
            guests: Some(Mutex::default()),
            _zookeeper: None,
            _run: run,
        }),
    })
}

/// Joins the run's broker of a version, starting it where there is none; blocks.
pub(super) fn of_run(version: Option<&str>) -> Result<Kafka> {
    // Before anybody waits for the broker: a download takes longer than they would.
    let distribution = Distribution::find(version)?;
    distribution.training()?;
    let name = format!("kafka-{}", distribution.version);
    let supervisor = run::join(&name, |supervisor| start(supervisor, &distribution))?;
    let port = read(&supervisor, PORT)?;
    let port = port
        .parse()
        .map_err(|_| Error::permanent(format!("{port:?} is no port")))?;
    let node = node(port, 0);
    let inner = Inner {
        bootstrap: node.internal().address(),
        admin: node.admin(),
        version: Some(distribution.version),
        brokers: vec![KafkaBroker::new(node, supervisor, None)],
        guests: None,
        _zookeeper: None,
        _run: None,
    };
    Ok(Kafka {
        inner: Arc::new(inner),
    })
}

fn node(port: u16, controller: u16) -> Node {
    let name = Listener::Plaintext.name();
    let endpoint = Endpoint {
        name,
        protocol: name,
        port,
        proxy: None,
    };
    Node {
        id: 1,
        controller,
        endpoints: vec![endpoint],
        _ports: Ports::default(),
    }
}

fn start(supervisor: &Supervisor, distribution: &Distribution) -> Result<()> {
    let options = Options::default();
    let deadline = Deadline::after(START);
    loop {
        let node = Node::plan(1, &options)?;
        let nodes = std::slice::from_ref(&node);
        // What an attempt on a port that was taken has left.
        let _ = fs::remove_dir_all(supervisor.directory().join("data"));
        let place = (&node, nodes);
        let cluster = training::new_cluster();
        let mode = Mode::Raft(&cluster);
        let command = launch::prepare(supervisor, distribution, &options, place, mode)?;
        launch::run(supervisor, &command)?;
        match launch::wait_until_ready(&[(supervisor, &node)], 1, deadline) {
            Err(error) if launch::port_is_taken(&error) && !deadline.passed() => {}
            outcome => {
                outcome?;
                return supervisor
                    .write(PORT, &node.internal().port.to_string())
                    .map(drop);
            }
        }
    }
}

fn read(supervisor: &Supervisor, name: &str) -> Result<String> {
    let file = supervisor.directory().join(name);
    fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(guests) = &self.guests else { return };
        let topics = std::mem::take(&mut *guests.lock().unwrap_or_else(PoisonError::into_inner));
        if topics.is_empty() {
            return;
        }
        let admin = self.admin.clone();
        let (done, ended) = sync_channel(1);
        // A thread of its own: this one may be inside a runtime, which cannot block.
        let _ = thread::Builder::new()
            .name("cqi-testkit-drop".to_owned())
            .spawn(move || {
                for topic in topics {
                    let _ = admin.delete_topic(&topic);
                }
                let _ = done.send(());
            });
        let _ = ended.recv_timeout(REMOVAL);
    }
}
