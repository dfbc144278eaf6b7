//! Runs a case for each code, many at once.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::future::Future;
use std::time::Duration;

use cqi_errors::Error;
use futures_util::{StreamExt, stream};

/// Longer than any case takes on a machine that is busy with other tests.
const BOUND: Duration = Duration::from_secs(40);

/// How many cases run at once.
const AT_ONCE: usize = 24;

/// The codes of the protocol guide, and one that it does not have.
fn codes() -> impl Iterator<Item = i16> {
    (-1..=133).filter(|code| *code != 0).chain([999])
}

/// Returns what came of each code, as `outcome: codes`.
pub(super) async fn walk<F>(case: impl Fn(i16) -> F) -> String
where
    F: Future<Output = String>,
{
    let cases = codes().map(|code| {
        let case = case(code);
        async move {
            let outcome = tokio::time::timeout(BOUND, case).await;
            (code, outcome.unwrap_or_else(|_| "HANGS".to_owned()))
        }
    });
    let mut outcomes = BTreeMap::<String, Vec<i16>>::new();
    let mut running = stream::iter(cases).buffer_unordered(AT_ONCE);
    while let Some((code, outcome)) = running.next().await {
        outcomes.entry(outcome).or_default().push(code);
    }
    let mut text = String::new();
    for (outcome, mut codes) in outcomes {
        codes.sort_unstable();
        writeln!(text, "{outcome}: {}", ranges(&codes)).unwrap();
    }
    text
}

/// Writes sorted numbers as `1-3 5`.
fn ranges(codes: &[i16]) -> String {
    let groups = codes.chunk_by(|a, b| a + 1 == *b);
    let texts = groups.map(|group| match group {
        [one] => one.to_string(),
        [first, second] => format!("{first} {second}"),
        [first, .., last] => format!("{first} to {last}"),
        [] => String::new(),
    });
    texts.collect::<Vec<_>>().join(" ")
}

/// Writes an error's kind, and what its text lacks of what a person needs.
pub(super) fn kind(error: &Error, code: i16) -> String {
    let text = format!("{error:#}");
    match text.contains(&format!("({code})")) {
        true => format!("{:?}", error.kind()),
        false => format!("{:?}, whose text lacks the code", error.kind()),
    }
}
