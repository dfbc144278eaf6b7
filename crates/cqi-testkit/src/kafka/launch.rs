//! The process of a broker.

use std::time::Duration;

use cqi_errors::{Error, Result};

use super::admin::Brokers;
use super::builder::Options;
use super::distribution::Distribution;
use super::listener::Listener;
use super::ports::Ports;
use super::{properties, training};
use crate::Proxy;
use crate::supervisor::Supervisor;
use crate::wait::{self, Deadline};

/// How long brokers may take to start.
pub(super) const START: Duration = Duration::from_secs(60);

/// How long a tool of Kafka's may take.
const TOOL: Duration = Duration::from_secs(60);

/// The name of the broker's process.
pub(super) const SERVER: &str = "server";

/// The name of the broker's file of settings.
pub(super) const FILE: &str = "server.properties";

/// Options of the Java machine for a fast start and little memory.
const FAST: [&str; 6] = [
    "-Xms256m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Xshare:auto",
];

/// What writes the log: Maven's Kafka has SLF4J's simple logger, an unpacked one log4j 1 or 2.
const LOG: [&str; 5] = [
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    "-Dlog4j.configuration=file:log4j.properties",
    "-Dlog4j2.configurationFile=log4j2.properties",
];

const LOG4J: &str = "\
log4j.rootLogger=WARN, console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ABSOLUTE} %p %c: %m%n
";

const LOG4J2: &str = "\
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ABSOLUTE} %p %c: %m%n
rootLogger.level=WARN
rootLogger.appenderRef.console.ref=console
";

/// Who keeps what brokers have agreed on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mode<'a> {
    /// The brokers, which are controllers as well; with the id of their cluster.
    Raft(&'a str),
    /// ZooKeeper, at a port.
    ZooKeeper(u16),
}

/// The place of a broker among others.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: i32,
    pub(super) controller: u16,
    /// The first is for the other brokers and for the calls of the test.
    pub(super) endpoints: Vec<Endpoint>,
    /// Holds those of the broker; without any, where another process started it.
    pub(super) _ports: Ports,
}

/// A port of a broker.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) name: &'static str,
    pub(super) protocol: &'static str,
    pub(super) port: u16,
    pub(super) proxy: Option<Proxy>,
}

impl Endpoint {
    /// Returns where clients go.
    pub(super) fn address(&self) -> String {
        let port = self.proxy.as_ref().map_or(self.port, Proxy::port);
        format!("127.0.0.1:{port}")
    }
}

impl Node {
    /// Chooses ports, and puts proxies in front of them where they are wanted.
    pub(super) fn plan(id: i32, options: &Options) -> Result<Self> {
        let mut ports = Ports::default();
        let mut endpoints = Vec::new();
        if options.proxied {
            endpoints.push(Endpoint {
                name: "INTERNAL",
                protocol: Listener::Plaintext.name(),
                port: ports.next()?,
                proxy: None,
            });
        }
        let (tls, users) = (options.encrypts(), options.has_users());
        let listeners = [
            (true, Listener::Plaintext),
            (tls, Listener::Ssl),
            (users, Listener::SaslPlaintext),
            (users && tls, Listener::SaslSsl),
        ];
        for (_, listener) in listeners.into_iter().filter(|(wanted, _)| *wanted) {
            let port = ports.next()?;
            let proxy = match options.proxied {
                true => Some(Proxy::to(("127.0.0.1", port)).launch()?),
                false => None,
            };
            endpoints.push(Endpoint {
                name: listener.name(),
                protocol: listener.name(),
                port,
                proxy,
            });
        }
        Ok(Self {
            id,
            controller: ports.next()?,
            endpoints,
            _ports: ports,
        })
    }

    /// Returns the port for the other brokers and for the calls of the test.
    pub(super) fn internal(&self) -> &Endpoint {
        &self.endpoints[0]
    }

    pub(super) fn endpoint(&self, listener: Listener) -> Option<&Endpoint> {
        let mut endpoints = self.endpoints.iter();
        endpoints.find(|endpoint| endpoint.name == listener.name())
    }

    pub(super) fn admin(&self) -> Brokers {
        Brokers::local([self.internal().port])
    }
}

/// Returns the command line of one of Kafka's programs.
pub(super) fn java(
    distribution: &Distribution,
    options: &Options,
    more: &[String],
    arguments: &[&str],
) -> Vec<String> {
    let fast = || FAST.map(str::to_owned).to_vec();
    let mut command = vec![distribution.java.program.display().to_string()];
    command.extend(options.java.clone().unwrap_or_else(fast));
    command.extend(LOG.map(str::to_owned));
    command.extend_from_slice(more);
    command.extend(["-cp".to_owned(), distribution.classpath.clone()]);
    command.extend(arguments.iter().map(|&argument| argument.to_owned()));
    command
}

/// Writes the files of a broker, and returns its command line.
pub(super) fn prepare(
    supervisor: &Supervisor,
    distribution: &Distribution,
    options: &Options,
    (node, nodes): (&Node, &[Node]),
    mode: Mode<'_>,
) -> Result<Vec<String>> {
    write(supervisor, options, (node, nodes), mode)?;
    let training = distribution.training()?;
    // An archive of classes belongs to the options that it was made with.
    let archive = match options.java {
        None => training.archive(),
        Some(_) => Vec::new(),
    };
    if let Mode::Raft(cluster) = mode {
        let credentials = properties::credentials(options)?;
        if credentials.is_empty() {
            training.format(supervisor, node, cluster)?;
        } else {
            let credentials: Vec<String> = credentials
                .into_iter()
                .map(|(user, mechanism, password)| {
                    format!("{mechanism}=[name={user},password={password}]")
                })
                .collect();
            format(supervisor, distribution, cluster, &archive, &credentials)?;
        }
    }
    let arguments = ["kafka.Kafka", FILE];
    Ok(java(distribution, options, &archive, &arguments))
}

pub(super) fn write(
    supervisor: &Supervisor,
    options: &Options,
    (node, nodes): (&Node, &[Node]),
    mode: Mode<'_>,
) -> Result<()> {
    #[cfg(feature = "tls")]
    if let Some(certificates) = &options.certificates {
        certificates.write(supervisor)?;
    }
    supervisor.write("log4j.properties", LOG4J)?;
    supervisor.write("log4j2.properties", LOG4J2)?;
    supervisor.write(FILE, &properties::file(options, node, nodes, mode)?)?;
    Ok(())
}

/// Makes the folder of the data with Kafka's tool.
pub(super) fn format(
    supervisor: &Supervisor,
    distribution: &Distribution,
    cluster: &str,
    more: &[String],
    credentials: &[String],
) -> Result<()> {
    let mut arguments = vec!["kafka.tools.StorageTool", "format"];
    arguments.extend(["-t", cluster, "-c", FILE]);
    for credentials in credentials {
        arguments.extend(["--add-scram", credentials]);
    }
    let command = java(distribution, &Options::default(), more, &arguments);
    complete(supervisor, "format", &command)
}

/// Runs one of Kafka's tools to its end.
pub(super) fn complete(supervisor: &Supervisor, name: &str, command: &[String]) -> Result<()> {
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    supervisor.complete(name, &command, TOOL)
}

/// Starts a process.
pub(super) fn run(supervisor: &Supervisor, command: &[String]) -> Result<()> {
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    supervisor.run(SERVER, &command)
}

/// Waits until all of these brokers answer and know this many, with themselves among them.
pub(super) fn wait_until_ready(
    brokers: &[(&Supervisor, &Node)],
    count: usize,
    deadline: Deadline,
) -> Result<()> {
    let mut waiting = brokers.to_vec();
    let outcome = wait::poll(deadline.remaining(), || {
        // All are looked at: the others wait for one that has failed.
        let failed = brokers.iter().find_map(|(supervisor, node)| {
            let status = supervisor.exit(SERVER)?;
            Some(Error::permanent(format!(
                "Kafka's broker {} ended with status {status} instead of starting; its log: {}",
                node.id,
                log_tail(supervisor)
            )))
        });
        waiting.retain(|(supervisor, node)| !is_ready(supervisor, node, count));
        match failed {
            Some(error) => Some(Err(error)),
            None => waiting.is_empty().then_some(Ok(())),
        }
    });
    outcome.unwrap_or_else(|| {
        let logs = waiting.iter().map(|(supervisor, node)| {
            let log = log_tail(supervisor);
            format!("; the log of broker {}: {log}", node.id)
        });
        Err(Error::timeout(format!(
            "Kafka was not ready within {START:?}{}",
            logs.collect::<String>()
        )))
    })
}

fn is_ready(supervisor: &Supervisor, node: &Node, count: usize) -> bool {
    // It may answer before the supervisor has noted which process it is.
    supervisor.pid(SERVER).is_some()
        && node.admin().cluster().is_ok_and(|(cluster, brokers)| {
            // Another broker, of the same id, may have been faster to listen on the port.
            cluster.is_some()
                && cluster == training::cluster_of(supervisor)
                && brokers.len() >= count
                && brokers.contains(&node.id)
        })
}

/// Says whether another process was faster to listen.
pub(super) fn port_is_taken(error: &Error) -> bool {
    let message = error.to_string();
    message.contains("Address already in use") || message.contains("Failed to bind")
}

/// Returns the last lines of a log without Java's stacks, which would leave no room for the causes.
pub(super) fn log_tail(supervisor: &Supervisor) -> String {
    let log = supervisor.log(SERVER);
    let is_frame = |line: &str| line.starts_with("\tat ") || line.starts_with("\t... ");
    let lines: Vec<&str> = log.lines().filter(|line| !is_frame(line)).collect();
    match lines.len() {
        0 => "it wrote nothing".to_owned(),
        count => lines[count.saturating_sub(20)..].join("\n"),
    }
}

/// Waits until a process has ended.
pub(super) fn wait_for_end(supervisor: &Supervisor, limit: Duration) -> Result<()> {
    let ended = wait::poll(limit, || supervisor.exit(SERVER)).map(drop);
    ended.ok_or_else(|| {
        Error::timeout(format!(
            "Kafka did not end within {limit:?}; its log: {}",
            log_tail(supervisor)
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::super::Kafka;
    use super::*;

    #[test]
    fn another_broker_on_the_port_is_not_taken_for_ones_own() {
        let other = Kafka::builder().start_blocking().unwrap();
        let mut node = Node::plan(1, &Options::default()).unwrap();
        node.endpoints[0].port = other.brokers()[0].inner.node.internal().port;
        let supervisor = Supervisor::private().unwrap();
        let distribution = Distribution::find(None).unwrap();
        let cluster = training::new_cluster();
        let place = (&node, std::slice::from_ref(&node));
        let mode = Mode::Raft(&cluster);
        let options = Options::default();
        let command = prepare(&supervisor, &distribution, &options, place, mode).unwrap();
        run(&supervisor, &command).unwrap();
        let ready = wait_until_ready(&[(&supervisor, &node)], 1, Deadline::after(START));
        let error = ready.unwrap_err();
        assert!(port_is_taken(&error), "{error}");
    }
}
