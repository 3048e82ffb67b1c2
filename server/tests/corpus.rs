//! What the fuzzers have found, once more: each file of the corpora goes through the target that it was made for.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::path::{Path, PathBuf};

use realtime_server::fuzzing::TARGETS;

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
}

#[test]
fn every_input_of_the_corpora_is_dealt_with() {
    for (name, target) in TARGETS {
        let mut files: Vec<_> = fs::read_dir(corpora().join(name)).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 10, "the corpus of {name} has {} files", files.len());
        for file in files {
            // Shown when the target panics.
            println!("{}", file.display());
            target(&fs::read(&file).unwrap());
        }
    }
}

#[test]
fn every_corpus_belongs_to_a_target() {
    for corpus in fs::read_dir(corpora()).unwrap() {
        let name = corpus.unwrap().file_name();
        assert!(TARGETS.iter().any(|(target, _)| name == *target), "there is no target for {name:?}");
    }
}
