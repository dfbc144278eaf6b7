use std::time::Duration;

use crate::members::Kind;

/// Groups by their assignors, and what happens to brokers.
const PARTS: [&str; 4] = ["range", "cooperative-sticky", "brokers", "coordinator"];

pub const USAGE: &str = "\
usage: chaos [part..] [kind..] [--minutes 5] [--version 3.9.2] [--seed n]
  parts: range, cooperative-sticky, brokers, coordinator; all, if none is named
  kinds of members: cqi, librdkafka, java; all, if none is named";

/// What is to be run.
#[derive(Debug)]
pub struct Options {
    pub parts: Vec<&'static str>,
    pub kinds: Vec<Kind>,
    pub time: Duration,
    pub version: String,
    pub seed: u64,
}

impl Options {
    /// Reads the command line; none if it says anything else than it may.
    pub fn parse(arguments: &[String]) -> Option<Self> {
        let mut options = Self {
            parts: Vec::new(),
            kinds: Vec::new(),
            time: Duration::from_secs(5 * 60),
            version: "3.9.2".to_owned(),
            seed: fastrand::u64(..1000),
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--minutes" => {
                    let minutes: f64 = arguments.next()?.parse().ok()?;
                    options.time = Duration::try_from_secs_f64(minutes * 60.0).ok()?;
                }
                "--version" => options.version = arguments.next()?.clone(),
                "--seed" => options.seed = arguments.next()?.parse().ok()?,
                name => match PARTS.into_iter().find(|part| *part == name) {
                    Some(part) => options.parts.push(part),
                    None => options.kinds.push(Kind::named(name)?),
                },
            }
        }
        if options.parts.is_empty() {
            options.parts = PARTS.to_vec();
        }
        if options.kinds.is_empty() {
            options.kinds = Kind::ALL.to_vec();
        }
        Some(options)
    }
}
