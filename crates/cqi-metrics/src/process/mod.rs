#[cfg(target_os = "linux")]
mod linux;

use cqi_errors::Result;

use crate::Metrics;

impl Metrics {
    /// Adds the metrics of this process: CPU time, memory, threads, file descriptors and its start,
    /// as `process_cpu_seconds_total` and so on, without the service's name.
    ///
    /// Other systems than Linux have none of them. A value that cannot be read is left out.
    #[track_caller]
    pub(crate) fn register_process(&self) -> Result<()> {
        #[cfg(target_os = "linux")]
        linux::register(self)?;
        Ok(())
    }
}
