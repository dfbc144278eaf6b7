//! Benchmarks of CQI side by side with other libraries; see `benches/`.
