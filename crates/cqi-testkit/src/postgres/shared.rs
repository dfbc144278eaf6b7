//! The server that the tests of one run share.

use cqi_errors::Result;

use super::builder::Options;
use super::database::{Keeper, Removal};
use super::{Address, Database, admin, cluster};
use crate::discovery::Source;
use crate::run;
use crate::supervisor::{Supervisor, token};

/// Makes a database on the run's server, starting that where it is the first; blocks.
pub(super) fn database() -> Result<Database> {
    let supervisor = run::join("postgres", start)?;
    let address = cluster::announced(&supervisor)?;
    let name = format!("test_{}", token());
    admin::create(&address, &name)?;
    // The process of a server of ours has left its number there.
    let removal = match supervisor.pid(cluster::SERVER) {
        Some(_) => Removal::BySupervisor,
        None => Removal::Direct,
    };
    Ok(Database::new(
        address,
        name,
        Keeper::Shared(supervisor),
        removal,
    ))
}

fn start(supervisor: &Supervisor) -> Result<()> {
    let address = match Source::find()? {
        Source::Url(url) => Address::parse(&url)?,
        Source::Binaries(folder) => {
            let options = Options::default();
            cluster::initialise(supervisor, &folder, &options)?;
            let port = cluster::start(supervisor, &folder, &options, None)?;
            supervisor.serves(&cluster::program(&folder, "psql")?, port)?;
            Address::local(port, None, supervisor.directory())
        }
    };
    cluster::announce(supervisor, &address)
}
