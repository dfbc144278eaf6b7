use cqi_errors::Error;
use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};

use crate::connect::Connector;
use crate::session::Session;
use crate::statements::Statements;

/// Opens sessions for the pool and looks at those that come back.
pub(crate) struct Lifecycle {
    pub(crate) connector: Connector,
}

impl Manager for Lifecycle {
    type Type = Session;
    type Error = Error;

    async fn create(&self) -> Result<Session, Error> {
        Ok(Session::new(self.connector.connect().await?, Statements))
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<Error> {
        if session.client.is_closed() {
            return Err(RecycleError::message("closed"));
        }
        Ok(())
    }
}
