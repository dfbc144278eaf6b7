//! Which spans and events are logged.

use cqi_errors::{Error, Result};
use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

const POSTGRES: &str = "tokio_postgres";

/// The levels of one logger, by target.
///
/// Spans of level info and above pass whatever the level is, unless all is off: an error without
/// the request it belongs to helps nobody.
#[derive(Debug)]
pub(crate) struct Levels {
    targets: Targets,
    spans: LevelFilter,
    /// No span or event beyond this level passes.
    loudest: LevelFilter,
}

impl Levels {
    /// Reads directives such as `info` or `cqi_bus=debug,info`.
    ///
    /// The exporter of traces logs each of its failures; what it says is off unless it is asked for.
    /// So are the parameters of statements, which tokio-postgres logs from debug on.
    pub(crate) fn parse(directives: &str) -> Result<Self> {
        let mut targets = Targets::new().with_target("opentelemetry", LevelFilter::OFF);
        let mut default = None;
        // The directive that decides on `POSTGRES` so far.
        let mut postgres: Option<(&str, LevelFilter)> = None;
        let mut loudest = LevelFilter::OFF;
        for directive in directives.split(',') {
            let directive = directive.trim();
            if directive.is_empty() {
                return Err(refused(&format!("`{directives}` has an empty directive")));
            }
            let (target, name) = match directive.split_once('=') {
                Some((target, name)) => (Some(target.trim()), name.trim()),
                None => (None, directive),
            };
            let level = level(name).ok_or_else(|| invalid(directive, "its level is not known"))?;
            loudest = loudest.max(level);
            match target {
                Some("") => return Err(invalid(directive, "its target is empty")),
                Some(target) if target.contains(['[', ']', '{', '}', '"']) => {
                    return Err(invalid(directive, "spans and fields cannot be named"));
                }
                Some(target) => {
                    targets = targets.with_target(target, level);
                    if POSTGRES.starts_with(target)
                        && postgres.is_none_or(|(known, _)| known.len() <= target.len())
                    {
                        postgres = Some((target, level));
                    }
                }
                None if default.is_some() => {
                    return Err(invalid(
                        directive,
                        "there is a level without a target already",
                    ));
                }
                None => default = Some(level),
            }
        }
        let default = default.unwrap_or(LevelFilter::INFO);
        let loudest = loudest.max(default);
        let (named, level) = postgres.unwrap_or(("", default));
        if named != POSTGRES {
            targets = targets.with_target(POSTGRES, level.min(LevelFilter::INFO));
        }
        let spans = match loudest {
            LevelFilter::OFF => LevelFilter::OFF,
            _ => LevelFilter::INFO,
        };
        Ok(Self {
            targets: targets.with_default(default),
            spans,
            loudest: loudest.max(spans),
        })
    }

    /// Says up to which level anything passes.
    pub(crate) fn loudest(&self) -> LevelFilter {
        self.loudest
    }

    pub(crate) fn allows(&self, metadata: &Metadata<'_>) -> bool {
        (metadata.is_span() && *metadata.level() <= self.spans)
            || self
                .targets
                .would_enable(metadata.target(), metadata.level())
    }
}

fn level(name: &str) -> Option<LevelFilter> {
    let known = |(known, _): &&(&str, LevelFilter)| known.eq_ignore_ascii_case(name);
    LEVELS.iter().find(known).map(|(_, level)| *level)
}

fn invalid(directive: &str, problem: &str) -> Error {
    refused(&format!("directive `{directive}`: {problem}"))
}

fn refused(problem: &str) -> Error {
    Error::invalid_input(
        "log.level",
        format!(
            "{problem}; allowed are off, error, warn, info, debug or trace, \
             alone or for a target, such as `info,cqi_db=debug`"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    fn allows(directives: &str, target: &str, level: Level) -> bool {
        let levels = Levels::parse(directives).unwrap();
        levels.targets.would_enable(target, &level)
    }

    #[test]
    fn the_longest_target_decides() {
        let directives = "warn, cqi_db=debug ,cqi_db::pool=off";
        assert!(allows(directives, "cqi_db::query", Level::DEBUG));
        assert!(!allows(directives, "cqi_db::pool", Level::ERROR));
        assert!(allows(directives, "axum", Level::WARN));
        assert!(!allows(directives, "axum", Level::INFO));
    }

    #[test]
    fn what_no_directive_names_is_logged_from_info_on() {
        assert!(allows("cqi_db=debug", "axum", Level::INFO));
        assert!(!allows("cqi_db=debug", "axum", Level::DEBUG));
    }

    #[test]
    fn levels_are_read_in_any_case() {
        assert!(allows("DEBUG", "axum", Level::DEBUG));
    }

    #[test]
    fn opentelemetry_is_off_unless_asked_for() {
        assert!(!allows("trace", "opentelemetry_sdk", Level::ERROR));
        assert!(allows(
            "info,opentelemetry=warn",
            "opentelemetry-otlp",
            Level::WARN
        ));
    }

    #[test]
    fn statement_parameters_are_logged_only_when_asked_for() {
        let target = "tokio_postgres::query";
        for directives in ["debug", "trace", "cqi_db=trace,debug", "tokio=trace"] {
            assert!(allows(directives, target, Level::INFO), "{directives}");
            assert!(!allows(directives, target, Level::DEBUG), "{directives}");
        }
        for directives in [
            "info,tokio_postgres=debug",
            "tokio_postgres=debug,off",
            "tokio_postgres::query=debug",
        ] {
            assert!(allows(directives, target, Level::DEBUG), "{directives}");
        }
        // The cap never lets through more than was set.
        assert!(!allows("warn", target, Level::INFO));
        assert!(!allows("debug,tokio=error", target, Level::WARN));
        assert!(!allows(
            "debug,tokio_post=off,tokio=error",
            target,
            Level::ERROR
        ));
        assert!(!allows("off", target, Level::ERROR));
    }

    #[test]
    fn a_bad_directive_is_named() {
        for (directives, named) in [
            ("inof", "`inof`: its level is not known"),
            ("info,cqi_db=loud", "`cqi_db=loud`: its level is not known"),
            ("info,cqi_db", "`cqi_db`: its level is not known"),
            ("", "`` has an empty directive"),
            ("info,", "`info,` has an empty directive"),
            (
                "info,,cqi_db=debug",
                "`info,,cqi_db=debug` has an empty directive",
            ),
            ("=info", "`=info`: its target is empty"),
            (
                "info,debug",
                "`debug`: there is a level without a target already",
            ),
            (
                "[request]=debug",
                "`[request]=debug`: spans and fields cannot be named",
            ),
        ] {
            let error = Levels::parse(directives).unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
            assert_eq!(error.field(), Some("log.level"));
        }
    }
}
