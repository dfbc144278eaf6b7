use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Error, Result};
use tower::retry::budget::{Budget as _, TpsBudget};

/// Limits retries to a share of the successes, so that they cannot multiply an outage.
///
/// When a server is down, every call that is tried 5 times means 5 times the load. With a budget
/// each success pays for a part of a retry, a reserve pays for the first ones, and without balance
/// an error is the last. Clones share one balance: make one budget per server that is called.
#[derive(Clone, Debug)]
pub struct Budget(Arc<TpsBudget>);

impl Budget {
    /// Makes a budget of `ratio` retries for each success within the last `window`, plus
    /// `reserve` retries a second.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use cqi_retry::{Budget, Retry};
    ///
    /// let budget = Budget::new(Duration::from_secs(10), 10, 0.2)?;
    /// let retry = Retry::builder().budget(budget).build()?;
    /// # Ok::<(), cqi_errors::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` unless `window` is from 1 s to 60 s, `reserve` at most a million and `ratio`
    /// from 0 to 1.
    pub fn new(window: Duration, reserve: u32, ratio: f32) -> Result<Self> {
        if !(Duration::from_secs(1)..=Duration::from_secs(60)).contains(&window) {
            let problem = format!("must be from 1s to 60s, is {window:?}");
            return Err(Error::invalid_input("budget.window", problem));
        }
        if reserve > 1_000_000 {
            let problem = format!("must be at most 1000000, is {reserve}");
            return Err(Error::invalid_input("budget.reserve", problem));
        }
        if !(0.0..=1.0).contains(&ratio) {
            let problem = format!("must be from 0 to 1, is {ratio}");
            return Err(Error::invalid_input("budget.ratio", problem));
        }
        let budget = TpsBudget::new(window, reserve, ratio);
        Ok(Self(Arc::new(budget)))
    }

    pub(crate) fn deposit(&self) {
        self.0.deposit();
    }

    pub(crate) fn withdraw(&self) -> bool {
        self.0.withdraw()
    }
}

/// One retry for five successes within 10 s, plus ten retries a second.
impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(TpsBudget::default()))
    }
}
