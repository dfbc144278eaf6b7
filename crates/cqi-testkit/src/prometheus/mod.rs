//! A Prometheus that scrapes what a test serves.

mod api;
mod builder;
mod promtool;
mod rewriter;

pub use api::{Exemplar, Health, Sample, Target};
pub use builder::{Prometheus, PrometheusBuilder, ScrapeFormat};
pub use promtool::check_metrics;
