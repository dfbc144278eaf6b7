use std::time::Duration;

use garde::Validate;
use serde::{Deserialize, Serialize};

use super::rules::positive;
use crate::HumanDuration;

/// How long health checks may take and how long their results hold.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[garde(allow_unvalidated)]
pub struct HealthConfig {
    /// The longest time of one check; then it counts as failed. Default: 5s.
    #[serde(with = "HumanDuration")]
    #[garde(custom(positive))]
    pub check_timeout: Duration,
    /// How long a result is answered again before the check runs anew; 0s runs it every time.
    /// Default: 1s.
    #[serde(with = "HumanDuration")]
    pub cache_ttl: Duration,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            check_timeout: Duration::from_secs(5),
            cache_ttl: Duration::from_secs(1),
        }
    }
}
