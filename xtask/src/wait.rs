//! Waiting with a bound.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks every 50 ms until the answer is yes.
///
/// # Errors
/// When `done` fails, or `limit` is over.
#[expect(
    clippy::disallowed_methods,
    reason = "wall time; there is no runtime whose clock could be paused"
)]
pub(crate) fn wait_until(
    what: &str,
    limit: Duration,
    mut done: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let started = Instant::now();
    while !done()? {
        if started.elapsed() > limit {
            bail!("waited {} s in vain until {what}", limit.as_secs());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_yes_a_failure_or_its_limit() {
        let mut asked = 0;
        let third_time = || {
            asked += 1;
            Ok(asked == 3)
        };
        wait_until("three", Duration::from_secs(9), third_time).unwrap();
        let error = wait_until("never", Duration::ZERO, || Ok(false)).unwrap_err();
        assert_eq!(error.to_string(), "waited 0 s in vain until never");
        assert!(wait_until("it fails", Duration::MAX, || bail!("broken")).is_err());
    }
}
