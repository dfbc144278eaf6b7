use std::fmt;
use std::path::PathBuf;

use cqi_errors::Result;

use super::Redis;
use super::config::Options;
use crate::discovery::find_program;
use crate::postgres::blocking;

/// Says what a server of one's own is to be like; made by [`Redis::builder`].
#[derive(Clone, Default)]
#[must_use = "a builder does nothing until it is started"]
pub struct RedisBuilder {
    pub(super) options: Options,
    pub(super) sentinel_password: Option<String>,
}

impl RedisBuilder {
    /// Sets a parameter of `redis.conf`, such as `maxmemory`; the last value wins.
    ///
    /// The value stands as it would in the file: several words are several arguments.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.settings.push((name.into(), value.into()));
        self
    }

    /// Demands this password from everybody who names no user; by default none is asked for.
    ///
    /// It may hold any characters.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.options.password = Some(password.into());
        self
    }

    /// Adds a user with a password and rules of ACL, such as `~cache:* +@read`; see
    /// [`Redis::url_as`].
    ///
    /// The user `default` remains, as whom [`Redis::command`] runs; `setting("user", "default off")`
    /// takes it away.
    pub fn user(
        mut self,
        name: impl Into<String>,
        password: impl Into<String>,
        rules: impl Into<String>,
    ) -> Self {
        let user = (name.into(), password.into(), rules.into());
        self.options.users.push(user);
        self
    }

    /// Sets the password of the sentinels that [`start_sentinels`](RedisBuilder::start_sentinels)
    /// starts; by default they ask for none.
    pub fn sentinel_password(mut self, password: impl Into<String>) -> Self {
        self.sentinel_password = Some(password.into());
        self
    }

    /// Makes the server private, which it is in any case; says so to the reader.
    pub fn private(self) -> Self {
        self
    }

    /// Starts the server and waits until it answers, 30 s at most; it takes about 20 ms.
    ///
    /// # Errors
    /// - [`Kind::Permanent`](cqi_errors::Kind::Permanent): Redis is missing (with the line that
    ///   installs it) or does not start (with the end of its log).
    /// - [`Kind::InvalidInput`](cqi_errors::Kind::InvalidInput): a setting or user cannot stand in
    ///   `redis.conf`.
    /// - [`Kind::Timeout`](cqi_errors::Kind::Timeout): it was not ready in time.
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing behind: the server ends once it has started.
    pub async fn start(self) -> Result<Redis> {
        blocking(move || self.start_blocking()).await
    }

    /// Starts the server as [`start`](RedisBuilder::start) does, on this thread.
    ///
    /// # Errors
    /// As [`start`](RedisBuilder::start).
    pub fn start_blocking(self) -> Result<Redis> {
        let (program, options) = self.prepare()?;
        Redis::launch(&program, options, None)
    }

    /// Finds the program, and makes certificates where they are wanted.
    #[cfg_attr(
        not(feature = "tls"),
        expect(unused_mut, reason = "only certificates are added")
    )]
    pub(super) fn prepare(mut self) -> Result<(PathBuf, Options)> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.options.tls {
            let certificates = crate::certificates::Certificates::make(&tls.hosts, "default")?;
            self.options.certificates = Some(certificates);
        }
        Ok((find_program("redis-server")?, self.options))
    }
}

impl fmt::Debug for RedisBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Settings may hold passwords as well.
        f.debug_struct("RedisBuilder").finish_non_exhaustive()
    }
}
