//! `make bench`: every row of the benchmark table on our server, in turn with its yardstick, judged, printed and drawn.

mod bench;
mod error;
mod machine;
mod noise;
mod report;
mod results;
mod rows;
mod run;
mod scenario;
mod stats;
mod subject;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use rustix::thread::{CpuSet, sched_setaffinity};

use bench::{Bench, LOAD_CORE};
use error::SuiteError;
use machine::Machine;
use results::Results;
use rows::{ROWS, Row};

/// Runs the benchmarks and writes docs/benchmarks.md, docs/sizing.md and docs/benchmarks/.
#[derive(Parser)]
struct Arguments {
    /// Our server's release binary.
    #[arg(long)]
    server: PathBuf,
    /// The folder of the documents; without it nothing is written.
    #[arg(long)]
    docs: Option<PathBuf>,
    /// A smoke run of about a minute: everything has to work, nothing is concluded or written.
    #[arg(long)]
    quick: bool,
    /// Only these rows; the documents keep the others' last results.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Show the rows' names and end.
    #[arg(long)]
    list: bool,
    /// Measure nothing, only write the documents anew from the last results.
    #[arg(long)]
    redraw: bool,
}

fn main() -> ExitCode {
    match suite(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn suite(arguments: &Arguments) -> Result<(), SuiteError> {
    if arguments.list {
        ROWS.iter().for_each(|row| println!("{:18} {}", row.id, row.title));
        return Ok(());
    }
    let chosen = choose(&arguments.rows)?;
    let kept = arguments.docs.as_ref().map(|docs| docs.join("benchmarks/results.json"));
    let mut results = kept.as_deref().map_or_else(|| Ok(Results::default()), Results::load)?;
    // After every row, so that a run that is broken off loses only the row that it was at.
    let keep = |results: &Results| match (&arguments.docs, &kept) {
        (Some(docs), Some(kept)) if !arguments.quick => {
            report::write(results, docs)?;
            results.save(kept)
        }
        _ => Ok(()),
    };
    let mut failed = 0;
    if !arguments.redraw {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let scratch = tempfile::tempdir().map_err(SuiteError::io("make a temporary folder"))?;
        let limit = std::env::current_exe().map_err(SuiteError::io("find this program"))?.with_file_name("limit");
        let server = arguments.server.clone();
        let bench = Bench { server, limit, scratch: scratch.path().to_owned(), quick: arguments.quick };
        results.machine = Machine::here(&bench.server);
        prepare(cores)?;
        for row in chosen {
            match run::run(&bench, row, cores) {
                Ok(outcome) => {
                    report::terminal::row(row, &outcome, bench.quick);
                    results.put(outcome);
                    keep(&results)?;
                }
                // A rival that is not installed is no failure of ours.
                Err(error @ SuiteError::Missing(_)) => eprintln!("{}: left out: {error}", row.id),
                Err(error) => {
                    failed += 1;
                    eprintln!("{}: FAILED: {error}", row.id);
                }
            }
        }
    }
    if arguments.redraw {
        keep(&results)?;
    }
    if failed > 0 { Err(SuiteError::Failed(failed)) } else { Ok(()) }
}

fn choose(names: &[String]) -> Result<Vec<&'static Row>, SuiteError> {
    if names.is_empty() {
        return Ok(ROWS.iter().collect());
    }
    let find = |name: &String| ROWS.iter().find(|row| row.id == name);
    names.iter().map(|name| find(name).ok_or_else(|| SuiteError::NoSuchRow(name.clone()))).collect()
}

/// Enough files, and a core of its own for the load.
fn prepare(cores: usize) -> Result<(), SuiteError> {
    let files = wsload::raise_file_limit(40_000);
    if files < 16_000 {
        eprintln!("only {files} files may be open (ulimit -n): rows with 15,000 connections will fail");
    }
    if cores <= LOAD_CORE {
        eprintln!("there is only one core: server and load share it, and the figures say little");
        return Ok(());
    }
    let mut set = CpuSet::new();
    set.set(LOAD_CORE);
    sched_setaffinity(None, &set).map_err(|error| SuiteError::io("choose a core")(error.into()))
}
