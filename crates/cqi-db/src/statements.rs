use std::num::NonZeroUsize;
use std::sync::Arc;

use deadpool_postgres::ClientWrapper;
use lru::LruCache;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Error, Statement};

use crate::session::State;

/// The statements that one session has prepared, the most recently used ones.
///
/// One that falls out is closed on the server by the driver.
pub(crate) struct Statements {
    cache: Option<LruCache<Box<str>, Plan>>,
    style: Style,
}

/// How statements are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Prepared under a name, once per session.
    Named,
    /// Parsed anew each time, in one round trip with types learned before: a pooler in transaction
    /// mode gives each transaction another session.
    Unnamed,
}

/// What is known of a statement before it runs.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) form: Form,
    /// It changes the session beyond its own transaction.
    pub(crate) taints: bool,
}

#[derive(Clone)]
pub(crate) enum Form {
    Named(Statement),
    Unnamed(Arc<[Type]>),
}

impl Form {
    pub(crate) fn params(&self) -> usize {
        match self {
            Self::Named(statement) => statement.params().len(),
            Self::Unnamed(types) => types.len(),
        }
    }
}

impl Statements {
    pub(crate) fn new(style: Style, size: u32) -> Self {
        let size = usize::try_from(size).ok().and_then(NonZeroUsize::new);
        Self {
            cache: size.map(LruCache::new),
            style,
        }
    }

    pub(crate) fn are_unnamed(&self) -> bool {
        self.style == Style::Unnamed
    }

    pub(crate) fn forget(&mut self, sql: &str) {
        if let Some(cache) = &mut self.cache {
            cache.pop(sql);
        }
    }

    /// Returns the plan of a statement, made by the server where it is not known.
    pub(crate) async fn plan(
        &mut self,
        client: &ClientWrapper,
        state: &mut State,
        sql: &str,
    ) -> Result<Plan, Error> {
        if let Some(plan) = self.cache.as_mut().and_then(|cache| cache.get(sql)) {
            return Ok(plan.clone());
        }
        let form = match self.style {
            Style::Named => Form::Named(client.prepare(sql).await?),
            Style::Unnamed => Form::Unnamed(self.learn(client, state, sql).await?),
        };
        let plan = Plan {
            form,
            taints: taints(sql),
        };
        if let Some(cache) = &mut self.cache {
            cache.put(sql.into(), plan.clone());
        }
        Ok(plan)
    }

    /// Asks for the types of the parameters within a transaction, which holds one session of the
    /// pooler; the statement is closed before it ends.
    async fn learn(
        &mut self,
        client: &ClientWrapper,
        state: &mut State,
        sql: &str,
    ) -> Result<Arc<[Type]>, Error> {
        if state.in_transaction {
            return Ok(client.prepare(sql).await?.params().into());
        }
        // A user may have begun one by hand: a BEGIN and ROLLBACK of ours would end it.
        if state.tainted {
            let probe = "SAVEPOINT cqi_learn; RELEASE SAVEPOINT cqi_learn";
            match client.batch_execute(probe).await {
                Ok(()) => return Ok(client.prepare(sql).await?.params().into()),
                Err(error) if error.code() == Some(&SqlState::NO_ACTIVE_SQL_TRANSACTION) => {}
                Err(error) => return Err(error),
            }
        }
        learn_once(client, state, sql).await
    }
}

async fn learn_once(
    client: &ClientWrapper,
    state: &mut State,
    sql: &str,
) -> Result<Arc<[Type]>, Error> {
    state.in_transaction = true;
    client.batch_execute("BEGIN").await?;
    let types = client
        .prepare(sql)
        .await
        .map(|statement| statement.params().into());
    client.batch_execute("ROLLBACK").await?;
    state.in_transaction = false;
    types
}

/// The driver asks for types it does not know by named statements, which it keeps, while the pooler
/// has changed the session: there they are missing, or those of another process are in their place.
pub(crate) fn is_of_another_session(code: &SqlState) -> bool {
    *code == SqlState::INVALID_SQL_STATEMENT_NAME || *code == SqlState::DUPLICATE_PSTATEMENT
}

/// Says whether a statement changes the session for those who use it next.
///
/// What a function of the database's own sets is not seen here.
fn taints(sql: &str) -> bool {
    const VERBS: [&str; 11] = [
        "BEGIN",
        "CALL",
        "DEALLOCATE",
        "DECLARE",
        "DO",
        "EXECUTE",
        "LISTEN",
        "LOAD",
        "PREPARE",
        "SET",
        "START",
    ];
    const CALLS: [&str; 3] = ["pg_advisory_lock", "pg_try_advisory_lock", "set_config"];
    const BEFORE_TEMP: [&str; 5] = ["CREATE", "GLOBAL", "INTO", "LOCAL", "REPLACE"];
    let is_one = |word: &str, of: &[&str]| of.iter().any(|other| other.eq_ignore_ascii_case(word));
    let mut before = "";
    crate::summary::words(sql).any(|word| {
        let name = word
            .rsplit('.')
            .next()
            .unwrap_or_default()
            .trim_matches('"');
        let calls = CALLS.iter().any(|call| {
            let start = name.get(..call.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(call))
        });
        let temporary = is_one(word, &["TEMP", "TEMPORARY"]) && is_one(before, &BEFORE_TEMP);
        let verb = before.is_empty() && is_one(word, &VERBS);
        before = word;
        calls || temporary || verb
    })
}

#[cfg(test)]
mod tests {
    use super::taints;

    #[test]
    fn what_stays_in_the_session_is_seen() {
        for sql in [
            "BEGIN",
            "start transaction",
            " set search_path to x",
            "/* why */ LISTEN prices",
            "select pg_advisory_lock($1)",
            "select set_config('a.b', $1, false)",
            "create temporary table t (id int)",
            "CREATE OR REPLACE TEMP VIEW v AS SELECT 1",
            "(select 1 into temp t)",
            "select pg_catalog.PG_TRY_ADVISORY_LOCK_SHARED(1)",
            "do $$ begin end $$",
        ] {
            assert!(taints(sql), "{sql}");
        }
        for sql in [
            "select 1",
            "insert into settings values (1)",
            "create table t ()",
            "select temp from weather",
            "select 'pg_advisory_lock', $$set_config$$",
            "",
        ] {
            assert!(!taints(sql), "{sql}");
        }
    }
}
