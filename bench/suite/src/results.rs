//! What was measured, as it is kept in `docs/benchmarks/results.json`: rows can be run singly, and the documents drawn
//! anew, without measuring everything again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::SuiteError;
use crate::machine::Machine;
use crate::rows::{ROWS, Row};
use crate::scenario::Samples;
use crate::stats::{Estimate, Target, Verdict};

/// All rows that were ever measured, each by its last run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) rows: Vec<Outcome>,
}

/// One row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) id: String,
    pub(crate) date: String,
    pub(crate) unit: String,
    pub(crate) target: Option<Target>,
    /// What is judged: a ratio, or the subject's own figure.
    pub(crate) figure: Estimate,
    pub(crate) verdict: Verdict,
    /// Everybody's figures.
    pub(crate) contestants: BTreeMap<String, Estimate>,
    /// Share of the machine that other programs used meanwhile.
    pub(crate) disturbed: f64,
}

impl Outcome {
    /// Judges the samples of a row; `None` when a contestant that the judgement needs brought none.
    pub(crate) fn of(row: &Row, samples: &Samples, disturbed: f64, date: &str) -> Option<Self> {
        let subject = samples.get(row.subject)?;
        let figure = match row.yardstick {
            // Round by round, so that what slows the machine down cancels.
            Some(yardstick) => {
                let pairs = subject.iter().zip(samples.get(yardstick)?);
                Estimate::of(&pairs.map(|(subject, yardstick)| subject / yardstick).collect::<Vec<_>>())?
            }
            None => Estimate::of(subject)?,
        };
        let contestants = samples.iter().filter_map(|(label, values)| Some((label.clone(), Estimate::of(values)?)));
        Some(Self {
            id: row.id.to_owned(),
            date: date.to_owned(),
            unit: row.unit.to_owned(),
            target: row.target,
            figure,
            verdict: figure.verdict(row.target),
            contestants: contestants.collect(),
            disturbed,
        })
    }

    /// The row that it belongs to, as long as there is one.
    pub(crate) fn row(&self) -> Option<&'static Row> {
        ROWS.iter().find(|row| row.id == self.id)
    }
}

impl Results {
    /// What earlier runs left, or nothing.
    pub(crate) fn load(path: &Path) -> Result<Self, SuiteError> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(path).map_err(SuiteError::io(path.display().to_string()))?;
        serde_json::from_str(&text).map_err(|source| SuiteError::Results { path: path.display().to_string(), source })
    }

    /// Keeps them for later runs.
    pub(crate) fn save(&self, path: &Path) -> Result<(), SuiteError> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|source| SuiteError::Results { path: path.display().to_string(), source })?;
        fs::write(path, text + "\n").map_err(SuiteError::io(path.display().to_string()))
    }

    /// Puts an outcome in place of an earlier one of its row, in the table's order.
    pub(crate) fn put(&mut self, outcome: Outcome) {
        self.rows.retain(|earlier| earlier.id != outcome.id && earlier.row().is_some());
        self.rows.push(outcome);
        self.rows.sort_by_key(|outcome| ROWS.iter().position(|row| row.id == outcome.id));
    }

    /// The outcome of a row.
    pub(crate) fn get(&self, id: &str) -> Option<&Outcome> {
        self.rows.iter().find(|outcome| outcome.id == id)
    }
}
