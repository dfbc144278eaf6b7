use std::borrow::Cow;

use cqi_errors::{Error, Kind, Result};

/// Collects what is wrong with settings, so that all of it is told at once.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<(&'static str, Cow<'static, str>)>);

impl Problems {
    pub(crate) fn add(&mut self, field: &'static str, problem: impl Into<Cow<'static, str>>) {
        self.0.push((field, problem.into()));
    }

    pub(crate) fn into_result(mut self) -> Result<()> {
        if self.0.len() > 1 {
            let told = |(field, problem): &_| format!("{field}: {problem}");
            let text = self.0.iter().map(told).collect::<Vec<_>>().join("; ");
            return Err(Error::new(Kind::InvalidInput, text.clone()).with_public(text));
        }
        match self.0.pop() {
            Some((field, problem)) => Err(Error::invalid_input(field, problem)),
            None => Ok(()),
        }
    }
}
