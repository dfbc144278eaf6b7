use std::fmt::Display;

use cqi_errors::{Error, Kind, Result};
use tokio_postgres::row::RowIndex;
use tokio_postgres::types::FromSql;

use crate::error::SqlError;

/// One row of a result.
pub struct Row<'r>(&'r tokio_postgres::Row);

impl<'r> Row<'r> {
    pub(crate) fn new(row: &'r tokio_postgres::Row) -> Self {
        Self(row)
    }

    /// Reads a column, by its name or its place (from 0).
    ///
    /// # Errors
    /// Permanent, when there is no such column, it is NULL and `T` is not an `Option`, or its type
    /// is not one that `T` reads.
    pub fn get<T: FromSql<'r>>(&self, column: impl RowIndex + Display + Copy) -> Result<T> {
        self.0.try_get(column).map_err(|error| {
            Error::new(Kind::Permanent, format!("column {column} cannot be read"))
                .with_source(SqlError::from(error))
        })
    }

    /// Returns how many columns the row has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Says whether the row has no columns.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the row of tokio-postgres, for what this type does not offer.
    #[must_use]
    pub fn postgres(&self) -> &'r tokio_postgres::Row {
        self.0
    }

    fn check_len(&self, columns: usize) -> Result<()> {
        if self.len() == columns {
            return Ok(());
        }
        let message = format!(
            "a row of {} columns cannot be read as {columns}",
            self.len()
        );
        Err(Error::permanent(message))
    }
}

impl std::fmt::Debug for Row<'_> {
    /// Shows the columns, never the values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.columns().iter().map(tokio_postgres::Column::name))
            .finish()
    }
}

/// Makes a value from one row of a result.
///
/// Scalars read the only column, tuples the columns in order, and [`from_row!`](crate::from_row)
/// implements it for a struct whose fields are named like the columns. By hand:
///
/// ```
/// use cqi_db::{FromRow, Row};
///
/// struct Price { cents: i64 }
///
/// impl FromRow for Price {
///     fn from_row(row: &Row<'_>) -> cqi_errors::Result<Self> {
///         let (units, cents): (i64, i64) = (row.get("units")?, row.get("cents")?);
///         Ok(Self { cents: units * 100 + cents })
///     }
/// }
/// ```
pub trait FromRow: Sized {
    /// Reads the value.
    ///
    /// # Errors
    /// Permanent, when a column is missing or cannot be read: see [`Row::get`].
    fn from_row(row: &Row<'_>) -> Result<Self>;
}

/// Implements [`FromRow`](crate::FromRow) for a struct, whose fields are read from the columns of
/// the same name, or of the name given.
///
/// ```
/// struct Asset {
///     id: i64,
///     symbol: String,
///     kind: Option<String>,
/// }
/// cqi_db::from_row!(Asset { id, symbol, kind = "type" });
/// ```
#[macro_export]
macro_rules! from_row {
    ($type:ident { $($field:ident $(= $column:literal)?),+ $(,)? }) => {
        impl $crate::FromRow for $type {
            fn from_row(
                row: &$crate::Row<'_>,
            ) -> ::std::result::Result<Self, $crate::__private::Error> {
                ::std::result::Result::Ok(Self {
                    $($field: row.get($crate::from_row!(@column $field $($column)?))?),+
                })
            }
        }
    };
    (@column $field:ident) => { ::std::stringify!($field) };
    (@column $field:ident $column:literal) => { $column };
}

macro_rules! scalars {
    ($($type:ty),+) => {
        $(impl FromRow for $type {
            fn from_row(row: &Row<'_>) -> Result<Self> {
                row.check_len(1)?;
                row.get(0)
            }
        })+
    };
}

scalars!(
    bool,
    i8,
    i16,
    i32,
    i64,
    u32,
    f32,
    f64,
    String,
    std::time::SystemTime,
    std::net::IpAddr
);

#[cfg(feature = "jiff")]
scalars!(
    jiff::Timestamp,
    jiff::civil::Date,
    jiff::civil::DateTime,
    jiff::civil::Time
);
#[cfg(feature = "json")]
scalars!(serde_json::Value);
#[cfg(feature = "uuid")]
scalars!(uuid::Uuid);

impl<T> FromRow for Option<T>
where
    Self: for<'r> FromSql<'r>,
{
    fn from_row(row: &Row<'_>) -> Result<Self> {
        row.check_len(1)?;
        row.get(0)
    }
}

impl<T> FromRow for Vec<T>
where
    Self: for<'r> FromSql<'r>,
{
    fn from_row(row: &Row<'_>) -> Result<Self> {
        row.check_len(1)?;
        row.get(0)
    }
}

macro_rules! tuples {
    ($($count:literal: $($name:ident $place:literal),+;)+) => {
        $(impl<$($name: for<'r> FromSql<'r>),+> FromRow for ($($name,)+) {
            fn from_row(row: &Row<'_>) -> Result<Self> {
                row.check_len($count)?;
                Ok(($(row.get::<$name>($place)?,)+))
            }
        })+
    };
}

tuples! {
    1: A 0;
    2: A 0, B 1;
    3: A 0, B 1, C 2;
    4: A 0, B 1, C 2, D 3;
    5: A 0, B 1, C 2, D 3, E 4;
    6: A 0, B 1, C 2, D 3, E 4, F 5;
    7: A 0, B 1, C 2, D 3, E 4, F 5, G 6;
    8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7;
}
