//! ZooKeeper, which Kafka before 3.5 needs to know users of SCRAM.

use std::net::TcpStream;

use cqi_errors::{Error, Result};

use super::builder::Options;
use super::distribution::Distribution;
use super::launch::{self, SERVER, START};
use super::ports::Ports;
use super::properties;
use crate::supervisor::Supervisor;
use crate::wait;

/// The version from which brokers keep such users themselves.
const WITHOUT: (u32, u32) = (3, 5);

/// The name of the file of settings.
const FILE: &str = "zookeeper.properties";

/// A ZooKeeper for one broker; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct ZooKeeper {
    pub(super) port: u16,
    _ports: Ports,
    _supervisor: Supervisor,
}

impl ZooKeeper {
    pub(super) fn is_needed(distribution: &Distribution, options: &Options) -> bool {
        !options.scram.is_empty() && distribution.numbers() < WITHOUT
    }

    /// Starts it, and tells it the users.
    pub(super) fn start(distribution: &Distribution, options: &Options) -> Result<Self> {
        if options.brokers > 1 {
            let version = &distribution.version;
            return Err(Error::invalid_input(
                "brokers",
                format!(
                    "are several with users of SCRAM, which Kafka has from 3.5; this is {version}"
                ),
            ));
        }
        let supervisor = Supervisor::private()?;
        let mut ports = Ports::default();
        let port = ports.next()?;
        let settings = format!(
            "dataDir=data\nclientPort={port}\nclientPortAddress=127.0.0.1\ntickTime=500\n\
             maxClientCnxns=0\nadmin.enableServer=false\n"
        );
        supervisor.write(FILE, &settings)?;
        let main = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
        launch::run(
            &supervisor,
            &launch::java(distribution, options, &[], &[main, FILE]),
        )?;
        let ready = wait::poll(START, || match supervisor.exit(SERVER) {
            Some(_) => Some(false),
            None => TcpStream::connect(("127.0.0.1", port))
                .is_ok()
                .then_some(true),
        });
        if ready != Some(true) {
            return Err(Error::permanent(format!(
                "ZooKeeper does not start: {}",
                launch::log_tail(&supervisor)
            )));
        }
        let server = format!("127.0.0.1:{port}");
        for (user, mechanism, password) in properties::credentials(options)? {
            let credentials = format!("{mechanism}=[password={password}]");
            let arguments = [
                "kafka.admin.ConfigCommand",
                "--zookeeper",
                &server,
                "--alter",
                "--entity-type",
                "users",
                "--entity-name",
                user,
                "--add-config",
                &credentials,
            ];
            let command = launch::java(distribution, options, &[], &arguments);
            launch::complete(&supervisor, "users", &command)?;
        }
        Ok(Self {
            port,
            _ports: ports,
            _supervisor: supervisor,
        })
    }
}

/// Says whether a broker did not start since its session before the crash has not run out yet.
pub(super) fn remembers(error: &Error) -> bool {
    error.to_string().contains("NodeExists")
}
