use std::time::Duration;

use cqi_errors::{Error, Result};

use crate::connection::Pending;
use crate::wire::Api;

/// A broker over one connection at a time, which is opened again when it broke, with a pause that grows.
#[derive(Debug)]
pub(crate) struct Link {}

impl Link {
    pub(crate) async fn begin<R: Api>(&self, request: &R, timeout: Duration) -> Result<Pending<R>> {
        let _ = (request, timeout);
        Err(Error::permanent("not built yet"))
    }

    pub(crate) async fn send<R: Api>(&self, request: &R, timeout: Duration) -> Result<R::Answer> {
        self.begin(request, timeout).await?.answer().await
    }
}
