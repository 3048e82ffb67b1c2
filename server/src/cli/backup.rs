//! `backup FILE`: a consistent copy of the histories on disk, made by the server that has them open.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::ArgMatches;

use super::client::Endpoint;
use super::{Failure, configuration};

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let Some(target) = matches.get_one::<PathBuf>("file") else {
        return Err(Failure::Usage("name the file to make".to_owned()));
    };
    if target.exists() {
        return Err(Failure::Usage(format!("{} is there already; remove it or choose another name", target.display())));
    }
    let endpoint = Endpoint::chosen(matches, &configuration(matches)?.config, true)?;
    let reply = endpoint.exchange(r#"{"id":1,"type":"backup"}"#.to_owned(), true)?;
    let copy = Path::new(reply["file"].as_str().unwrap_or_default());
    take(copy, target).map_err(|error| {
        Failure::Run(format!(
            "the copy is made, {}, but cannot be moved to {}: {error}; run this on the server's machine, as root or as \
             the server's user",
            copy.display(),
            target.display()
        ))
    })?;
    Ok(writeln!(io::stdout(), "{}", target.display())?)
}

/// Moves the copy, between file systems too, and makes it survive a power failure.
fn take(copy: &Path, target: &Path) -> io::Result<()> {
    if fs::rename(copy, target).is_err() {
        let mut from = fs::File::open(copy)?;
        let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)?;
        io::copy(&mut from, &mut to)?;
        to.sync_all()?;
        fs::remove_file(copy)?;
    }
    let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(directory)?.sync_all()
}
