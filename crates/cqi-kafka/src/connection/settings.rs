/// How to reach brokers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectionSettings {}
