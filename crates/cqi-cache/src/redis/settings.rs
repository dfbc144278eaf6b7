use std::path::PathBuf;
use std::time::Duration;

use cqi_config::{CacheBackend, CacheConfig};
use cqi_errors::{Error, Result};
use fred::clients::Client;
use fred::types::RespVersion;
use fred::types::config::{
    ClusterDiscoveryPolicy, Config, ConnectionConfig, PerformanceConfig, ServerConfig, TcpConfig,
    TlsConfig, TlsConnector,
};

use super::hosts::{self, Host};
use super::inline;
use super::tls;
use crate::entry::HEADER;

/// What a connection needs to know, read and checked once.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) backend: CacheBackend,
    pub(super) hosts: Vec<Host>,
    pub(super) database: u8,
    pub(super) connect_timeout: Duration,
    pub(super) command_timeout: Duration,
    pub(super) service: String,
    pub(super) root: Option<PathBuf>,
    longest: usize,
    username: Option<String>,
    password: Option<Hidden>,
    sentinel_password: Option<Hidden>,
    tls: Option<TlsConfig>,
}

/// Has no text in `Debug`.
struct Hidden(String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Settings {
    pub(super) fn new(config: &CacheConfig) -> Result<Self> {
        let hosts = hosts::parse(&config.hosts)?;
        if config.backend == CacheBackend::Redis && hosts.len() > 1 {
            return Err(Error::invalid_input(
                "cache.hosts",
                "has several entries, but cache.backend redis is one server: \
                 keep one, or set cache.backend to redis-cluster or sentinel",
            ));
        }
        if config.backend == CacheBackend::RedisCluster && config.database != 0 {
            let problem = "must be 0: a cluster has no other";
            return Err(Error::invalid_input("cache.database", problem));
        }
        // A user without a password still logs in by name.
        let named = config.username != "default" && !config.username.is_empty();
        let password = (named || !config.password.is_empty())
            .then(|| Hidden(config.password.expose().to_owned()));
        let sentinel_password = (!config.sentinel_password.is_empty())
            .then(|| Hidden(config.sentinel_password.expose().to_owned()));
        Ok(Self {
            backend: config.backend,
            hosts,
            database: config.database,
            connect_timeout: config.connect_timeout,
            command_timeout: config.command_timeout,
            service: config.sentinel_service.clone(),
            root: config.tls_root_cert.clone(),
            longest: usize::try_from(config.max_value_size).unwrap_or(usize::MAX - HEADER) + HEADER,
            username: named.then(|| config.username.clone()),
            password,
            sentinel_password,
            tls: tls::config(config)?,
        })
    }

    pub(super) fn is_sentinel(&self, host: &Host) -> bool {
        self.backend == CacheBackend::Sentinel && self.hosts.contains(host)
    }

    /// The last byte that is read of a value, which is one more than a value may have.
    pub(super) fn last_byte(&self) -> usize {
        self.longest
    }

    pub(super) fn uses_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub(super) fn tls_connector(&self) -> Option<&TlsConnector> {
        self.tls.as_ref().map(|tls| &tls.connector)
    }

    pub(super) fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    pub(super) fn password(&self) -> Option<&str> {
        self.password.as_ref().map(|hidden| hidden.0.as_str())
    }

    /// Makes a client of one connection, by way of one host, which ends with the connection:
    /// it neither connects again nor sends anything twice.
    pub(super) fn client(&self, host: &Host) -> Client {
        let server = match self.backend {
            CacheBackend::RedisCluster => ServerConfig::Clustered {
                hosts: vec![host.server()],
                policy: ClusterDiscoveryPolicy::UseCache,
            },
            _ => ServerConfig::Centralized {
                server: host.server(),
            },
        };
        self.build(Config {
            server,
            version: RespVersion::RESP3,
            username: self.username().map(inline::quoted),
            password: self.password().map(inline::quoted),
            database: (self.database != 0).then_some(self.database),
            ..Config::default()
        })
    }

    /// Makes a client of a sentinel.
    pub(super) fn sentinel(&self, host: &Host) -> Client {
        self.build(Config {
            server: ServerConfig::Centralized {
                server: host.server(),
            },
            // Sentinels before 6.2 know no `HELLO`.
            version: RespVersion::RESP2,
            password: self
                .sentinel_password
                .as_ref()
                .map(|hidden| hidden.0.clone()),
            ..Config::default()
        })
    }

    fn build(&self, config: Config) -> Client {
        let config = Config {
            fail_fast: true,
            tls: self.tls.clone(),
            ..config
        };
        let connection = ConnectionConfig {
            connection_timeout: self.connect_timeout,
            internal_command_timeout: self.connect_timeout,
            max_command_attempts: 1,
            // A MOVED makes fred look at the cluster again, and the command fail: it is sent again from
            // here. What fred does about an ASK would take another command's answer.
            max_redirections: 0,
            tcp: TcpConfig {
                nodelay: Some(true),
                ..TcpConfig::default()
            },
            ..ConnectionConfig::default()
        };
        let performance = PerformanceConfig {
            default_command_timeout: self.command_timeout,
            ..PerformanceConfig::default()
        };
        Client::new(config, Some(performance), Some(connection), None)
    }
}
