/// How to reach a cluster.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientSettings {}
