/// The prepared statements of one session.
pub(crate) struct Statements;
