use cqi_errors::{Error, Kind, Result};

use crate::{FromRow, Row};

/// Takes the rows of one query as they arrive.
pub(crate) trait Collect {
    type Output;

    fn row(&mut self, row: &Row<'_>) -> Result<()>;

    fn finish(self, affected: u64) -> Result<Self::Output>;
}

/// Collects every row.
pub(crate) struct All<T>(pub(crate) Vec<T>);

impl<T: FromRow> Collect for All<T> {
    type Output = Vec<T>;

    fn row(&mut self, row: &Row<'_>) -> Result<()> {
        self.0.push(T::from_row(row)?);
        Ok(())
    }

    fn finish(self, _: u64) -> Result<Vec<T>> {
        Ok(self.0)
    }
}

/// Collects the only row, if there is one.
pub(crate) struct Only<T> {
    row: Option<T>,
    more: bool,
}

impl<T> Only<T> {
    pub(crate) fn new() -> Self {
        Self {
            row: None,
            more: false,
        }
    }
}

impl<T: FromRow> Collect for Only<T> {
    type Output = Option<T>;

    fn row(&mut self, row: &Row<'_>) -> Result<()> {
        match self.row {
            None => self.row = Some(T::from_row(row)?),
            Some(_) => self.more = true,
        }
        Ok(())
    }

    fn finish(self, _: u64) -> Result<Option<T>> {
        if self.more {
            return Err(Error::permanent("more than one row came"));
        }
        Ok(self.row)
    }
}

/// Collects the only row, which must be there.
pub(crate) struct One<T>(pub(crate) Only<T>);

impl<T: FromRow> Collect for One<T> {
    type Output = T;

    fn row(&mut self, row: &Row<'_>) -> Result<()> {
        self.0.row(row)
    }

    fn finish(self, affected: u64) -> Result<T> {
        let row = self.0.finish(affected)?;
        row.ok_or_else(|| Error::new(Kind::NotFound, "no row came"))
    }
}

/// Counts the rows that a statement changed.
pub(crate) struct Affected;

impl Collect for Affected {
    type Output = u64;

    fn row(&mut self, _: &Row<'_>) -> Result<()> {
        Ok(())
    }

    fn finish(self, affected: u64) -> Result<u64> {
        Ok(affected)
    }
}
