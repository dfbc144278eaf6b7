use cqi_errors::Result;
use tokio_postgres::Row;

/// Makes a value from one row of a result.
pub trait FromRow: Sized {
    /// Reads the value.
    ///
    /// # Errors
    /// Permanent, when a column is missing or has another type.
    fn from_row(row: &Row) -> Result<Self>;
}
